//! Writes the plugin's manifest.

use stampmill_sdk::manifest::{Kind, Manifest};

#[path = "src/config.rs"]
#[expect(dead_code, unreachable_pub, reason = "the manifest needs the type's shape alone")]
mod config;

fn main() {
    Manifest::new("merge-by-property", Kind::Merge)
        .example::<config::Config>("a build for each suite", r#"{"properties": ["suite"]}"#)
        .write::<config::Config>();
}

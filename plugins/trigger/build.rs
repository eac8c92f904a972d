//! Writes the plugin's manifest.

use stampmill_sdk::manifest::{Kind, Manifest, Permission};

#[path = "src/config.rs"]
#[expect(dead_code, unreachable_pub, reason = "the manifest needs the type's shape alone")]
mod config;

fn main() {
    Manifest::new("trigger", Kind::Step)
        .permissions(&[Permission::Trigger])
        .example::<config::Config>(
            "build the packages of what was tested, and wait for them",
            r#"{"schedulers": ["packages"], "wait": true}"#,
        )
        .example::<config::Config>(
            "with a property, and without waiting",
            r#"{"schedulers": ["deploy"], "set": {"target": "staging"}, "copy": ["got_revision"]}"#,
        )
        .write::<config::Config>();
}

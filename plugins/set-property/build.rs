//! Writes the plugin's manifest.

use stampmill_sdk::manifest::{Kind, Manifest, Permission};

#[path = "src/config.rs"]
#[expect(dead_code, unreachable_pub, reason = "the manifest needs the type's shape alone")]
mod config;

fn main() {
    Manifest::new("set-property", Kind::Step)
        .permissions(&[Permission::Properties])
        .example::<config::Config>("a number", r#"{"property": "cores", "value": 8}"#)
        .example::<config::Config>(
            "a text made from another",
            r#"{"property": "tarball", "value": "app-${{ props.got_revision }}.tar.gz"}"#,
        )
        .write::<config::Config>();
}

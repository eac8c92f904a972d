//! Writes the plugin's manifest.

use stampmill_sdk::manifest::{Kind, Manifest, Permission};

#[path = "src/config.rs"]
#[expect(dead_code, unreachable_pub, reason = "the manifest needs the type's shape alone")]
mod config;

fn main() {
    Manifest::new("github-hook", Kind::ChangeHook)
        .permissions(&[Permission::Secret])
        .example::<config::Config>(
            "one repository",
            r#"{"secret": "github-hook", "repositories": ["mailinc/mailsuite"]}"#,
        )
        .write::<config::Config>();
}

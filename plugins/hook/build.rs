//! Writes the plugin's manifest.

use stampmill_sdk::manifest::{Kind, Manifest, Permission};

#[path = "src/config.rs"]
#[expect(dead_code, unreachable_pub, reason = "the manifest needs the type's shape alone")]
mod config;

fn main() {
    Manifest::new("hook", Kind::ChangeHook)
        .permissions(&[Permission::Secret])
        .example::<config::Config>(
            "signed deliveries for one repository",
            r#"{"secret": "hook-key", "repositories": ["https://git.example/app.git"]}"#,
        )
        .write::<config::Config>();
}

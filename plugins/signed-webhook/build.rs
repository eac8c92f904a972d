//! Writes the plugin's manifest.

use stampmill_sdk::manifest::{Kind, Manifest, Permission};

#[path = "src/config.rs"]
#[expect(dead_code, unreachable_pub, reason = "the manifest needs the type's shape alone")]
mod config;

fn main() {
    Manifest::new("signed-webhook", Kind::Reporter)
        .permissions(&[Permission::Http, Permission::Secret])
        .example::<config::Config>(
            "a receiver that checks signatures",
            r#"{"url": "https://deploy.example/ci", "secret": "deploy-hook"}"#,
        )
        .write::<config::Config>();
}

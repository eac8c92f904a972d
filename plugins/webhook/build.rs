//! Writes the plugin's manifest.

use stampmill_sdk::manifest::{Kind, Manifest, Permission};

#[path = "src/config.rs"]
#[expect(dead_code, unreachable_pub, reason = "the manifest needs the type's shape alone")]
mod config;

fn main() {
    Manifest::new("webhook", Kind::Reporter)
        .permissions(&[Permission::Http])
        .example::<config::Config>("a chat's hook", r#"{"url": "https://chat.example/hook"}"#)
        .example::<config::Config>(
            "with a token that the host attaches",
            r#"{"url": "https://api.example/ci", "credential": "api-token"}"#,
        )
        .write::<config::Config>();
}

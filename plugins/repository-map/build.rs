//! Writes the plugin's manifest.

use stampmill_sdk::manifest::{Kind, Manifest};

#[path = "src/config.rs"]
#[expect(dead_code, unreachable_pub, reason = "the manifest needs the type's shape alone")]
mod config;

fn main() {
    Manifest::new("repository-map", Kind::CodebaseGenerator)
        .example::<config::Config>(
            "a project and a fork of it",
            r#"{"https://git.example/app.git": "app", "https://git.example/ann/app.git": "app", "https://git.example/core.git": "core"}"#,
        )
        .write::<config::Config>();
}

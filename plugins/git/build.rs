//! Writes the plugin's manifest.

use stampmill_sdk::manifest::{Kind, Manifest, Permission};

#[path = "src/config.rs"]
#[expect(dead_code, unreachable_pub, reason = "the manifest needs the type's shape alone")]
mod config;

fn main() {
    Manifest::new("git", Kind::Step)
        .permissions(&[Permission::Command, Permission::Properties, Permission::Workspace])
        .example::<config::Config>("the build's only codebase", "{}")
        .example::<config::Config>(
            "one of several codebases, from nothing, with submodules",
            r#"{"codebase": "core", "directory": "core", "mode": "full", "method": "clobber", "submodules": true}"#,
        )
        .example::<config::Config>(
            "a private repository, its newest commit without history",
            r#"{"codebase": "app", "always-latest": true, "depth": 1, "credential": {"user": "x-access-token", "secret": "forge-token"}}"#,
        )
        .write::<config::Config>();
}

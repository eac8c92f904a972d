//! Writes the plugin's manifest.

use stampmill_sdk::manifest::{Kind, Manifest, Permission};

#[path = "src/config.rs"]
#[expect(dead_code, unreachable_pub, reason = "the manifest needs the type's shape alone")]
mod config;

fn main() {
    Manifest::new("git-poller", Kind::ChangePoller)
        .permissions(&[Permission::Command, Permission::Workspace])
        .example::<config::Config>(
            "one branch",
            r#"{"repository": "https://git.example/app.git", "branches": ["main"], "every": "30s"}"#,
        )
        .example::<config::Config>(
            "release branches and tags of a private repository",
            r#"{"repository": "https://git.example/app.git", "branches": ["main", "release/*"], "tags": ["v*"], "project": "app",
                "credential": {"user": "x-access-token", "secret": "forge-token"}}"#,
        )
        .write::<config::Config>();
}

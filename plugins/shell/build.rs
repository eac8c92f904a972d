//! Writes the plugin's manifest.

use stampmill_sdk::manifest::{Kind, Manifest, Permission};

#[path = "src/config.rs"]
#[expect(dead_code, unreachable_pub, reason = "the manifest needs the type's shape alone")]
mod config;

fn main() {
    Manifest::new("shell", Kind::Step)
        .permissions(&[Permission::Command])
        .example::<config::Config>("a command", r#"{"command": ["make", "-j2"], "wall-timeout": "30m"}"#)
        .example::<config::Config>(
            "a script with a value of the build as variable",
            r#"{"script": "tar czf \"app-$REVISION.tar.gz\" dist\n", "environment": {"REVISION": "${{ src.app.revision }}"}}"#,
        )
        .example::<config::Config>(
            "a secret as a private file, whose path is in a variable",
            r#"{"script": "GIT_SSH_COMMAND=\"ssh -i $KEY\" git push", "secret-files": {"KEY": "x"}}"#,
        )
        .example::<config::Config>("a linter whose exit code 2 is a warning", r#"{"command": ["lint", "."], "warnings-on": [2]}"#)
        .write::<config::Config>();
}

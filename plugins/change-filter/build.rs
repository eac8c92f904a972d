//! Writes the plugin's manifest.

use stampmill_sdk::manifest::{Kind, Manifest};

#[path = "src/config.rs"]
#[expect(dead_code, unreachable_pub, reason = "the manifest needs the type's shape alone")]
mod config;

fn main() {
    Manifest::new("change-filter", Kind::SchedulerFilter)
        .example::<config::Config>("one branch of one project", r#"{"branch": "main", "project": "app"}"#)
        .example::<config::Config>(
            "release branches, but not of the fork",
            r#"{"branch": {"regex": "^release/[0-9.]+$"}, "repository": {"not": "https://git.example/fork/app.git"}}"#,
        )
        .write::<config::Config>();
}

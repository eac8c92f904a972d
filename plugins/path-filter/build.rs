//! Writes the plugin's manifest.

use stampmill_sdk::manifest::{Kind, Manifest};

#[path = "src/config.rs"]
#[expect(dead_code, unreachable_pub, reason = "the manifest needs the type's shape alone")]
mod config;

fn main() {
    Manifest::new("path-filter", Kind::SchedulerFilter)
        .example::<config::Config>("all but the documentation", r#"{"exclude": ["docs/**", "*.md"]}"#)
        .example::<config::Config>(
            "only C sources; the rest is nothing for us",
            r#"{"include": ["*.[ch]"], "otherwise": "ignore"}"#,
        )
        .write::<config::Config>();
}

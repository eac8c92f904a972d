//! Plugins as the host starts them: with the grant and the limits of their use.

use std::time::Duration;

use stampmill_runtime::{Change, Clock, PluginErrorKind, SeenChange};

use super::*;
use crate::config::{Loaded, load};

/// A filter of the guests, which does what its configuration says, with limits of its own.
fn filtered(script: &str, limits: &str) -> (tempfile::TempDir, Loaded) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("filter.wasm"), stampmill_guests::FILTER).unwrap();
    let text = format!(
        r#"
[plugin.c-files]
file = "filter.wasm"
[[scheduler]]
name = "s"
kind = "any-branch"
builders = ["b"]
filter = [{{ plugin = "c-files", config = "judge:{script}", limits = {{ {limits} }} }}]
[[job]]
name = "c"
[[job.step]]
plugin = "shell"
grant = {{ command = ["*"] }}
[[builder]]
name = "b"
job = "c"
"#
    );
    let file = folder.path().join("stampmill.toml");
    std::fs::write(&file, text).unwrap();
    let loaded = load(&file).unwrap_or_else(|error| panic!("{}", error.render(false)));
    (folder, loaded)
}

async fn judged(plugins: &Plugins, script: &str, limits: &str) -> Result<(), PluginErrorKind> {
    let (_folder, loaded) = filtered(script, limits);
    let usage = &loaded.filters[&"s".into()][0];
    let mut instance = plugins.start(usage, Surroundings::default()).await.unwrap_or_else(|error| panic!("{error}"));
    let change = Change { id: 1, codebase: String::new(), arrived_at: 0, seen: SeenChange::default() };
    match instance.judge(&[change]).await {
        Ok(_) => Ok(()),
        Err(error) => Err(*error.kind),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_of_the_host_ends_at_the_limits_that_its_use_has() {
    let cache = tempfile::tempdir().unwrap();
    let plugins = Plugins::new(cache.path());
    let ended = judged(&plugins, "eat", "memory = \"5MiB\"").await.unwrap_err();
    assert!(matches!(ended, PluginErrorKind::Memory { limit: 5_242_880, .. }), "{ended:?}");
    let ended = judged(&plugins, "loop", "time = \"300ms\"").await.unwrap_err();
    let limit = Duration::from_millis(300);
    assert!(
        matches!(ended, PluginErrorKind::Deadline { what: Clock::Call, limit: found } if found == limit),
        "{ended:?}"
    );
    let ended = judged(&plugins, "loop", "time = \"1m\", compute = \"200ms\"").await.unwrap_err();
    let limit = Duration::from_millis(200);
    assert!(
        matches!(ended, PluginErrorKind::Deadline { what: Clock::Compute, limit: found } if found == limit),
        "{ended:?}"
    );
    judged(&plugins, "nothing", "memory = \"5MiB\", time = \"1m\"").await.unwrap();
}

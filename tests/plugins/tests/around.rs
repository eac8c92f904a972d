//! What is around a plugin in these tests.

pub(crate) mod http;
pub(crate) mod repository;

use serde_json::Value;
use stampmill_runtime::{Instance, PluginError};
use stampmill_testing::StartError;
use std::ops::Deref;
use std::path::Path;

/// A place for the bundled plugins.
#[derive(Clone)]
pub(crate) struct Place(stampmill_testing::Place);

impl Place {
    pub(crate) fn new() -> Place {
        Place(stampmill_testing::Place::with_cache(Path::new(env!("CARGO_TARGET_TMPDIR")).join("components")))
    }

    /// Starts a bundled plugin here.
    pub(crate) async fn start(&self, plugin: &str, config: Value, grant: Value) -> Result<Instance, PluginError> {
        let bytes = stampmill_bundle::plugin(plugin).unwrap_or_else(|| panic!("no bundled plugin {plugin}")).bytes;
        match self.0.start(bytes, config, grant).await {
            Ok(instance) => Ok(instance),
            Err(StartError::Plugin(error)) => Err(error),
            Err(error) => panic!("{plugin}: {error}"),
        }
    }
}

impl Deref for Place {
    type Target = stampmill_testing::Place;
    fn deref(&self) -> &stampmill_testing::Place {
        &self.0
    }
}

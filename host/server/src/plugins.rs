//! Plugins of the host: compiled when first used, and kept ready where they only decide.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use stampmill_agent::convert::{grant_for_plugin, limits_for_plugin};
use stampmill_runtime::{
    Instance, LoadError, Plugin, PluginError, Runtime, RuntimeError, RuntimeOptions, Surroundings, Use,
};
use tokio::sync::OnceCell;

use crate::config::{PluginFile, PluginUse};
use crate::limits::SPARE_INSTANCES;

/// Why a use of a plugin could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// There is no runtime.
    #[error(transparent)]
    Runtime(#[from] Arc<RuntimeError>),
    /// The bytes are not a plugin that can be loaded.
    #[error("plugin `{name}` can't be loaded: {error}")]
    Load {
        /// Its name in the configuration.
        name: String,
        /// Why.
        error: LoadError,
    },
    /// There is no room for its workspace.
    #[error("a work directory for the plugin can't be made: {0}")]
    Workspace(#[source] std::io::Error),
    /// It would not start or be configured.
    #[error(transparent)]
    Plugin(#[from] PluginError),
}

/// Loads plugins. The runtime is made at the first use, since it costs time and memory.
pub(crate) struct Plugins {
    cache: PathBuf,
    runtime: OnceCell<Runtime>,
    loaded: Mutex<BTreeMap<String, Arc<Plugin>>>,
}

impl Plugins {
    /// Compiled components are kept in a directory of this name below `data`.
    pub(crate) fn new(data: &Path) -> Self {
        Self { cache: data.join("cache").join("components"), runtime: OnceCell::new(), loaded: Mutex::default() }
    }

    /// The plugin in this file, compiled.
    pub(crate) async fn load(&self, file: &PluginFile) -> Result<Arc<Plugin>, StartError> {
        let digest = file.digest.0.to_string();
        if let Some(plugin) = self.loaded.lock().unwrap_or_else(PoisonError::into_inner).get(&digest) {
            return Ok(Arc::clone(plugin));
        }
        let make = async || Runtime::new(RuntimeOptions { cache: Some(self.cache.clone()) }).map_err(Arc::new);
        let runtime = self.runtime.get_or_try_init(make).await?;
        let load = runtime.load(&file.bytes).await;
        let plugin = load.map_err(|error| StartError::Load { name: file.name.clone(), error })?;
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, Arc::clone(&plugin));
        Ok(plugin)
    }

    /// Drops compiled components that nobody has used for long, in the background. What this process has loaded stays.
    pub(crate) fn drop_unused(&self) {
        if let Some(runtime) = self.runtime.get() {
            runtime.drop_unused();
        }
    }

    /// A fresh instance, configured.
    pub(crate) async fn start(&self, usage: &PluginUse, surroundings: Surroundings) -> Result<Instance, StartError> {
        let plugin = self.load(&usage.plugin).await?;
        let mut start = Use::new(&usage.what, usage.config.clone());
        start.grant = grant_for_plugin(&usage.grant);
        start.limits = limits_for_plugin(&usage.limits);
        start.surroundings = surroundings;
        Ok(plugin.start(start).await?)
    }
}

/// Instances of one use of a decision plugin, which may be asked again and again.
#[derive(Default)]
pub(crate) struct Pool {
    spare: Mutex<Vec<Instance>>,
}

impl Pool {
    /// A spare instance, or a fresh one.
    pub(crate) async fn take(&self, plugins: &Plugins, usage: &PluginUse) -> Result<Instance, StartError> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match spare {
            Some(instance) => Ok(instance),
            None => plugins.start(usage, Surroundings::default()).await,
        }
    }

    /// Keeps an instance for the next call, unless it died or there are enough.
    pub(crate) fn give_back(&self, instance: Instance) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if !instance.is_dead() && spare.len() < SPARE_INSTANCES {
            spare.push(instance);
        }
    }
}

#[cfg(test)]
mod tests;

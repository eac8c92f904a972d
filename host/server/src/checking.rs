//! The deep check of a configuration: every plugin that the host itself uses is started once, so that what only the plugin can know to be
//! wrong (a pattern that does not parse, a URL that is none) is found before anything depends on it.

use std::sync::Arc;

use async_trait::async_trait;
use stampmill_runtime::{CommandSpec, Fault, Process, Processes, StateStore, StateUsage, Surroundings};

use crate::config::{Finding, Loaded, PluginUse};
use crate::plugins::{Plugins, StartError};
use crate::secrets::ConfigSecrets;

/// Starts every use on the host; answers what went wrong, each at its place in the file. Steps are started by their worker, once their
/// configuration is filled in; here their components are only loaded.
pub(crate) async fn start_all(plugins: &Plugins, loaded: &Loaded) -> Vec<Finding> {
    let mut findings = Vec::new();
    let host = loaded
        .change_sources
        .values()
        .chain(&loaded.codebases)
        .chain(loaded.filters.values().flatten())
        .chain(loaded.merges.values())
        .chain(loaded.reporters.values());
    for usage in host {
        if let Err(error) = start(plugins, loaded, usage).await {
            findings.push(loaded.finding(usage, error.to_string()));
        }
    }
    for usage in &loaded.steps {
        if let Err(error) = plugins.load(&usage.plugin).await {
            findings.push(loaded.finding(usage, error.to_string()));
        }
    }
    // Now that everything in use is loaded, what is left over can be told from it.
    plugins.drop_unused();
    findings
}

/// `configure` may parse and refuse; what it reaches out for is refused, since a check changes nothing.
async fn start(plugins: &Plugins, loaded: &Loaded, usage: &PluginUse) -> Result<(), StartError> {
    let empty = tempfile::tempdir().and_then(|directory| {
        let opened = cap_std::fs::Dir::open_ambient_dir(directory.path(), cap_std::ambient_authority())?;
        Ok((directory, opened))
    });
    let (_directory, workspace) = empty.map_err(StartError::Workspace)?;
    let surroundings = Surroundings {
        processes: Some(Arc::new(OnlyChecking)),
        secrets: Some(Arc::new(ConfigSecrets::new(loaded, &usage.grant))),
        state: Some(Arc::new(OnlyChecking)),
        workspace: Some(Arc::new(workspace)),
        ..Surroundings::default()
    };
    plugins.start(usage, surroundings).await.map(drop)
}

struct OnlyChecking;

fn refused() -> Fault {
    Fault::Refused("nothing may be started or stored while the configuration is being checked".to_owned())
}

#[async_trait]
impl Processes for OnlyChecking {
    async fn spawn(&self, _command: CommandSpec) -> Result<Box<dyn Process>, Fault> {
        Err(refused())
    }
}

#[async_trait]
impl StateStore for OnlyChecking {
    async fn get(&self, _key: &str) -> Result<Option<Vec<u8>>, Fault> {
        Ok(None)
    }

    async fn set(&self, _key: &str, _value: Vec<u8>) -> Result<(), Fault> {
        Err(refused())
    }

    async fn delete(&self, _key: &str) -> Result<(), Fault> {
        Err(refused())
    }

    async fn usage(&self) -> Result<StateUsage, Fault> {
        Ok(StateUsage { entries: 0, bytes: 0 })
    }
}

//! Where a plugin runs, and what it can see there.

use crate::processes::PlainProcesses;
use async_trait::async_trait;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use serde_json::Value;
use stampmill_runtime::{
    BuildFacts, Fault, Grant, Instance, LoadError, LogLevel, LogWriter, Logs, Outcome, Plugin, PluginError, PluginLog,
    Properties, RunningBuild, Runtime, RuntimeOptions, Secrets, StateStore, StateUsage, Surroundings, TriggerSpec,
    Triggered, Triggers, Use,
};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tempfile::TempDir;

/// One place to run plugins in, with a work directory that it removes in the end. Clones are the same place.
///
/// # Panics
/// Its methods panic when the temporary directory cannot be made or opened: no test could go on.
#[derive(Clone)]
pub struct Place {
    directory: Arc<TempDir>,
    runtime: Runtime,
    state: Arc<Mutex<State>>,
}

/// Why a plugin did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The bytes are no plugin.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The grant is not written as grants are.
    #[error("the grant: {0}")]
    Grant(#[from] serde_json::Error),
    /// Its configuration, its grant or the plugin itself refused.
    #[error(transparent)]
    Plugin(#[from] PluginError),
}

#[derive(Debug, Default)]
struct State {
    facts: BuildFacts,
    properties: BTreeMap<String, Value>,
    secrets: BTreeMap<String, String>,
    store: BTreeMap<String, Vec<u8>>,
    logs: BTreeMap<String, Vec<u8>>,
    links: BTreeMap<String, String>,
    summary: String,
    progress: Option<(u64, Option<u64>)>,
    messages: Vec<(LogLevel, String)>,
    started: Vec<Vec<String>>,
    triggered: Vec<TriggerSpec>,
    triggerable: BTreeMap<String, Outcome>,
}

impl fmt::Debug for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Place").field("directory", &self.path()).finish_non_exhaustive()
    }
}

impl Default for Place {
    fn default() -> Place {
        Place::new()
    }
}

impl Place {
    /// A new place. Components are compiled each time that they are loaded.
    pub fn new() -> Place {
        Place::made(None)
    }

    /// A new place that keeps compiled components in this directory: `env!("CARGO_TARGET_TMPDIR")` is a good one for integration tests.
    pub fn with_cache(cache: impl Into<PathBuf>) -> Place {
        Place::made(Some(cache.into()))
    }

    fn made(cache: Option<PathBuf>) -> Place {
        let directory =
            tempfile::Builder::new().prefix("stampmill-").tempdir().expect("a temporary directory can be made");
        std::fs::create_dir(directory.path().join("work")).expect("a new directory is empty");
        let runtime = Runtime::new(RuntimeOptions { cache }).expect("the cache is a directory of ours");
        Place { directory: Arc::new(directory), runtime, state: Arc::default() }
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The temporary directory, for what lies beside the work directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The work directory of a step, or the workspace of a change source.
    pub fn work(&self) -> PathBuf {
        self.path().join("work")
    }

    /// Compiles a component.
    pub async fn load(&self, component: &[u8]) -> Result<Arc<Plugin>, LoadError> {
        self.runtime.load(component).await
    }

    /// Starts a plugin with a configuration and a grant, both as they stand in the operator's file.
    pub async fn start(&self, component: &[u8], config: Value, grant: Value) -> Result<Instance, StartError> {
        let mut usage = Use::new("test", config);
        usage.grant = serde_json::from_value::<Grant>(grant)?;
        usage.surroundings = self.surroundings();
        Ok(self.load(component).await?.start(usage).await?)
    }

    /// What the plugin has around it here, to start it with limits of your own.
    pub fn surroundings(&self) -> Surroundings {
        let workspace = Dir::open_ambient_dir(self.work(), ambient_authority()).expect("the work directory is there");
        Surroundings {
            log: Some(Arc::new(self.clone())),
            processes: Some(Arc::new(PlainProcesses(self.clone()))),
            secrets: Some(Arc::new(self.clone())),
            state: Some(Arc::new(self.clone())),
            workspace: Some(Arc::new(workspace)),
            properties: Some(Arc::new(self.clone())),
            logs: Some(Arc::new(self.clone())),
            running_build: Some(Arc::new(self.clone())),
            triggers: Some(Arc::new(self.clone())),
            network: None,
        }
    }

    /// The build that a step belongs to.
    pub fn set_facts(&self, facts: BuildFacts) {
        self.with(|state| state.facts = facts);
    }

    /// A secret that can be granted.
    pub fn set_secret(&self, name: &str, value: &str) {
        self.with(|state| state.secrets.insert(name.to_owned(), value.to_owned()));
    }

    /// A scheduler that can be triggered, and how its buildsets end.
    pub fn set_triggerable(&self, scheduler: &str, outcome: Outcome) {
        self.with(|state| state.triggerable.insert(scheduler.to_owned(), outcome));
    }

    /// What was triggered.
    pub fn triggered(&self) -> Vec<TriggerSpec> {
        self.with(|state| state.triggered.clone())
    }

    /// A property that is set before the step.
    pub fn set_property(&self, name: &str, value: Value) {
        self.with(|state| state.properties.insert(name.to_owned(), value));
    }

    /// A property as it is now.
    pub fn property(&self, name: &str) -> Option<Value> {
        self.with(|state| state.properties.get(name).cloned())
    }

    /// The step's line.
    pub fn summary(&self) -> String {
        self.with(|state| state.summary.clone())
    }

    /// How far the step said it is.
    pub fn progress(&self) -> Option<(u64, Option<u64>)> {
        self.with(|state| state.progress)
    }

    /// A log of the step; what is not UTF-8 is replaced.
    pub fn log(&self, name: &str) -> String {
        self.with(|state| String::from_utf8_lossy(state.logs.get(name).map_or(&[], Vec::as_slice)).into_owned())
    }

    /// The address of a link that the step shows.
    pub fn link(&self, name: &str) -> Option<String> {
        self.with(|state| state.links.get(name).cloned())
    }

    /// What the plugin wrote into its own log.
    pub fn messages(&self) -> Vec<(LogLevel, String)> {
        self.with(|state| state.messages.clone())
    }

    /// The argument lists of all programs that were started.
    pub fn started(&self) -> Vec<Vec<String>> {
        self.with(|state| state.started.clone())
    }

    pub(crate) fn note_start(&self, argv: &[String]) {
        self.with(|state| state.started.push(argv.to_vec()));
    }

    pub(crate) fn append(&self, log: &str, bytes: &[u8]) {
        self.with(|state| state.logs.entry(log.to_owned()).or_default().extend_from_slice(bytes));
    }

    pub(crate) fn secret(&self, name: &str) -> Result<String, Fault> {
        let unknown = || Fault::Refused(format!("secret `{name}` is unknown: give it with `set_secret`"));
        self.with(|state| state.secrets.get(name).cloned()).ok_or_else(unknown)
    }
}

impl PluginLog for Place {
    fn log(&self, level: LogLevel, message: &str) {
        self.with(|state| state.messages.push((level, message.to_owned())));
    }
}

#[async_trait]
impl Secrets for Place {
    async fn reveal(&self, name: &str) -> Result<String, Fault> {
        self.secret(name)
    }
}

#[async_trait]
impl StateStore for Place {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.with(|state| state.store.get(key).cloned()))
    }
    async fn set(&self, key: &str, value: Vec<u8>) -> Result<(), Fault> {
        self.with(|state| state.store.insert(key.to_owned(), value));
        Ok(())
    }
    async fn delete(&self, key: &str) -> Result<(), Fault> {
        self.with(|state| state.store.remove(key));
        Ok(())
    }
    async fn usage(&self) -> Result<StateUsage, Fault> {
        Ok(self.with(|state| StateUsage {
            entries: state.store.len() as u64,
            bytes: state.store.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum(),
        }))
    }
}

#[async_trait]
impl Properties for Place {
    async fn get(&self, name: &str) -> Option<Value> {
        self.property(name)
    }
    async fn set(&self, name: &str, value: Value) -> Result<(), Fault> {
        self.set_property(name, value);
        Ok(())
    }
}

struct Appender {
    place: Place,
    name: String,
}

#[async_trait]
impl Logs for Place {
    async fn open(&self, name: &str) -> Result<Box<dyn LogWriter>, Fault> {
        Ok(Box::new(Appender { place: self.clone(), name: name.to_owned() }))
    }
    async fn link(&self, name: &str, url: &str) -> Result<(), Fault> {
        self.with(|state| state.links.insert(name.to_owned(), url.to_owned()));
        Ok(())
    }
}

#[async_trait]
impl LogWriter for Appender {
    async fn write(&mut self, bytes: Vec<u8>) -> Result<(), Fault> {
        self.place.append(&self.name, &bytes);
        Ok(())
    }
}

#[async_trait]
impl RunningBuild for Place {
    async fn facts(&self) -> BuildFacts {
        self.with(|state| state.facts.clone())
    }
    async fn summary(&self, text: String) {
        self.with(|state| state.summary = text);
    }
    async fn progress(&self, done: u64, total: Option<u64>) {
        self.with(|state| state.progress = Some((done, total)));
    }
}

/// A buildset that ends as was said before.
struct Ended(u64, Outcome);

#[async_trait]
impl Triggers for Place {
    async fn start(&self, trigger: TriggerSpec) -> Result<Box<dyn Triggered>, Fault> {
        let name = &trigger.scheduler;
        let unknown = || Fault::Refused(format!("there is no scheduler `{name}`: give it with `set_triggerable`"));
        let outcome = self.with(|state| state.triggerable.get(name).copied()).ok_or_else(unknown)?;
        let number = self.with(|state| {
            state.triggered.push(trigger);
            state.triggered.len() as u64
        });
        Ok(Box::new(Ended(number, outcome)))
    }
}

#[async_trait]
impl Triggered for Ended {
    fn buildset(&self) -> u64 {
        self.0
    }
    async fn wait(&mut self) -> Result<Outcome, Fault> {
        Ok(self.1)
    }
}

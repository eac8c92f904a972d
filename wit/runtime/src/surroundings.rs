//! What a capability needs from where the plugin runs: traits that the worker and the host implement.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cap_std::fs::Dir;
use serde_json::Value;

use crate::egress::NetworkRecord;
use crate::records::{BuildFacts, Fault, Outcome};

/// What one use of a plugin has around it. What is absent is not offered, whatever the manifest asks for.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// The plugin's own log; without one its messages go to the process's.
    pub log: Option<Arc<dyn PluginLog>>,
    /// Starts native programs in the sandbox.
    pub processes: Option<Arc<dyn Processes>>,
    /// Values of secrets.
    pub secrets: Option<Arc<dyn Secrets>>,
    /// The small store of this use.
    pub state: Option<Arc<dyn StateStore>>,
    /// The directory of this use or build.
    pub workspace: Option<Arc<Dir>>,
    /// Properties of the build.
    pub properties: Option<Arc<dyn Properties>>,
    /// Logs of the step.
    pub logs: Option<Arc<dyn Logs>>,
    /// The build that a step belongs to.
    pub running_build: Option<Arc<dyn RunningBuild>>,
    /// Makes buildsets of triggerable schedulers.
    pub triggers: Option<Arc<dyn Triggers>>,
    /// Is told of every request that the plugin makes; without one nobody is.
    pub network: Option<Arc<dyn NetworkRecord>>,
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings")
            .field("processes", &self.processes.is_some())
            .field("secrets", &self.secrets.is_some())
            .field("state", &self.state.is_some())
            .field("workspace", &self.workspace.is_some())
            .field("properties", &self.properties.is_some())
            .field("logs", &self.logs.is_some())
            .field("running_build", &self.running_build.is_some())
            .field("triggers", &self.triggers.is_some())
            .field("network", &self.network.is_some())
            .finish_non_exhaustive()
    }
}

/// How loud a log message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// For the plugin's author.
    Debug,
    /// For whoever looks.
    Info,
    /// Something to look at.
    Warn,
    /// Something is wrong.
    Error,
}

/// The plugin's own log.
pub trait PluginLog: Send + Sync {
    /// Takes one message, already bounded in length and number. Must not block.
    fn log(&self, level: LogLevel, message: &str);
}

/// Values of secrets.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// The value; asked only for names that the grant holds. An unknown name is `Refused`.
    async fn reveal(&self, name: &str) -> Result<String, Fault>;
}

/// How much a state store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateUsage {
    /// Number of entries.
    pub entries: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
}

/// The small store of one use of a plugin. The runtime checks lengths and the quota.
#[async_trait]
pub trait StateStore: Send + Sync {
    /// The value of a key.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Fault>;
    /// Sets a key.
    async fn set(&self, key: &str, value: Vec<u8>) -> Result<(), Fault>;
    /// Removes a key; one that isn't there is no fault.
    async fn delete(&self, key: &str) -> Result<(), Fault>;
    /// What the store holds now.
    async fn usage(&self) -> Result<StateUsage, Fault>;
}

/// Properties of the build.
#[async_trait]
pub trait Properties: Send + Sync {
    /// The value of a property.
    async fn get(&self, name: &str) -> Option<Value>;
    /// Sets a property.
    async fn set(&self, name: &str, value: Value) -> Result<(), Fault>;
}

/// Logs of a step.
#[async_trait]
pub trait Logs: Send + Sync {
    /// Opens a log.
    async fn open(&self, name: &str) -> Result<Box<dyn LogWriter>, Fault>;
    /// Shows a link (`http:` or `https:`, checked by the runtime) beside the step.
    async fn link(&self, name: &str, url: &str) -> Result<(), Fault>;
}

/// One open log; dropped, it is closed.
#[async_trait]
pub trait LogWriter: Send + Sync {
    /// Appends bytes; waits while the log's reader is slow.
    async fn write(&mut self, bytes: Vec<u8>) -> Result<(), Fault>;
}

/// The build that a step belongs to.
#[async_trait]
pub trait RunningBuild: Send + Sync {
    /// The build as it is now.
    async fn facts(&self) -> BuildFacts;
    /// One line beside the step.
    async fn summary(&self, text: String);
    /// How far the step is.
    async fn progress(&self, done: u64, total: Option<u64>);
}

/// Makes buildsets of triggerable schedulers.
#[async_trait]
pub trait Triggers: Send + Sync {
    /// Makes one; the scheduler has been held against the grant. Waits for as long as the host is away.
    async fn start(&self, trigger: TriggerSpec) -> Result<Box<dyn Triggered>, Fault>;
}

/// A buildset that was triggered.
#[async_trait]
pub trait Triggered: Send + Sync {
    /// Its number on the host.
    fn buildset(&self) -> u64;
    /// Waits until it is complete. The future may be dropped and made again at any time.
    async fn wait(&mut self) -> Result<Outcome, Fault>;
}

/// A buildset that is to be made, with everything that was said about it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TriggerSpec {
    /// Of which scheduler.
    pub scheduler: String,
    /// Takes the scheduler's defaults instead of the build's versions.
    pub latest: bool,
    /// Versions of single codebases.
    pub versions: BTreeMap<String, TriggerVersion>,
    /// Properties of the set.
    pub properties: BTreeMap<String, Value>,
    /// Whether it outlives the build that triggers it.
    pub detached: bool,
}

/// A version of one codebase.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TriggerVersion {
    /// `None` leaves the branch as it would be.
    pub branch: Option<String>,
    /// `None` leaves the revision as it would be, or is the latest of another branch.
    pub revision: Option<String>,
}

/// Starts native programs in the sandbox.
#[async_trait]
pub trait Processes: Send + Sync {
    /// Starts one. Everything in `command` has been held against the grant; resolving secrets is the implementor's part.
    async fn spawn(&self, command: CommandSpec) -> Result<Box<dyn Process>, Fault>;
}

/// A running program; dropped, its whole tree is killed.
#[async_trait]
pub trait Process: Send + Sync {
    /// Waits for whatever happens first, at most this long. The future may be dropped at any time without losing an event.
    async fn next_event(&mut self, wait: Duration) -> ProcessEvent;
    /// Gives bytes to the program, waiting while its pipe is full.
    async fn write_stdin(&mut self, bytes: Vec<u8>) -> Result<(), Fault>;
    /// Ends the program's standard input.
    async fn close_stdin(&mut self);
    /// Sends the stop signal, and SIGKILL after the grace period; the end comes as `Finished`.
    async fn stop(&mut self);
}

/// What a program did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessEvent {
    /// It wrote to a captured standard output, at most 64 KiB at a time.
    Stdout(Vec<u8>),
    /// It wrote to a captured standard error, at most 64 KiB at a time.
    Stderr(Vec<u8>),
    /// It ended, and all its output has been delivered.
    Finished(Finished),
    /// Nothing happened in the time given.
    Quiet,
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this code.
    Exited(i32),
    /// By a signal.
    Signalled(u32),
    /// By us, for this reason: stopped, a limit.
    Stopped(String),
}

/// A program that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// How.
    pub end: End,
    /// Captured standard output, unless it went as events.
    pub stdout: Vec<u8>,
    /// Captured standard error, unless it went as events.
    pub stderr: Vec<u8>,
    /// How long it ran.
    pub wall: Duration,
    /// How long it computed.
    pub cpu: Duration,
    /// The most memory it had.
    pub peak_memory_bytes: u64,
}

/// Where an output stream goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// To the log of this name; the bytes never reach the plugin.
    Log(String),
    /// To the plugin, so many bytes at most.
    Capture(u64),
    /// To both.
    LogAndCapture(String, u64),
    /// Nowhere.
    Discard,
}

/// How a program is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopWith {
    /// The signal that asks it to end.
    pub signal: u32,
    /// How long it has until SIGKILL.
    pub grace: Duration,
}

/// A program to start, with everything that was said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandSpec {
    /// The program and its arguments; never empty. The program is a bare name, an absolute path, or a path below the work directory, and granted.
    /// A bare name is looked up in the implementor's own fixed search path, never in one that the plugin set.
    pub argv: Vec<String>,
    /// Relative to the work directory, without `..`.
    pub directory: Option<String>,
    /// Exactly the environment, besides the secrets.
    pub environment: Vec<(String, String)>,
    /// Variable and the secret that goes into it.
    pub secret_environment: Vec<(String, String)>,
    /// Secret and the path of the file that holds it.
    pub secret_files: Vec<(String, String)>,
    /// Bytes for standard input.
    pub stdin: Vec<u8>,
    /// Whether more may follow by `write_stdin`; else standard input ends after `stdin`.
    pub keep_stdin_open: bool,
    /// Where standard output goes.
    pub stdout: Sink,
    /// Where standard error goes.
    pub stderr: Sink,
    /// `true`: captured bytes come as events, and a sink's limit bounds the bytes that wait to be fetched (the program then waits).
    /// `false`: they are collected into `Finished`, and more than the limit ends the program as `Stopped`.
    pub events: bool,
    /// The longest it may run.
    pub wall_limit: Duration,
    /// The longest it may write nothing.
    pub silence_limit: Option<Duration>,
    /// How to stop it.
    pub stop: StopWith,
    /// Columns and rows of a terminal that it gets instead of pipes.
    pub terminal: Option<(u16, u16)>,
    /// From the grant: hosts that it may reach.
    pub net: Vec<String>,
    /// From the grant: paths that it may read.
    pub read: Vec<PathBuf>,
    /// From the grant: paths that it may write.
    pub write: Vec<PathBuf>,
}

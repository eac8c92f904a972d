//! Surroundings that remember what they were asked, and components with the manifest that a test wants.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use stampmill_runtime::{
    BuildFacts, CommandSpec, End, Fault, Finished, Instance, LogLevel, LogWriter, Logs, Outcome, Plugin, PluginError,
    PluginLog, Process, ProcessEvent, Processes, Properties, RunningBuild, Runtime, RuntimeOptions, Secrets,
    StateStore, StateUsage, TriggerSpec, Triggered, Triggers, Use,
};
use tokio::sync::OnceCell;

/// The runtime that all tests share.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new(RuntimeOptions::default()).unwrap())
}

/// The component with a custom section at its end.
pub(crate) fn with_section(component: &[u8], manifest: &str) -> Vec<u8> {
    let name = "stampmill:manifest";
    let mut body = leb(name.len());
    body.extend(name.bytes());
    body.extend(manifest.bytes());
    let mut bytes = component.to_vec();
    bytes.push(0);
    bytes.extend(leb(body.len()));
    bytes.extend(body);
    bytes
}

fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// A manifest of this kind that asks for these.
pub(crate) fn manifest(kind: &str, permissions: &[&str]) -> String {
    json!({ "manifest": 1, "id": format!("test-{kind}"), "version": "0.0.1", "kind": kind, "summary": "a test", "permissions": permissions }).to_string()
}

pub(crate) const STEP_PERMISSIONS: [&str; 6] = ["command", "http", "secret", "workspace", "properties", "logs"];

/// The step guest that may ask for everything.
pub(crate) async fn step() -> Arc<Plugin> {
    static STEP: OnceCell<Arc<Plugin>> = OnceCell::const_new();
    let load = || async { load(stampmill_guests::STEP, "step", &STEP_PERMISSIONS).await };
    STEP.get_or_init(load).await.clone()
}

pub(crate) async fn load(component: &[u8], kind: &str, permissions: &[&str]) -> Arc<Plugin> {
    runtime().load(&with_section(component, &manifest(kind, permissions))).await.unwrap()
}

/// What everything around a plugin remembers.
#[derive(Default)]
pub(crate) struct Around {
    pub(crate) log: Mutex<Vec<(LogLevel, String)>>,
    pub(crate) spawned: Mutex<Vec<CommandSpec>>,
    /// What happens to the next program.
    pub(crate) play: Mutex<Play>,
    pub(crate) killed: Arc<AtomicBool>,
    /// What the program got on its standard input.
    pub(crate) given: Arc<Mutex<Vec<u8>>>,
    pub(crate) revealed: Mutex<Vec<String>>,
    pub(crate) state: Mutex<BTreeMap<String, Vec<u8>>>,
    pub(crate) properties: Mutex<BTreeMap<String, Value>>,
    pub(crate) written: Arc<Mutex<Vec<(String, String)>>>,
    pub(crate) links: Mutex<Vec<(String, String)>>,
    pub(crate) summaries: Mutex<Vec<String>>,
    pub(crate) progress: Mutex<Vec<(u64, Option<u64>)>>,
    pub(crate) triggered: Mutex<Vec<TriggerSpec>>,
}

/// How a program behaves.
#[derive(Clone, Default)]
pub(crate) enum Play {
    #[default]
    Exits,
    /// These events, then the end.
    Events(Vec<ProcessEvent>),
    /// So many pieces of output, one each five milliseconds, then the end.
    Chats(u32),
    /// Starting it never ends.
    NeverStarts,
    /// It never ends and nothing is heard of it.
    NeverEnds,
}

/// A use of a plugin with everything around it, and all of the step's grants.
pub(crate) fn usage(around: &Arc<Around>, script: &str) -> Use {
    let mut usage = Use::new("a-use", json!(script));
    usage.grant.command = vec!["tool".to_owned()];
    usage.grant.http = vec!["http://127.0.0.1:1".to_owned()];
    usage.grant.secret = vec!["deploy-key".to_owned()];
    usage.grant.trigger = vec!["deploy".to_owned()];
    let surroundings = &mut usage.surroundings;
    surroundings.log = Some(around.clone());
    surroundings.processes = Some(around.clone());
    surroundings.secrets = Some(around.clone());
    surroundings.state = Some(around.clone());
    surroundings.properties = Some(around.clone());
    surroundings.logs = Some(around.clone());
    surroundings.running_build = Some(around.clone());
    surroundings.triggers = Some(around.clone());
    let directory = tempfile::tempdir().unwrap();
    surroundings.workspace =
        Some(Arc::new(cap_std::fs::Dir::open_ambient_dir(directory.path(), cap_std::ambient_authority()).unwrap()));
    usage
}

/// Runs the step guest once with this script.
pub(crate) async fn run(around: &Arc<Around>, script: &str) -> Result<Outcome, PluginError> {
    run_use(usage(around, script)).await
}

pub(crate) async fn run_use(usage: Use) -> Result<Outcome, PluginError> {
    started(usage).await?.run().await
}

pub(crate) async fn started(usage: Use) -> Result<Instance, PluginError> {
    step().await.start(usage).await
}

impl Around {
    pub(crate) fn said(&self) -> Vec<String> {
        self.log.lock().unwrap().iter().map(|(_, text)| text.clone()).collect()
    }
}

/// The text of the refusal that the plugin got and passed on.
pub(crate) fn refusal(result: Result<Outcome, PluginError>) -> String {
    let error = result.unwrap_err();
    match error.fault() {
        Some(Fault::Refused(text)) => text.clone(),
        _ => panic!("not refused but: {error}"),
    }
}

impl PluginLog for Around {
    fn log(&self, level: LogLevel, message: &str) {
        self.log.lock().unwrap().push((level, message.to_owned()));
    }
}

#[async_trait]
impl Secrets for Around {
    async fn reveal(&self, name: &str) -> Result<String, Fault> {
        self.revealed.lock().unwrap().push(name.to_owned());
        Ok("s3cret".to_owned())
    }
}

#[async_trait]
impl StateStore for Around {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.state.lock().unwrap().get(key).cloned())
    }

    async fn set(&self, key: &str, value: Vec<u8>) -> Result<(), Fault> {
        self.state.lock().unwrap().insert(key.to_owned(), value);
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<(), Fault> {
        self.state.lock().unwrap().remove(key);
        Ok(())
    }

    async fn usage(&self) -> Result<StateUsage, Fault> {
        let state = self.state.lock().unwrap();
        let bytes = state.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() as u64;
        Ok(StateUsage { entries: state.len() as u64, bytes })
    }
}

#[async_trait]
impl Properties for Around {
    async fn get(&self, name: &str) -> Option<Value> {
        self.properties.lock().unwrap().get(name).cloned()
    }

    async fn set(&self, name: &str, value: Value) -> Result<(), Fault> {
        self.properties.lock().unwrap().insert(name.to_owned(), value);
        Ok(())
    }
}

struct Writer {
    name: String,
    written: Arc<Mutex<Vec<(String, String)>>>,
}

impl Writer {
    fn note(&self, text: &str) {
        self.written.lock().unwrap().push((self.name.clone(), text.to_owned()));
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.note("closed");
    }
}

#[async_trait]
impl LogWriter for Writer {
    async fn write(&mut self, bytes: Vec<u8>) -> Result<(), Fault> {
        self.note(&String::from_utf8(bytes).unwrap());
        Ok(())
    }
}

#[async_trait]
impl Logs for Around {
    async fn open(&self, name: &str) -> Result<Box<dyn LogWriter>, Fault> {
        Ok(Box::new(Writer { name: name.to_owned(), written: self.written.clone() }))
    }

    async fn link(&self, name: &str, url: &str) -> Result<(), Fault> {
        self.links.lock().unwrap().push((name.to_owned(), url.to_owned()));
        Ok(())
    }
}

#[async_trait]
impl RunningBuild for Around {
    async fn facts(&self) -> BuildFacts {
        crate::programs::build()
    }

    async fn summary(&self, text: String) {
        self.summaries.lock().unwrap().push(text);
    }

    async fn progress(&self, done: u64, total: Option<u64>) {
        self.progress.lock().unwrap().push((done, total));
    }
}

#[async_trait]
impl Processes for Around {
    async fn spawn(&self, command: CommandSpec) -> Result<Box<dyn Process>, Fault> {
        self.spawned.lock().unwrap().push(command);
        let play = self.play.lock().unwrap().clone();
        let (events, ends) = match play {
            Play::Exits => (Vec::new(), true),
            Play::Events(events) => (events, true),
            Play::Chats(pieces) => return Ok(Box::new(Chatter(pieces))),
            Play::NeverStarts => std::future::pending().await,
            Play::NeverEnds => (Vec::new(), false),
        };
        Ok(Box::new(Program { events, ends, killed: self.killed.clone(), given: self.given.clone() }))
    }
}

struct Program {
    events: Vec<ProcessEvent>,
    ends: bool,
    killed: Arc<AtomicBool>,
    given: Arc<Mutex<Vec<u8>>>,
}

impl Drop for Program {
    fn drop(&mut self) {
        self.killed.store(true, Ordering::SeqCst);
    }
}

#[async_trait]
impl Process for Program {
    async fn next_event(&mut self, wait: Duration) -> ProcessEvent {
        if !self.events.is_empty() {
            return self.events.remove(0);
        }
        if self.ends {
            return ProcessEvent::Finished(finished(b"out"));
        }
        tokio::time::sleep(wait).await;
        ProcessEvent::Quiet
    }

    async fn write_stdin(&mut self, bytes: Vec<u8>) -> Result<(), Fault> {
        self.given.lock().unwrap().extend(bytes);
        Ok(())
    }

    async fn close_stdin(&mut self) {
        self.given.lock().unwrap().extend(b"<end>");
    }

    async fn stop(&mut self) {
        self.ends = true;
    }
}

struct Chatter(u32);

#[async_trait]
impl Process for Chatter {
    async fn next_event(&mut self, _wait: Duration) -> ProcessEvent {
        tokio::time::sleep(Duration::from_millis(5)).await;
        match self.0.checked_sub(1) {
            None => ProcessEvent::Finished(finished(b"")),
            Some(rest) => {
                self.0 = rest;
                ProcessEvent::Stdout(b".".to_vec())
            }
        }
    }

    async fn write_stdin(&mut self, _bytes: Vec<u8>) -> Result<(), Fault> {
        Ok(())
    }

    async fn close_stdin(&mut self) {}

    async fn stop(&mut self) {}
}

pub(crate) fn finished(stdout: &[u8]) -> Finished {
    Finished {
        end: End::Exited(0),
        stdout: stdout.to_vec(),
        stderr: Vec::new(),
        wall: Duration::from_millis(12),
        cpu: Duration::from_millis(3),
        peak_memory_bytes: 1 << 20,
    }
}

#[async_trait]
impl Triggers for Around {
    async fn start(&self, trigger: TriggerSpec) -> Result<Box<dyn Triggered>, Fault> {
        self.triggered.lock().unwrap().push(trigger);
        Ok(Box::new(Seventh))
    }
}

/// A buildset that fails.
struct Seventh;

#[async_trait]
impl Triggered for Seventh {
    fn buildset(&self) -> u64 {
        7
    }
    async fn wait(&mut self) -> Result<Outcome, Fault> {
        Ok(Outcome::Failure)
    }
}

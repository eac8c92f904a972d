//! What the runtime asks of the worker while a step runs.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::Value;
use stampmill_model::{BuildEvent, Grant};
use stampmill_protocol::SecretValue;
use stampmill_protocol::limits::PROPERTY_BYTES_MAX;
use stampmill_runtime::{BuildFacts, Fault, LogLevel, PluginLog, Properties, RunningBuild, Secrets};
use tokio::sync::{Notify, mpsc};

use crate::build::Context;
use crate::convert;
use crate::limits::SUMMARY_EVERY;
use crate::logs::StepLogs;

/// The secrets that the step's effective grant names, and no other. The runtime keeps those under `credential` from the plugin.
pub(super) struct StepSecrets {
    values: BTreeMap<String, SecretValue>,
}

impl StepSecrets {
    pub(super) fn new(all: &BTreeMap<String, SecretValue>, grant: &Grant) -> Self {
        let granted = grant.secrets().filter_map(|name| Some((name.clone(), all.get(name)?.clone())));
        Self { values: granted.collect() }
    }
}

#[async_trait]
impl Secrets for StepSecrets {
    async fn reveal(&self, name: &str) -> Result<String, Fault> {
        match self.values.get(name) {
            Some(value) => Ok(value.reveal().to_owned()),
            None => Err(Fault::Refused(format!(
                "this build has no secret `{name}`; it is not configured, not granted, or the build's source is not trusted"
            ))),
        }
    }
}

/// The properties of the build.
pub(super) struct PropertyDoor {
    context: Context,
    step: u32,
}

impl PropertyDoor {
    pub(super) fn new(context: Context, step: u32) -> Self {
        Self { context, step }
    }
}

#[async_trait]
impl Properties for PropertyDoor {
    async fn get(&self, name: &str) -> Option<Value> {
        let runner = self.context.runner();
        runner.properties().get(name).map(|property| property.value.clone())
    }

    async fn set(&self, name: &str, value: Value) -> Result<(), Fault> {
        let value = self.context.mask_value(value);
        if value.to_string().len() > PROPERTY_BYTES_MAX {
            return Err(Fault::Refused(format!("property `{name}` is larger than {PROPERTY_BYTES_MAX} bytes")));
        }
        // Told first: what the host does not learn, no later step may see.
        let event = BuildEvent::PropertySet { name: name.to_owned(), value: value.clone(), step: self.step };
        self.context
            .tell(event)
            .map_err(|error| Fault::Unavailable { reason: error.to_string(), retry_after: None })?;
        self.context.runner().set_property(self.step, name, value);
        Ok(())
    }
}

/// The running build, and the step's one line.
pub(super) struct BuildDoor {
    context: Context,
    step: u32,
    line: Mutex<Line>,
    changed: Notify,
}

#[derive(Default)]
struct Line {
    summary: String,
    progress: String,
    told: String,
}

impl Line {
    fn shown(&self) -> String {
        if self.summary.is_empty() { self.progress.clone() } else { self.summary.clone() }
    }
}

impl BuildDoor {
    pub(super) fn new(context: Context, step: u32) -> Self {
        Self { context, step, line: Mutex::new(Line::default()), changed: Notify::new() }
    }

    /// What the step said of itself last, without its progress.
    pub(super) fn summary(&self) -> String {
        self.line().summary.clone()
    }

    /// Tells the line when it has changed, not too often, for as long as the step runs.
    pub(super) async fn tell_in_time(&self) {
        loop {
            self.changed.notified().await;
            tokio::time::sleep(SUMMARY_EVERY).await;
            let shown = {
                let mut line = self.line();
                let shown = self.context.one_line(&line.shown());
                if shown == line.told {
                    continue;
                }
                line.told.clone_from(&shown);
                shown
            };
            let event = BuildEvent::StepSummary { step: self.step, summary: shown };
            if self.context.tell(event).is_err() {
                return;
            }
        }
    }

    fn line(&self) -> std::sync::MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl RunningBuild for BuildDoor {
    async fn facts(&self) -> BuildFacts {
        let runner = self.context.runner();
        convert::running_build(runner.order(), runner.properties())
    }

    async fn summary(&self, text: String) {
        self.line().summary = text;
        self.changed.notify_one();
    }

    async fn progress(&self, done: u64, total: Option<u64>) {
        self.line().progress = match total {
            Some(total) => format!("{done} of {total}"),
            None => format!("{done}"),
        };
        self.changed.notify_one();
    }
}

/// The plugin's own log: messages wait in a bounded queue for [`Messages::write`], because the plugin must not wait.
pub(super) struct MessageLog {
    sender: mpsc::Sender<String>,
}

/// The other end of [`MessageLog`].
pub(super) struct Messages {
    receiver: mpsc::Receiver<String>,
}

impl MessageLog {
    pub(super) fn new(waiting: usize) -> (Self, Messages) {
        let (sender, receiver) = mpsc::channel(waiting);
        (Self { sender }, Messages { receiver })
    }
}

impl PluginLog for MessageLog {
    fn log(&self, level: LogLevel, message: &str) {
        let level = match level {
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warning",
            LogLevel::Error => "error",
        };
        // The queue holds more than a plugin may say; what is beyond is dropped.
        let _ = self.sender.try_send(format!("{level}: {message}"));
    }
}

impl Messages {
    /// Writes messages into a log until the plugin is gone.
    pub(super) async fn write(mut self, logs: &StepLogs, name: &str) {
        while let Some(message) = self.receiver.recv().await {
            if let Err(error) = logs.line(name, &message).await {
                tracing::warn!(%error, "a plugin's message cannot be recorded");
            }
        }
    }
}

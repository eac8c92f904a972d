//! Jobs: what a build does, as the worker gets it.

use std::sync::Arc;

use crate::{Build, Change, Grant, LockUse, Milliseconds, PluginLimits};

/// SHA-256 of a component, 64 lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Digest(pub Arc<str>);

/// A plugin, by the name that the configuration gives it and the bytes that the name is pinned to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PluginRef {
    /// Name in the configuration.
    pub name: String,
    /// The bytes.
    pub digest: Digest,
}

/// A named sequence of steps, shared by builders.
#[derive(Clone, PartialEq, Debug)]
pub struct Job {
    /// Its name in the configuration.
    pub name: String,
    /// In order.
    pub steps: Vec<StepPlan>,
}

impl Job {
    /// What its steps want, each for itself.
    pub fn locks_of_steps(&self) -> impl Iterator<Item = &LockUse> {
        self.steps.iter().flat_map(|step| &step.locks)
    }
}

/// One step as configured.
#[derive(Clone, PartialEq, Debug)]
pub struct StepPlan {
    /// Unique in the job.
    pub name: String,
    /// What runs it.
    pub plugin: PluginRef,
    /// Its configuration, with `${{ }}` not yet filled in.
    pub config: serde_json::Value,
    /// What it may do.
    pub grant: Grant,
    /// What its plugin may use up; its time is `time_limit`.
    pub limits: PluginLimits,
    /// What it must have while it runs, each lock once.
    pub locks: Vec<LockUse>,
    /// A CEL expression that must be true for it to run.
    pub when: Option<String>,
    /// Whether a failure ends the build, except for steps that always run.
    pub halt_on_failure: bool,
    /// Whether a failure makes the build fail.
    pub flunk_on_failure: bool,
    /// Whether a failure that does not make the build fail makes it a warning.
    pub warn_on_failure: bool,
    /// Whether warnings make the build fail.
    pub flunk_on_warnings: bool,
    /// Whether warnings that do not make the build fail make it a warning.
    pub warn_on_warnings: bool,
    /// Whether it runs even after the build has failed or was cancelled.
    pub always_run: bool,
    /// The longest that it may take.
    pub time_limit: Milliseconds,
}

/// A whole build as the host gives it to a worker.
#[derive(Clone, PartialEq, Debug)]
pub struct BuildOrder {
    /// The build, as it is at the start.
    pub build: Build,
    /// The changes that its source stamps name.
    pub changes: Vec<Change>,
    /// What to do.
    pub job: Arc<Job>,
}

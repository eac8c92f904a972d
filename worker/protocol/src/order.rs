//! A whole build on its way to a worker.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Everything that a worker needs to drive a build.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Order {
    /// The build, as it is at the start.
    pub build: Build,
    /// The changes that its source stamps name.
    pub changes: Vec<Change>,
    /// What to do.
    pub job: Job,
}

/// A build as it is at the start.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Build {
    /// Its id, unique on the host; another attempt has another id.
    pub id: u64,
    /// Counts from 1 for each builder.
    pub number: u64,
    /// The builder that it belongs to.
    pub builder: String,
    /// The project of the builder, or empty.
    pub project: String,
    /// The request that it answers.
    pub request: u64,
    /// The set of that request.
    pub buildset: u64,
    /// Which try of the request this is, from 1.
    pub attempt: u32,
    /// The worker that it is meant for.
    pub worker: String,
    /// Why it exists, in words for people.
    pub reason: String,
    /// The person who asked for it, if one did.
    pub owner: Option<String>,
    /// One for each codebase.
    pub stamps: Vec<SourceStamp>,
    /// Authors of its changes and whoever asked for it.
    pub blamelist: Vec<String>,
    /// What it starts with.
    pub properties: BTreeMap<String, Property>,
    /// When the host gave it out, in milliseconds since 1970.
    pub started_at: u64,
}

/// One version of one codebase.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SourceStamp {
    /// Empty where no codebases are configured.
    pub codebase: String,
    /// URL or path to check out from.
    pub repository: String,
    /// Project of the change, or empty.
    pub project: String,
    /// `None` means the default branch.
    pub branch: Option<String>,
    /// `None` means the latest.
    pub revision: Option<String>,
    /// Applied after checkout.
    pub patch: Option<Patch>,
    /// Whether a build of it may see secrets.
    pub trusted: bool,
    /// Ids of the changes that it contains, oldest first.
    pub changes: Vec<u64>,
}

/// A difference to apply on top of a revision.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Patch {
    /// How many leading path elements to strip.
    pub level: u32,
    /// The unified diff.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
    /// Where to apply it, relative to the work directory.
    pub subdirectory: String,
    /// Who sent it.
    pub author: String,
    /// What they said of it.
    pub comment: String,
}

/// A change of the build.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Change {
    /// In order of arrival.
    pub id: u64,
    /// The codebase that it belongs to; empty where none are configured.
    pub codebase: String,
    /// When it arrived, in milliseconds since 1970.
    pub arrived_at: u64,
    /// Whether the operator trusts its source.
    pub trusted: bool,
    /// The developer responsible.
    pub author: String,
    /// Who committed it, where that differs.
    pub committer: Option<String>,
    /// The whole check-in comment.
    pub comments: String,
    /// Tree-relative names of added, deleted and modified files.
    pub files: Vec<String>,
    /// URL or path of the repository.
    pub repository: String,
    /// Name of the project; may be empty.
    pub project: String,
    /// The tree with this change and all before it.
    pub revision: Option<String>,
    /// Branch, in the version control system's own name space.
    pub branch: Option<String>,
    /// A word to filter by.
    pub category: Option<String>,
    /// A page that shows the change.
    pub link: Option<String>,
    /// When it was committed, in milliseconds since 1970.
    pub committed_at: Option<u64>,
    /// Properties for the builds that it causes.
    pub properties: Vec<Setting>,
}

/// A name with a JSON value.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Setting {
    /// The name.
    pub name: String,
    /// Any JSON value.
    pub value: Value,
}

/// A property's value and its source.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Property {
    /// Any JSON value.
    pub value: Value,
    /// Who set it.
    pub source: PropertySource,
}

/// Where a property's value came from, in order of precedence.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PropertySource {
    /// The host's configuration, for every build.
    Global,
    /// The worker that runs the build.
    Worker,
    /// The builder's configuration.
    Builder,
    /// A change of the build.
    Change,
    /// The scheduler that made the buildset.
    Scheduler,
    /// The person who forced or submitted it.
    Force,
    /// The step of another build that triggered it.
    Trigger,
    /// What the builder gives to its job.
    Job,
    /// The build itself.
    Build,
    /// A step, by name.
    Step(String),
}

/// A named sequence of steps.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Job {
    /// Its name in the configuration.
    pub name: String,
    /// In order.
    pub steps: Vec<StepPlan>,
}

/// One step as configured.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StepPlan {
    /// Unique in the job.
    pub name: String,
    /// Name of the plugin in the configuration.
    pub plugin: String,
    /// SHA-256 of the component, 64 lower-case hexadecimal digits.
    pub digest: String,
    /// Its configuration, with `${{ }}` not yet filled in.
    pub config: Value,
    /// What it may do.
    pub grant: Grant,
    /// What its plugin may use up.
    #[serde(default, skip_serializing_if = "PluginLimits::are_default")]
    pub limits: PluginLimits,
    /// A CEL expression that must be true for it to run.
    pub when: Option<String>,
    /// What it must have while it runs; the worker asks for all of it with [`crate::Event::LocksWanted`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<LockUse>,
    /// Whether a failure ends the build, except for steps that always run.
    pub halt_on_failure: bool,
    /// Whether a failure makes the build fail.
    pub flunk_on_failure: bool,
    /// Whether a failure that does not make the build fail makes it a warning.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub warn_on_failure: bool,
    /// Whether warnings make the build fail.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub flunk_on_warnings: bool,
    /// Whether warnings that do not make the build fail make it a warning.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub warn_on_warnings: bool,
    /// Whether it runs even after the build has failed or was cancelled.
    pub always_run: bool,
    /// The longest that it may take.
    pub time_limit_ms: u64,
}

/// A lock that a step takes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LockUse {
    /// Which.
    pub name: String,
    /// Whether nobody else may have it at the same time.
    pub exclusive: bool,
}

const fn yes() -> bool {
    true
}

fn is_yes(value: &bool) -> bool {
    *value
}

/// Rights of one use of a plugin. What is absent is not granted.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Grant {
    /// Programs that it may start in the sandbox, by name or absolute path; `*` is any.
    pub command: Vec<String>,
    /// `host:port` that those programs may connect to.
    pub net: Vec<String>,
    /// Paths of the machine that those programs may read.
    pub read: Vec<String>,
    /// Paths of the machine that those programs may write.
    pub write: Vec<String>,
    /// Origins that may be asked on its behalf.
    pub http: Vec<String>,
    /// Secrets that it may name.
    pub secret: Vec<String>,
    /// Secrets that are attached to its requests, each with the origins that get to see it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub credential: BTreeMap<String, Vec<String>>,
    /// Triggerable schedulers that it may make buildsets of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trigger: Vec<String>,
}

/// Limits of a step's plugin. What is absent is the worker's own default; a step's time is `time-limit-ms`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct PluginLimits {
    /// Memory of the plugin itself; its programs have the worker's limits.
    pub memory_bytes: Option<u64>,
    /// Computing in the plugin itself.
    pub compute_ms: Option<u64>,
    /// One call out of the plugin that isn't waiting for a program.
    pub host_call_ms: Option<u64>,
}

impl PluginLimits {
    fn are_default(&self) -> bool {
        *self == Self::default()
    }
}

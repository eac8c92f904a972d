//! Shapes of the API. They are what programs depend on: a field may be added, none is renamed or removed within `/api/v1`.
//!
//! Times are RFC 3339 in UTC with milliseconds. Unknown fields of what is sent are refused.

mod form;
mod halt;
mod network;
mod people;
mod sent;
mod sharing;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

pub(crate) use form::{FieldError, Form, Parameter};
pub(crate) use halt::Halt;
pub(crate) use network::{Network, NetworkAttempt};
pub(crate) use people::{Attribute, LastChange, MergeBody, Person, PersonBody, PersonPatch};
pub(crate) use sent::{
    ApproveBody, ChangeBody, ForceBody, NothingBody, ReasonBody, StampChoice, SubmitBody, TokenBody, TryBody, UserBody,
    UserPatch,
};
pub(crate) use sharing::{HeldLock, Merged, Trigger};

/// A time such as `2026-03-01T12:00:00.250Z`.
pub(crate) type Time = String;

/// A page of a list, newest first.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ListOf{T}")]
pub(crate) struct List<T> {
    /// A page may be short, even empty, while `next` is not null.
    pub items: Vec<T>,
    /// To go on with as `cursor`; null at the end.
    pub next: Option<String>,
}

/// An error.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Error")]
pub(crate) struct ErrorBody {
    pub error: ErrorText,
}

/// What went wrong.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ErrorText {
    /// A word for programs.
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// Where answers to a form can't be taken: what is wrong with each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldError>,
}

/// A builder.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Builder {
    pub name: String,
    pub project: String,
    pub description: String,
    /// Whom its builds interest, beside their blamelists.
    pub interested: Vec<String>,
    /// Tags that its workers must have.
    pub worker_tags: Vec<String>,
    /// Workers that it names; empty means any.
    pub workers: Vec<String>,
    /// The least isolation that it accepts.
    pub tier: String,
    pub job: String,
    pub steps: Vec<JobStep>,
    /// Force schedulers that list it.
    pub force: Vec<String>,
    /// Requests that wait for it.
    pub pending: u64,
    /// Ids of its newest builds, newest first.
    pub recent_builds: Vec<u64>,
    /// Result of its newest finished build.
    pub last_result: Option<String>,
}

/// A step of a job.
#[derive(Serialize, JsonSchema)]
pub(crate) struct JobStep {
    pub name: String,
    pub plugin: String,
}

/// A build.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Build {
    pub id: u64,
    pub builder: String,
    /// Counts from 1 for each builder.
    pub number: u64,
    pub project: String,
    /// `dispatched`, `running`, `cancelling` or `finished`.
    pub state: String,
    /// `success`, `warnings`, `failure`, `skipped`, `exception`, `retry` or `cancelled`; null until it has ended.
    pub result: Option<String>,
    /// One line, may be empty.
    pub summary: String,
    pub worker: String,
    pub reason: String,
    pub owner: Option<String>,
    /// The request that it answers: of several, the one whose turn it was.
    pub request: u64,
    pub buildset: u64,
    /// Other requests that were merged with that one: they end as this build does.
    pub merged: Vec<Merged>,
    /// Which try of its request, from 1.
    pub attempt: u32,
    pub started_at: Time,
    pub finished_at: Option<Time>,
    pub source_stamps: Vec<SourceStamp>,
    pub blamelist: Vec<String>,
    /// Who is told of it: the blamelist, then those whom its builder names now.
    pub interested: Vec<String>,
    pub properties: BTreeMap<String, Property>,
    pub steps: Vec<Step>,
    /// What it has until it ends, and had.
    pub locks: Vec<HeldLock>,
    /// Buildsets that its steps have asked for, in that order.
    pub triggers: Vec<Trigger>,
}

/// A step of a build.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Step {
    /// From 0.
    pub number: u32,
    pub name: String,
    /// `waiting`, `running` or `finished`.
    pub state: String,
    /// As of a build; null until it has ended.
    pub result: Option<String>,
    pub started_at: Option<Time>,
    pub finished_at: Option<Time>,
    /// One line, may be empty.
    pub summary: String,
    /// Names of its logs.
    pub logs: Vec<String>,
    pub network: Network,
    /// What it must have while it runs.
    pub locks: Vec<HeldLock>,
    /// `idle`, `waiting` for them, or `held`.
    pub lock_state: String,
}

/// A log of a step.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Log {
    pub step: u32,
    pub name: String,
    pub lines: u64,
    pub bytes: u64,
    /// Whether nothing will be added.
    pub complete: bool,
}

/// A property and where it came from.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Property {
    pub value: Value,
    /// Such as `Scheduler` or `Step git`.
    pub source: String,
}

/// One version of one codebase.
#[derive(Serialize, JsonSchema)]
pub(crate) struct SourceStamp {
    pub codebase: String,
    pub repository: String,
    pub project: String,
    /// Null is the default branch.
    pub branch: Option<String>,
    /// Null is the latest.
    pub revision: Option<String>,
    pub patch: Option<Patch>,
    /// Whether a build of it may see secrets.
    pub trusted: bool,
    /// Ids of its changes, oldest first.
    pub changes: Vec<u64>,
}

/// A difference on top of a revision.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Patch {
    pub level: u32,
    /// Bytes that are not UTF-8 are replaced.
    pub body: String,
    pub subdirectory: String,
    pub author: String,
    pub comment: String,
}

/// A buildset.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Buildset {
    pub id: u64,
    pub reason: String,
    pub scheduler: Option<String>,
    pub owner: Option<String>,
    /// `open` or `finished`.
    pub state: String,
    /// Null until all requests are complete.
    pub result: Option<String>,
    /// Whether it is known already that it will fail.
    pub will_fail: bool,
    pub submitted_at: Time,
    pub finished_at: Option<Time>,
    pub source_stamps: Vec<SourceStamp>,
    pub blamelist: Vec<String>,
    pub properties: BTreeMap<String, Property>,
    pub requests: Vec<u64>,
    pub external_id: Option<String>,
    /// The build that it repeats.
    pub rebuild_of: Option<u64>,
    /// The buildset that had passed when a dependent scheduler made this one of its sources.
    pub dependent_on: Option<u64>,
    /// The build of which a step has triggered it.
    pub triggered_by: Option<u64>,
    /// The buildset in which a project that its own depends on had passed, the last of all that it waited for.
    pub pinged_by: Option<u64>,
    /// Whether a build of newer sources, with which a request of it was merged, has answered for it: its own were not built.
    pub superseded: bool,
}

/// A build request.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Request {
    pub id: u64,
    pub buildset: u64,
    pub builder: String,
    pub priority: i32,
    pub only_worker: Option<String>,
    pub submitted_at: Time,
    /// Builds that were started for it so far.
    pub attempts: u32,
    /// `awaiting-approval`, `pending`, `building` or `complete`.
    pub state: String,
    /// The build that runs for it, or that it has ended with. It may be that of another request, which this one was merged with.
    pub build: Option<u64>,
    /// What the merge plugin of its builder has said of it, in words; null where nobody was asked.
    pub merging: Option<String>,
    /// Null until it is complete.
    pub result: Option<String>,
    pub finished_at: Option<Time>,
    /// Who or what has cancelled it by itself, and why; a build that was cancelled says it in its own summary.
    pub reason: Option<String>,
}

/// Why a request is where it is.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Explanation {
    /// One sentence.
    pub summary: String,
    /// Place among the requests of the same builder, from 1.
    pub position: Option<usize>,
    /// For each worker why it does not run it now.
    pub workers: Vec<WorkerReason>,
}

/// Why a worker does not run a request.
#[derive(Serialize, JsonSchema)]
pub(crate) struct WorkerReason {
    pub worker: String,
    pub reason: String,
}

/// A change.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Change {
    pub id: u64,
    /// Which change source reported it; null for one that a person sent.
    pub source: Option<String>,
    pub author: String,
    pub committer: Option<String>,
    pub comments: String,
    pub files: Vec<String>,
    pub repository: String,
    pub project: String,
    pub codebase: Option<String>,
    pub revision: Option<String>,
    pub branch: Option<String>,
    pub category: Option<String>,
    pub link: Option<String>,
    pub arrived_at: Time,
    pub committed_at: Option<Time>,
    pub trusted: bool,
    pub properties: BTreeMap<String, Value>,
    /// Why the codebase generator failed on it.
    pub trouble: Option<String>,
    /// Whether every scheduler has decided.
    pub decided: bool,
    pub decisions: Vec<Decision>,
    pub buildsets: Vec<u64>,
}

/// What a change waits for at a scheduler that has not built it yet.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ChangeWait {
    pub scheduler: String,
    /// One sentence.
    pub reason: String,
    /// When that ends; null where no clock decides it.
    pub until: Option<Time>,
}

/// What a scheduler made of a change.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Decision {
    pub scheduler: String,
    /// `important`, `unimportant`, `ignored` or `failed`.
    pub verdict: String,
    pub reason: String,
}

/// A worker.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Worker {
    pub name: String,
    pub tags: Vec<String>,
    pub max_builds: Option<u32>,
    /// `never-seen`, `away` or `connected`.
    pub state: String,
    /// When it came or went.
    pub since: Option<Time>,
    /// Ids of its builds.
    pub running: Vec<u64>,
    /// Null while it may get builds.
    pub paused: Option<Halt>,
    pub info: Option<WorkerInfo>,
}

/// What a worker says of itself.
#[derive(Serialize, JsonSchema)]
pub(crate) struct WorkerInfo {
    pub version: String,
    pub os: String,
    pub arch: String,
    pub uname: Vec<String>,
    pub cores: u32,
    pub max_builds: u32,
    /// `sandboxed`, `degraded` or `wasm-only`.
    pub tier: String,
    pub mechanisms: Vec<Mechanism>,
    pub tools: BTreeMap<String, String>,
}

/// One mechanism of the sandbox.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Mechanism {
    pub name: String,
    pub works: bool,
    pub detail: String,
}

/// A change source.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ChangeSource {
    pub name: String,
    pub plugin: String,
    /// `poller` or `hook`.
    pub kind: String,
    pub trusted: bool,
    pub trouble: Option<String>,
    pub every_ms: Option<u64>,
    /// Null while it is being asked, and for hooks.
    pub next_poll_in_ms: Option<u64>,
}

/// A scheduler.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Scheduler {
    pub name: String,
    pub kind: String,
    /// When it starts builds, in words.
    pub when: String,
    pub builders: Vec<String>,
    pub codebases: Vec<CodebaseDefault>,
    pub filters: Vec<String>,
    /// What a force scheduler asks of people; null for other kinds.
    pub form: Option<Form>,
    /// Null while it is enabled.
    pub disabled: Option<Halt>,
    /// The projects that it waits for before it builds its own.
    pub waits_for: Vec<String>,
    /// Why its project was not built with one that it depends on, if it has not been since.
    pub left_out: Option<String>,
    /// How many changes wait with it.
    pub waiting: usize,
    /// When it makes a buildset next, as far as that is planned.
    pub next_at: Option<Time>,
}

/// What a scheduler takes where no change says otherwise.
#[derive(Serialize, JsonSchema)]
pub(crate) struct CodebaseDefault {
    pub codebase: String,
    pub repository: String,
    pub branch: Option<String>,
    pub revision: Option<String>,
    /// Which of `branch`, `revision`, `repository` and `project` a force may say; the others are fixed.
    pub ask: Vec<String>,
}

/// A plugin.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Plugin {
    pub name: String,
    pub kind: String,
    pub version: String,
    /// SHA-256 in hexadecimal digits.
    pub digest: String,
    pub summary: String,
    /// Permissions that its manifest asks for.
    pub asks: Vec<String>,
    /// Interfaces that it imports.
    pub imports: Vec<String>,
    pub uses: Vec<PluginUse>,
}

/// One use of a plugin.
#[derive(Serialize, JsonSchema)]
pub(crate) struct PluginUse {
    pub place: String,
    pub granted: Grant,
}

/// What one use of a plugin may do.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Grant {
    pub command: Vec<String>,
    pub net: Vec<String>,
    pub read: Vec<String>,
    pub write: Vec<String>,
    pub http: Vec<String>,
    pub secret: Vec<String>,
    /// Secrets that the host attaches to its requests, each with the origins that get to see it.
    pub credential: BTreeMap<String, Vec<String>>,
    /// Triggerable schedulers that it may make buildsets of.
    pub trigger: Vec<String>,
}

/// A notice that was given up.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Notice {
    pub id: u64,
    pub reporter: String,
    pub occasion: String,
    pub build: Option<u64>,
    pub buildset: Option<u64>,
    pub attempts: u32,
    pub error: String,
    pub given_up_at: Option<Time>,
}

/// A user.
#[derive(Serialize, JsonSchema)]
pub(crate) struct User {
    pub name: String,
    pub role: String,
    pub created_at: Time,
}

/// A token, without its secret.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Token {
    pub id: String,
    pub name: String,
    /// `user` or `worker`.
    pub kind: String,
    pub holder: String,
    pub role: Option<String>,
    pub created_at: Time,
    pub expires_at: Option<Time>,
}

/// A token that was just made.
#[derive(Serialize, JsonSchema)]
pub(crate) struct NewToken {
    /// Shown here and never again.
    pub secret: String,
    pub token: Token,
}

/// Who asks.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Whoami {
    pub name: String,
    pub role: Option<String>,
    /// What the operator calls the host.
    pub title: String,
    /// Version of the host.
    pub version: String,
}

/// A buildset that was made.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Made {
    pub buildset: u64,
    pub requests: Vec<u64>,
}

/// It is done or under way.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Done {
    pub done: bool,
}

/// Ids of changes that were taken.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ChangesTaken {
    pub changes: Vec<u64>,
}

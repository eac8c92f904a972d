//! Buildsets and their requests.

use crate::{
    BuildId, BuilderName, BuildsetId, Outcome, Properties, RequestId, SchedulerName, SourceStamp, Wall, WorkerName,
};

/// A set of builds of the same sources on several builders, followed as a unit.
#[derive(Clone, PartialEq, Debug)]
pub struct Buildset {
    /// Its id.
    pub id: BuildsetId,
    /// Why it exists, in words for people.
    pub reason: String,
    /// Which scheduler made it; `None` for a rebuild.
    pub scheduler: Option<SchedulerName>,
    /// The person who asked for it, if one did.
    pub owner: Option<String>,
    /// One for each codebase.
    pub stamps: Vec<SourceStamp>,
    /// Authors of its changes and whoever asked for it, each once, in order of appearance.
    pub blamelist: Vec<String>,
    /// What its builds start with.
    pub properties: Properties,
    /// One for each builder, in the scheduler's order.
    pub requests: Vec<RequestId>,
    /// Idempotency key of whoever submitted it.
    pub external_id: Option<String>,
    /// What it came from, when that was another build or set.
    pub parent: Option<Parent>,
    /// How many triggers led to it, one from the build of another.
    pub depth: u32,
    /// Whether a build of newer sources, with which one of its requests was merged, has answered for it: its own were not built.
    pub superseded: bool,
    /// When it was made.
    pub submitted_at: Wall,
    /// How far it is.
    pub state: BuildsetState,
}

/// What a buildset came from, by the relationship to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parent {
    /// It repeats this build.
    Rebuild(BuildId),
    /// A dependent scheduler made it when this set had passed.
    Dependent(BuildsetId),
    /// A step of this build triggered it.
    Triggered(BuildId),
}

/// How far a buildset is.
#[derive(Clone, PartialEq, Debug)]
pub enum BuildsetState {
    /// Some request is not complete.
    Open {
        /// Whether it is known already that the set will fail.
        will_fail: bool,
    },
    /// All requests are complete.
    Finished {
        /// The worst of them.
        outcome: Outcome,
        /// When the last one ended.
        at: Wall,
    },
}

/// A wish for a build of one builder.
#[derive(Clone, PartialEq, Debug)]
pub struct Request {
    /// Its id.
    pub id: RequestId,
    /// The set that it belongs to.
    pub buildset: BuildsetId,
    /// The builder that is to run it.
    pub builder: BuilderName,
    /// Higher goes first; equal ones go by age.
    pub priority: i32,
    /// Only this worker may run it: a request "on every worker" is one request for each.
    pub only_worker: Option<WorkerName>,
    /// When it was made.
    pub submitted_at: Wall,
    /// How many builds were started for it so far.
    pub attempts: u32,
    /// How many of them were lost, or failed for a cause that is tried again: a build whose worker was stopped in order is not one.
    pub losses: u32,
    /// How far it is.
    pub state: RequestState,
}

/// How far a request is.
#[derive(Clone, PartialEq, Debug)]
pub enum RequestState {
    /// Someone must approve its untrusted sources first.
    AwaitingApproval,
    /// In the queue.
    Pending,
    /// A build is under way.
    Building(BuildId),
    /// Done.
    Complete {
        /// Of its last build, or cancelled.
        outcome: Outcome,
        /// The build whose end it shares; `None` for one that was cancelled by itself.
        build: Option<BuildId>,
        /// When.
        at: Wall,
        /// Who or what has cancelled it by itself, and why; empty for one that was built.
        reason: String,
    },
}

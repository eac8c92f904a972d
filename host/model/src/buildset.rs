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
    /// A project that its own depends on had passed in this set, the last of all.
    Pinged(BuildsetId),
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
    /// What the merge plugin of its builder says of it.
    pub merge_key: MergeKey,
    /// How far it is.
    pub state: RequestState,
}

/// What a merge plugin says of a request: with which others it may share a build, beside what the rule of merging asks for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum MergeKey {
    /// Nobody was asked: its builder has no such plugin, or the rule lets it share with nobody.
    #[default]
    Unasked,
    /// There is no answer yet, for which the request waits.
    Awaited,
    /// With those alone that have the same.
    Given(String),
    /// With nobody.
    Alone,
    /// With nobody, as the plugin did not answer, for this reason.
    Failed(String),
}

impl MergeKey {
    /// The key, where the plugin has given one.
    #[must_use]
    pub fn given(&self) -> Option<&str> {
        match self {
            Self::Given(key) => Some(key),
            Self::Unasked | Self::Awaited | Self::Alone | Self::Failed(_) => None,
        }
    }

    /// In words for people; nothing where nobody was asked or has answered.
    #[must_use]
    pub fn in_words(&self) -> Option<String> {
        match self {
            Self::Unasked | Self::Awaited => None,
            Self::Given(key) => Some(format!("by its merge plugin it merges only with requests of merge key `{key}`")),
            Self::Alone => Some("by its merge plugin it is never merged".to_owned()),
            Self::Failed(why) => Some(format!("it is not merged: {why}")),
        }
    }
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

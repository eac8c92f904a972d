//! What the engine knows of the operator's configuration. It is already checked: names are unique, references resolve.

use std::sync::Arc;

pub use stampmill_model::LockUse;
use stampmill_model::{
    BuilderName, ChangeSourceName, Job, LockName, LockScope, Milliseconds, Properties, ReporterName, SchedulerName,
    Tier, WorkerName,
};

use crate::calendar::Calendar;
use crate::form::Form;

/// The configuration, as far as decisions depend on it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Config {
    /// In the order of the file.
    pub change_sources: Vec<ChangeSource>,
    /// Whether a codebase generator is configured; without one every change has the codebase `""`.
    pub codebase_generator: bool,
    /// In the order of the file.
    pub schedulers: Vec<Scheduler>,
    /// In the order of the file.
    pub builders: Vec<Builder>,
    /// What builders share, in the order of the file.
    pub locks: Vec<Lock>,
    /// The projects that are more than a word at their builders.
    pub projects: Vec<Project>,
    /// Who may connect.
    pub workers: Vec<Worker>,
    /// In the order of the file.
    pub reporters: Vec<Reporter>,
    /// Properties of every build.
    pub properties: Properties,
    /// Limits and waiting times.
    pub limits: Limits,
}

/// A change source.
#[derive(Clone, PartialEq, Debug)]
pub struct ChangeSource {
    /// Its name.
    pub name: ChangeSourceName,
    /// Polled or called.
    pub kind: ChangeSourceKind,
    /// Whether what it reports is trusted with secrets.
    pub trusted: bool,
    /// Given to changes that carry no project of their own.
    pub project: String,
}

/// How a change source gets its changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChangeSourceKind {
    /// Asked every so often.
    Poller {
        /// From the end of one poll to the start of the next.
        every: Milliseconds,
    },
    /// Told by the forge.
    Hook,
}

/// A scheduler.
#[derive(Clone, PartialEq, Debug)]
pub struct Scheduler {
    /// Its name.
    pub name: SchedulerName,
    /// When it starts builds.
    pub kind: SchedulerKind,
    /// The codebases that its builds need, with what to take where no change says otherwise. Never empty:
    /// a configuration without codebases has one entry named `""`. A dependent scheduler takes the sources of the set that it follows.
    pub codebases: Vec<CodebaseDefault>,
    /// Whether a codebase that no change touches is built at the last revision seen instead of its default; for schedulers of one branch.
    pub absolute_stamps: bool,
    /// How many filter plugins judge its changes.
    pub filters: usize,
    /// What its buildsets are for, in the order of the file.
    pub builders: Vec<BuilderName>,
    /// Whether it asks for one build on every worker that fits, instead of one on any.
    pub on_every_worker: bool,
    /// Priority of its requests.
    pub priority: i32,
    /// Properties of its buildsets.
    pub properties: Properties,
    /// Whether untrusted source stamps wait for approval before they are built.
    pub approve_untrusted: bool,
    /// Whether a newer buildset of changes cancels the older open ones of the same branches.
    pub cancel_superseded: bool,
    /// The project of its builders, if those that depend on it are built when a buildset of this scheduler has passed.
    pub pings: Option<String>,
    /// Whether the rest of a buildset is cancelled when a request of it has failed.
    pub cancel_on_failure: bool,
    /// The reason of its buildsets; a default is made from its name when empty.
    pub reason: String,
}

impl Scheduler {
    /// What it asks of people who force builds through it; `None` when it is of another kind.
    #[must_use]
    pub const fn form(&self) -> Option<&Form> {
        match &self.kind {
            SchedulerKind::Force(form) => Some(form),
            SchedulerKind::SingleBranch { .. }
            | SchedulerKind::AnyBranch { .. }
            | SchedulerKind::Periodic { .. }
            | SchedulerKind::Nightly { .. }
            | SchedulerKind::Dependent { .. }
            | SchedulerKind::Pinged { .. }
            | SchedulerKind::Try { .. }
            | SchedulerKind::Triggerable => None,
        }
    }
}

/// When a scheduler starts builds.
#[derive(Clone, PartialEq, Debug)]
pub enum SchedulerKind {
    /// On changes of one branch.
    SingleBranch {
        /// `None` is the default branch: changes without a branch.
        branch: Option<String>,
        /// How long the tree must be quiet; `None` builds every change by itself.
        stable_for: Option<Milliseconds>,
    },
    /// On changes of any of these branches, each with a timer of its own.
    AnyBranch {
        /// `None` is every branch.
        branches: Option<Vec<String>>,
        /// How long a branch must be quiet; `None` builds every change by itself.
        stable_for: Option<Milliseconds>,
    },
    /// Every so often. The first time is at once when it has never fired before.
    Periodic {
        /// From one firing to the next.
        every: Milliseconds,
    },
    /// At times of the clock on the wall.
    Nightly {
        /// When.
        at: Calendar,
        /// With it, builds the important changes that have come since the last time, and nothing when there were none.
        only_if_changed: Option<OnlyIfChanged>,
    },
    /// When a buildset of another scheduler has passed, with its sources.
    Dependent {
        /// The other.
        upstream: SchedulerName,
    },
    /// When the projects that its project depends on have passed, as far as they are built for the same reason; with its own sources.
    Pinged {
        /// The project of its builders.
        project: String,
    },
    /// When a person has a patch.
    Try {
        /// Whether patched sources are trusted with secrets.
        trusted: bool,
    },
    /// When a step of a build asks.
    Triggerable,
    /// When a person asks.
    Force(Form),
}

/// Which changes a nightly scheduler waits for.
#[derive(Clone, PartialEq, Debug)]
pub struct OnlyIfChanged {
    /// `None` is the default branch: changes without a branch.
    pub branch: Option<String>,
    /// When it builds all the same.
    pub force_at: Option<Calendar>,
}

/// What a scheduler takes for a codebase that no change of the batch touches.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CodebaseDefault {
    /// Its name.
    pub codebase: String,
    /// Where to check out from.
    pub repository: String,
    /// `None` is the repository's default branch.
    pub branch: Option<String>,
    /// `None` is the latest.
    pub revision: Option<String>,
}

/// A builder.
#[derive(Clone, PartialEq, Debug)]
pub struct Builder {
    /// Its name.
    pub name: BuilderName,
    /// Project, or empty.
    pub project: String,
    /// What its builds do.
    pub job: Arc<Job>,
    /// Which workers may run it.
    pub workers: WorkerChoice,
    /// At most this many builds of it at once; `None` leaves it to the workers.
    pub max_builds: Option<u32>,
    /// Which of its requests share a build.
    pub merge: Merge,
    /// What its builds must have while they run, each lock once.
    pub locks: Vec<LockUse>,
    /// The least that a worker's isolation must give.
    pub tier: Tier,
    /// Which of its builds are tried again.
    pub retry: Retry,
    /// Properties of its builds.
    pub properties: Properties,
    /// What it gives to its job: the values of the parameters, defaults included.
    pub with: Properties,
}

/// Which requests of a builder share a build.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Merge {
    /// None.
    Never,
    /// Those that want the same, by the rule.
    Alike,
    /// Of those the ones to which its merge plugin gives the same key.
    ByPlugin,
}

/// What the builds of a project may have of the workers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Project {
    /// As builders name it.
    pub name: String,
    /// How much of the workers it gets beside the others, of which each has 1 that says nothing. When no project has shares, turns alone decide.
    pub shares: Option<u32>,
    /// At most this many builds of it at once.
    pub max_builds: Option<u32>,
    /// The projects that are built before it where one has news; without a cycle.
    pub depends_on: Vec<String>,
}

/// Which builds are tried again without anybody's asking. A step that ends with the outcome `retry` asks, and counts as well.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Retry {
    /// For which causes.
    pub on: Vec<RetryCause>,
    /// How many builds of a request may end so before it is given up; `None` is [`Limits::attempts`].
    pub attempts: Option<u32>,
}

impl Default for Retry {
    fn default() -> Self {
        Self { on: vec![RetryCause::WorkerLost], attempts: None }
    }
}

/// Why a build is tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RetryCause {
    /// Its worker was lost, or stopped in order.
    WorkerLost,
    /// The program that decided its outcome ended with this code.
    ExitCode(i32),
    /// That program was ended by this signal, or by any.
    Signal(Option<u32>),
}

/// A lock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lock {
    /// Its name.
    pub name: LockName,
    /// How many builds may have it at once that count; at least 1.
    pub count: u32,
    /// Among which builds.
    pub scope: LockScope,
}

/// Which workers may run a builder: those that are named (when any are), with all of the tags.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct WorkerChoice {
    /// Empty means any name.
    pub names: Vec<WorkerName>,
    /// Empty means any tags.
    pub tags: Vec<String>,
}

/// A worker that may connect.
#[derive(Clone, PartialEq, Debug)]
pub struct Worker {
    /// Its name.
    pub name: WorkerName,
    /// What builders choose by.
    pub tags: Vec<String>,
    /// At most this many builds at once; the worker's own limit holds as well.
    pub max_builds: Option<u32>,
    /// Properties of builds that run there.
    pub properties: Properties,
}

/// A reporter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reporter {
    /// Its name.
    pub name: ReporterName,
    /// What it is told of.
    pub on: Vec<OccasionKind>,
    /// Only of these builders; empty means all.
    pub builders: Vec<BuilderName>,
}

/// What a reporter can be told of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OccasionKind {
    /// A build was given to a worker.
    BuildStarted,
    /// A build has ended.
    BuildFinished,
    /// It is known that a buildset will fail.
    FirstFailure,
    /// A buildset is complete.
    BuildsetFinished,
}

/// Limits and waiting times of the engine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// How long a worker may be away before its builds are given to another.
    pub worker_lost_after: Milliseconds,
    /// How many builds of a request may be lost before it is given up, where its builder does not say.
    pub attempts: u32,
    /// How often a notice is tried before it goes to the dead-letter list.
    pub report_attempts: u32,
    /// The longest pause between two tries of anything that failed; pauses start at a second and double.
    pub retry_pause_most: Milliseconds,
    /// How long a worker that declined a request is not asked again for it.
    pub declined_for: Milliseconds,
    /// How many triggers may lead to a buildset, one from the build of another.
    pub trigger_depth: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A host restart or a short network cut takes less; a worker that is dead is given up within minutes.
            worker_lost_after: Milliseconds::from_seconds(120),
            // A build that kills its worker twice will kill the third.
            attempts: 3,
            // With doubling pauses this is about two hours.
            report_attempts: 12,
            retry_pause_most: Milliseconds::from_seconds(900),
            // Long enough to try the others, short enough to come back.
            declined_for: Milliseconds::from_seconds(30),
            // Deeper than any pipeline that was thought of, and soon reached by a loop.
            trigger_depth: 10,
        }
    }
}

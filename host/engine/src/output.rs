//! What the engine wants: writes that must be stored, and effects that may happen once the writes before them are.

use std::collections::BTreeMap;
use std::sync::Arc;

use stampmill_model::{
    Build, BuildId, BuildOrder, Buildset, BuildsetId, Change, ChangeId, ChangeSourceName, Halt, Milliseconds, NoticeId,
    ReporterName, Request, SchedulerName, Steady, TriggerState, Wall, WorkerName,
};

use crate::config::OccasionKind;
use crate::input::{Answer, ReplyTo};

/// One output, in order.
#[derive(Clone, PartialEq, Debug)]
pub enum Output {
    /// Must be stored.
    Write(Write),
    /// May happen only once every write before it is durable.
    Effect(Effect),
}

/// Something to store. Each replaces what was stored under the same key.
#[derive(Clone, PartialEq, Debug)]
pub enum Write {
    /// A change; key: id.
    Change(Arc<Change>),
    /// A buildset; key: id.
    Buildset(Arc<Buildset>),
    /// A request; key: id.
    Request(Arc<Request>),
    /// A build; key: id.
    Build(Arc<Build>),
    /// Messages of the build's worker up to this number are in the state; key: build. Goes with the end of the build.
    BuildSequence(BuildId, u64),
    /// The cursor of a change source; key: name.
    Cursor(ChangeSourceName, String),
    /// A delivery of a hook was taken; key: source and delivery. Kept for the horizon of deliveries.
    Delivery(Delivery),
    /// What a scheduler waits with; key: name.
    SchedulerState(SchedulerName, SchedulerState),
    /// What is kept of a worker; key: name.
    Worker(WorkerName, WorkerKept),
    /// A notice that a reporter must get; key: id.
    Notice(Notice),
    /// A notice was delivered.
    NoticeDone(NoticeId),
}

/// A delivery that was taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// Which source.
    pub source: ChangeSourceName,
    /// The sender's id.
    pub id: String,
    /// The changes it became.
    pub changes: Vec<ChangeId>,
    /// When.
    pub at: Wall,
}

/// What a scheduler waits with.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SchedulerState {
    /// One for each branch that has changes waiting (one at most for a single-branch scheduler).
    pub batches: Vec<Batch>,
    /// When a periodic scheduler fires next.
    pub next_firing: Option<Steady>,
    /// What a nightly scheduler had to do up to this time is done.
    pub done_until: Option<Wall>,
    /// The last change that it did not ignore, by codebase; with absolute stamps alone.
    pub last_seen: BTreeMap<String, LastSeen>,
    /// Who disabled it, if somebody has.
    pub disabled: Option<Halt>,
    /// The waves that it waits in, or builds for, oldest first.
    pub pings: Vec<Ping>,
    /// Why it was left out of a wave, if it has built nothing for one since.
    pub left_out: Option<LeftOut>,
}

/// A wave that has reached a project.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ping {
    /// The buildset that began it.
    pub wave: BuildsetId,
    /// The project of that.
    pub from: String,
    /// How far it is here.
    pub state: PingState,
}

/// How far a project is in a wave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PingState {
    /// For projects that it depends on and that are in the wave as well.
    Waiting,
    /// This buildset is under way.
    Building(BuildsetId),
}

/// Why a project was left out of a wave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeftOut {
    /// The buildset that began it.
    pub wave: BuildsetId,
    /// Where it stopped.
    pub project: String,
    /// Why there.
    pub why: String,
}

/// Which version of a codebase a scheduler has seen last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LastSeen {
    /// The change that brought it.
    pub change: ChangeId,
    /// As in the change, also when it is empty.
    pub repository: String,
    /// As in the change.
    pub project: String,
    /// As in the change.
    pub branch: Option<String>,
    /// As in the change.
    pub revision: Option<String>,
    /// Whether its source is trusted with secrets.
    pub trusted: bool,
}

/// What is kept of a worker when it is not there and while the host is down.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WorkerKept {
    /// Who paused it, if somebody has.
    pub paused: Option<Halt>,
}

/// Changes that wait for a quiet tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// The branch, for a scheduler with a timer per branch.
    pub branch: Option<String>,
    /// In order of arrival.
    pub changes: Vec<ChangeId>,
    /// When the tree counts as quiet; `None` while no important change is among them.
    pub fires_at: Option<Steady>,
}

/// A notice to a reporter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    /// The same at every attempt.
    pub id: NoticeId,
    /// Who is told.
    pub reporter: ReporterName,
    /// Of what.
    pub occasion: OccasionKind,
    /// Of which build, for the build occasions.
    pub subject: Subject,
    /// Attempts made or under way.
    pub attempt: u32,
    /// How far it is.
    pub state: NoticeState,
}

/// What a notice is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    /// A build.
    Build(BuildId),
    /// A buildset.
    Buildset(stampmill_model::BuildsetId),
}

/// How far a notice is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NoticeState {
    /// An attempt is under way.
    Sending,
    /// The last attempt failed; the next is due.
    Waiting {
        /// When.
        until: Steady,
        /// Why.
        error: String,
    },
    /// Given up: shown on the dead-letter list.
    Dead {
        /// Why.
        error: String,
        /// When.
        at: Wall,
    },
}

/// Something to do in the world. Each may be emitted again after a restart, with the same attempt number.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Ask a poller; answered by `Input::Polled`.
    Poll {
        /// Which.
        source: ChangeSourceName,
        /// Where it was.
        cursor: Option<String>,
        /// To come back with.
        attempt: u64,
    },
    /// Ask the codebase generator; answered by `Input::CodebaseFound`.
    AskCodebase {
        /// Of which change.
        change: Arc<Change>,
    },
    /// Ask the filters of a scheduler; answered by `Input::Judged`.
    AskFilters {
        /// Which scheduler.
        scheduler: SchedulerName,
        /// Which change.
        change: Arc<Change>,
    },
    /// Ask the merge plugin of a request's builder; answered by `Input::MergeKeyFound`.
    AskMergeKey {
        /// Which request.
        request: Arc<Request>,
        /// Its set.
        set: Arc<Buildset>,
    },
    /// Give a build to a worker; answered by `Input::BuildTold`. A worker that has it already ignores it.
    Dispatch {
        /// Which worker.
        worker: WorkerName,
        /// What.
        order: Box<BuildOrder>,
    },
    /// Tell a worker to end a build, or to forget one that is no longer its own.
    CancelBuild {
        /// Which worker.
        worker: WorkerName,
        /// Which build.
        build: BuildId,
        /// Who and why.
        reason: String,
    },
    /// Tell a worker what became of a buildset that one of its builds has triggered.
    TellTrigger {
        /// Which worker.
        worker: WorkerName,
        /// Which build.
        build: BuildId,
        /// Place of the wish among those of the build.
        number: u32,
        /// What became of it.
        state: TriggerState,
    },
    /// Tell a worker that a step of one of its builds has its locks.
    TellLocks {
        /// Which worker.
        worker: WorkerName,
        /// Which build.
        build: BuildId,
        /// Number of the step.
        step: u32,
    },
    /// Tell a worker that messages of a build up to this number are durable.
    Acknowledge {
        /// Which worker.
        worker: WorkerName,
        /// Which build.
        build: BuildId,
        /// The last number.
        sequence: u64,
    },
    /// Tell a reporter; answered by `Input::Reported`.
    Report {
        /// What and whom.
        notice: Notice,
    },
    /// Answer somebody who waits.
    Answer {
        /// Who.
        reply: ReplyTo,
        /// What.
        answer: Answer,
    },
    /// Something the operator should see in the host's own log.
    Warn {
        /// What.
        message: String,
    },
}

/// A scheduler as it is now, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SchedulerNow {
    /// Which.
    pub name: SchedulerName,
    /// Who disabled it, if somebody has.
    pub disabled: Option<Halt>,
    /// The projects that it waits for.
    pub waits_for: Vec<String>,
    /// Why it was left out of a wave, if it has built nothing for one since.
    pub left_out: Option<String>,
    /// How many changes wait in its batches.
    pub waiting: usize,
    /// When it makes a buildset next, as far as that is planned.
    pub next_at: Option<Wall>,
}

impl SchedulerNow {
    /// One that waits with nothing.
    #[must_use]
    pub const fn idle(name: SchedulerName) -> Self {
        Self { name, disabled: None, waits_for: Vec::new(), left_out: None, waiting: 0, next_at: None }
    }
}

/// The state of one change source, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChangeSourceState {
    /// Which.
    pub name: ChangeSourceName,
    /// The last error, if the last poll failed.
    pub trouble: Option<String>,
    /// When it is asked next; `None` while it is being asked, and for hooks.
    pub next_poll_in: Option<Milliseconds>,
}

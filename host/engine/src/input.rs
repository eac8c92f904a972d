//! What the engine is told.

use std::collections::BTreeMap;
use std::sync::Arc;

pub use stampmill_model::StampChoice;
use stampmill_model::{
    BuildEvent, BuildId, BuilderName, BuildsetId, ChangeId, ChangeSourceName, NoticeId, Patch, Properties, RequestId,
    SchedulerName, SeenChange, SourceStamp, Verdict, WorkerInfo, WorkerName,
};

use crate::config::Config;
use crate::form::Fault;

/// Who waits for the answer to a request; the driver gives the number and gets it back with the answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReplyTo(pub u64);

/// Something happened.
#[derive(Clone, PartialEq, Debug)]
pub enum Input {
    /// A new configuration holds from now on.
    Configured(Arc<Config>),
    /// Time has passed.
    Tick,

    /// A poll has ended. One with another attempt than the last is dropped.
    Polled {
        /// Which source.
        source: ChangeSourceName,
        /// As in the effect.
        attempt: u64,
        /// What it brought.
        result: Result<Polled, Trouble>,
    },
    /// A person asks for a poll now, as a post-receive hook does.
    PollNow {
        /// Which source.
        source: ChangeSourceName,
        /// Who waits.
        reply: ReplyTo,
    },
    /// A hook has reported changes. The same delivery of the same source is taken once and answered the same again.
    Received {
        /// Which source.
        source: ChangeSourceName,
        /// The sender's id of this delivery.
        delivery: Option<String>,
        /// Oldest first.
        changes: Vec<SeenChange>,
        /// Who waits.
        reply: ReplyTo,
    },
    /// A person has sent a change.
    ChangeSent {
        /// The change.
        change: SeenChange,
        /// Skips the codebase generator when given.
        codebase: Option<String>,
        /// Whether its builds may see secrets.
        trusted: bool,
        /// Who waits.
        reply: ReplyTo,
    },

    /// The codebase generator has answered.
    CodebaseFound {
        /// For which change.
        change: ChangeId,
        /// `None` means that the repository is unknown to it.
        result: Result<Option<String>, Trouble>,
    },
    /// The filters of a scheduler have judged a change.
    Judged {
        /// For which scheduler.
        scheduler: SchedulerName,
        /// Which change.
        change: ChangeId,
        /// One judgement for each filter in order.
        result: Result<Vec<(Verdict, String)>, Trouble>,
    },

    /// The merge plugin of a builder has looked at a request. Only the first answer counts, and none that comes too late.
    MergeKeyFound {
        /// Which request.
        request: RequestId,
        /// `None` means that it shares a build with nobody.
        result: Result<Option<String>, Trouble>,
    },

    /// A person forces a build.
    Forced {
        /// What they want.
        force: Force,
        /// Who waits.
        reply: ReplyTo,
    },
    /// A person tries a patch.
    Tried {
        /// What they want.
        tried: Try,
        /// Who waits.
        reply: ReplyTo,
    },
    /// A program submits source stamps for some builders.
    Submitted {
        /// What it wants.
        submission: Submission,
        /// Who waits.
        reply: ReplyTo,
    },
    /// A person wants a build again, with the same sources and properties.
    RebuildAsked {
        /// The finished or running build's set, read from the store by the asker.
        rebuild: Rebuild,
        /// Who waits.
        reply: ReplyTo,
    },
    /// A person wants a build ended.
    BuildCancelAsked {
        /// Which.
        build: BuildId,
        /// Who and why.
        reason: String,
        /// Who waits.
        reply: ReplyTo,
    },
    /// A person wants a request ended; a build that runs for it is ended.
    RequestCancelAsked {
        /// Which.
        request: RequestId,
        /// Who and why.
        reason: String,
        /// Who waits.
        reply: ReplyTo,
    },
    /// A person approves or refuses a request that awaits approval.
    ApprovalGiven {
        /// Which.
        request: RequestId,
        /// Whether it may run.
        approved: bool,
        /// Who.
        by: String,
        /// Who waits.
        reply: ReplyTo,
    },

    /// A person disables a scheduler; one that is disabled already has a new reason.
    SchedulerDisabled {
        /// Which.
        scheduler: SchedulerName,
        /// Who.
        by: String,
        /// Why; may be empty.
        reason: String,
        /// Who waits.
        reply: ReplyTo,
    },
    /// A person enables a scheduler again.
    SchedulerEnabled {
        /// Which.
        scheduler: SchedulerName,
        /// Who waits.
        reply: ReplyTo,
    },

    /// A person pauses a worker: it finishes what it has and gets no more builds. One that is paused already has a new reason.
    WorkerPaused {
        /// Which.
        worker: WorkerName,
        /// Who.
        by: String,
        /// Why; may be empty.
        reason: String,
        /// Who waits.
        reply: ReplyTo,
    },
    /// A person lets a worker have builds again.
    WorkerResumed {
        /// Which.
        worker: WorkerName,
        /// Who waits.
        reply: ReplyTo,
    },
    /// A worker has connected and named the builds that it still has. A second connection of one name replaces the first.
    WorkerConnected {
        /// Which.
        worker: WorkerName,
        /// What it says of itself.
        info: WorkerInfo,
        /// Builds that it drives or has results of.
        builds: Vec<BuildId>,
    },
    /// A connected worker takes no more builds: it hands in what it has, and goes.
    WorkerLeaves {
        /// Which.
        worker: WorkerName,
    },
    /// A worker's connection has ended.
    WorkerLeft {
        /// Which.
        worker: WorkerName,
        /// Whether it said that it is going away for good.
        goodbye: bool,
    },
    /// A worker tells of a build. What comes from another worker than the build's is dropped.
    BuildTold {
        /// Which worker.
        worker: WorkerName,
        /// Which build.
        build: BuildId,
        /// Number of this message in the build; it only grows, and a number seen before is dropped. Messages that are not for the engine
        /// (log frames) have numbers of the same row.
        sequence: u64,
        /// Number of the message of this build that came before it on the same connection, or 0: when that one was lost with a failed
        /// commit, this one is dropped too, and both come again.
        previous: u64,
        /// What.
        event: BuildEvent,
    },

    /// A reporter was told, or could not be. One with another attempt than the last is dropped.
    Reported {
        /// Which notice.
        notice: NoticeId,
        /// As in the effect.
        attempt: u32,
        /// How it went.
        result: Result<(), Trouble>,
    },
}

/// What a poll brought.
#[derive(Clone, PartialEq, Debug)]
pub struct Polled {
    /// Oldest first.
    pub changes: Vec<SeenChange>,
    /// Where to go on.
    pub cursor: String,
    /// Whether there is more at once.
    pub more: bool,
}

/// Why a plugin or the world did not answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble {
    /// For people.
    pub message: String,
    /// Whether asking again may help.
    pub retry: bool,
    /// Not before this long.
    pub retry_after: Option<stampmill_model::Milliseconds>,
}

/// A person forces a build through a force scheduler.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Force {
    /// The builder; a force scheduler must list it.
    pub builder: Option<BuilderName>,
    /// The force scheduler; found by the builder when `None`. Without a builder all of its builders are forced.
    pub scheduler: Option<SchedulerName>,
    /// For the user interface and the `reason` of the buildset.
    pub reason: String,
    /// Who forces.
    pub owner: String,
    /// For each codebase what differs from the scheduler's defaults.
    pub stamps: BTreeMap<String, SourceChoice>,
    /// Properties, source `Force`: the scheduler's parameters by their addresses, as typed or as text, where it has any.
    pub properties: Properties,
    /// Priority instead of the scheduler's.
    pub priority: Option<i32>,
    /// Only on this worker.
    pub worker: Option<WorkerName>,
}

/// What a person chose of one codebase; `None` leaves the default.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SourceChoice {
    /// Branch.
    pub branch: Option<String>,
    /// Revision.
    pub revision: Option<String>,
    /// Repository.
    pub repository: Option<String>,
    /// Project.
    pub project: Option<String>,
}

/// A person has a patch built through a try scheduler.
#[derive(Clone, PartialEq, Debug)]
pub struct Try {
    /// The try scheduler; the first that lists the builders when `None`.
    pub scheduler: Option<SchedulerName>,
    /// Some of the scheduler's builders; none means all of them.
    pub builders: Vec<BuilderName>,
    /// Which codebase is patched; the scheduler's only one when `None`.
    pub codebase: Option<String>,
    /// Branch of the sources without the patch; the scheduler's default when `None`.
    pub branch: Option<String>,
    /// Revision of the sources without the patch; the scheduler's default when `None`.
    pub revision: Option<String>,
    /// The patch. Its author is the owner, whatever it says.
    pub patch: Patch,
    /// For the user interface and the `reason` of the buildset.
    pub reason: String,
    /// Who tries.
    pub owner: String,
    /// Properties, source `Force`.
    pub properties: Properties,
}

/// A buildset asked for by a program.
#[derive(Clone, PartialEq, Debug)]
pub struct Submission {
    /// At least one.
    pub builders: Vec<BuilderName>,
    /// One for each codebase.
    pub stamps: Vec<SourceStamp>,
    /// For people.
    pub reason: String,
    /// Who asks.
    pub owner: String,
    /// Properties, source `Force`.
    pub properties: Properties,
    /// Of its requests.
    pub priority: i32,
    /// The same key twice gives the first answer again, while its buildset is open.
    pub external_id: Option<String>,
}

/// A build to repeat.
#[derive(Clone, PartialEq, Debug)]
pub struct Rebuild {
    /// Which.
    pub build: BuildId,
    /// Its builder.
    pub builder: BuilderName,
    /// Its sources.
    pub stamps: Vec<SourceStamp>,
    /// Its blamelist.
    pub blamelist: Vec<String>,
    /// The properties of its buildset.
    pub properties: Properties,
    /// Who asks.
    pub owner: String,
}

/// The answer to somebody who waits, given once what it says is durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Changes were taken, now or at an earlier delivery.
    ChangesTaken(Vec<ChangeId>),
    /// A buildset was made.
    Buildset {
        /// Its id.
        id: BuildsetId,
        /// Its requests in order.
        requests: Vec<RequestId>,
    },
    /// It is done or under way.
    Done,
    /// It can't be done: no such thing, or a wrong state. The text names the thing and the mend.
    Refused(Refusal),
}

/// Why something can't be done.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// There is nothing of that name or id.
    #[error("{0}")]
    Unknown(String),
    /// It is there, but not in a state for this.
    #[error("{0}")]
    Conflict(String),
    /// The configuration does not allow it.
    #[error("{0}")]
    NotAllowed(String),
    /// Answers to a form can't be taken; at least one fault.
    #[error("{}", sentences(.0))]
    Form(Vec<Fault>),
}

fn sentences(faults: &[Fault]) -> String {
    let messages: Vec<_> = faults.iter().map(|fault| fault.message.as_str()).collect();
    messages.join("; ")
}

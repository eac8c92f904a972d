//! What the service needs from the running host; the server implements it.

use std::sync::Arc;

use async_trait::async_trait;
use stampmill_engine::input::{Force, Rebuild, Submission, Try};
use stampmill_engine::{Answer, ChangeWait, Explanation, Input, ReplyTo};
use stampmill_model::{
    BuildId, ChangeId, ChangeSourceName, Outcome, RequestId, SchedulerName, SeenChange, Wall, WorkerName,
};
use tokio::sync::broadcast;

use crate::event::Event;
use crate::view::{Catalogue, ChangeSourceView, SchedulerNow, WorkerView};

/// The running host: takes asks to the engine and tells what is going on.
///
/// The service has checked who asks before it calls any of these.
#[async_trait]
pub trait Host: Send + Sync + 'static {
    /// Gives an ask to the engine and waits until its answer is durable.
    async fn submit(&self, ask: Ask) -> Result<Answer, Unavailable>;

    /// Gives a call of a forge to the plugin of this hook. The plugin judges the signature; its answer is passed on as it is. Answered only
    /// once the changes are durable.
    async fn hook(&self, source: &ChangeSourceName, call: HookCall) -> Result<HookAnswer, Unavailable>;

    /// Why an open request waits; `None` for one that is not open.
    async fn explain_request(&self, request: RequestId) -> Result<Option<Explanation>, Unavailable>;

    /// What a change waits for at the schedulers that have not built it yet.
    async fn explain_change(&self, change: ChangeId) -> Result<Vec<ChangeWait>, Unavailable>;

    /// Configured workers in the order of the file, with their connections.
    async fn workers(&self) -> Result<Vec<WorkerView>, Unavailable>;

    /// Configured change sources in the order of the file, with the state of their polls.
    async fn change_sources(&self) -> Result<Vec<ChangeSourceView>, Unavailable>;

    /// Configured schedulers in the order of the file, as they are now.
    async fn schedulers(&self) -> Result<Vec<SchedulerNow>, Unavailable>;

    /// What the configuration that is in force defines. Cheap: called on every page.
    fn catalogue(&self) -> Arc<Catalogue>;

    /// What was counted since the host started. Cheap.
    fn figures(&self) -> Figures;

    /// Reads the configuration again; on an error the old one stays in force.
    async fn reload(&self) -> Result<(), ReloadError>;

    /// Answers when the host is about to end, at once if it is already: streams end with it, so that a graceful end waits for none. Clients
    /// come again by themselves.
    async fn ending(&self);

    /// Events from now on. A slow receiver loses the oldest and is told so.
    fn subscribe(&self) -> broadcast::Receiver<Arc<Event>>;
}

/// What a person or program asks of the engine: its inputs without the address for the answer.
#[derive(Clone, PartialEq, Debug)]
pub enum Ask {
    /// Build through a force scheduler.
    Force(Force),
    /// Build a patch through a try scheduler.
    Try(Try),
    /// Build these source stamps.
    Submit(Submission),
    /// Build again.
    Rebuild(Rebuild),
    /// End a build.
    CancelBuild {
        /// Which.
        build: BuildId,
        /// Who and why.
        reason: String,
    },
    /// End a request and the build that runs for it.
    CancelRequest {
        /// Which.
        request: RequestId,
        /// Who and why.
        reason: String,
    },
    /// Approve or refuse a request that awaits approval.
    Approve {
        /// Which.
        request: RequestId,
        /// Whether it may run.
        approved: bool,
        /// Who.
        by: String,
    },
    /// Disable a scheduler.
    DisableScheduler {
        /// Which.
        scheduler: SchedulerName,
        /// Who.
        by: String,
        /// Why; may be empty.
        reason: String,
    },
    /// Enable a scheduler again.
    EnableScheduler(SchedulerName),
    /// Pause a worker.
    PauseWorker {
        /// Which.
        worker: WorkerName,
        /// Who.
        by: String,
        /// Why; may be empty.
        reason: String,
    },
    /// Let a worker have builds again.
    ResumeWorker(WorkerName),
    /// Poll now.
    PollNow(ChangeSourceName),
    /// Take a change.
    SendChange {
        /// The change.
        change: SeenChange,
        /// Skips the codebase generator when given.
        codebase: Option<String>,
        /// Whether its builds may see secrets.
        trusted: bool,
    },
}

impl Ask {
    /// The engine's input for this ask, to be answered to `reply`.
    #[must_use]
    pub fn into_input(self, reply: ReplyTo) -> Input {
        match self {
            Self::Force(force) => Input::Forced { force, reply },
            Self::Submit(submission) => Input::Submitted { submission, reply },
            Self::Try(tried) => Input::Tried { tried, reply },
            Self::Rebuild(rebuild) => Input::RebuildAsked { rebuild, reply },
            Self::CancelBuild { build, reason } => Input::BuildCancelAsked { build, reason, reply },
            Self::CancelRequest { request, reason } => Input::RequestCancelAsked { request, reason, reply },
            Self::Approve { request, approved, by } => Input::ApprovalGiven { request, approved, by, reply },
            Self::DisableScheduler { scheduler, by, reason } => {
                Input::SchedulerDisabled { scheduler, by, reason, reply }
            }
            Self::EnableScheduler(scheduler) => Input::SchedulerEnabled { scheduler, reply },
            Self::PauseWorker { worker, by, reason } => Input::WorkerPaused { worker, by, reason, reply },
            Self::ResumeWorker(worker) => Input::WorkerResumed { worker, reply },
            Self::PollNow(source) => Input::PollNow { source, reply },
            Self::SendChange { change, codebase, trusted } => Input::ChangeSent { change, codebase, trusted, reply },
        }
    }
}

/// What the host has counted since it started; `/metrics` shows it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Figures {
    /// When the host started.
    pub started_at: Wall,
    /// Finished builds; an outcome may be left out when there was none.
    pub builds_finished: Vec<(Outcome, u64)>,
    /// Changes that were taken in.
    pub changes_taken: u64,
    /// Transactions of the store.
    pub commits: u64,
    /// Inputs of the engine.
    pub inputs: u64,
    /// Why nothing can be stored at the moment, as `its disk is full`; `None` when all is well.
    pub trouble: Option<&'static str>,
}

/// A call of a forge, as it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HookCall {
    /// Upper case.
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// Query without the question mark, may be empty.
    pub query: String,
    /// Names in lower case, in order; values that are not text are left out.
    pub headers: Vec<(String, String)>,
    /// At most the host's limit of a body.
    pub body: Vec<u8>,
}

/// What the forge is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HookAnswer {
    /// HTTP status, 200 to 599.
    pub status: u16,
    /// Plain text or JSON, short.
    pub body: String,
}

/// The host can't answer now: it starts, ends, or its disk refused a write. Trying again may help.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the host can't answer now: {0}; try again in a moment")]
pub struct Unavailable(pub String);

/// Why a reload was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReloadError {
    /// The file is wrong; the text shows where.
    #[error("{0}")]
    Refused(String),
    /// The host ends or is busy.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

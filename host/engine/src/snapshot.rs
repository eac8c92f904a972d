//! The open work that the store hands to the engine at start.

use std::sync::Arc;

use stampmill_model::{
    Build, BuildId, BuilderName, Buildset, BuildsetId, Change, ChangeId, ChangeSourceName, NoticeId, Request,
    RequestId, SchedulerName, WorkerName,
};

use crate::output::{Notice, SchedulerState, WorkerKept};

/// Everything that is not finished, and the next free ids. It does not grow with history.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Snapshot {
    /// Changes that are undecided, or wait in a batch, or belong to an open buildset or build.
    pub changes: Vec<Arc<Change>>,
    /// Open buildsets.
    pub buildsets: Vec<Arc<Buildset>>,
    /// Requests of open buildsets, complete ones included.
    pub requests: Vec<Arc<Request>>,
    /// Builds that are not finished, with the last message number that is in them.
    pub builds: Vec<(Arc<Build>, u64)>,
    /// Cursors of change sources.
    pub cursors: Vec<(ChangeSourceName, String)>,
    /// What schedulers wait with.
    pub schedulers: Vec<(SchedulerName, SchedulerState)>,
    /// What is kept of workers.
    pub workers: Vec<(WorkerName, WorkerKept)>,
    /// Notices that are neither delivered nor dead.
    pub notices: Vec<Notice>,
    /// Deliveries within the horizon, so that a doubled one is known.
    pub deliveries: Vec<crate::output::Delivery>,
    /// The last build number of each builder.
    pub build_numbers: Vec<(BuilderName, u64)>,
    /// Highest ids in use; 0 when there is none.
    pub last: LastIds,
}

/// The highest id of each kind that was ever stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LastIds {
    /// Of changes.
    pub change: ChangeId,
    /// Of buildsets.
    pub buildset: BuildsetId,
    /// Of requests.
    pub request: RequestId,
    /// Of builds.
    pub build: BuildId,
    /// Of notices.
    pub notice: NoticeId,
}

impl Default for LastIds {
    fn default() -> Self {
        Self {
            change: ChangeId(0),
            buildset: BuildsetId(0),
            request: RequestId(0),
            build: BuildId(0),
            notice: NoticeId(0),
        }
    }
}

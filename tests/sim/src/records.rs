//! What was written, by key: everything that a store holds, and what it hands out at a start.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stampmill_engine::output::{Delivery, Notice, NoticeState, SchedulerState, WorkerKept};
use stampmill_engine::snapshot::LastIds;
use stampmill_engine::{Snapshot, Write};
use stampmill_model::{
    Build, BuildId, BuildState, BuilderName, Buildset, BuildsetId, BuildsetState, Change, ChangeId, ChangeSourceName,
    MergeKey, NoticeId, Request, RequestId, RequestState, SchedulerName, TriggerState, WorkerName,
};

/// All rows, finished ones included.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records {
    pub(crate) changes: BTreeMap<ChangeId, Arc<Change>>,
    pub(crate) buildsets: BTreeMap<BuildsetId, Arc<Buildset>>,
    pub(crate) requests: BTreeMap<RequestId, Arc<Request>>,
    pub(crate) builds: BTreeMap<BuildId, Arc<Build>>,
    pub(crate) sequences: BTreeMap<BuildId, u64>,
    pub(crate) cursors: BTreeMap<ChangeSourceName, String>,
    pub(crate) deliveries: BTreeMap<(ChangeSourceName, String), Delivery>,
    pub(crate) schedulers: BTreeMap<SchedulerName, SchedulerState>,
    workers: BTreeMap<WorkerName, WorkerKept>,
    pub(crate) notices: BTreeMap<NoticeId, Notice>,
    pub(crate) last: LastIds,
    pub(crate) open_buildsets: BTreeSet<BuildsetId>,
    /// Those that are in the queue; who waits for a merge plugin is not.
    pub(crate) pending: BTreeSet<RequestId>,
    pub(crate) open_builds: BTreeSet<BuildId>,
    build_numbers: BTreeMap<BuilderName, u64>,
}

/// One write, with what it replaced.
#[derive(Clone, Debug)]
pub(crate) enum Written {
    Change { before: Option<Arc<Change>>, after: Arc<Change> },
    Buildset { before: Option<Arc<Buildset>>, after: Arc<Buildset> },
    Request { before: Option<Arc<Request>>, after: Arc<Request> },
    Build { before: Option<Arc<Build>>, after: Arc<Build> },
    Sequence { build: BuildId, before: u64, after: u64 },
    Notice { before: Option<Notice>, after: Notice },
    NoticeDone { id: NoticeId, before: Option<Notice> },
    Other,
}

impl Records {
    /// Takes a write in.
    pub(crate) fn apply(&mut self, write: &Write) -> Written {
        match write {
            Write::Change(after) => {
                self.last.change = self.last.change.max(after.id);
                Written::Change { before: self.changes.insert(after.id, Arc::clone(after)), after: Arc::clone(after) }
            }
            Write::Buildset(after) => {
                self.last.buildset = self.last.buildset.max(after.id);
                keep(&mut self.open_buildsets, after.id, is_open_set(after));
                let before = self.buildsets.insert(after.id, Arc::clone(after));
                Written::Buildset { before, after: Arc::clone(after) }
            }
            Write::Request(after) => {
                self.last.request = self.last.request.max(after.id);
                let is_asked_about = after.merge_key == MergeKey::Awaited;
                keep(&mut self.pending, after.id, after.state == RequestState::Pending && !is_asked_about);
                let before = self.requests.insert(after.id, Arc::clone(after));
                Written::Request { before, after: Arc::clone(after) }
            }
            Write::Build(after) => {
                self.last.build = self.last.build.max(after.id);
                keep(&mut self.open_builds, after.id, is_open(after));
                let number = self.build_numbers.entry(after.builder.clone()).or_default();
                *number = after.number.max(*number);
                Written::Build { before: self.builds.insert(after.id, Arc::clone(after)), after: Arc::clone(after) }
            }
            Write::BuildSequence(build, after) => {
                let before = self.sequences.insert(*build, *after).unwrap_or(0);
                Written::Sequence { build: *build, before, after: *after }
            }
            Write::Notice(after) => {
                self.last.notice = self.last.notice.max(after.id);
                Written::Notice { before: self.notices.insert(after.id, after.clone()), after: after.clone() }
            }
            Write::NoticeDone(id) => {
                self.last.notice = self.last.notice.max(*id);
                Written::NoticeDone { id: *id, before: self.notices.remove(id) }
            }
            Write::Cursor(source, cursor) => {
                self.cursors.insert(source.clone(), cursor.clone());
                Written::Other
            }
            Write::Delivery(delivery) => {
                self.deliveries.insert((delivery.source.clone(), delivery.id.clone()), delivery.clone());
                Written::Other
            }
            Write::SchedulerState(name, state) => {
                self.schedulers.insert(name.clone(), state.clone());
                Written::Other
            }
            Write::Worker(name, kept) => {
                self.workers.insert(name.clone(), kept.clone());
                Written::Other
            }
        }
    }

    /// What is not finished, as the store hands it out.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let buildsets: Vec<_> = self.open_buildsets.iter().map(|id| Arc::clone(&self.buildsets[id])).collect();
        let builds: Vec<_> = self.open_builds.iter().map(|id| Arc::clone(&self.builds[id])).collect();
        let in_sets = buildsets.iter().flat_map(|set| &set.stamps);
        let in_builds = builds.iter().flat_map(|build| &build.stamps);
        let in_batches = self.schedulers.values().flat_map(|state| &state.batches).flat_map(|batch| &batch.changes);
        let named = in_sets.chain(in_builds).flat_map(|stamp| &stamp.changes).chain(in_batches);
        let undecided = self.changes.values().filter(|change| !change.decided).map(|change| &change.id);
        let changes: BTreeSet<_> = named.chain(undecided).collect();
        let requests: BTreeSet<_> = buildsets.iter().flat_map(|set| &set.requests).collect();
        Snapshot {
            changes: changes.into_iter().filter_map(|id| self.changes.get(id)).cloned().collect(),
            requests: requests.into_iter().filter_map(|id| self.requests.get(id)).cloned().collect(),
            builds: builds.into_iter().map(|it| (Arc::clone(&it), self.sequence(it.id))).collect(),
            buildsets,
            cursors: self.cursors.clone().into_iter().collect(),
            schedulers: self.schedulers.clone().into_iter().collect(),
            workers: self.workers.clone().into_iter().collect(),
            notices: self.notices.values().filter(|notice| !is_dead(notice)).cloned().collect(),
            deliveries: self.deliveries.values().cloned().collect(),
            build_numbers: self.build_numbers.clone().into_iter().collect(),
            last: self.last,
        }
    }

    /// The last message of a build that is in it.
    pub(crate) fn sequence(&self, build: BuildId) -> u64 {
        self.sequences.get(&build).copied().unwrap_or(0)
    }

    /// The open builds, oldest first.
    pub(crate) fn open_builds(&self) -> impl Iterator<Item = &Arc<Build>> {
        self.open_builds.iter().map(|id| &self.builds[id])
    }

    /// The requests that wait for a worker.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &Arc<Request>> {
        self.pending.iter().map(|id| &self.requests[id])
    }

    /// How many open builds a worker has, without those that leave their slot to what they have triggered.
    pub(crate) fn running_on(&self, worker: &WorkerName) -> usize {
        self.open_builds().filter(|build| build.worker == *worker && !is_waiting(build)).count()
    }

    /// How many open builds a project has, without those.
    pub(crate) fn running_of_project(&self, project: &str) -> usize {
        self.open_builds().filter(|build| build.project == project && !is_waiting(build)).count()
    }

    /// How many open builds a builder has, without those.
    pub(crate) fn running_of(&self, builder: &BuilderName) -> usize {
        self.open_builds().filter(|build| build.builder == *builder && !is_waiting(build)).count()
    }
}

fn keep<T: Ord>(set: &mut BTreeSet<T>, id: T, is_in: bool) {
    if is_in {
        set.insert(id);
    } else {
        set.remove(&id);
    }
}

/// Whether some request of a set is not complete.
pub(crate) fn is_open_set(set: &Buildset) -> bool {
    matches!(set.state, BuildsetState::Open { .. })
}

/// Whether a build has not ended.
pub(crate) fn is_open(build: &Build) -> bool {
    !matches!(build.state, BuildState::Finished { .. })
}

/// Whether a notice was given up.
pub(crate) fn is_dead(notice: &Notice) -> bool {
    matches!(notice.state, NoticeState::Dead { .. })
}

/// Whether a build waits for what it has triggered.
pub(crate) fn is_waiting(build: &Build) -> bool {
    let mut awaited = build.triggers.iter().filter(|trigger| !trigger.detached);
    awaited.any(|trigger| matches!(trigger.state, TriggerState::Open { .. }))
}

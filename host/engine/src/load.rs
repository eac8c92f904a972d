//! Loading: from the open work that the store kept to a running engine. Every effect that is not known to be finished is emitted again;
//! there is no other recovery.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stampmill_model::{Build, Buildset, MergeKey, Now, Request, RequestState};

use crate::Engine;
use crate::assign::Wake;
use crate::build::OpenBuild;
use crate::buildset::{OpenBuildset, changes_of, outcome_of};
use crate::config::Config;
use crate::intake::{Deliveries, OpenChange, Source};
use crate::lookup::Lookup;
use crate::outbox::{Key, Outbox};
use crate::output::Output;
use crate::pools::Room;
use crate::queue::Queue;
use crate::scheduling::is_waiting;
use crate::shares::Projects;
use crate::snapshot::Snapshot;
use crate::timers::Timers;
use crate::workers::WorkerState;

impl Engine {
    /// An engine that goes on where the last one was. No worker is connected yet; orders and cancellations go out again as each connects.
    #[must_use]
    pub fn new(config: Arc<Config>, snapshot: Snapshot, now: Now) -> (Self, Vec<Output>) {
        let mut engine = Self {
            now,
            latest_wall: now.wall,
            generation: 0,
            handled: 0,
            lookup: Lookup::new(&config),
            config,
            last: snapshot.last,
            timers: Timers::default(),
            nights: Timers::default(),
            outbox: Outbox::default(),
            sources: BTreeMap::new(),
            deliveries: Deliveries::default(),
            changes: BTreeMap::new(),
            schedulers: snapshot.schedulers.into_iter().collect(),
            buildsets: BTreeMap::new(),
            external_ids: BTreeMap::new(),
            branches: BTreeMap::new(),
            requests: snapshot.requests.into_iter().map(|request| (request.id, request)).collect(),
            queue: Queue::default(),
            wake: Wake::default(),
            bars: BTreeMap::new(),
            builds: BTreeMap::new(),
            build_numbers: snapshot.build_numbers.into_iter().collect(),
            waiting: BTreeSet::new(),
            running: BTreeMap::new(),
            projects: Projects::default(),
            locks: BTreeMap::new(),
            step_lines: BTreeMap::new(),
            workers: BTreeMap::new(),
            room: Room::default(),
            notices: snapshot.notices.into_iter().map(|notice| (notice.id, notice)).collect(),
        };
        engine.projects.configure(&engine.config, now.steady);
        engine.sources = snapshot.cursors.into_iter().map(|(name, cursor)| (name, Source::at(cursor))).collect();
        for delivery in snapshot.deliveries {
            engine.deliveries.remember(delivery);
        }
        for change in snapshot.changes {
            engine.changes.insert(change.id, OpenChange::new(change));
        }
        engine.load_buildsets(snapshot.buildsets);
        engine.load_builds(snapshot.builds);
        for (name, kept) in snapshot.workers {
            engine.workers.entry(name).or_default().paused = kept.paused;
        }
        engine.load_queue();
        engine.hold_changes();
        engine.resume_notices();
        engine.take_up_configuration();
        engine.fire_due();
        engine.assign();
        let outputs = engine.flush();
        engine.check_in_debug();
        (engine, outputs)
    }

    fn load_buildsets(&mut self, buildsets: Vec<Arc<Buildset>>) {
        for set in buildsets {
            let requests = set.requests.iter().filter_map(|request| self.requests.get(request));
            let left = requests.filter(|request| outcome_of(request).is_none()).count();
            if let Some(key) = &set.external_id {
                self.external_ids.insert(key.clone(), set.id);
            }
            self.note_branches(&set);
            self.buildsets.insert(set.id, OpenBuildset::new(set, left));
        }
    }

    /// Their workers get time to come back.
    fn load_builds(&mut self, builds: Vec<(Arc<Build>, u64)>) {
        for (build, sequence) in builds {
            if is_waiting(&build) {
                self.waiting.insert(build.id);
            } else {
                *self.running.entry(build.builder.clone()).or_default() += 1;
                // What it has had before the start is not known any more.
                self.projects.begin(&build.project, self.now.steady);
            }
            let worker: &mut WorkerState = self.workers.entry(build.worker.clone()).or_default();
            worker.builds.insert(build.id);
            self.take_locks(&build);
            self.join_step_lines(&build);
            self.builds.insert(build.id, OpenBuild::new(build, sequence));
        }
        let names: Vec<_> = self.workers.keys().cloned().collect();
        for name in names {
            self.expect_worker(&name);
        }
    }

    /// A request whose build is missing would wait for ever; it goes back to the queue.
    fn load_queue(&mut self) {
        let mut waiting = Vec::new();
        for (id, request) in &mut self.requests {
            match request.state {
                RequestState::Building(build) if !self.builds.contains_key(&build) => {
                    self.outbox
                        .warn(format!("build {build} of request {id} is missing in the store: it is built again"));
                    self.outbox.mark(Key::Request(*id));
                    Arc::make_mut(request).state = RequestState::Pending;
                }
                RequestState::Pending => {}
                RequestState::AwaitingApproval | RequestState::Building(_) | RequestState::Complete { .. } => continue,
            }
            waiting.push(Arc::clone(request));
        }
        let is_in_queue = |request: &&Arc<Request>| request.merge_key != MergeKey::Awaited;
        waiting.iter().filter(is_in_queue).for_each(|request| self.enqueue(request));
    }

    fn hold_changes(&mut self) {
        let in_batches = self.schedulers.values().flat_map(|state| &state.batches).flat_map(|batch| &batch.changes);
        let in_sets = self.buildsets.values().flat_map(|open| changes_of(&open.set.stamps));
        let in_builds = self.builds.values().flat_map(|open| changes_of(&open.build.stamps));
        let held: Vec<_> = in_batches.copied().chain(in_sets).chain(in_builds).collect();
        for id in held {
            self.hold_change(id);
        }
        let all: Vec<_> = self.changes.keys().copied().collect();
        for id in all {
            self.forget_if_done(id);
        }
    }

    /// Brings everything in line with the configuration: at start, and when it has changed. Nothing that is under way is dropped.
    pub(crate) fn take_up_configuration(&mut self) {
        self.sync_workers();
        self.sync_sources();
        self.sync_last_seen();
        self.sync_batches();
        self.sync_periodic();
        self.sync_nightly();
        self.serve_step_lines();
        self.sync_merge_keys();
        self.reconsider_changes();
        self.sync_pings();
    }
}

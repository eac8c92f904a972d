//! Assignment: which request goes to which worker. Builders compete: of all that could start, the one whose turn is earliest does.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use stampmill_model::{
    Build, BuildId, BuildOrder, BuildState, BuilderName, Job, LockName, LockState, Merged, Milliseconds, Network,
    RequestId, RequestState, Steady, Step, StepState, WorkerName,
};

use crate::Engine;
use crate::build::OpenBuild;
use crate::buildset::changes_of;
use crate::config::{Builder, OccasionKind, Worker};
use crate::merging;
use crate::outbox::Key;
use crate::output::{Effect, Subject};
use crate::pools::Who;
use crate::properties;
use crate::queue::{Group, Lane, Turn};
use crate::shares::Level;
use crate::timers::Timer;
use crate::workers::Link;

/// What has changed since the last assignment. What has not changed can't have become possible.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wake {
    everything: bool,
    /// Groups with a request that is new or no longer barred, whose builder has room again, or for which a lock may have become free.
    groups: BTreeSet<Group>,
    /// Workers that may have room.
    workers: BTreeSet<usize>,
}

/// A worker has declined a request.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    times: u32,
    /// Until then it is not asked again.
    pub(crate) until: Steady,
    /// What it said.
    pub(crate) reason: String,
}

/// A request that can start, and where.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Placement {
    /// Of projects that share, the one that has had the least goes first.
    level: Level,
    turn: Turn,
    /// Its most free slots decide, then the order of the configuration.
    free_slots: Reverse<usize>,
    worker: usize,
    group: Group,
}

impl Engine {
    /// A request may be possible that was not before.
    pub(crate) fn wake_request(&mut self, id: RequestId) {
        let Some(request) = self.requests.get(&id) else { return };
        let Some(group) = self.queue.group_of(&Lane::of(request)) else { return };
        // Where an earlier one of the group can't start, this one can't either, unless some of them were declined.
        let turn = Turn::of(request);
        let is_first = self.queue.heads(group).next().is_none_or(|(first, _)| turn <= first);
        if is_first || !self.bars.is_empty() {
            self.wake.groups.insert(group);
        }
    }

    /// A worker may have room.
    pub(crate) fn wake_worker(&mut self, name: &WorkerName) {
        self.wake.workers.extend(self.lookup.worker(name));
    }

    /// Any request may be possible that was not before.
    pub(crate) fn wake_all(&mut self) {
        self.wake.everything = true;
    }

    /// A lock may be free for those who want it.
    pub(crate) fn wake_lock(&mut self, name: &LockName) {
        for (list, _) in self.lookup.lists_of(name) {
            self.wake.groups.extend(self.queue.groups_with_locks(list));
        }
    }

    /// Somebody may no longer stand in line for a lock.
    pub(crate) fn wake_lines(&mut self) {
        self.wake.groups.extend(self.queue.groups_with_any_lock());
    }

    /// A project may have another build.
    pub(crate) fn wake_project(&mut self, project: usize) {
        self.wake.groups.extend(self.queue.groups().filter(|group| group.project == project));
    }

    /// A builder has a build more or less than before: those who wait for it may be in another group.
    pub(crate) fn regroup_builder(&mut self, name: &BuilderName) {
        if self.builder(name).is_none_or(|builder| builder.max_builds.is_none()) {
            return;
        }
        let lanes: Vec<_> = self.queue.lanes_of(name).cloned().collect();
        for lane in lanes {
            let (before, after) = (self.queue.group_of(&lane), self.group_of(&lane));
            if before != after {
                self.queue.regroup(&lane, after);
                self.wake.groups.extend(after);
            }
        }
    }

    /// The configuration has changed: everybody who waits may be in another group.
    pub(crate) fn regroup_all(&mut self) {
        let lanes: Vec<_> = self.queue.lanes().cloned().collect();
        for lane in lanes {
            self.queue.regroup(&lane, self.group_of(&lane));
        }
    }

    /// The group of a lane; `None` while nobody of it can start, whoever is there.
    pub(crate) fn group_of(&self, lane: &Lane) -> Option<Group> {
        let builder = self.builder(&lane.builder).filter(|builder| !self.is_builder_full(builder))?;
        let who = match &lane.only_worker {
            None => Who::Pool(self.lookup.pool_of(&lane.builder)?),
            Some(name) => {
                let worker = self.lookup.worker(name)?;
                self.lookup.fits(&lane.builder).binary_search(&worker).ok()?;
                Who::Only(worker, builder.tier)
            }
        };
        let project = self.projects.number(&builder.project);
        Some(Group { who, locks: self.lookup.locks_of(&lane.builder), project })
    }

    /// Starts whatever can start.
    pub(crate) fn assign(&mut self) {
        let mut wake = std::mem::take(&mut self.wake);
        while let Some(Placement { turn, worker, group, .. }) = self.next_placement(&mut wake) {
            let config = Arc::clone(&self.config);
            self.serve_project(group, worker);
            self.start_build(turn.request, &config.workers[worker]);
            let more = std::mem::take(&mut self.wake);
            wake.groups.extend(more.groups);
        }
    }

    /// The earliest that can start of all that was woken. What can't is left alone until it is woken again.
    fn next_placement(&self, wake: &mut Wake) -> Option<Placement> {
        if self.room.is_none() {
            return None;
        }
        if std::mem::take(&mut wake.everything) {
            wake.groups.extend(self.queue.groups());
        }
        let mut best: Option<Placement> = None;
        let mut is_possible = |found: Option<Placement>| {
            best = [best, found].into_iter().flatten().min();
            found.is_some()
        };
        wake.groups.retain(|group| is_possible(self.placement_in(*group, None)));
        wake.workers.retain(|worker| is_possible(self.placement_on(*worker)));
        best
    }

    /// Whether some request in the queue could start now; never so between two inputs.
    pub(crate) fn is_idle_without_need(&self) -> bool {
        self.next_placement(&mut Wake { everything: true, ..Wake::default() }).is_some()
    }

    /// The earliest that can start on a worker.
    fn placement_on(&self, worker: usize) -> Option<Placement> {
        if self.room.free_slots(worker) == 0 {
            return None;
        }
        self.groups_on(worker).filter_map(|group| self.placement_in(group, Some(worker))).min()
    }

    /// The groups of which somebody waits for a worker, among others.
    pub(crate) fn groups_on(&self, worker: usize) -> impl Iterator<Item = Group> {
        let pools = self.lookup.pools_of(worker).filter(move |(_, tier)| self.room.has(worker, *tier));
        let groups = pools.flat_map(|(pool, _)| self.queue.groups_of_pool(pool));
        let only = self.queue.groups_only_for(worker);
        let only = only.filter(move |group| matches!(group.who, Who::Only(_, tier) if self.room.has(worker, tier)));
        groups.chain(only).filter(|group| !self.projects.is_full(group.project))
    }

    /// The earliest of a group that can start: on this worker, or on the fit one with the most free slots, then the first of the configuration.
    fn placement_in(&self, group: Group, on: Option<usize>) -> Option<Placement> {
        if self.projects.is_full(group.project) {
            return None;
        }
        let mut best: Option<Placement> = None;
        for (head, lane) in self.queue.heads(group) {
            if best.is_some_and(|best| best.turn < head) {
                break;
            }
            let found = self.placement_in_lane(group, lane, on);
            if self.bars.is_empty() {
                // The others of the group want the same and come later.
                return found;
            }
            best = [best, found].into_iter().flatten().min();
        }
        best
    }

    fn placement_in_lane(&self, group: Group, lane: &Lane, on: Option<usize>) -> Option<Placement> {
        let builder = self.builder(&lane.builder)?;
        let name = |worker: usize| &self.config.workers[worker].name;
        let fits = |worker: &usize| match group.who {
            Who::Pool(_) => true,
            Who::Only(only, tier) => only == *worker && self.room.has(only, tier),
        };
        let any = on.is_none().then(|| self.room.free(group.who)).into_iter().flatten();
        let mut free = any.chain(on.filter(fits)).peekable();
        free.peek()?;
        if self.bars.is_empty() {
            let turn = self.queue.lane(lane).next()?;
            let is_locked = self.locked_on_host(turn, builder).is_some();
            let worker =
                free.find(|worker| !is_locked && self.locked_on_worker(turn, builder, name(*worker)).is_none())?;
            return Some(self.placement(group, turn, worker));
        }
        let mut free: Vec<usize> = free.collect();
        for turn in self.queue.lane(lane) {
            let is_locked = self.locked_on_host(turn, builder).is_some();
            let mut willing = free.iter().filter(|worker| !self.is_barred(turn.request, name(**worker)));
            let mut unlocked =
                willing.by_ref().filter(|worker| self.locked_on_worker(turn, builder, name(**worker)).is_none());
            if let Some(worker) = unlocked.next().filter(|_| !is_locked) {
                return Some(self.placement(group, turn, *worker));
            }
            // All of a lane want the same locks: who waits for one is overtaken only where it was declined.
            free.retain(|worker| self.is_barred(turn.request, name(*worker)));
            if free.is_empty() {
                return None;
            }
        }
        None
    }

    fn placement(&self, group: Group, turn: Turn, worker: usize) -> Placement {
        let level = self.projects.level(group.project, self.now.steady);
        Placement { level, turn, free_slots: Reverse(self.room.free_slots(worker)), worker, group }
    }

    /// Whether a builder has as many builds as it may.
    pub(crate) fn is_builder_full(&self, builder: &Builder) -> bool {
        let running = self.running.get(&builder.name).copied().unwrap_or(0);
        builder.max_builds.is_some_and(|most| running >= most)
    }

    /// Whether a connected worker's isolation is good enough for a builder.
    pub(crate) fn has_tier(&self, worker: &WorkerName, builder: &Builder) -> bool {
        match self.workers.get(worker).map(|state| &state.link) {
            Some(Link::Connected(info)) => info.tier <= builder.tier,
            Some(Link::Leaving(_) | Link::Away(_)) | None => false,
        }
    }

    pub(crate) fn is_barred(&self, request: RequestId, worker: &WorkerName) -> bool {
        !self.bars.is_empty()
            && self.bars.get(&(request, worker.clone())).is_some_and(|bar| bar.until > self.now.steady)
    }

    /// A worker is not asked again for a request that it declined; each time for twice as long.
    pub(crate) fn bar(&mut self, request: RequestId, worker: &WorkerName, reason: String) {
        let limits = &self.config.limits;
        let key = (request, worker.clone());
        let times = self.bars.get(&key).map_or(1, |bar| bar.times.saturating_add(1));
        let doubled = Milliseconds(limits.declined_for.0.saturating_mul(1 << times.saturating_sub(1).min(32)));
        let length = doubled.min(limits.retry_pause_most).max(limits.declined_for);
        let until = self.now.steady + length;
        self.bars.insert(key, Bar { times, until, reason });
        self.timers.set(Timer::Bar(request, worker.clone()), until);
    }

    /// Nobody is asked for this request any more.
    pub(crate) fn forget_bars(&mut self, request: RequestId) {
        if self.bars.is_empty() {
            return;
        }
        let first = (request, WorkerName::from(""));
        let of_request = self.bars.range(first..).take_while(|((id, _), _)| *id == request);
        let workers: Vec<_> = of_request.map(|((_, worker), _)| worker.clone()).collect();
        for worker in workers {
            self.timers.cancel(&Timer::Bar(request, worker.clone()));
            self.bars.remove(&(request, worker));
        }
    }

    /// Starts a build for the request whose turn it is, and for those that want the same.
    fn start_build(&mut self, first: RequestId, worker: &Worker) {
        let config = Arc::clone(&self.config);
        let Some(request) = self.requests.get(&first) else { return };
        let Some(position) = self.lookup.builder(&request.builder) else { return };
        let builder = &config.builders[position];
        let requests = self.sharing(first, builder, &worker.name);
        let sets = requests.iter().filter_map(|id| self.buildsets.get(&self.requests.get(id)?.buildset));
        let Some(set) = merging::joined(sets.map(|open| Arc::clone(&open.set)).collect()) else { return };
        let id = self.last.build.next();
        self.last.build = id;
        let mut taken: Vec<_> = requests.iter().filter_map(|request| self.take_request(*request, id)).collect();
        let (attempt, Merged { request, buildset }) = taken.remove(0);
        let number = self.build_numbers.entry(builder.name.clone()).or_default();
        *number += 1;
        let build = Build {
            id,
            number: *number,
            builder: builder.name.clone(),
            project: builder.project.clone(),
            request,
            buildset,
            merged: taken.into_iter().map(|(_, merged)| merged).collect(),
            attempt,
            worker: worker.name.clone(),
            reason: set.reason.clone(),
            owner: set.owner.clone(),
            stamps: set.stamps.clone(),
            blamelist: set.blamelist.clone(),
            properties: properties::of_build(&config, builder, worker, &set, *number),
            steps: self.waiting_steps(&builder.job),
            locks: self.locks_for(&builder.locks),
            triggers: Vec::new(),
            started_at: self.now.wall,
            state: BuildState::Dispatched,
        };
        self.add_build(build);
        // Who stood in line before others for a lock does no longer.
        if self.projects.is_full(self.projects.number(&builder.project)) {
            self.wake_lines();
        }
        builder.locks.iter().for_each(|wanted| self.wake_lock(&wanted.name));
        self.dispatch(id, builder);
        self.notify(OccasionKind::BuildStarted, Subject::Build(id));
    }

    /// Takes a request out of the queue for a build; which attempt at it this is.
    fn take_request(&mut self, id: RequestId, build: BuildId) -> Option<(u32, Merged)> {
        let request = self.requests.get_mut(&id)?;
        self.queue.remove(request);
        let request = Arc::make_mut(request);
        request.attempts += 1;
        request.state = RequestState::Building(build);
        self.outbox.mark(Key::Request(id));
        Some((request.attempts, Merged { request: id, buildset: request.buildset }))
    }

    fn add_build(&mut self, build: Build) {
        let (id, worker) = (build.id, build.worker.clone());
        *self.running.entry(build.builder.clone()).or_default() += 1;
        self.projects.begin(&build.project, self.now.steady);
        for change in changes_of(&build.stamps) {
            self.hold_change(change);
        }
        self.take_locks(&build);
        self.workers.entry(worker.clone()).or_default().builds.insert(id);
        self.regroup_builder(&build.builder);
        self.builds.insert(id, OpenBuild::new(Arc::new(build), 0));
        self.outbox.mark(Key::Build(id));
        self.refresh_room(&worker);
    }

    /// Gives a build to its worker, with the job as it is configured now.
    pub(crate) fn dispatch(&mut self, id: BuildId, builder: &Builder) {
        let Some(open) = self.builds.get(&id) else { return };
        let mut build = Arc::clone(&open.build);
        if !build.steps.iter().map(|step| &step.name).eq(builder.job.steps.iter().map(|step| &step.name)) {
            Arc::make_mut(&mut build).steps = self.waiting_steps(&builder.job);
            if let Some(open) = self.builds.get_mut(&id) {
                open.build = Arc::clone(&build);
            }
            self.outbox.mark(Key::Build(id));
        }
        let build = (*build).clone();
        let changes = changes_of(&build.stamps).into_iter().filter_map(|change| self.changes.get(&change));
        let changes = changes.map(|open| (*open.change).clone()).collect();
        let worker = build.worker.clone();
        let order = Box::new(BuildOrder { build, changes, job: Arc::clone(&builder.job) });
        self.outbox.effect(Effect::Dispatch { worker, order });
    }

    fn waiting_steps(&self, job: &Job) -> Vec<Step> {
        let steps = job.steps.iter().zip(0_u32..).map(|(plan, number)| Step {
            number,
            name: plan.name.clone(),
            summary: String::new(),
            logs: Vec::new(),
            network: Network::default(),
            locks: self.locks_for(&plan.locks),
            lock_state: LockState::Idle,
            state: StepState::Waiting,
        });
        steps.collect()
    }

    /// When a declined request is offered to a worker again.
    pub(crate) fn bar_of(&self, request: RequestId, worker: &WorkerName) -> Option<&Bar> {
        self.bars.get(&(request, worker.clone())).filter(|bar| bar.until > self.now.steady)
    }
}

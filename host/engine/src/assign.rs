//! Assignment: which request goes to which worker. Builders compete: of all that could start, the one whose turn is earliest does.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use stampmill_model::{
    Build, BuildId, BuildOrder, BuildState, Job, Merged, Milliseconds, Network, RequestId, RequestState, Steady, Step,
    StepState, WorkerName,
};

use crate::Engine;
use crate::build::OpenBuild;
use crate::buildset::changes_of;
use crate::config::{Builder, OccasionKind};
use crate::merging;
use crate::outbox::Key;
use crate::output::{Effect, Subject};
use crate::properties;
use crate::queue::{Lane, Turn};
use crate::timers::Timer;
use crate::workers::Link;

/// What has changed since the last assignment. What has not changed can't have become possible.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wake {
    /// A worker or a builder may have room.
    everything: bool,
    /// Lanes with a request that is new, or no longer barred.
    lanes: BTreeSet<Lane>,
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

struct Placement {
    turn: Turn,
    worker: WorkerName,
}

impl Engine {
    /// A request may be possible that was not before.
    pub(crate) fn wake_request(&mut self, id: RequestId) {
        if let Some(request) = self.requests.get(&id) {
            self.wake.lanes.insert(Lane::of(request));
        }
    }

    /// Any request may be possible that was not before.
    pub(crate) fn wake_all(&mut self) {
        self.wake.everything = true;
    }

    /// Starts whatever can start.
    pub(crate) fn assign(&mut self) {
        let mut wake = std::mem::take(&mut self.wake);
        while let Some(Placement { turn, worker }) = self.next_placement(&wake) {
            self.start_build(turn.request, &worker);
            // Who stood in line before others for a lock does no longer.
            wake.everything |= !self.config.locks.is_empty();
        }
    }

    fn next_placement(&self, wake: &Wake) -> Option<Placement> {
        if self.free.is_empty() {
            return None;
        }
        if !wake.everything {
            let found = wake.lanes.iter().filter_map(|lane| self.placement_in(lane));
            return found.min_by_key(|placement| placement.turn);
        }
        let mut best: Option<Placement> = None;
        for (head, lane) in self.queue.heads() {
            if best.as_ref().is_some_and(|best| best.turn < head) {
                break;
            }
            if let Some(found) = self.placement_in(lane)
                && best.as_ref().is_none_or(|best| found.turn < best.turn)
            {
                best = Some(found);
            }
        }
        best
    }

    /// Whether some request in the queue could start now; never so between two inputs.
    pub(crate) fn is_idle_without_need(&self) -> bool {
        self.next_placement(&Wake { everything: true, lanes: BTreeSet::new() }).is_some()
    }

    /// The first of a lane that can start: on the fit worker with the most free slots, then the first of the configuration.
    fn placement_in(&self, lane: &Lane) -> Option<Placement> {
        let builder = self.builder(&lane.builder)?;
        if self.is_builder_full(builder) {
            return None;
        }
        let fits = self.fits_of(lane);
        let mut free: Vec<_> = fits.filter(|name| self.free.contains(*name) && self.has_tier(name, builder)).collect();
        if free.is_empty() {
            return None;
        }
        free.sort_by_key(|name| Reverse(self.free_slots(name)));
        for turn in self.queue.lane(lane) {
            let mut willing = free.iter().filter(|name| !self.is_barred(turn.request, name));
            if let Some(worker) = willing.find(|name| self.locked(turn, builder, name).is_none()) {
                return Some(Placement { turn, worker: (*worker).clone() });
            }
            // All of a lane want the same locks: who waits for one is overtaken only where it was declined.
            free.retain(|name| self.is_barred(turn.request, name));
            if free.is_empty() {
                return None;
            }
        }
        None
    }

    /// The workers that may run a lane, in the order of the configuration.
    pub(crate) fn fits_of(&self, lane: &Lane) -> impl Iterator<Item = &WorkerName> {
        let fits = self.lookup.fits(&lane.builder).iter().map(|position| &self.config.workers[*position].name);
        fits.filter(|name| lane.only_worker.as_ref().is_none_or(|only| only == *name))
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
        let first = (request, WorkerName::from(""));
        let of_request = self.bars.range(first..).take_while(|((id, _), _)| *id == request);
        let workers: Vec<_> = of_request.map(|((_, worker), _)| worker.clone()).collect();
        for worker in workers {
            self.timers.cancel(&Timer::Bar(request, worker.clone()));
            self.bars.remove(&(request, worker));
        }
    }

    /// Starts a build for the request whose turn it is, and for those that want the same.
    fn start_build(&mut self, first: RequestId, worker_name: &WorkerName) {
        debug_assert!(self.free.contains(worker_name), "worker {worker_name} has no free slot");
        let config = Arc::clone(&self.config);
        let Some(request) = self.requests.get(&first) else { return };
        let builder = self.lookup.builder(&request.builder).map(|position| &config.builders[position]);
        let worker = self.lookup.worker(worker_name).map(|position| &config.workers[position]);
        let (Some(builder), Some(worker)) = (builder, worker) else { return };
        let requests = self.sharing(first, builder, worker_name);
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
            worker: worker_name.clone(),
            reason: set.reason.clone(),
            owner: set.owner.clone(),
            stamps: set.stamps.clone(),
            blamelist: set.blamelist.clone(),
            properties: properties::of_build(&config, builder, worker, &set, *number),
            steps: waiting_steps(&builder.job),
            locks: self.locks_for(builder),
            started_at: self.now.wall,
            state: BuildState::Dispatched,
        };
        self.add_build(build);
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
        for change in changes_of(&build.stamps) {
            self.hold_change(change);
        }
        self.take_locks(&build);
        self.workers.entry(worker.clone()).or_default().builds.insert(id);
        self.builds.insert(id, OpenBuild::new(Arc::new(build), 0));
        self.outbox.mark(Key::Build(id));
        self.refresh_free(&worker);
    }

    /// Gives a build to its worker, with the job as it is configured now.
    pub(crate) fn dispatch(&mut self, id: BuildId, builder: &Builder) {
        let Some(open) = self.builds.get_mut(&id) else { return };
        let is_same_job =
            open.build.steps.iter().map(|step| &step.name).eq(builder.job.steps.iter().map(|step| &step.name));
        if !is_same_job {
            Arc::make_mut(&mut open.build).steps = waiting_steps(&builder.job);
            self.outbox.mark(Key::Build(id));
        }
        let build = (*open.build).clone();
        let changes = changes_of(&build.stamps).into_iter().filter_map(|change| self.changes.get(&change));
        let changes = changes.map(|open| (*open.change).clone()).collect();
        let worker = build.worker.clone();
        let order = Box::new(BuildOrder { build, changes, job: Arc::clone(&builder.job) });
        self.outbox.effect(Effect::Dispatch { worker, order });
    }

    /// When a declined request is offered to a worker again.
    pub(crate) fn bar_of(&self, request: RequestId, worker: &WorkerName) -> Option<&Bar> {
        self.bars.get(&(request, worker.clone())).filter(|bar| bar.until > self.now.steady)
    }
}

fn waiting_steps(job: &Job) -> Vec<Step> {
    let steps = job.steps.iter().zip(0_u32..).map(|(plan, number)| Step {
        number,
        name: plan.name.clone(),
        summary: String::new(),
        logs: Vec::new(),
        network: Network::default(),
        state: StepState::Waiting,
    });
    steps.collect()
}

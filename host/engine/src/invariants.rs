//! What must hold after every input. Checked in debug builds and in simulation.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use stampmill_model::{BuildState, BuildsetState, LockAccess, LockState, MergeKey, Parent, RequestState, TriggerState};

use crate::Engine;
use crate::buildset::{changes_of, outcome_of};
use crate::config::{Scheduler, SchedulerKind};
use crate::intake::Phase;
use crate::locks::LockKey;
use crate::output::{NoticeState, PingState};
use crate::queue::{Lane, Queue};
use crate::scheduling::{is_waiting, takes_changes};
use crate::superseding::Branches;
use crate::timers::Timer;

/// Something that must not be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation(
    /// What, with the ids that it concerns.
    pub String,
);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All that is wrong with an engine's state; nothing, between two inputs.
#[must_use]
pub fn check(engine: &Engine) -> Vec<Violation> {
    let mut found = Findings::default();
    requests_and_builds(engine, &mut found);
    merging(engine, &mut found);
    buildsets(engine, &mut found);
    changes(engine, &mut found);
    workers(engine, &mut found);
    locks(engine, &mut found);
    triggers(engine, &mut found);
    pings(engine, &mut found);
    timers(engine, &mut found);
    ids(engine, &mut found);
    found.0
}

#[derive(Default)]
struct Findings(Vec<Violation>);

impl Findings {
    fn expect(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.0.push(Violation(otherwise()));
        }
    }
}

fn requests_and_builds(engine: &Engine, found: &mut Findings) {
    for (id, request) in &engine.requests {
        if let RequestState::Building(build) = request.state {
            let is_mine = engine.builds.get(&build).is_some_and(|open| open.build.requests().any(|it| it == *id));
            found.expect(is_mine, || format!("request {id} is built by {build}, which is not an open build of it"));
        }
    }
    for (id, open) in &engine.builds {
        for request in open.build.requests() {
            let state = engine.requests.get(&request).map(|request| &request.state);
            found.expect(state == Some(&RequestState::Building(*id)), || {
                format!("build {id} is open, but its request {request} is {state:?}")
            });
        }
        let is_open = !matches!(open.build.state, BuildState::Finished { .. });
        found.expect(is_open, || format!("build {id} has ended and is among the open ones"));
    }
    let mut queue = Queue::default();
    for request in engine.requests.values().filter(|request| request.state == RequestState::Pending) {
        let is_asked_about = engine.timers.due(&Timer::MergeKey(request.id)).is_some();
        let is_awaited = request.merge_key == MergeKey::Awaited;
        found.expect(is_asked_about == is_awaited, || {
            format!("the merge key of request {} is awaited: {is_awaited}, not {is_asked_about}", request.id)
        });
        if !is_awaited {
            queue.insert(request, engine.kin_of(request), engine.group_of(&Lane::of(request)));
        }
    }
    found.expect(engine.queue == queue, || "the queue is not the pending requests".to_owned());
    found.expect(!engine.is_idle_without_need(), || "a request waits though it could start".to_owned());
    for (request, worker) in engine.bars.keys() {
        let is_open = engine.requests.get(request).is_some_and(|request| outcome_of(request).is_none());
        found.expect(is_open, || format!("request {request} is over, but barred from worker {worker}"));
    }
}

/// Requests that share a build belong together, and share its end.
fn merging(engine: &Engine, found: &mut Findings) {
    for (id, open) in engine.builds.iter().filter(|(_, open)| !open.build.merged.is_empty()) {
        let requests: Vec<_> = open.build.requests().filter_map(|id| engine.requests.get(&id)).collect();
        let once: BTreeSet<_> = requests.iter().map(|request| request.id).collect();
        found.expect(once.len() == requests.len(), || format!("build {id} answers a request twice"));
        let lanes: BTreeSet<_> = requests.iter().map(|request| Lane::of(request)).collect();
        found.expect(lanes.len() == 1, || format!("build {id} answers requests of {lanes:?}"));
        let kin: BTreeSet<_> = requests.iter().map(|request| engine.kin_of(request)).collect();
        let are_kin = kin.len() == 1 && !kin.contains(&None);
        found.expect(are_kin, || format!("build {id} answers requests that do not belong together: {kin:?}"));
    }
    let mut ends = BTreeMap::new();
    for request in engine.requests.values() {
        if let RequestState::Complete { outcome, build: Some(build), .. } = request.state {
            let first = *ends.entry(build).or_insert(outcome);
            let id = request.id;
            found.expect(first == outcome, || {
                format!("build {build} ended as {first} and, for request {id}, {outcome}")
            });
        }
    }
}

fn buildsets(engine: &Engine, found: &mut Findings) {
    for (id, open) in &engine.buildsets {
        let requests: Vec<_> = open.set.requests.iter().filter_map(|id| engine.requests.get(id)).collect();
        found.expect(requests.len() == open.set.requests.len(), || format!("buildset {id} misses a request"));
        let outcomes: Vec<_> = requests.iter().filter_map(|request| outcome_of(request)).collect();
        let left = requests.len() - outcomes.len();
        found.expect(left == open.left, || format!("buildset {id} has {left} requests left, not {}", open.left));
        found.expect(left > 0, || format!("buildset {id} is open though all its requests are complete"));
        let will_fail = outcomes.iter().any(|outcome| !outcome.is_good());
        found.expect(open.set.state == BuildsetState::Open { will_fail }, || {
            format!("buildset {id} is {:?}, not open with will_fail {will_fail}", open.set.state)
        });
    }
    for request in engine.requests.values() {
        let is_listed =
            engine.buildsets.get(&request.buildset).is_some_and(|open| open.set.requests.contains(&request.id));
        found.expect(is_listed, || format!("request {} belongs to no open buildset", request.id));
    }
    let keys = engine.buildsets.iter().filter_map(|(id, open)| Some((open.set.external_id.clone()?, *id)));
    let keys: BTreeMap<_, _> = keys.collect();
    let mut branches: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (id, open) in &engine.buildsets {
        if let Some(key) = Branches::of(&open.set) {
            branches.entry(key).or_default().insert(*id);
        }
    }
    found.expect(branches == engine.branches, || {
        format!("the open buildsets are of {branches:?}, not {:?}", engine.branches)
    });
    found.expect(keys == engine.external_ids, || "the external ids are not those of the open buildsets".to_owned());
}

fn changes(engine: &Engine, found: &mut Findings) {
    let mut holds = BTreeMap::new();
    for id in engine.schedulers.values().flat_map(|state| &state.batches).flat_map(|batch| &batch.changes) {
        *holds.entry(*id).or_insert(0_usize) += 1;
    }
    let in_sets = engine.buildsets.values().flat_map(|open| changes_of(&open.set.stamps));
    let in_builds = engine.builds.values().flat_map(|open| changes_of(&open.build.stamps));
    for id in in_sets.chain(in_builds) {
        *holds.entry(id).or_insert(0) += 1;
    }
    for (id, open) in &engine.changes {
        let held = holds.get(id).copied().unwrap_or(0);
        found.expect(open.holds == held, || format!("change {id} is held {held} times, not {}", open.holds));
        let change = &open.change;
        found.expect(!change.decided || held > 0, || format!("change {id} is decided and in nothing open"));
        let schedulers: BTreeSet<_> = change.decisions.iter().map(|decision| &decision.scheduler).collect();
        found.expect(schedulers.len() == change.decisions.len(), || {
            format!("a scheduler has decided twice on change {id}")
        });
        if !change.decided && change.codebase.is_some() {
            let waits =
                engine.config.schedulers.iter().all(|scheduler| {
                    schedulers.contains(&scheduler.name) || open.judging.contains_key(&scheduler.name)
                });
            found.expect(waits, || format!("change {id} is undecided and nobody is asked"));
        }
    }
}

fn workers(engine: &Engine, found: &mut Findings) {
    let mut by_worker: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    let mut running = BTreeMap::new();
    for (id, open) in &engine.builds {
        by_worker.entry(&open.build.worker).or_default().insert(*id);
        let waits = is_waiting(&open.build);
        let (kept, builder) = (engine.waiting.contains(id), &open.build.builder);
        found.expect(waits == kept, || format!("build {id} waits for what it has triggered: {waits}, not {kept}"));
        if !waits {
            *running.entry(builder.clone()).or_insert(0_u32) += 1;
        }
    }
    let mut of_projects = BTreeMap::new();
    for open in engine.builds.values().filter(|open| !is_waiting(&open.build)) {
        *of_projects.entry(open.build.project.as_str()).or_insert(0_u32) += 1;
    }
    let counted = engine.projects.all_running();
    found.expect(counted == of_projects, || format!("projects run {of_projects:?}, not {counted:?}"));
    found.expect(running == engine.running, || format!("builders run {running:?}, not {:?}", engine.running));
    for (name, state) in &engine.workers {
        let builds = by_worker.remove(name).unwrap_or_default();
        found.expect(builds == state.builds, || format!("worker {name} has {builds:?}, not {:?}", state.builds));
        let waits_for_it = engine.timers.due(&Timer::WorkerLost(name.clone())).is_some();
        let is_away_with_builds = matches!(state.link, crate::workers::Link::Away(_)) && !builds.is_empty();
        found.expect(!is_away_with_builds || waits_for_it, || format!("nobody waits for worker {name} and its builds"));
    }
    found.expect(by_worker.is_empty(), || format!("builds on unknown workers: {by_worker:?}"));
    let room = engine.room_anew();
    found.expect(engine.room == room, || format!("the index of workers is {:?}, not {room:?}", engine.room));
}

/// Open builds have their locks, and no more of them than may.
fn locks(engine: &Engine, found: &mut Findings) {
    let mut held: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for (id, open) in &engine.builds {
        for (key, access) in LockKey::of(&open.build) {
            held.entry(key).or_default().insert(*id, access);
        }
    }
    for (key, holders) in &engine.locks {
        let builds = held.remove(key).unwrap_or_default();
        found.expect(builds == holders.builds, || format!("{key} is had by {builds:?}, not {:?}", holders.builds));
        let is_alone = builds.len() == 1 || builds.values().all(|access| *access == LockAccess::Counting);
        found.expect(is_alone, || format!("{key} is had by {builds:?} at once"));
        let is_within = u32::try_from(builds.len()).is_ok_and(|held| held <= holders.most);
        found.expect(is_within, || format!("{key} is had by {builds:?}, and {} may", holders.most));
    }
    found.expect(held.is_empty(), || format!("builds have locks that nobody knows of: {held:?}"));
    let mut waiting: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for (id, open) in &engine.builds {
        let steps = open.build.steps.iter().filter(|step| step.lock_state == LockState::Waiting);
        for (key, access) in steps.flat_map(|step| LockKey::of_step(step, &open.build)) {
            waiting.entry(key).or_default().insert(*id, access);
            found.expect(engine.locked_step(*id).is_some(), || format!("a step of build {id} waits for free locks"));
        }
    }
    found.expect(waiting == engine.step_lines, || format!("steps wait for {waiting:?}, not {:?}", engine.step_lines));
}

/// A build and the sets that it has triggered know of each other.
fn triggers(engine: &Engine, found: &mut Findings) {
    for (id, open) in &engine.builds {
        for trigger in &open.build.triggers {
            let TriggerState::Open { buildset } = trigger.state else { continue };
            let parent = engine.buildsets.get(&buildset).and_then(|open| open.set.parent);
            found.expect(parent == Some(Parent::Triggered(*id)), || {
                format!("build {id} has triggered buildset {buildset}, which comes from {parent:?}")
            });
        }
    }
    for (id, open) in &engine.buildsets {
        let Some(Parent::Triggered(build)) = open.set.parent else { continue };
        let Some(parent) = engine.builds.get(&build) else { continue };
        let is_listed = parent.build.triggers.iter().any(|it| it.state == TriggerState::Open { buildset: *id });
        found.expect(is_listed, || format!("build {build} has triggered buildset {id} and does not know it"));
    }
}

/// Each wave has reached a scheduler once, and who waits in it waits for somebody in it.
fn pings(engine: &Engine, found: &mut Findings) {
    for (name, state) in &engine.schedulers {
        let waves: BTreeSet<_> = state.pings.iter().map(|ping| ping.wave).collect();
        found.expect(waves.len() == state.pings.len(), || {
            format!("{name} is pinged twice in a wave: {:?}", state.pings)
        });
        for ping in &state.pings {
            let holds = match &ping.state {
                PingState::Waiting => !engine.waits_for(name).is_empty(),
                PingState::Building(set) => {
                    engine.buildsets.get(set).is_some_and(|open| open.set.scheduler.as_ref() == Some(name))
                }
            };
            found.expect(holds, || format!("{name} is pinged for nothing: {ping:?}"));
        }
    }
}

fn timers(engine: &Engine, found: &mut Findings) {
    found.expect(engine.timers.agree(), || "the indexes of the timers differ".to_owned());
    let mut expect = |timer: Timer, at| {
        let due = engine.timers.due(&timer);
        found.expect(due == Some(at), || format!("{timer:?} is due at {due:?}, not {at:?}"));
    };
    for (name, source) in &engine.sources {
        match source.phase {
            Phase::Waiting(until) => expect(Timer::Poll(name.clone()), until),
            Phase::Stopped | Phase::Asking { .. } => {}
        }
    }
    let enabled = |scheduler: &&Scheduler| !engine.is_disabled(&scheduler.name);
    let takers = engine.config.schedulers.iter().filter(|scheduler| takes_changes(&scheduler.kind));
    for scheduler in takers.filter(enabled) {
        let batches = engine.schedulers.get(&scheduler.name).into_iter().flat_map(|state| &state.batches);
        for batch in batches {
            if let Some(at) = batch.fires_at {
                expect(Timer::Batch(scheduler.name.clone(), batch.branch.clone()), at);
            }
        }
    }
    for (id, notice) in &engine.notices {
        match notice.state {
            NoticeState::Waiting { until, .. } => expect(Timer::Report(*id), until),
            NoticeState::Sending | NoticeState::Dead { .. } => {}
        }
    }
    for scheduler in &engine.config.schedulers {
        let is_planned = engine.nights.due(&scheduler.name).is_some();
        let is_nightly = matches!(scheduler.kind, SchedulerKind::Nightly { .. }) && enabled(&scheduler);
        found.expect(is_planned == is_nightly, || {
            format!("nightly scheduler `{}` is planned: {is_planned}", scheduler.name)
        });
    }
    for (timer, _) in engine.timers.running() {
        if let Timer::Batch(name, _) | Timer::Periodic(name) = timer {
            found.expect(!engine.is_disabled(name), || format!("scheduler `{name}` is disabled and {timer:?} runs"));
        }
    }
    let (night, now) = (engine.nights.next(), engine.now.wall);
    found.expect(engine.nights.agree() && night.is_none_or(|night| night > now), || {
        format!("a night is due at {night:?}, which is past at {now:?}")
    });
    let next = engine.timers.next();
    let now = engine.now.steady;
    found
        .expect(next.is_none_or(|next| next > now), || format!("a timer is due at {next:?}, which is past at {now:?}"));
}

fn ids(engine: &Engine, found: &mut Findings) {
    let last = &engine.last;
    let fits = engine.changes.keys().next_back().is_none_or(|id| *id <= last.change)
        && engine.buildsets.keys().next_back().is_none_or(|id| *id <= last.buildset)
        && engine.requests.keys().next_back().is_none_or(|id| *id <= last.request)
        && engine.builds.keys().next_back().is_none_or(|id| *id <= last.build)
        && engine.notices.keys().next_back().is_none_or(|id| *id <= last.notice);
    found.expect(fits, || format!("an id is higher than the last one given: {last:?}"));
}

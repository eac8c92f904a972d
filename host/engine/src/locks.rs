//! Locks: which builds have which, and who is next.
//!
//! A build takes all of its locks when it starts and gives them back when it ends. Whoever waits for a lock, and has a worker that could run it,
//! stands in line by the order of turns. A lock is taken only where those who stand before could take it as well, so nobody waits for ever.
//! Steps of builds that run come before all of them; that is in [`steps`]. The rules are in `docs/decisions/0010-locks-are-taken-all-at-once.md`.

mod steps;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;

use stampmill_model::{
    Build, BuildId, HeldLock, LockAccess, LockName, LockScope, LockState, LockUse, Step, WorkerName,
};

use crate::Engine;
use crate::config::{Builder, Lock};
use crate::pools::Who;
use crate::queue::{Lane, Turn};

/// A lock, or that of one worker.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct LockKey {
    name: LockName,
    worker: Option<WorkerName>,
}

impl LockKey {
    /// The lock that a build on this worker takes.
    fn new(name: &LockName, scope: LockScope, worker: &WorkerName) -> Self {
        let worker = match scope {
            LockScope::Host => None,
            LockScope::Worker => Some(worker.clone()),
        };
        Self { name: name.clone(), worker }
    }

    /// The locks that a build has, those of its steps among them.
    pub(crate) fn of(build: &Build) -> impl Iterator<Item = (Self, LockAccess)> {
        let steps = build.steps.iter().filter(|step| step.lock_state == LockState::Held);
        Self::all(&build.locks, build).chain(steps.flat_map(|step| Self::of_step(step, build)))
    }

    /// The locks of a step, whether it has them or not.
    pub(crate) fn of_step<'a>(step: &'a Step, build: &'a Build) -> impl Iterator<Item = (Self, LockAccess)> {
        Self::all(&step.locks, build)
    }

    fn all<'a>(locks: &'a [HeldLock], build: &'a Build) -> impl Iterator<Item = (Self, LockAccess)> {
        locks.iter().map(|held| (Self::new(&held.name, held.scope, &build.worker), held.access))
    }
}

impl fmt::Display for LockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.worker {
            None => write!(f, "lock `{}`", self.name),
            Some(worker) => write!(f, "lock `{}` of worker `{worker}`", self.name),
        }
    }
}

/// The builds that have a lock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holders {
    pub(crate) builds: BTreeMap<BuildId, LockAccess>,
    /// How many might have it when the last of them took it. A configuration that allows fewer ends none of them.
    pub(crate) most: u32,
}

/// Why a request can't have a lock now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Locked {
    key: LockKey,
    by: By,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum By {
    /// This build has it.
    Build(BuildId),
    /// A step of this build stands in line before.
    Step(BuildId),
    /// Those who stand in line before.
    Line,
}

impl Engine {
    /// The locks of a build that starts, or of one of its steps.
    pub(crate) fn locks_for(&self, uses: &[LockUse]) -> Vec<HeldLock> {
        let wanted = uses.iter().filter_map(|wanted| Some((self.lock(&wanted.name)?, wanted.access)));
        wanted.map(|(lock, access)| HeldLock { name: lock.name.clone(), scope: lock.scope, access }).collect()
    }

    /// Whether a build has, and will want in its steps, what a builder says now.
    pub(crate) fn has_locks_of(&self, build: &Build, builder: &Builder) -> bool {
        let configured = builder.job.steps.iter().flat_map(|step| self.locks_for(&step.locks));
        build.locks == self.locks_for(&builder.locks)
            && build.steps.iter().flat_map(|step| step.locks.clone()).eq(configured)
    }

    /// A build has its locks from now on.
    pub(crate) fn take_locks(&mut self, build: &Build) {
        for (key, access) in LockKey::of(build) {
            self.take_lock(key, access, build.id);
        }
    }

    fn take_lock(&mut self, key: LockKey, access: LockAccess, build: BuildId) {
        let count = self.lock(&key.name).map_or(0, |lock| lock.count);
        let holders = self.locks.entry(key).or_default();
        holders.builds.insert(build, access);
        let held = u32::try_from(holders.builds.len()).unwrap_or(u32::MAX);
        // At start the configuration may allow fewer than there are.
        holders.most = count.max(held);
    }

    /// A build has its locks no longer.
    pub(crate) fn release_locks(&mut self, build: &Build) {
        let keys: Vec<_> = LockKey::of(build).map(|(key, _)| key).collect();
        for key in keys {
            self.release_lock(&key, build.id);
        }
    }

    /// A lock is free, for the steps that wait for it first.
    fn release_lock(&mut self, key: &LockKey, build: BuildId) {
        if let Some(holders) = self.locks.get_mut(key) {
            holders.builds.remove(&build);
            if holders.builds.is_empty() {
                self.locks.remove(key);
            }
        }
        self.serve_step_line(key);
        self.wake_lock(&key.name);
    }

    /// Why a request can't start on a worker, if that is for a lock.
    pub(crate) fn locked(&self, turn: Turn, builder: &Builder, worker: &WorkerName) -> Option<Locked> {
        self.locked_on_host(turn, builder).or_else(|| self.locked_on_worker(turn, builder, worker))
    }

    /// Why a request can't start on any worker, if that is for a lock.
    pub(crate) fn locked_on_host(&self, turn: Turn, builder: &Builder) -> Option<Locked> {
        self.locked_by(LockScope::Host, turn, builder, || None)
    }

    /// Why a request can't start on a worker, if that is for a lock of the worker.
    pub(crate) fn locked_on_worker(&self, turn: Turn, builder: &Builder, worker: &WorkerName) -> Option<Locked> {
        self.locked_by(LockScope::Worker, turn, builder, || Some(worker.clone()))
    }

    fn locked_by(
        &self,
        scope: LockScope,
        turn: Turn,
        builder: &Builder,
        worker: impl Fn() -> Option<WorkerName>,
    ) -> Option<Locked> {
        let key = |wanted: &LockUse| {
            let lock = self.lock(&wanted.name).filter(|lock| lock.scope == scope)?;
            Some((LockKey { name: lock.name.clone(), worker: worker() }, lock))
        };
        let kept = builder.locks.iter().find_map(|wanted| {
            let (key, lock) = key(wanted)?;
            let by = self.kept_by(&key, lock, wanted.access, turn)?;
            Some(Locked { key, by })
        });
        // Its steps would come before those who stand in line: it does not begin while they do.
        kept.or_else(|| {
            builder.job.locks_of_steps().find_map(|wanted| {
                let (key, _) = key(wanted)?;
                self.in_line(&key, Some(turn)).next()?;
                Some(Locked { key, by: By::Line })
            })
        })
    }

    /// Who of those that have a lock, or stand in line for it, keeps this access from it.
    fn kept_by(&self, key: &LockKey, lock: &Lock, access: LockAccess, turn: Turn) -> Option<By> {
        let mut room = usize::try_from(lock.count).unwrap_or(usize::MAX);
        if let Some(by) = self.kept_by_builds(key, &mut room, access, None) {
            return Some(by);
        }
        for (_, before) in self.in_line(key, Some(turn)) {
            room = room.saturating_sub(1);
            if room == 0 || before == LockAccess::Exclusive || access == LockAccess::Exclusive {
                return Some(By::Line);
            }
        }
        None
    }

    /// Who of the builds that have a lock, or have a step in line for it before another's, keeps this access from it. Takes from the room what they have.
    fn kept_by_builds(
        &self,
        key: &LockKey,
        room: &mut usize,
        access: LockAccess,
        before: Option<BuildId>,
    ) -> Option<By> {
        let held = self.locks.get(key).and_then(|holders| keeps(holders.builds.iter(), room, access)).map(By::Build);
        let before = (Bound::Unbounded, before.map_or(Bound::Unbounded, Bound::Excluded));
        held.or_else(|| self.step_lines.get(key).and_then(|line| keeps(line.range(before), room, access)).map(By::Step))
    }

    /// Who stands in line for a lock, before a turn where one is given: of each lane the first, in no order of turns.
    fn in_line(&self, key: &LockKey, before: Option<Turn>) -> impl Iterator<Item = (Turn, LockAccess)> {
        let is_before = move |turn: &Turn| before.is_none_or(|before| *turn < before);
        let lists = self.lookup.lists_of(&key.name).filter_map(|(list, access)| Some((list, access?)));
        lists.flat_map(move |(list, access)| {
            let groups = self.queue.groups_with_locks(list);
            let groups = groups.filter(|it| self.is_there(it.who, key) && !self.projects.is_full(it.project));
            let heads =
                groups.flat_map(move |group| self.queue.heads(group).take_while(move |(turn, _)| is_before(turn)));
            let first = heads.filter_map(|(head, lane)| self.first_in_line(key, head, lane));
            first.filter(is_before).map(move |turn| (turn, access))
        })
    }

    /// Whether a worker is there, busy or not, for which this lock would do.
    fn is_there(&self, who: Who, key: &LockKey) -> bool {
        let Some(name) = &key.worker else { return self.room.has_any(who) };
        let Some(worker) = self.lookup.worker(name) else { return false };
        match who {
            Who::Pool(pool) => {
                let mut pools = self.lookup.pools_of(worker);
                pools.any(|(of, tier)| of == pool && self.room.has(worker, tier))
            }
            Who::Only(only, tier) => only == worker && self.room.has(worker, tier),
        }
    }

    /// The first of a lane that a worker could run which is there, busy or not.
    fn first_in_line(&self, key: &LockKey, head: Turn, lane: &Lane) -> Option<Turn> {
        if self.bars.is_empty() {
            return Some(head);
        }
        let builder = self.builder(&lane.builder)?;
        let fits = self.lookup.fits(&lane.builder).iter();
        let there = fits.filter(|worker| self.room.has(**worker, builder.tier));
        let names = there.map(|worker| &self.config.workers[*worker].name);
        let names = names.filter(|name| {
            key.worker.as_ref().is_none_or(|worker| worker == *name)
                && lane.only_worker.as_ref().is_none_or(|only| only == *name)
        });
        let names: Vec<_> = names.collect();
        self.queue.lane(lane).find(|turn| names.iter().any(|name| !self.is_barred(turn.request, name)))
    }

    fn lock(&self, name: &LockName) -> Option<&Lock> {
        self.lookup.lock(name).map(|position| &self.config.locks[position])
    }

    /// Who keeps a request from a lock, in words.
    pub(crate) fn explain_locked(&self, locked: &Locked) -> String {
        let Locked { key, by } = locked;
        match by {
            By::Build(id) => match self.builds.get(id).map(|open| &open.build) {
                Some(build) => {
                    format!("waits for {key}, which build {} of builder `{}` has", build.number, build.builder)
                }
                None => format!("waits for {key}"),
            },
            By::Step(id) => match self.builds.get(id).map(|open| &open.build) {
                Some(build) => format!(
                    "waits for {key}, for which a step of build {} of builder `{}` is next",
                    build.number, build.builder
                ),
                None => format!("waits for {key}"),
            },
            By::Line => match self.in_line(key, None).min().and_then(|(turn, _)| self.requests.get(&turn.request)) {
                Some(next) => {
                    format!("waits for {key}, for which request {} of builder `{}` is next", next.id, next.builder)
                }
                None => format!("waits for {key}"),
            },
        }
    }
}

/// Who of these builds keeps an access from a lock with so much room. Takes from the room what they have or want.
fn keeps<'a>(
    builds: impl Iterator<Item = (&'a BuildId, &'a LockAccess)> + Clone,
    room: &mut usize,
    access: LockAccess,
) -> Option<BuildId> {
    let alone = builds.clone().find(|(_, access)| **access == LockAccess::Exclusive);
    let count = builds.clone().count();
    let is_full = access == LockAccess::Exclusive || count >= *room;
    *room = room.saturating_sub(count);
    alone.or_else(|| builds.clone().next().filter(|_| is_full)).map(|(build, _)| *build)
}

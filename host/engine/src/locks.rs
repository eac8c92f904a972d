//! Locks: which builds have which, and who is next.
//!
//! A build takes all of its locks when it starts and gives them back when it ends: nobody waits with a lock in hand, so there is no deadlock.
//! Whoever waits for a lock, and has a worker that could run it, stands in line by the order of turns. A lock is taken only where
//! those who stand before could take it as well, so nobody waits for ever. The rule is in `docs/decisions/0010-locks-are-taken-all-at-once.md`.

use std::collections::BTreeMap;
use std::fmt;

use stampmill_model::{Build, BuildId, HeldLock, LockAccess, LockName, LockScope, RequestId, WorkerName};

use crate::Engine;
use crate::config::{Builder, Lock};
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

    /// The locks that a build has.
    pub(crate) fn of(build: &Build) -> impl Iterator<Item = (Self, LockAccess)> {
        build.locks.iter().map(|held| (Self::new(&held.name, held.scope, &build.worker), held.access))
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
    /// This request stands in line before.
    Request(RequestId),
}

/// Who of those that have a lock, or stand in line for it, keeps this access from it.
fn kept_by(taken: &[(By, LockAccess)], access: LockAccess, count: u32) -> Option<By> {
    let is_full = u32::try_from(taken.len()).is_ok_and(|taken| taken >= count);
    let alone = taken.iter().find(|(_, access)| *access == LockAccess::Exclusive);
    let by = match access {
        LockAccess::Counting if !is_full => alone,
        LockAccess::Counting | LockAccess::Exclusive => alone.or_else(|| taken.first()),
    };
    by.map(|(by, _)| *by)
}

impl Engine {
    /// The locks of a build that starts.
    pub(crate) fn locks_for(&self, builder: &Builder) -> Vec<HeldLock> {
        let wanted = builder.locks.iter().filter_map(|wanted| Some((self.lock(&wanted.name)?, wanted.access)));
        wanted.map(|(lock, access)| HeldLock { name: lock.name.clone(), scope: lock.scope, access }).collect()
    }

    /// A build has its locks from now on.
    pub(crate) fn take_locks(&mut self, build: &Build) {
        for (key, access) in LockKey::of(build) {
            let count = self.lock(&key.name).map_or(0, |lock| lock.count);
            let holders = self.locks.entry(key).or_default();
            holders.builds.insert(build.id, access);
            let held = u32::try_from(holders.builds.len()).unwrap_or(u32::MAX);
            // At start the configuration may allow fewer than there are.
            holders.most = count.max(held);
        }
    }

    /// A build has its locks no longer.
    pub(crate) fn release_locks(&mut self, build: &Build) {
        for (key, _) in LockKey::of(build) {
            let Some(holders) = self.locks.get_mut(&key) else { continue };
            holders.builds.remove(&build.id);
            if holders.builds.is_empty() {
                self.locks.remove(&key);
            }
        }
    }

    /// Why a request can't start on a worker, if that is for a lock.
    pub(crate) fn locked(&self, turn: Turn, builder: &Builder, worker: &WorkerName) -> Option<Locked> {
        builder.locks.iter().find_map(|wanted| {
            let lock = self.lock(&wanted.name)?;
            let key = LockKey::new(&lock.name, lock.scope, worker);
            let held = self.locks.get(&key).into_iter().flat_map(|holders| &holders.builds);
            let mut taken: Vec<_> = held.map(|(build, access)| (By::Build(*build), *access)).collect();
            // The line is long to look at, and says nothing new where those who have the lock leave no room.
            let by = kept_by(&taken, wanted.access, lock.count).or_else(|| {
                let before = self.in_line(&key).into_iter().filter(|(before, _)| *before < turn);
                taken.extend(before.map(|(turn, access)| (By::Request(turn.request), access)));
                kept_by(&taken, wanted.access, lock.count)
            });
            by.map(|by| Locked { key, by })
        })
    }

    /// Who stands in line for a lock: the first of each lane.
    fn in_line(&self, key: &LockKey) -> Vec<(Turn, LockAccess)> {
        let mut line = Vec::new();
        for name in self.lookup.users_of_lock(&key.name) {
            let Some(builder) = self.builder(name).filter(|builder| !self.is_builder_full(builder)) else { continue };
            let wanted = builder.locks.iter().find(|wanted| wanted.name == key.name);
            let Some(access) = wanted.map(|wanted| wanted.access) else { continue };
            for lane in self.queue.lanes_of(name) {
                line.extend(self.first_in_line(key, lane, builder).map(|turn| (turn, access)));
            }
        }
        line
    }

    /// The first of a lane that a worker could run which is there, busy or not.
    fn first_in_line(&self, key: &LockKey, lane: &Lane, builder: &Builder) -> Option<Turn> {
        let there = self.fits_of(lane).filter(|name| {
            key.worker.as_ref().is_none_or(|worker| worker == *name)
                && self.takes_builds(name)
                && self.has_tier(name, builder)
        });
        let there: Vec<_> = there.collect();
        if there.is_empty() {
            return None;
        }
        self.queue.lane(lane).find(|turn| there.iter().any(|name| !self.is_barred(turn.request, name)))
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
            By::Request(id) => match self.requests.get(id) {
                Some(request) => {
                    format!("waits for {key}, for which request {id} of builder `{}` is next", request.builder)
                }
                None => format!("waits for {key}"),
            },
        }
    }
}

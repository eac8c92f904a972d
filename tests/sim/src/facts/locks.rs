//! Locks, as decision 10 has them: who has one, and who stands in line for it.

use stampmill_engine::config::{Builder, Lock};
use stampmill_model::{Build, HeldLock, LockAccess, LockName, LockScope, LockState, Request, WorkerName};

use super::{Facts, turn};

/// A lock, or that of one worker.
pub(crate) type Key = (LockName, Option<WorkerName>);

pub(crate) fn key(name: &LockName, scope: LockScope, worker: &WorkerName) -> Key {
    (name.clone(), (scope == LockScope::Worker).then(|| worker.clone()))
}

impl Facts {
    pub(crate) fn lock(&self, name: &LockName) -> Option<&Lock> {
        self.config.locks.iter().find(|lock| lock.name == *name)
    }

    /// What a build of a builder has to have.
    pub(crate) fn locks_of(&self, builder: &Builder) -> Vec<HeldLock> {
        let locks = builder.locks.iter().filter_map(|wanted| {
            let lock = self.lock(&wanted.name)?;
            Some(HeldLock { name: lock.name.clone(), scope: lock.scope, access: wanted.access })
        });
        locks.collect()
    }

    /// The open builds that have a lock.
    pub(crate) fn holders(&self, of: &Key) -> Vec<(&Build, LockAccess)> {
        let builds = self.said.open_builds();
        let held = builds.flat_map(|build| {
            let steps = build.steps.iter().filter(|step| step.lock_state == LockState::Held);
            build.locks.iter().chain(steps.flat_map(|step| &step.locks)).map(move |lock| (build.as_ref(), lock))
        });
        let held = held.filter(|(build, lock)| key(&lock.name, lock.scope, &build.worker) == *of);
        held.map(|(build, lock)| (build, lock.access)).collect()
    }

    /// The open builds of which a step waits for a lock.
    pub(crate) fn steps_in_line(&self, of: &Key) -> Vec<(&Build, LockAccess)> {
        let waiting = self.said.open_builds().flat_map(|build| {
            let steps = build.steps.iter().filter(|step| step.lock_state == LockState::Waiting);
            steps.flat_map(|step| &step.locks).map(move |lock| (build.as_ref(), lock))
        });
        let waiting = waiting.filter(|(build, lock)| key(&lock.name, lock.scope, &build.worker) == *of);
        waiting.map(|(build, lock)| (build, lock.access)).collect()
    }

    /// Who waits for a lock and has a worker that is there, busy or not, for which it would do; with those whose builder has no room for another
    /// build, or without them.
    pub(crate) fn line(&self, of: &Key, with_full: bool) -> Vec<(&Request, LockAccess)> {
        let waiting = self.said.pending().filter_map(|request| {
            let builder = self.builder(&request.builder).filter(|it| with_full || !self.is_full(it))?;
            let wanted = builder.locks.iter().find(|wanted| wanted.name == of.0)?;
            let mut there = self.connected.keys().filter(|name| of.1.as_ref().is_none_or(|worker| worker == *name));
            let stands = there.any(|name| {
                self.slots(name) > 0 && self.fits(request, builder, name) && !self.is_barred(request.id, name)
            });
            stands.then_some((request.as_ref(), wanted.access))
        });
        waiting.collect()
    }

    /// Whether a request of a builder has to wait for a lock that it needs on a worker: because of those who have it, of steps that wait for it and
    /// of all those who stand in line before; or for one that a step of it will need, because of those in line before.
    pub(crate) fn is_locked(&self, request: &Request, builder: &Builder, worker: &WorkerName, with_full: bool) -> bool {
        let before = |key: &Key| {
            let line = self.line(key, with_full).into_iter();
            let before = line.filter(|(before, _)| turn(before) < turn(request));
            before.map(|(_, access)| access).collect::<Vec<_>>()
        };
        let of_steps = builder.job.locks_of_steps().filter_map(|wanted| self.lock(&wanted.name));
        let mut of_steps = of_steps.map(|lock| key(&lock.name, lock.scope, worker));
        self.locks_of(builder).iter().any(|wanted| {
            let key = key(&wanted.name, wanted.scope, worker);
            let builds = self.holders(&key).into_iter().chain(self.steps_in_line(&key)).map(|(_, access)| access);
            let taken: Vec<_> = builds.chain(before(&key)).collect();
            let count = self.lock(&wanted.name).map_or(0, |lock| lock.count);
            !has_room(&taken, wanted.access, count)
        }) || of_steps.any(|key| !before(&key).is_empty())
    }
}

/// Whether a builder or a step of it wants a lock.
pub(crate) fn wants_any(builder: &Builder) -> bool {
    !builder.locks.is_empty() || builder.job.locks_of_steps().next().is_some()
}

/// Whether one more can have a lock beside others.
pub(crate) fn has_room(taken: &[LockAccess], wanted: LockAccess, count: u32) -> bool {
    match wanted {
        LockAccess::Exclusive => taken.is_empty(),
        LockAccess::Counting => {
            u32::try_from(taken.len()).is_ok_and(|taken| taken < count) && !taken.contains(&LockAccess::Exclusive)
        }
    }
}

//! Locks of steps. A build that runs stops before such a step until it has all locks of it, and gives them back when the step ends.
//!
//! It may wait with the locks of its builder in hand. Therefore the configuration allows no circle of locks that builders have while their
//! steps want others, and a step waits for nobody but those who have a lock and for steps of earlier builds.

use std::sync::Arc;

use stampmill_model::{Build, BuildId, LockState, Step};

use super::{LockKey, Locked};
use crate::Engine;
use crate::outbox::Key;
use crate::output::Effect;

impl Engine {
    /// A step is next, and wants its locks.
    pub(crate) fn want_step_locks(&mut self, id: BuildId, number: u32) {
        let Some(open) = self.builds.get_mut(&id) else { return };
        let step = open.build.steps.get(number as usize).filter(|step| step.is_to_come());
        if step.is_none() || open.build.steps.iter().any(|step| step.lock_state != LockState::Idle) {
            let worker = &open.build.worker;
            self.outbox.warn(format!("worker `{worker}`, build {id}: step {number} wants locks out of turn"));
            return;
        }
        let build = Arc::make_mut(&mut open.build);
        build.steps[number as usize].lock_state = LockState::Waiting;
        let build = Arc::clone(&open.build);
        self.join_step_lines(&build);
        self.take_step_locks(id);
    }

    /// A build stands in line for what its step waits for.
    pub(crate) fn join_step_lines(&mut self, build: &Build) {
        for (key, access) in waiting(build).into_iter().flat_map(|step| LockKey::of_step(step, build)) {
            self.step_lines.entry(key).or_default().insert(build.id, access);
        }
    }

    /// A step of a build, or the build, ends: it has the step's locks no longer, nor does it wait for them.
    pub(crate) fn release_step_locks(&mut self, id: BuildId, number: Option<u32>) {
        let Some(open) = self.builds.get_mut(&id) else { return };
        let is_meant = |step: &Step| number.is_none_or(|number| step.number == number);
        let mut steps = open.build.steps.iter();
        let Some(position) = steps.position(|step| step.lock_state != LockState::Idle && is_meant(step)) else {
            return;
        };
        let build = Arc::make_mut(&mut open.build);
        let state = std::mem::take(&mut build.steps[position].lock_state);
        let keys: Vec<_> = LockKey::of_step(&build.steps[position], build).map(|(key, _)| key).collect();
        for key in keys {
            match state {
                LockState::Held => self.release_lock(&key, id),
                LockState::Waiting => {
                    self.leave_step_line(&key, id);
                    self.serve_step_line(&key);
                    self.wake_lock(&key.name);
                }
                LockState::Idle => {}
            }
        }
    }

    fn leave_step_line(&mut self, key: &LockKey, id: BuildId) {
        let Some(line) = self.step_lines.get_mut(key) else { return };
        line.remove(&id);
        if line.is_empty() {
            self.step_lines.remove(key);
        }
    }

    /// A lock may be free for steps that wait for it.
    pub(super) fn serve_step_line(&mut self, key: &LockKey) {
        let Some(line) = self.step_lines.get(key) else { return };
        let line: Vec<_> = line.keys().copied().collect();
        for id in line {
            self.take_step_locks(id);
        }
    }

    /// The configuration may allow more than before.
    pub(crate) fn serve_step_lines(&mut self) {
        let keys: Vec<_> = self.step_lines.keys().cloned().collect();
        for key in keys {
            self.serve_step_line(&key);
        }
    }

    /// A step that waits gets its locks, if all of them are free.
    fn take_step_locks(&mut self, id: BuildId) {
        if self.locked_step(id).is_some() {
            return;
        }
        let Some(open) = self.builds.get_mut(&id) else { return };
        let Some(position) = open.build.steps.iter().position(|step| step.lock_state == LockState::Waiting) else {
            return;
        };
        let build = Arc::make_mut(&mut open.build);
        build.steps[position].lock_state = LockState::Held;
        let keys: Vec<_> = LockKey::of_step(&build.steps[position], build).collect();
        for (key, access) in keys {
            self.leave_step_line(&key, id);
            self.take_lock(key, access, id);
        }
        self.outbox.mark(Key::Build(id));
        self.tell_locks(id);
    }

    /// The step of a build that waits for locks, and what keeps it from them.
    pub(crate) fn locked_step(&self, id: BuildId) -> Option<(&Step, Locked)> {
        let build = &self.builds.get(&id)?.build;
        let step = waiting(build)?;
        let mut keys = LockKey::of_step(step, build);
        keys.find_map(|(key, access)| {
            // One that has left the configuration lets one in after the other.
            let count = self.lock(&key.name).map_or(1, |lock| lock.count);
            let mut room = usize::try_from(count).unwrap_or(usize::MAX);
            let by = self.kept_by_builds(&key, &mut room, access, Some(id))?;
            Some((step, Locked { key, by }))
        })
    }

    /// Tells a worker that a step has its locks; it may not have heard it before a cut.
    pub(crate) fn tell_locks(&mut self, id: BuildId) {
        let Some(build) = self.builds.get(&id).map(|open| &open.build) else { return };
        let Some(step) = build.steps.iter().find(|step| step.lock_state == LockState::Held) else { return };
        let effect = Effect::TellLocks { worker: build.worker.clone(), build: id, step: step.number };
        self.outbox.effect(effect);
    }
}

fn waiting(build: &Build) -> Option<&Step> {
    build.steps.iter().find(|step| step.lock_state == LockState::Waiting)
}

//! Nightly: builds at times of the clock on the wall, which may jump. A time that passed while the host was down is made up for once.

use std::sync::Arc;

use stampmill_model::{Change, Milliseconds, SchedulerName, Steady, Verdict, Wall};

use crate::Engine;
use crate::config::SchedulerKind;
use crate::limits::{CLOCK_AHEAD_MOST, CLOCK_LOOK_EVERY};
use crate::outbox::Key;

impl Engine {
    /// Plans the nightly schedulers as the configuration and the clock say.
    pub(crate) fn sync_nightly(&mut self) {
        let config = Arc::clone(&self.config);
        let now = self.now.wall;
        let planned = std::mem::take(&mut self.nights);
        for scheduler in &config.schedulers {
            let SchedulerKind::Nightly { .. } = scheduler.kind else { continue };
            let name = &scheduler.name;
            if self.is_disabled(name) {
                continue;
            }
            let state = self.schedulers.entry(name.clone()).or_default();
            // What is done in a future that the clock has taken back is not done.
            let done = state.done_until.filter(|done| *done <= now + CLOCK_AHEAD_MOST);
            // A host that runs misses nothing: a calendar that is new to it counts from now on.
            let is_same = |done: &Wall| self.generation == 0 || planned.due(name) == next_after(&scheduler.kind, *done);
            let done = done.filter(is_same).unwrap_or(now);
            if state.done_until.replace(done) != Some(done) {
                self.outbox.mark(Key::Scheduler(name.clone()));
            }
            self.plan_night(name, &scheduler.kind, done);
        }
    }

    /// Plans the first time after what is done.
    pub(crate) fn plan_night(&mut self, name: &SchedulerName, kind: &SchedulerKind, done: Wall) {
        if let Some(next) = next_after(kind, done) {
            self.nights.set(name.clone(), next);
        }
    }

    /// When to look at the clock for the next night: it may have been put forward meanwhile.
    pub(crate) fn next_look_at_clock(&self) -> Option<Steady> {
        let ahead = Milliseconds(self.nights.next()?.0.saturating_sub(self.now.wall.0));
        Some(self.now.steady + ahead.min(CLOCK_LOOK_EVERY))
    }

    /// Builds, if there is something to build, and plans the next time.
    pub(crate) fn fire_nightly(&mut self, name: &SchedulerName) {
        let config = Arc::clone(&self.config);
        let Some(scheduler) = self.lookup.scheduler(name).map(|position| &config.schedulers[position]) else { return };
        let SchedulerKind::Nightly { only_if_changed, .. } = &scheduler.kind else { return };
        let now = self.now.wall;
        let state = self.schedulers.entry(name.clone()).or_default();
        let done = state.done_until.replace(now).unwrap_or(now);
        self.outbox.mark(Key::Scheduler(name.clone()));
        self.plan_night(name, &scheduler.kind, now);
        let Some(changed) = only_if_changed else { return self.build_defaults(scheduler) };
        let is_forced = changed.force_at.as_ref().and_then(|at| at.next_after(done)).is_some_and(|at| at <= now);
        let batch = self.schedulers.get(name).and_then(|state| state.batches.first());
        let waiting = batch.iter().flat_map(|batch| &batch.changes).filter_map(|id| self.changes.get(id));
        let mut waiting = waiting.map(|open| is_important(name, &open.change)).peekable();
        match (waiting.peek().is_some(), is_forced) {
            (false, true) => self.build_defaults(scheduler),
            (true, _) if is_forced || waiting.any(|important| important) => self.fire_batch(name, None),
            _ => {}
        }
    }
}

/// Whether a scheduler's filters have called a change important.
pub(super) fn is_important(scheduler: &SchedulerName, change: &Change) -> bool {
    let mut decisions = change.decisions.iter();
    decisions.any(|decision| decision.scheduler == *scheduler && decision.verdict == Verdict::Important)
}

fn next_after(kind: &SchedulerKind, done: Wall) -> Option<Wall> {
    let SchedulerKind::Nightly { at, only_if_changed } = kind else { return None };
    let forced = only_if_changed.iter().filter_map(|changed| changed.force_at.as_ref());
    forced.chain([at]).filter_map(|calendar| calendar.next_after(done)).min()
}

//! Batches: changes that wait until the tree is quiet, or until an important one comes along.

use std::sync::Arc;

use stampmill_model::{Change, ChangeId, Milliseconds, Properties, Property, PropertySource, SchedulerName};

use super::nightly::is_important;
use super::stamps;
use crate::Engine;
use crate::buildset::NewBuildset;
use crate::config::{Scheduler, SchedulerKind};
use crate::limits::{BATCH_CHANGES_MOST, BATCHES_MOST};
use crate::outbox::Key;
use crate::output::{Batch, SchedulerState};
use crate::timers::Timer;

impl Engine {
    /// Puts a change with the others that wait. An important one starts the timer; any that joins while it runs starts it anew.
    pub(crate) fn join_batch(&mut self, scheduler: &Scheduler, id: ChangeId, important: bool) {
        let Some(open) = self.changes.get(&id) else { return };
        let branch = branch_of_batch(&scheduler.kind, &open.change);
        self.hold_change(id);
        self.outbox.mark(Key::Scheduler(scheduler.name.clone()));
        let state = self.schedulers.entry(scheduler.name.clone()).or_default();
        let batch = batch_for(state, branch.clone());
        let position = batch.changes.partition_point(|other| *other < id);
        batch.changes.insert(position, id);
        let full = batch.changes.len() >= BATCH_CHANGES_MOST;
        let waited_for = batch.fires_at.is_some();
        if let SchedulerKind::Nightly { .. } = scheduler.kind {
            return self.bound_waiting(&scheduler.name, branch.as_deref());
        }
        let will_fire = important || waited_for;
        match stable_for(&scheduler.kind) {
            Some(length) if will_fire && !full => {
                let at = self.now.steady + length;
                batch.fires_at = Some(at);
                self.timers.set(Timer::Batch(scheduler.name.clone(), branch), at);
            }
            // Built is the important change itself: what came after it may stand behind one that is not judged yet, which is built on its own.
            None if important && !waited_for => self.fire_up_to(&scheduler.name, branch.as_deref(), id),
            Some(_) | None if will_fire => self.fire_batch(&scheduler.name, branch.as_deref()),
            Some(_) | None => self.bound_waiting(&scheduler.name, branch.as_deref()),
        }
    }

    /// Changes that nothing builds could pile up for ever: the oldest leave, unimportant ones first.
    fn bound_waiting(&mut self, name: &SchedulerName, branch: Option<&str>) {
        let Some(state) = self.schedulers.get_mut(name) else { return };
        let mut left = Vec::new();
        if let Some(batch) = state.batches.iter_mut().find(|batch| batch.branch.as_deref() == branch)
            && batch.changes.len() > BATCH_CHANGES_MOST
        {
            let is_unimportant = |id| self.changes.get(id).is_none_or(|open| !is_important(name, &open.change));
            left.push(batch.changes.remove(batch.changes.iter().position(is_unimportant).unwrap_or(0)));
        }
        if state.batches.len() > BATCHES_MOST
            && let Some(position) = state.batches.iter().position(|batch| batch.fires_at.is_none())
        {
            left.extend(state.batches.remove(position).changes);
        }
        for id in left {
            self.release_change(id);
        }
    }

    /// The batch becomes a buildset but for what came after this change, which waits on.
    fn fire_up_to(&mut self, name: &SchedulerName, branch: Option<&str>, last: ChangeId) {
        let Some(state) = self.schedulers.get_mut(name) else { return };
        let Some(batch) = state.batches.iter_mut().find(|batch| batch.branch.as_deref() == branch) else { return };
        let later = batch.changes.split_off(batch.changes.partition_point(|id| *id <= last));
        self.fire_batch(name, branch);
        if let (false, Some(state)) = (later.is_empty(), self.schedulers.get_mut(name)) {
            state.batches.push(Batch { branch: branch.map(str::to_owned), changes: later, fires_at: None });
        }
    }

    /// The tree is quiet: the batch becomes a buildset.
    pub(crate) fn fire_batch(&mut self, name: &SchedulerName, branch: Option<&str>) {
        let config = Arc::clone(&self.config);
        let Some(scheduler) = self.lookup.scheduler(name).map(|position| &config.schedulers[position]) else { return };
        let Some(state) = self.schedulers.get_mut(name) else { return };
        let Some(position) = state.batches.iter().position(|batch| batch.branch.as_deref() == branch) else { return };
        let batch = state.batches.remove(position);
        self.timers.cancel(&Timer::Batch(name.clone(), batch.branch));
        self.outbox.mark(Key::Scheduler(name.clone()));
        let changes = batch.changes.iter().filter_map(|id| self.changes.get(id));
        let changes: Vec<_> = changes.map(|open| Arc::clone(&open.change)).collect();
        let new = NewBuildset {
            stamps: stamps::of_changes(&scheduler.codebases, &changes, |default| self.untouched(scheduler, default)),
            authors: changes.iter().map(|change| change.seen.author.clone()).collect(),
            properties: properties_of(&changes),
            ..NewBuildset::default()
        };
        drop(changes);
        self.submit_for(scheduler, new);
        for id in batch.changes {
            self.release_change(id);
        }
    }

    /// Starts and stops timers as the configuration says, and sorts batches by branch anew where a scheduler has changed its kind.
    pub(crate) fn sync_batches(&mut self) {
        let config = Arc::clone(&self.config);
        let running: Vec<_> = self.timers.running().map(|(timer, _)| timer.clone()).collect();
        for timer in running.iter().filter(|timer| matches!(timer, Timer::Batch(..))) {
            self.timers.cancel(timer);
        }
        for scheduler in &config.schedulers {
            if !takes_changes(&scheduler.kind) {
                continue;
            }
            self.regroup(scheduler);
            if !self.is_disabled(&scheduler.name) {
                self.plan_batches(scheduler);
            }
        }
    }

    /// Starts the timers of a scheduler's batches.
    pub(crate) fn plan_batches(&mut self, scheduler: &Scheduler) {
        for batch in self.schedulers.get(&scheduler.name).into_iter().flat_map(|state| &state.batches) {
            if let Some(at) = batch.fires_at {
                self.timers.set(Timer::Batch(scheduler.name.clone(), batch.branch.clone()), at);
            }
        }
    }

    fn regroup(&mut self, scheduler: &Scheduler) {
        let waits_for_night = matches!(scheduler.kind, SchedulerKind::Nightly { .. });
        let quiet_from_now = self.now.steady + stable_for(&scheduler.kind).unwrap_or_default();
        let Some(state) = self.schedulers.get_mut(&scheduler.name) else { return };
        let mut sorted = SchedulerState { batches: Vec::new(), ..state.clone() };
        for batch in &state.batches {
            for id in &batch.changes {
                let Some(open) = self.changes.get(id) else { continue };
                let into = batch_for(&mut sorted, branch_of_batch(&scheduler.kind, &open.change));
                let is_awaited = batch.fires_at.is_some() || is_important(&scheduler.name, &open.change);
                if is_awaited && !waits_for_night {
                    into.fires_at = into.fires_at.max(batch.fires_at.or(Some(quiet_from_now)));
                }
                let position = into.changes.partition_point(|other| other < id);
                into.changes.insert(position, *id);
            }
        }
        if *state != sorted {
            *state = sorted;
            self.outbox.mark(Key::Scheduler(scheduler.name.clone()));
        }
    }
}

/// Whether a scheduler builds changes.
pub(crate) fn takes_changes(kind: &SchedulerKind) -> bool {
    match kind {
        SchedulerKind::SingleBranch { .. } | SchedulerKind::AnyBranch { .. } => true,
        SchedulerKind::Nightly { only_if_changed, .. } => only_if_changed.is_some(),
        SchedulerKind::Periodic { .. }
        | SchedulerKind::Dependent { .. }
        | SchedulerKind::Pinged { .. }
        | SchedulerKind::Try { .. }
        | SchedulerKind::Triggerable
        | SchedulerKind::Force(_) => false,
    }
}

fn stable_for(kind: &SchedulerKind) -> Option<Milliseconds> {
    match kind {
        SchedulerKind::SingleBranch { stable_for, .. } | SchedulerKind::AnyBranch { stable_for, .. } => *stable_for,
        SchedulerKind::Periodic { .. }
        | SchedulerKind::Nightly { .. }
        | SchedulerKind::Dependent { .. }
        | SchedulerKind::Pinged { .. }
        | SchedulerKind::Try { .. }
        | SchedulerKind::Triggerable
        | SchedulerKind::Force(_) => None,
    }
}

/// All but any-branch schedulers have one batch, without a name.
fn branch_of_batch(kind: &SchedulerKind, change: &Change) -> Option<String> {
    match kind {
        SchedulerKind::AnyBranch { .. } => change.seen.branch.clone(),
        SchedulerKind::SingleBranch { .. }
        | SchedulerKind::Periodic { .. }
        | SchedulerKind::Nightly { .. }
        | SchedulerKind::Dependent { .. }
        | SchedulerKind::Pinged { .. }
        | SchedulerKind::Try { .. }
        | SchedulerKind::Triggerable
        | SchedulerKind::Force(_) => None,
    }
}

fn batch_for(state: &mut SchedulerState, branch: Option<String>) -> &mut Batch {
    let position = state.batches.iter().position(|batch| batch.branch == branch).unwrap_or_else(|| {
        state.batches.push(Batch { branch, changes: Vec::new(), fires_at: None });
        state.batches.len() - 1
    });
    &mut state.batches[position]
}

fn properties_of(changes: &[Arc<Change>]) -> Properties {
    let properties = changes.iter().flat_map(|change| &change.seen.properties);
    let sourced = |value: &serde_json::Value| Property { value: value.clone(), source: PropertySource::Change };
    properties.map(|(name, value)| (name.clone(), sourced(value))).collect()
}

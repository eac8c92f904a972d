//! The switch of each scheduler: who may disables it and enables it again. What it waits with stays; what comes meanwhile is not for it.

use std::sync::Arc;

use stampmill_model::{ChangeId, Halt, Milliseconds, Now, SchedulerName, Steady, Verdict};

use super::batch::takes_changes;
use crate::Engine;
use crate::config::{Scheduler, SchedulerKind};
use crate::input::{Answer, Refusal};
use crate::outbox::Key;
use crate::output::{LeftOut, SchedulerNow};
use crate::timers::Timer;

impl Engine {
    /// A person disables a scheduler. Its batches and their times stay as they are; what its filters are judging is ignored.
    pub(crate) fn scheduler_disabled(
        &mut self,
        name: &SchedulerName,
        by: String,
        reason: String,
    ) -> Result<Answer, Refusal> {
        let config = Arc::clone(&self.config);
        let scheduler = self.known_scheduler(&config.schedulers, name)?;
        let halt = Halt { by, reason, at: self.now.wall };
        let says = in_words(&halt);
        let state = self.schedulers.entry(name.clone()).or_default();
        state.disabled = Some(halt);
        for batch in &state.batches {
            self.timers.cancel(&Timer::Batch(name.clone(), batch.branch.clone()));
        }
        self.timers.cancel(&Timer::Periodic(name.clone()));
        self.nights.cancel(name);
        self.outbox.mark(Key::Scheduler(name.clone()));
        let judged = self.changes.iter().filter(|(_, open)| open.judging.contains_key(name));
        let judged: Vec<ChangeId> = judged.map(|(id, _)| *id).collect();
        for id in judged {
            self.record(id, scheduler, Verdict::Ignored, says.clone());
            self.close_decisions(id);
        }
        Ok(Answer::Done)
    }

    /// A person enables a scheduler again: it goes on with what it has. Set times that have passed are not made up for.
    pub(crate) fn scheduler_enabled(&mut self, name: &SchedulerName) -> Result<Answer, Refusal> {
        let config = Arc::clone(&self.config);
        let scheduler = self.known_scheduler(&config.schedulers, name)?;
        let now = self.now;
        let Some(state) = self.schedulers.get_mut(name).filter(|state| state.disabled.is_some()) else {
            return Ok(Answer::Done);
        };
        state.disabled = None;
        match scheduler.kind {
            SchedulerKind::Periodic { every } => {
                state.next_firing = state.next_firing.map(|planned| in_rhythm(planned, every, now.steady));
                self.plan_periodic(name, every);
            }
            SchedulerKind::Nightly { .. } => {
                state.done_until = Some(now.wall);
                self.plan_night(name, &scheduler.kind, now.wall);
            }
            SchedulerKind::SingleBranch { .. }
            | SchedulerKind::AnyBranch { .. }
            | SchedulerKind::Dependent { .. }
            | SchedulerKind::Pinged { .. }
            | SchedulerKind::Try { .. }
            | SchedulerKind::Triggerable
            | SchedulerKind::Force(_) => {}
        }
        if takes_changes(&scheduler.kind) {
            self.plan_batches(scheduler);
        }
        self.outbox.mark(Key::Scheduler(name.clone()));
        Ok(Answer::Done)
    }

    fn known_scheduler<'a>(&self, all: &'a [Scheduler], name: &SchedulerName) -> Result<&'a Scheduler, Refusal> {
        let position = self.lookup.scheduler(name);
        position
            .map(|position| &all[position])
            .ok_or_else(|| Refusal::Unknown(format!("there is no scheduler `{name}`")))
    }

    /// Whether somebody has disabled a scheduler.
    pub(crate) fn is_disabled(&self, name: &SchedulerName) -> bool {
        self.halt_of(name).is_some()
    }

    /// What a disabled scheduler says of changes.
    pub(crate) fn disabled_in_words(&self, name: &SchedulerName) -> Option<String> {
        self.halt_of(name).map(in_words)
    }

    /// A disabled scheduler does nothing for people either.
    pub(crate) fn check_enabled(&self, scheduler: &Scheduler) -> Result<(), Refusal> {
        let name = &scheduler.name;
        self.disabled_in_words(name).map_or(Ok(()), |says| {
            Err(Refusal::Conflict(format!(
                "scheduler `{name}` is {says}; enable it with `stampmill scheduler enable {name}`"
            )))
        })
    }

    fn halt_of(&self, name: &SchedulerName) -> Option<&Halt> {
        self.schedulers.get(name)?.disabled.as_ref()
    }

    /// Each configured scheduler as it is now.
    #[must_use]
    pub fn schedulers(&self, now: Now) -> Vec<SchedulerNow> {
        self.config.schedulers.iter().map(|scheduler| self.scheduler_now(scheduler, now)).collect()
    }

    fn scheduler_now(&self, scheduler: &Scheduler, now: Now) -> SchedulerNow {
        let name = &scheduler.name;
        let state = self.schedulers.get(name);
        let batches = state.map(|state| state.batches.as_slice()).unwrap_or_default();
        let quiet =
            batches.iter().filter_map(|batch| self.timers.due(&Timer::Batch(name.clone(), batch.branch.clone())));
        let steady = quiet.chain(self.timers.due(&Timer::Periodic(name.clone()))).min();
        let on_wall = |due: Steady| now.wall + Milliseconds(due.0.saturating_sub(now.steady.0));
        SchedulerNow {
            name: name.clone(),
            disabled: self.halt_of(name).cloned(),
            waits_for: self.waits_for(name),
            left_out: state.and_then(|state| state.left_out.as_ref()).map(in_a_sentence),
            waiting: batches.iter().map(|batch| batch.changes.len()).sum(),
            next_at: steady.map(on_wall).or_else(|| self.nights.due(name)),
        }
    }
}

fn in_a_sentence(left: &LeftOut) -> String {
    let LeftOut { wave, project, why } = left;
    format!("not built after buildset {wave}: project `{project}` has not passed: {why}")
}

fn in_words(halt: &Halt) -> String {
    format!("disabled {halt}")
}

/// The first firing from now on, of those that are planned at these intervals.
fn in_rhythm(planned: Steady, every: Milliseconds, now: Steady) -> Steady {
    let every = every.0.max(1);
    let missed = now.0.saturating_sub(planned.0).div_ceil(every);
    planned + Milliseconds(missed.saturating_mul(every))
}

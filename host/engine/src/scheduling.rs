//! Scheduling: every scheduler decides on every change, and each kind has its own way to a buildset.

mod absolute;
mod batch;
mod dependent;
mod force;
mod nightly;
mod periodic;
mod pinging;
mod selection;
mod stamps;
mod switch;
mod triggerable;
mod trying;

use std::collections::BTreeSet;
use std::sync::Arc;

use stampmill_model::{
    BuilderName, BuildsetId, ChangeId, Decision, PropertySource, SchedulerName, Verdict, WorkerName,
};

pub(crate) use batch::takes_changes;
pub(crate) use pinging::Projects;
pub(crate) use triggerable::{awaited_sets, is_waiting};

use crate::Engine;
use crate::buildset::{NewBuildset, Wish};
use crate::config::Scheduler;
use crate::input::{Answer, Trouble};
use crate::intake::Judging;
use crate::limits::DECISION_TRIES;
use crate::lookup::allows;
use crate::outbox::Key;
use crate::output::Effect;
use crate::properties::{layered, sourced};
use crate::timers::Timer;

impl Engine {
    /// Lets every scheduler that has not decided on a change do so, as far as it can without its filters.
    pub(crate) fn decide(&mut self, id: ChangeId) {
        let config = Arc::clone(&self.config);
        let decisions = self.changes.get(&id).into_iter().flat_map(|open| &open.change.decisions);
        let decided: BTreeSet<_> = decisions.map(|decision| decision.scheduler.clone()).collect();
        for scheduler in &config.schedulers {
            let Some(open) = self.changes.get(&id) else { return };
            if decided.contains(&scheduler.name) {
                continue;
            }
            let refusal = selection::refusal(scheduler, &open.change);
            if let Some(reason) = refusal.or_else(|| self.disabled_in_words(&scheduler.name)) {
                self.record(id, scheduler, Verdict::Ignored, reason);
            } else if scheduler.filters == 0 {
                self.record(id, scheduler, Verdict::Important, "important".to_owned());
            } else if !open.judging.contains_key(&scheduler.name) {
                self.ask_filters(&scheduler.name, id);
            }
        }
        self.close_decisions(id);
    }

    /// Asks the filters of a scheduler about a change.
    pub(crate) fn ask_filters(&mut self, scheduler: &SchedulerName, id: ChangeId) {
        let generation = self.generation;
        let Some(open) = self.changes.get_mut(&id) else { return };
        let judging = open.judging.entry(scheduler.clone()).or_insert(Judging { failures: 0, generation });
        judging.generation = generation;
        let change = Arc::clone(&open.change);
        self.outbox.effect(Effect::AskFilters { scheduler: scheduler.clone(), change });
    }

    /// The filters of a scheduler have judged a change. They fail closed: without an answer the change is not built, and shows why.
    pub(crate) fn judged(
        &mut self,
        name: &SchedulerName,
        id: ChangeId,
        result: Result<Vec<(Verdict, String)>, Trouble>,
    ) {
        let config = Arc::clone(&self.config);
        let Some(scheduler) = self.lookup.scheduler(name).map(|position| &config.schedulers[position]) else { return };
        let generation = self.generation;
        let Some(judging) = self.changes.get_mut(&id).and_then(|open| open.judging.get_mut(name)) else { return };
        self.timers.cancel(&Timer::Filters(name.clone(), id));
        let (verdict, reason) = match result {
            Ok(judgements) if judgements.len() == scheduler.filters => strictest(judgements),
            Ok(_) if judging.generation != generation => return self.ask_filters(name, id),
            Ok(judgements) => {
                let (made, wanted) = (judgements.len(), scheduler.filters);
                (Verdict::Failed, format!("{made} judgements came from {wanted} filters"))
            }
            Err(trouble) => {
                judging.failures += 1;
                let failures = judging.failures;
                if trouble.retry && failures < DECISION_TRIES {
                    let at = self.now.steady + self.pause_after(failures, &trouble);
                    return self.timers.set(Timer::Filters(name.clone(), id), at);
                }
                (Verdict::Failed, trouble.message)
            }
        };
        if verdict == Verdict::Failed {
            self.outbox.warn(format!("a filter of scheduler `{name}` failed on change {id}: {reason}"));
        }
        self.record(id, scheduler, verdict, reason);
        self.close_decisions(id);
    }

    fn record(&mut self, id: ChangeId, scheduler: &Scheduler, verdict: Verdict, reason: String) {
        let lookup = &self.lookup;
        let Some(open) = self.changes.get_mut(&id) else { return };
        open.judging.remove(&scheduler.name);
        let decisions = &mut Arc::make_mut(&mut open.change).decisions;
        let place = |name: &SchedulerName| lookup.scheduler(name).unwrap_or(usize::MAX);
        let mine = place(&scheduler.name);
        let position = decisions.partition_point(|decision| place(&decision.scheduler) <= mine);
        decisions.insert(position, Decision { scheduler: scheduler.name.clone(), verdict, reason });
        self.timers.cancel(&Timer::Filters(scheduler.name.clone(), id));
        self.outbox.mark(Key::Change(id));
        match verdict {
            Verdict::Important | Verdict::Unimportant => {
                self.note_last_seen(scheduler, id);
                self.join_batch(scheduler, id, verdict == Verdict::Important);
            }
            Verdict::Ignored | Verdict::Failed => {}
        }
    }

    /// Every scheduler has decided, or its filters are being asked.
    fn close_decisions(&mut self, id: ChangeId) {
        let Some(open) = self.changes.get_mut(&id).filter(|open| open.judging.is_empty()) else { return };
        Arc::make_mut(&mut open.change).decided = true;
        self.outbox.mark(Key::Change(id));
        self.forget_if_done(id);
    }

    /// Takes up every change that is not decided: at start, and when the configuration has changed.
    pub(crate) fn reconsider_changes(&mut self) {
        let undecided = self.changes.iter().filter(|(_, open)| !open.change.decided);
        let undecided: Vec<_> = undecided.map(|(id, _)| *id).collect();
        for id in undecided {
            self.forget_removed(id);
            let Some(open) = self.changes.get(&id) else { continue };
            let is_asked = self.generation > 0 && self.config.codebase_generator && open.change.codebase.is_none();
            if !is_asked {
                self.timers.cancel(&Timer::Codebase(id));
                self.find_codebase(id);
            }
        }
    }

    /// What schedulers have decided is sorted as they are configured now; the filters of those that are gone are not waited for.
    fn forget_removed(&mut self, id: ChangeId) {
        let (lookup, timers) = (&self.lookup, &mut self.timers);
        if let Some(open) = self.changes.get_mut(&id) {
            let place = |decision: &Decision| lookup.scheduler(&decision.scheduler).unwrap_or(usize::MAX);
            if !open.change.decisions.is_sorted_by_key(place) {
                Arc::make_mut(&mut open.change).decisions.sort_by_key(place);
            }
            open.judging.retain(|name, _| {
                let stays = lookup.scheduler(name).is_some();
                if !stays {
                    timers.cancel(&Timer::Filters(name.clone(), id));
                }
                stays
            });
        }
    }

    /// Makes a buildset of a scheduler, of the sources that are in it, unless no worker could build it.
    fn submit_for(&mut self, scheduler: &Scheduler, new: NewBuildset) -> Option<BuildsetId> {
        let wishes = self.wishes(scheduler, &scheduler.builders, None);
        if wishes.is_empty() {
            let name = &scheduler.name;
            self.outbox.warn(format!("scheduler `{name}` fires, but no configured worker fits its builders"));
            return None;
        }
        let made = self.submit(NewBuildset {
            reason: reason(scheduler),
            scheduler: Some(scheduler.name.clone()),
            properties: layered(new.properties, sourced(&scheduler.properties, &PropertySource::Scheduler)),
            wishes,
            priority: scheduler.priority,
            approve: scheduler.approve_untrusted && new.stamps.iter().any(|stamp| !stamp.trusted),
            ..new
        });
        match made {
            Answer::Buildset { id, .. } => Some(id),
            _ => None,
        }
    }

    /// Makes a buildset of a scheduler's defaults.
    fn build_defaults(&mut self, scheduler: &Scheduler) {
        let stamps = scheduler.codebases.iter().map(|default| self.untouched(scheduler, default)).collect();
        self.submit_for(scheduler, NewBuildset { stamps, ..NewBuildset::default() });
    }

    /// What a scheduler wants of these builders: one build of each, or one on every worker that fits.
    fn wishes(&self, scheduler: &Scheduler, builders: &[BuilderName], worker: Option<&WorkerName>) -> Vec<Wish> {
        let mut wishes = Vec::with_capacity(builders.len());
        for builder in builders {
            if scheduler.on_every_worker && worker.is_none() {
                let fits = self.builder(builder).into_iter().flat_map(|configured| {
                    self.config.workers.iter().filter(|worker| allows(&configured.workers, worker))
                });
                wishes.extend(
                    fits.map(|worker| Wish { builder: builder.clone(), only_worker: Some(worker.name.clone()) }),
                );
            } else {
                wishes.push(Wish { builder: builder.clone(), only_worker: worker.cloned() });
            }
        }
        wishes
    }
}

/// What a scheduler says of its buildsets.
fn reason(scheduler: &Scheduler) -> String {
    if scheduler.reason.is_empty() { format!("scheduler `{}`", scheduler.name) } else { scheduler.reason.clone() }
}

/// Of several judgements the strictest holds; of equal ones the first.
fn strictest(judgements: Vec<(Verdict, String)>) -> (Verdict, String) {
    let strictest = judgements.into_iter().reduce(|best, next| if next.0 > best.0 { next } else { best });
    let (verdict, reason) = strictest.unwrap_or((Verdict::Important, String::new()));
    if reason.is_empty() { (verdict, verdict.as_str().to_owned()) } else { (verdict, reason) }
}

//! What a change waits for at the schedulers that have not built it yet.

use stampmill_model::{ChangeId, SchedulerName, Steady, Wall};

use crate::Engine;
use crate::config::{Scheduler, SchedulerKind};
use crate::timers::Timer;

/// What a change waits for at one scheduler.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChangeWait {
    /// Which.
    pub scheduler: SchedulerName,
    /// One sentence.
    pub reason: String,
    /// When that ends, as far as a clock decides it.
    pub until: Option<Wall>,
}

impl Engine {
    /// For each scheduler at which a change waits what it waits for, in the order of the configuration.
    #[must_use]
    pub fn explain_change(&self, id: ChangeId) -> Vec<ChangeWait> {
        let waits = self.config.schedulers.iter().filter_map(|scheduler| {
            let (reason, until) = self.asked_about(scheduler, id).or_else(|| self.in_batch(scheduler, id))?;
            Some(ChangeWait { scheduler: scheduler.name.clone(), reason, until })
        });
        waits.collect()
    }

    fn asked_about(&self, scheduler: &Scheduler, id: ChangeId) -> Option<(String, Option<Wall>)> {
        self.changes.get(&id)?.judging.get(&scheduler.name)?;
        Some(match self.timers.due(&Timer::Filters(scheduler.name.clone(), id)) {
            Some(at) => ("a filter has failed on it, and is asked again".to_owned(), Some(self.on_the_wall(at))),
            None => ("its filters are being asked".to_owned(), None),
        })
    }

    fn in_batch(&self, scheduler: &Scheduler, id: ChangeId) -> Option<(String, Option<Wall>)> {
        let name = &scheduler.name;
        let batch = self.schedulers.get(name)?.batches.iter().find(|batch| batch.changes.contains(&id))?;
        if let Some(says) = self.disabled_in_words(name) {
            return Some((format!("the scheduler is {says}"), None));
        }
        if let SchedulerKind::Nightly { .. } = scheduler.kind {
            return Some(("it waits for the next of the scheduler's times".to_owned(), self.nights.due(name)));
        }
        Some(match self.timers.due(&Timer::Batch(name.clone(), batch.branch.clone())) {
            Some(at) => {
                let reason = match batch.changes.len() {
                    1 => "it is built when nothing more comes until then".to_owned(),
                    count => format!("it is built with {} more when nothing else comes until then", count - 1),
                };
                (reason, Some(self.on_the_wall(at)))
            }
            None => ("it waits for an important change".to_owned(), None),
        })
    }

    /// What a clock on the wall will show at a time, unless somebody sets it.
    fn on_the_wall(&self, at: Steady) -> Wall {
        Wall(self.now.wall.0.saturating_add(at.0.saturating_sub(self.now.steady.0)))
    }
}

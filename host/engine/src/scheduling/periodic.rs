//! Periodic: builds at intervals of steady time, whatever the clock on the wall does.

use std::sync::Arc;

use stampmill_model::{Milliseconds, SchedulerName};

use crate::Engine;
use crate::config::SchedulerKind;
use crate::outbox::Key;
use crate::timers::Timer;

impl Engine {
    /// Starts and stops periodic schedulers as the configuration says. One that has never fired does so at once.
    pub(crate) fn sync_periodic(&mut self) {
        let config = Arc::clone(&self.config);
        let running: Vec<_> = self.timers.running().map(|(timer, _)| timer.clone()).collect();
        for timer in running.iter().filter(|timer| matches!(timer, Timer::Periodic(_))) {
            self.timers.cancel(timer);
        }
        for scheduler in &config.schedulers {
            let SchedulerKind::Periodic { every } = scheduler.kind else { continue };
            if !self.is_disabled(&scheduler.name) {
                self.plan_periodic(&scheduler.name, every);
            }
        }
    }

    /// Starts the timer of a periodic scheduler.
    pub(crate) fn plan_periodic(&mut self, name: &SchedulerName, every: Milliseconds) {
        let latest = self.now.steady + every;
        let planned = self.schedulers.get(name).and_then(|state| state.next_firing);
        let at = planned.map_or(self.now.steady, |planned| planned.min(latest));
        self.timers.set(Timer::Periodic(name.clone()), at);
    }

    /// Makes a buildset of the defaults and plans the next one. Firings that were missed are not made up for.
    pub(crate) fn fire_periodic(&mut self, name: &SchedulerName) {
        let config = Arc::clone(&self.config);
        let Some(scheduler) = self.lookup.scheduler(name).map(|position| &config.schedulers[position]) else { return };
        let SchedulerKind::Periodic { every } = scheduler.kind else { return };
        let every = every.max(Milliseconds(1));
        let now = self.now.steady;
        let state = self.schedulers.entry(name.clone()).or_default();
        let in_rhythm =
            state.next_firing.map(|planned| planned + every).filter(|next| *next > now && *next <= now + every);
        let next = in_rhythm.unwrap_or(now + every);
        state.next_firing = Some(next);
        self.timers.set(Timer::Periodic(name.clone()), next);
        self.outbox.mark(Key::Scheduler(name.clone()));
        self.build_defaults(scheduler);
    }
}

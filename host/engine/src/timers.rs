//! Timers: what happens when steady time passes, and in which order.

use std::collections::{BTreeMap, BTreeSet};

use stampmill_model::{
    ChangeId, ChangeSourceName, Milliseconds, NoticeId, RequestId, SchedulerName, Steady, WorkerName,
};

use crate::Engine;
use crate::input::Trouble;
use crate::limits::{RETRY_AFTER_MOST, RETRY_PAUSE_FIRST};

/// What to do when a timer is due. There is at most one of each value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Timer {
    /// Poll a change source.
    Poll(ChangeSourceName),
    /// Ask the codebase generator again.
    Codebase(ChangeId),
    /// Ask the filters of a scheduler again.
    Filters(SchedulerName, ChangeId),
    /// The tree has been quiet: build the batch of this branch.
    Batch(SchedulerName, Option<String>),
    /// A periodic scheduler fires.
    Periodic(SchedulerName),
    /// A worker has been away for too long.
    WorkerLost(WorkerName),
    /// A merge plugin has taken too long over a request.
    MergeKey(RequestId),
    /// A worker that declined a request may be asked again.
    Bar(RequestId, WorkerName),
    /// Try a notice again.
    Report(NoticeId),
}

/// All timers that run by one clock.
#[derive(Clone, Debug)]
pub(crate) struct Timers<Time = Steady, What = Timer> {
    by_time: BTreeSet<(Time, What)>,
    by_timer: BTreeMap<What, Time>,
}

impl<Time, What> Default for Timers<Time, What> {
    fn default() -> Self {
        Self { by_time: BTreeSet::new(), by_timer: BTreeMap::new() }
    }
}

impl<Time: Copy + Ord, What: Clone + Ord> Timers<Time, What> {
    /// Starts a timer, or moves it when it runs.
    pub(crate) fn set(&mut self, timer: What, at: Time) {
        if let Some(before) = self.by_timer.insert(timer.clone(), at) {
            self.by_time.remove(&(before, timer.clone()));
        }
        self.by_time.insert((at, timer));
    }

    /// Stops a timer if it runs.
    pub(crate) fn cancel(&mut self, timer: &What) {
        if let Some(at) = self.by_timer.remove(timer) {
            self.by_time.remove(&(at, timer.clone()));
        }
    }

    /// When a timer is due; `None` when it does not run.
    pub(crate) fn due(&self, timer: &What) -> Option<Time> {
        self.by_timer.get(timer).copied()
    }

    /// When the first is due.
    pub(crate) fn next(&self) -> Option<Time> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// The timers of a kind, for those that are to be stopped together.
    pub(crate) fn running(&self) -> impl Iterator<Item = (&What, Time)> {
        self.by_timer.iter().map(|(timer, at)| (timer, *at))
    }

    /// Whether both indexes say the same.
    pub(crate) fn agree(&self) -> bool {
        self.by_time.len() == self.by_timer.len()
            && self.by_time.iter().all(|(at, timer)| self.by_timer.get(timer) == Some(at))
    }

    /// Takes the first timer out that is due.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<What> {
        if self.next()? > now {
            return None;
        }
        let (_, timer) = self.by_time.pop_first()?;
        self.by_timer.remove(&timer);
        Some(timer)
    }
}

/// How long to wait after this many failures in a row.
pub(crate) fn pause(failures: u32, most: Milliseconds) -> Milliseconds {
    let doublings = failures.saturating_sub(1).min(32);
    Milliseconds(RETRY_PAUSE_FIRST.0 << doublings).min(most)
}

impl Engine {
    /// Does everything that is due, oldest first.
    pub(crate) fn fire_due(&mut self) {
        while let Some(timer) = self.timers.pop_due(self.now.steady) {
            match timer {
                Timer::Poll(source) => self.poll(&source),
                Timer::Codebase(change) => self.ask_codebase(change),
                Timer::Filters(scheduler, change) => self.ask_filters(&scheduler, change),
                Timer::Batch(scheduler, branch) => self.fire_batch(&scheduler, branch.as_deref()),
                Timer::Periodic(scheduler) => self.fire_periodic(&scheduler),
                Timer::WorkerLost(worker) => self.lose_worker(&worker),
                Timer::MergeKey(request) => self.merge_key_is_late(request),
                Timer::Bar(request, _) => self.wake_request(request),
                Timer::Report(notice) => self.report_again(notice),
            }
        }
        while let Some(scheduler) = self.nights.pop_due(self.now.wall) {
            self.fire_nightly(&scheduler);
        }
    }

    /// How long to wait before something that failed this often in a row is tried again.
    pub(crate) fn pause_after(&self, failures: u32, trouble: &Trouble) -> Milliseconds {
        let asked = trouble.retry_after.unwrap_or_default().min(RETRY_AFTER_MOST);
        pause(failures, self.config.limits.retry_pause_most).max(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_start_at_a_second_and_double_up_to_the_most() {
        let most = Milliseconds::from_seconds(900);
        let pauses: Vec<u64> = [1, 2, 3, 10, 11, 500].map(|failures| pause(failures, most).0).to_vec();
        assert_eq!(pauses, [1_000, 2_000, 4_000, 512_000, 900_000, 900_000]);
    }

    #[test]
    fn a_timer_that_is_set_again_moves() {
        let mut timers: Timers = Timers::default();
        timers.set(Timer::Report(NoticeId(1)), Steady(5));
        timers.set(Timer::Report(NoticeId(1)), Steady(9));
        assert_eq!(timers.next(), Some(Steady(9)));
        assert_eq!(timers.pop_due(Steady(8)), None);
        assert_eq!(timers.pop_due(Steady(9)), Some(Timer::Report(NoticeId(1))));
        assert_eq!(timers.next(), None);
        assert!(timers.agree());
    }
}

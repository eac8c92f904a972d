//! The clock of the host: steady time goes on from its last stored value, wall time is the machine's.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use stampmill_model::{Now, Steady, Wall};

/// Gives the time at which an input is handled.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    base: Steady,
    started: Instant,
}

impl Clock {
    /// Goes on from the last steady time that was stored.
    pub(crate) fn resume(last: Steady) -> Self {
        Self { base: last, started: Instant::now() }
    }

    /// The time now.
    pub(crate) fn now(&self) -> Now {
        let since = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { steady: Steady(self.base.0.saturating_add(since)), wall: wall() }
    }

    /// The instant at which steady time reaches this value.
    pub(crate) fn instant_of(&self, at: Steady) -> Instant {
        self.started + std::time::Duration::from_millis(at.0.saturating_sub(self.base.0))
    }
}

/// Wall time now; a clock before 1970 counts as 1970.
pub(crate) fn wall() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

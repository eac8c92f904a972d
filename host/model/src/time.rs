//! Time has two faces: steady time drives every timer and limit, wall time is for display and for cron-like schedules.

/// A length of time in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Milliseconds(pub u64);

impl Milliseconds {
    /// This many whole seconds.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds * 1000)
    }
}

impl From<Milliseconds> for std::time::Duration {
    fn from(length: Milliseconds) -> Self {
        Self::from_millis(length.0)
    }
}

/// Milliseconds that never go back, not even across a restart of the host: its last value is stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Steady(pub u64);

impl std::ops::Add<Milliseconds> for Steady {
    type Output = Self;

    fn add(self, length: Milliseconds) -> Self {
        Self(self.0.saturating_add(length.0))
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z as the machine's clock had them; it may jump.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Wall(pub u64);

impl std::ops::Add<Milliseconds> for Wall {
    type Output = Self;

    fn add(self, length: Milliseconds) -> Self {
        Self(self.0.saturating_add(length.0))
    }
}

/// The time at which an input is handled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// What timers and limits compare with.
    pub steady: Steady,
    /// What people are shown.
    pub wall: Wall,
}

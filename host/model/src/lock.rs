//! Locks: what builds must not do at the same time.

use crate::LockName;

/// How a build has a lock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LockAccess {
    /// As one of as many builds as the lock counts.
    Counting,
    /// As the only one.
    Exclusive,
}

impl LockAccess {
    /// The word, as in the configuration and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counting => "counting",
            Self::Exclusive => "exclusive",
        }
    }
}

/// Among which builds a lock counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LockScope {
    /// All of them.
    Host,
    /// Those of one worker: each worker has a lock of that name.
    Worker,
}

impl LockScope {
    /// The word, as in the configuration and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Worker => "worker",
        }
    }
}

/// How a builder or a step uses a lock.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LockUse {
    /// Which.
    pub name: LockName,
    /// As one of several, or alone.
    pub access: LockAccess,
}

/// How far a step is with its locks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LockState {
    /// It does not need them yet, or no longer, or has none.
    #[default]
    Idle,
    /// It waits for them.
    Waiting,
    /// It has them.
    Held,
}

impl LockState {
    /// The word, as in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Waiting => "waiting",
            Self::Held => "held",
        }
    }
}

/// A lock of a build or of one of its steps, as it was configured when the build began.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeldLock {
    /// Which.
    pub name: LockName,
    /// Among which builds it counts.
    pub scope: LockScope,
    /// How the build has it.
    pub access: LockAccess,
}

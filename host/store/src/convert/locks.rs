//! Locks that builds and steps have.

use stampmill_model::{HeldLock, LockAccess, LockScope, LockState};

use crate::rows::{HeldLockRow, LockStateRow};

pub(super) fn lock_to_row(held: &HeldLock) -> HeldLockRow {
    HeldLockRow {
        name: held.name.to_string(),
        of_worker: match held.scope {
            LockScope::Host => false,
            LockScope::Worker => true,
        },
        exclusive: match held.access {
            LockAccess::Counting => false,
            LockAccess::Exclusive => true,
        },
    }
}

pub(super) fn lock_from_row(row: HeldLockRow) -> HeldLock {
    HeldLock {
        name: row.name.into(),
        scope: if row.of_worker { LockScope::Worker } else { LockScope::Host },
        access: if row.exclusive { LockAccess::Exclusive } else { LockAccess::Counting },
    }
}

pub(super) const fn lock_state_to_row(state: LockState) -> LockStateRow {
    match state {
        LockState::Idle => LockStateRow::Idle,
        LockState::Waiting => LockStateRow::Waiting,
        LockState::Held => LockStateRow::Held,
    }
}

pub(super) const fn lock_state_from_row(row: LockStateRow) -> LockState {
    match row {
        LockStateRow::Idle => LockState::Idle,
        LockStateRow::Waiting => LockState::Waiting,
        LockStateRow::Held => LockState::Held,
    }
}

//! Locks that builds have.

use stampmill_model::{HeldLock, LockAccess, LockScope};

use crate::rows::HeldLockRow;

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

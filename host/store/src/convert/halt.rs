//! Halts.

use stampmill_model::{Halt, Wall};

use crate::rows::HaltRow;

pub(super) fn to_row(halt: &Halt) -> HaltRow {
    HaltRow { by: halt.by.clone(), reason: halt.reason.clone(), at: halt.at.0 }
}

pub(super) fn from_row(row: HaltRow) -> Halt {
    Halt { by: row.by, reason: row.reason, at: Wall(row.at) }
}

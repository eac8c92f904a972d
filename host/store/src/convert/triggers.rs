//! Buildsets that builds have triggered.

use stampmill_model::{BuildsetId, Trigger, TriggerState};

use super::outcome;
use crate::StoreError;
use crate::rows::{BuildRow, TriggerRow, TriggerStateRow};

pub(super) fn trigger_to_row(trigger: &Trigger) -> TriggerRow {
    TriggerRow {
        step: trigger.step,
        scheduler: trigger.scheduler.to_string(),
        detached: trigger.detached,
        state: match &trigger.state {
            TriggerState::Refused { reason } => TriggerStateRow::Refused { reason: reason.clone() },
            TriggerState::Open { buildset } => TriggerStateRow::Open { buildset: buildset.0 },
            TriggerState::Finished { buildset, outcome } => {
                TriggerStateRow::Finished { buildset: buildset.0, outcome: outcome.to_string() }
            }
        },
    }
}

pub(super) fn trigger_from_row(row: TriggerRow) -> Result<Trigger, StoreError> {
    Ok(Trigger {
        step: row.step,
        scheduler: row.scheduler.into(),
        detached: row.detached,
        state: match row.state {
            TriggerStateRow::Refused { reason } => TriggerState::Refused { reason },
            TriggerStateRow::Open { buildset } => TriggerState::Open { buildset: BuildsetId(buildset) },
            TriggerStateRow::Finished { buildset, outcome: word } => {
                TriggerState::Finished { buildset: BuildsetId(buildset), outcome: outcome::<BuildRow>(&word)? }
            }
        },
    })
}

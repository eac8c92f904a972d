//! The row of a build, its steps included: one step's news writes the whole row, so it is kept small.

use serde::{Deserialize, Serialize};

use super::{NetworkRow, PropertiesRow, StampRow, blank};

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct BuildRow {
    pub(crate) id: u64,
    pub(crate) number: u64,
    pub(crate) builder: String,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) project: String,
    pub(crate) request: u64,
    pub(crate) buildset: u64,
    /// Request and set of each that it answers as well.
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) merged: Vec<(u64, u64)>,
    pub(crate) attempt: u32,
    pub(crate) worker: String,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) reason: String,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) owner: Option<String>,
    pub(crate) stamps: Vec<StampRow>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) blamelist: Vec<String>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) properties: PropertiesRow,
    pub(crate) steps: Vec<StepRow>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) locks: Vec<HeldLockRow>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) triggers: Vec<TriggerRow>,
    pub(crate) started_at: u64,
    pub(crate) state: BuildStateRow,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BuildStateRow {
    Dispatched,
    Running,
    Cancelling {
        reason: String,
    },
    Finished {
        /// One of the model's words.
        outcome: String,
        #[serde(default, skip_serializing_if = "blank")]
        summary: String,
        at: u64,
    },
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct HeldLockRow {
    pub(crate) name: String,
    /// Whether it is the worker's own.
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) of_worker: bool,
    /// Whether nobody else may have it.
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) exclusive: bool,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct TriggerRow {
    pub(crate) step: u32,
    pub(crate) scheduler: String,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) detached: bool,
    pub(crate) state: TriggerStateRow,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TriggerStateRow {
    Refused {
        reason: String,
    },
    Open {
        buildset: u64,
    },
    Finished {
        buildset: u64,
        /// One of the model's words.
        outcome: String,
    },
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct StepRow {
    pub(crate) number: u32,
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) summary: String,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) logs: Vec<String>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) network: NetworkRow,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) locks: Vec<HeldLockRow>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) lock_state: LockStateRow,
    pub(crate) state: StepStateRow,
}

#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LockStateRow {
    #[default]
    Idle,
    Waiting,
    Held,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StepStateRow {
    Waiting,
    Running {
        started_at: u64,
    },
    Finished {
        started_at: u64,
        at: u64,
        /// One of the model's words.
        outcome: String,
    },
}

//! Triggers: buildsets that the steps of a build ask for.

use std::collections::BTreeMap;

use crate::{BuildsetId, Outcome, SchedulerName, StampChoice};

/// What a step asks of a triggerable scheduler.
#[derive(Clone, PartialEq, Debug)]
pub struct TriggerWish {
    /// Place among those of the build, from 0.
    pub number: u32,
    /// Of which scheduler.
    pub scheduler: SchedulerName,
    /// Takes the scheduler's defaults instead of the build's sources.
    pub latest: bool,
    /// Versions of single codebases.
    pub versions: BTreeMap<String, StampChoice>,
    /// Properties of the set.
    pub properties: BTreeMap<String, serde_json::Value>,
    /// Whether the set outlives the build.
    pub detached: bool,
}

/// What became of a step's wish; kept with the build, in the order of the wishes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trigger {
    /// Which step asked.
    pub step: u32,
    /// The scheduler that it named.
    pub scheduler: SchedulerName,
    /// Whether the set outlives the build.
    pub detached: bool,
    /// How far it is.
    pub state: TriggerState,
}

/// How far a triggered buildset is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TriggerState {
    /// There is none.
    Refused {
        /// Why, with the mend.
        reason: String,
    },
    /// It is not complete.
    Open {
        /// Which.
        buildset: BuildsetId,
    },
    /// It is complete.
    Finished {
        /// Which.
        buildset: BuildsetId,
        /// The worst of its requests.
        outcome: Outcome,
    },
}

impl Trigger {
    /// The set, if there is one.
    #[must_use]
    pub fn buildset(&self) -> Option<BuildsetId> {
        match &self.state {
            TriggerState::Refused { .. } => None,
            TriggerState::Open { buildset } | TriggerState::Finished { buildset, .. } => Some(*buildset),
        }
    }
}

//! Buildsets that the steps of a build ask for, and what becomes of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Outcome;

/// What a step asks of a triggerable scheduler.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TriggerWish {
    /// Place among those of the build, from 0.
    pub number: u32,
    /// Of which scheduler.
    pub scheduler: String,
    /// Takes the scheduler's defaults instead of the build's sources.
    pub latest: bool,
    /// Versions of single codebases.
    pub versions: BTreeMap<String, TriggerVersion>,
    /// Properties of the set.
    pub properties: BTreeMap<String, Value>,
    /// Whether the set outlives the build.
    pub detached: bool,
}

/// A version of one codebase.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TriggerVersion {
    /// `None` leaves the branch as it would be.
    pub branch: Option<String>,
    /// `None` leaves the revision as it would be, or is the latest of another branch.
    pub revision: Option<String>,
}

/// How far a triggered buildset is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum TriggerState {
    /// There is none.
    Refused {
        /// Why, with the mend.
        reason: String,
    },
    /// It is not complete.
    Open {
        /// Which.
        buildset: u64,
    },
    /// It is complete.
    Finished {
        /// Which.
        buildset: u64,
        /// The worst of its requests.
        outcome: Outcome,
    },
}

//! The rows of buildsets and requests.

use serde::{Deserialize, Serialize};

use super::{PropertiesRow, StampRow, blank};

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct BuildsetRow {
    pub(crate) id: u64,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) reason: String,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) scheduler: Option<String>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) owner: Option<String>,
    pub(crate) stamps: Vec<StampRow>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) blamelist: Vec<String>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) properties: PropertiesRow,
    pub(crate) requests: Vec<u64>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) external_id: Option<String>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) rebuild_of: Option<u64>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) dependent_on: Option<u64>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) triggered_by: Option<u64>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) pinged_by: Option<u64>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) depth: u32,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) superseded: bool,
    pub(crate) submitted_at: u64,
    pub(crate) state: BuildsetStateRow,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BuildsetStateRow {
    Open {
        will_fail: bool,
    },
    Finished {
        /// One of the model's words.
        outcome: String,
        at: u64,
    },
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct RequestRow {
    pub(crate) id: u64,
    pub(crate) buildset: u64,
    pub(crate) builder: String,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) priority: i32,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) only_worker: Option<String>,
    pub(crate) submitted_at: u64,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) attempts: u32,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) losses: u32,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) merge_key: MergeKeyRow,
    pub(crate) state: RequestStateRow,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MergeKeyRow {
    #[default]
    Unasked,
    Awaited,
    Given(String),
    Alone,
    Failed(String),
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RequestStateRow {
    AwaitingApproval,
    Pending,
    Building(u64),
    Complete {
        /// One of the model's words.
        outcome: String,
        #[serde(default, skip_serializing_if = "blank")]
        build: Option<u64>,
        at: u64,
        #[serde(default, skip_serializing_if = "blank")]
        reason: String,
    },
}

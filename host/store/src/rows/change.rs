//! The row of a change.

use serde::{Deserialize, Serialize};

use super::blank;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct ChangeRow {
    pub(crate) id: u64,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) source: Option<String>,
    pub(crate) arrived_at: u64,
    pub(crate) trusted: bool,
    pub(crate) seen: SeenRow,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) codebase: Option<String>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) trouble: Option<String>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) decisions: Vec<DecisionRow>,
    pub(crate) decided: bool,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) buildsets: Vec<u64>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct SeenRow {
    pub(crate) author: String,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) committer: Option<String>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) comments: String,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) files: Vec<String>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) repository: String,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) project: String,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) revision: Option<String>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) branch: Option<String>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) category: Option<String>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) link: Option<String>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) committed_at: Option<u64>,
    /// Name and JSON text, in order.
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) properties: Vec<(String, String)>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct DecisionRow {
    pub(crate) scheduler: String,
    pub(crate) verdict: VerdictRow,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) reason: String,
}

#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum VerdictRow {
    Important,
    Unimportant,
    Ignored,
    Failed,
}

//! What several rows have in common.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::blank;

/// Properties by name.
pub(crate) type PropertiesRow = BTreeMap<String, PropertyRow>;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct PropertyRow {
    /// JSON text: MessagePack has other numbers.
    pub(crate) value: String,
    pub(crate) source: PropertySourceRow,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PropertySourceRow {
    Global,
    Worker,
    Builder,
    Change,
    Scheduler,
    Force,
    Trigger,
    Build,
    Step(String),
    Job,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct StampRow {
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) codebase: String,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) repository: String,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) project: String,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) branch: Option<String>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) revision: Option<String>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) patch: Option<PatchRow>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) trusted: bool,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) changes: Vec<u64>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct PatchRow {
    pub(crate) level: u32,
    /// SHA-256 of the body, which is in its own table.
    #[serde(with = "serde_bytes")]
    pub(crate) body: [u8; 32],
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) subdirectory: String,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) author: String,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) comment: String,
}

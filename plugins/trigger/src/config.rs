//! What the operator writes for this step.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Starts a buildset of each scheduler.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// Triggerable schedulers, all started before one is waited for.
    #[schemars(length(min = 1))]
    pub schedulers: Vec<String>,
    /// Waits until the buildsets are complete; the worst of them is what the step ends with. They are cancelled when this build ends before them.
    /// Without it they go on by themselves.
    #[serde(default)]
    pub wait: bool,
    /// Takes what the schedulers have as default of each codebase instead of what this build has checked out.
    #[serde(default)]
    pub latest: bool,
    /// Another version of single codebases.
    #[serde(default)]
    pub versions: BTreeMap<String, Version>,
    /// Properties of the buildsets, any JSON values.
    #[serde(default)]
    pub set: BTreeMap<String, Value>,
    /// Properties of this build that the buildsets get too; one that is not set is left out.
    #[serde(default)]
    pub copy: BTreeSet<String>,
    /// Schedulers of which the end does not count.
    #[serde(default)]
    pub unimportant: BTreeSet<String>,
}

/// A version of one codebase.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Version {
    /// Another branch.
    pub branch: Option<String>,
    /// A revision; of another branch the latest when there is none.
    pub revision: Option<String>,
}

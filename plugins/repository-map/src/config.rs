//! What the operator writes for this codebase generator.

use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The map itself: a repository's address, as the change source gives it, and the codebase's name.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Config(pub BTreeMap<String, String>);

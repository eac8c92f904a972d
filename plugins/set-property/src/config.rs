//! What the operator writes for this step.

use schemars::JsonSchema;
use serde::Deserialize;

/// Sets one property.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The property's name.
    #[schemars(length(min = 1))]
    pub property: String,
    /// Any JSON value.
    pub value: serde_json::Value,
}

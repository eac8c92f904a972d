//! What the operator writes for this plugin.

use schemars::JsonSchema;
use serde::Deserialize;

/// Requests share a build only where all of these properties are the same.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// Names of properties, those that come with changes included. Where one is not set it is the same as where another is not.
    #[schemars(length(min = 1))]
    pub properties: Vec<String>,
}

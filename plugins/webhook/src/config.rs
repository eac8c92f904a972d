//! What the operator writes for this reporter.

use schemars::JsonSchema;
use serde::Deserialize;
use stampmill_sdk::config::{CredentialName, Duration};
use std::collections::BTreeMap;

/// Where to post events.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The URL; its origin has to be granted.
    #[schemars(regex(pattern = "^https?://"))]
    pub url: String,
    /// The secret that the host attaches as `Authorization: Bearer …`. This plugin does not see it.
    pub credential: Option<CredentialName>,
    /// More headers. They are no place for secrets.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// For the whole exchange.
    #[serde(default = "default_timeout")]
    pub timeout: Duration,
}

fn default_timeout() -> Duration {
    Duration::seconds(20)
}

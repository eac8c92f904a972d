//! What the operator writes for this reporter.

use schemars::JsonSchema;
use serde::Deserialize;
use stampmill_sdk::config::{Duration, SecretName};
use std::collections::BTreeMap;

/// Where to post signed events.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The URL; its origin has to be granted.
    #[schemars(regex(pattern = "^https?://"))]
    pub url: String,
    /// The name of the secret to sign with.
    pub secret: SecretName,
    /// The header with the signature.
    #[serde(default = "default_header")]
    pub signature_header: String,
    /// More headers. They are no place for secrets.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// For the whole exchange.
    #[serde(default = "default_timeout")]
    pub timeout: Duration,
}

fn default_header() -> String {
    "X-Stampmill-Signature".to_owned()
}

fn default_timeout() -> Duration {
    Duration::seconds(20)
}

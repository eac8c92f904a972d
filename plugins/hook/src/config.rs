//! What the operator writes for this change source.

use schemars::JsonSchema;
use serde::Deserialize;
use stampmill_sdk::config::SecretName;

/// Takes changes as JSON over HTTP.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The name of the secret that deliveries are signed with.
    pub secret: Option<SecretName>,
    /// Takes deliveries that nobody signed. Anybody who reaches the host can then send changes.
    #[serde(default)]
    pub insecure: bool,
    /// The header with the signature, `sha256=<hex>` over the raw body.
    #[serde(default = "default_signature_header")]
    pub signature_header: String,
    /// The header with the sender's id of the delivery. The host takes the same one only once.
    #[serde(default = "default_delivery_header")]
    pub delivery_header: String,
    /// The repositories that changes may name; `["*"]` for any. A change without a repository is of the only one listed.
    #[schemars(length(min = 1))]
    pub repositories: Vec<String>,
    /// The project of changes that name none.
    #[serde(default)]
    pub project: String,
    /// The category of changes that name none.
    pub category: Option<String>,
}

fn default_signature_header() -> String {
    "X-Stampmill-Signature".to_owned()
}

fn default_delivery_header() -> String {
    "X-Stampmill-Delivery".to_owned()
}

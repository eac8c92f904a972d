//! What the operator writes for this change source.

use schemars::JsonSchema;
use serde::Deserialize;
use stampmill_sdk::config::SecretName;

/// Takes pushes from GitHub.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The name of the secret that is set at GitHub for this webhook.
    pub secret: Option<SecretName>,
    /// Takes deliveries that nobody signed. Anybody who reaches the host can then send changes.
    #[serde(default)]
    pub insecure: bool,
    /// The repositories that may push, as `owner/name`; `["*"]` for any.
    #[schemars(length(min = 1))]
    pub repositories: Vec<String>,
    /// Whether a pushed tag is a change.
    #[serde(default)]
    pub tags: bool,
    /// Which of its addresses a change's repository is called by.
    #[serde(default)]
    pub address: Address,
    /// The project of the changes; without, the repository's `owner/name`.
    pub project: Option<String>,
    /// The category of the changes.
    pub category: Option<String>,
}

/// An address of a repository.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Address {
    /// `https://github.com/owner/name.git`
    #[default]
    Https,
    /// `git@github.com:owner/name.git`
    Ssh,
    /// `https://github.com/owner/name`
    Page,
}

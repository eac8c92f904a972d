//! What the operator writes for this change source.

use schemars::JsonSchema;
use serde::Deserialize;
use stampmill_sdk::config::Duration;
use stampmill_sdk::git::Credential;

/// Watches branches and tags of one git repository.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The repository: `https://…`, `http://…`, `ssh://…`, `git://…`, `file://…`, `user@host:path` or an absolute path.
    pub repository: String,
    /// Names or patterns of branches; `*` stays within a part between slashes, `**` crosses them, and `*` alone is every branch.
    #[serde(default)]
    pub branches: Branches,
    /// Whether new and moved tags are changes: all, none, or those that match a pattern.
    #[serde(default)]
    pub tags: Tags,
    /// How often the host asks.
    #[serde(default = "default_every")]
    pub every: Duration,
    /// The project of the changes.
    #[serde(default)]
    pub project: String,
    /// The category of the changes.
    pub category: Option<String>,
    /// Where a commit can be looked at; `{revision}` stands for its name.
    pub link: Option<String>,
    /// What the first poll reports. It records where every branch is in any case.
    #[serde(default)]
    pub first_poll: FirstPoll,
    /// Who to be for a repository served by HTTP.
    pub credential: Option<Credential>,
}

/// One pattern, or several.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Branches {
    /// One pattern.
    One(String),
    /// Several patterns.
    Several(Vec<String>),
}

/// Which tags are changes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Tags {
    /// All or none.
    All(bool),
    /// Those that match a pattern.
    Matching(Vec<String>),
}

/// What the first poll reports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FirstPoll {
    /// Nothing: what is there is known.
    #[default]
    Nothing,
    /// The newest commit of each branch.
    Newest,
}

impl Default for Branches {
    fn default() -> Branches {
        Branches::One("*".to_owned())
    }
}

impl Default for Tags {
    fn default() -> Tags {
        Tags::All(false)
    }
}

/// Quick enough to wait for, and little work for a server.
fn default_every() -> Duration {
    Duration::seconds(60)
}

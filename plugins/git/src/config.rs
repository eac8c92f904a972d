//! What the operator writes for this step.

use schemars::JsonSchema;
use serde::Deserialize;
use stampmill_sdk::config::Duration;
use stampmill_sdk::git::Credential;

/// Checks out one codebase of the build.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// Which source stamp of the build; the empty name is the one of builds without codebases.
    #[serde(default)]
    pub codebase: String,
    /// The repository, whatever the source stamp says.
    pub repository: Option<String>,
    /// The branch where the source stamp names none; without, the repository's own default branch.
    pub branch: Option<String>,
    /// Where to, relative to the work directory. Two codebases need two directories.
    #[serde(default = "default_directory")]
    pub directory: String,
    /// Whether to keep what is there.
    #[serde(default)]
    pub mode: Mode,
    /// How `mode = "full"` gets rid of it.
    #[serde(default)]
    pub method: Method,
    /// Checks out the newest commit of the branch, whatever revision the build is for.
    #[serde(default)]
    pub always_latest: bool,
    /// Checks out submodules too, and theirs.
    #[serde(default)]
    pub submodules: bool,
    /// Fetches only so many commits of history.
    #[schemars(range(min = 1))]
    pub depth: Option<u32>,
    /// Who to be for a repository served by HTTP.
    pub credential: Option<Credential>,
    /// Each run of git is stopped after so long without output.
    #[serde(default = "default_silence")]
    pub silence_timeout: Duration,
}

/// Whether to keep what is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Updates the tracked files and keeps all others: quick.
    #[default]
    Incremental,
    /// Leaves nothing of earlier builds, as far as `method` says.
    Full,
}

/// How a full checkout begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Removes the directory and fetches everything again.
    Clobber,
    /// Removes untracked files, but not ignored ones.
    Clean,
    /// Removes untracked and ignored files.
    #[default]
    Fresh,
}

fn default_directory() -> String {
    ".".to_owned()
}

/// A server may think for long about a large fetch.
fn default_silence() -> Duration {
    Duration::seconds(1200)
}

//! What is sent.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::Time;

/// Which version of a codebase to build.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StampChoice {
    pub branch: Option<String>,
    pub revision: Option<String>,
    /// Where the scheduler asks for it.
    pub repository: Option<String>,
    /// Where the scheduler asks for it.
    pub project: Option<String>,
}

/// A wish to force builds.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ForceBody {
    pub reason: String,
    /// Without a builder: all builders of this force scheduler.
    pub scheduler: Option<String>,
    /// For the only codebase of the scheduler.
    pub branch: Option<String>,
    /// For the only codebase of the scheduler.
    pub revision: Option<String>,
    /// For the only codebase of the scheduler, where it asks for it.
    pub repository: Option<String>,
    /// For the only codebase of the scheduler, where it asks for it.
    pub project: Option<String>,
    /// By codebase, where there are several.
    pub codebases: BTreeMap<String, StampChoice>,
    /// Of the builds. Where the scheduler has parameters (`form` of `GET /api/v1/schedulers`) these are their answers, by their names.
    pub properties: BTreeMap<String, Value>,
    pub priority: Option<i32>,
    /// Only on this worker.
    pub worker: Option<String>,
}

/// A patch to build.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TryBody {
    /// The unified diff.
    pub diff: String,
    /// Whether the diff is in base64: one whose files are not in UTF-8 can't be sent otherwise.
    #[serde(default)]
    pub base64: bool,
    /// How many leading parts of its paths are to go, as in `patch -p`; 1 if nothing is said.
    #[serde(default = "one")]
    pub level: u32,
    /// Where in the checkout it is applied.
    #[serde(default)]
    pub subdirectory: String,
    /// The branch that it is for; the scheduler's default if nothing is said.
    pub branch: Option<String>,
    /// The revision that it is for; the scheduler's default if nothing is said.
    pub revision: Option<String>,
    /// The codebase that it patches, where the scheduler has several.
    pub codebase: Option<String>,
    /// Some of the scheduler's builders; none means all of them.
    #[serde(default)]
    pub builders: Vec<String>,
    /// The try scheduler; found by the builders if nothing is said.
    pub scheduler: Option<String>,
    /// What to say of it to people.
    #[serde(default)]
    pub comment: String,
    #[serde(default)]
    pub properties: BTreeMap<String, Value>,
}

const fn one() -> u32 {
    1
}

/// Source stamps to build.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubmitBody {
    /// At least one.
    pub builders: Vec<String>,
    #[serde(default)]
    pub source_stamps: Vec<StampBody>,
    #[serde(default)]
    pub reason: String,
    #[serde(default)]
    pub properties: BTreeMap<String, Value>,
    #[serde(default)]
    pub priority: i32,
    /// The same key twice gives the first answer again while its buildset is open.
    pub external_id: Option<String>,
}

/// One version of one codebase to build.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StampBody {
    pub codebase: String,
    pub repository: String,
    pub project: String,
    pub branch: Option<String>,
    pub revision: Option<String>,
    /// Whether builds of it may see secrets.
    pub trusted: bool,
}

/// A change to take.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ChangeBody {
    pub author: String,
    pub committer: Option<String>,
    pub comments: String,
    pub files: Vec<String>,
    pub repository: String,
    pub project: String,
    pub revision: Option<String>,
    pub branch: Option<String>,
    pub category: Option<String>,
    pub link: Option<String>,
    /// RFC 3339.
    pub committed_at: Option<Time>,
    pub properties: BTreeMap<String, Value>,
    /// Skips the codebase generator.
    pub codebase: Option<String>,
    /// Whether its builds may see secrets.
    pub trusted: bool,
}

/// Why something is ended.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ReasonBody {
    pub reason: String,
}

/// No arguments.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NothingBody {}

/// A person's word on a request.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApproveBody {
    /// Whether it may run.
    pub approved: bool,
}

/// A new user.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserBody {
    pub name: String,
    pub password: String,
    /// `viewer`, `developer`, `operator` or `admin`.
    pub role: String,
}

/// What to change of a user.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct UserPatch {
    pub password: Option<String>,
    pub role: Option<String>,
}

/// A new token.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenBody {
    /// For people.
    pub name: String,
    /// A user, or the name of a program; the token's name when left out.
    pub user: Option<String>,
    /// `viewer`, `developer`, `operator` or `admin`.
    pub role: String,
    /// It ends by itself after so many days.
    pub days: Option<u32>,
}

//! People: who makes changes, and whom builds concern.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Time;

/// Somebody who makes changes or whom builds concern. A person is no user: nobody logs in as one.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Person {
    pub id: u64,
    /// What to call them; people share names.
    pub name: String,
    /// What they are known by, in the order in which it became known.
    pub attributes: Vec<Attribute>,
    pub since: Time,
    /// Null for somebody who has made none.
    pub last_change: Option<LastChange>,
}

/// The newest change of a person.
#[derive(Serialize, JsonSchema)]
pub(crate) struct LastChange {
    pub id: u64,
    pub arrived_at: Time,
}

/// What one person alone is known by.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Attribute {
    /// `email`; `author`, `git`, `svn`, `cvs`, `hg`, `bzr` or `darcs`: an author as changes have it; `user`: a login; or any other word, such
    /// as `irc`.
    pub kind: String,
    pub value: String,
}

/// A new person.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PersonBody {
    pub name: String,
    #[serde(default)]
    pub attributes: Vec<Attribute>,
}

/// What to change of a person.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PersonPatch {
    pub name: Option<String>,
    pub add: Vec<Attribute>,
    pub remove: Vec<Attribute>,
}

/// Who turned out to be the same person.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MergeBody {
    /// By id, by `KIND:VALUE`, or by the value of any attribute.
    pub from: String,
}

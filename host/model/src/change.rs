//! Changes: what a version control system said happened.

use crate::{BuildsetId, ChangeId, ChangeSourceName, SchedulerName, Wall};

/// What a change source saw, before the host gives it an id and a codebase.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct SeenChange {
    /// The developer responsible, in the form that the version control system has.
    pub author: String,
    /// Who committed it, where that differs.
    pub committer: Option<String>,
    /// The whole check-in comment.
    pub comments: String,
    /// Tree-relative names of added, deleted and modified files; a name that is not UTF-8 is C-quoted as git prints it.
    pub files: Vec<String>,
    /// URL or path of the repository.
    pub repository: String,
    /// Short human-readable name of the project; may be empty.
    pub project: String,
    /// The tree with this change and all before it; always text.
    pub revision: Option<String>,
    /// Branch, in the version control system's own name space.
    pub branch: Option<String>,
    /// A word to filter by.
    pub category: Option<String>,
    /// A page that shows the change.
    pub link: Option<String>,
    /// When it was committed; says nothing of when it arrived.
    pub committed_at: Option<Wall>,
    /// Properties for the builds that it causes.
    pub properties: Vec<(String, serde_json::Value)>,
}

/// What one scheduler made of one change.
#[derive(Clone, PartialEq, Debug)]
pub struct Decision {
    /// The scheduler that decided.
    pub scheduler: SchedulerName,
    /// What it decided.
    pub verdict: Verdict,
    /// Why, in words for people.
    pub reason: String,
}

/// How much a change matters to a scheduler; of several filters the strictest wins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Verdict {
    /// Starts a build.
    Important,
    /// Goes along with the next build that an important change starts.
    Unimportant,
    /// Is not built.
    Ignored,
    /// A filter failed; the change is not built and the error is shown.
    Failed,
}

impl Verdict {
    /// The word, as in the API and the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Important => "important",
            Self::Unimportant => "unimportant",
            Self::Ignored => "ignored",
            Self::Failed => "failed",
        }
    }
}

/// A change that the host has taken in.
#[derive(Clone, PartialEq, Debug)]
pub struct Change {
    /// In order of arrival.
    pub id: ChangeId,
    /// Which change source reported it; `None` for one that a person sent.
    pub source: Option<ChangeSourceName>,
    /// Wall time of arrival.
    pub arrived_at: Wall,
    /// Whether the operator trusts its source with secrets.
    pub trusted: bool,
    /// What was seen.
    pub seen: SeenChange,
    /// `None` until the codebase generator has answered; `Some("")` without one.
    pub codebase: Option<String>,
    /// Why the codebase generator failed on it, if it did; such a change is not built.
    pub trouble: Option<String>,
    /// One for each scheduler that has decided, in the order of the configuration.
    pub decisions: Vec<Decision>,
    /// Whether every scheduler has decided.
    pub decided: bool,
    /// The buildsets that it went into.
    pub buildsets: Vec<BuildsetId>,
}

//! Source stamps: which version of one codebase to build.

use crate::ChangeId;

/// A difference to apply on top of a revision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Patch {
    /// How many leading path elements to strip, as in `patch -p`.
    pub level: u32,
    /// The unified diff.
    pub body: Vec<u8>,
    /// Where to apply it, relative to the work directory.
    pub subdirectory: String,
    /// Who sent it.
    pub author: String,
    /// What they said of it.
    pub comment: String,
}

/// One version of one codebase. A build has one for each codebase of its project.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SourceStamp {
    /// Empty where no codebases are configured.
    pub codebase: String,
    /// URL or path to check out from.
    pub repository: String,
    /// Project of the change, or empty.
    pub project: String,
    /// `None` means the default branch.
    pub branch: Option<String>,
    /// `None` means the latest.
    pub revision: Option<String>,
    /// Applied after checkout.
    pub patch: Option<Patch>,
    /// Whether a build of it may see secrets: decided by the operator's configuration, never by content.
    pub trusted: bool,
    /// The changes that it contains, oldest first.
    pub changes: Vec<ChangeId>,
}

/// A wish for another version of one codebase; `None` leaves what it would be.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StampChoice {
    /// Branch. Another one leaves the revision behind, which belongs to the other.
    pub branch: Option<String>,
    /// Revision.
    pub revision: Option<String>,
}

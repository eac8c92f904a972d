//! How a step, a build or a buildset ended.

use std::fmt;

/// The result words are Buildbot's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// All is well.
    Success,
    /// Well, with something to look at.
    Warnings,
    /// The code under test is at fault.
    Failure,
    /// Its condition said not to run.
    Skipped,
    /// Stampmill, a plugin or the machine is at fault.
    Exception,
    /// Thrown away through no fault of the code; its request went back to the queue.
    Retry,
    /// A person or a rule ended it.
    Cancelled,
}

impl Outcome {
    /// Every outcome, best first in Buildbot's order of severity.
    pub const BY_SEVERITY: [Self; 7] =
        [Self::Skipped, Self::Success, Self::Warnings, Self::Failure, Self::Exception, Self::Retry, Self::Cancelled];

    /// Position in [`Self::BY_SEVERITY`]: the higher, the worse.
    #[must_use]
    pub const fn severity(self) -> u8 {
        match self {
            Self::Skipped => 0,
            Self::Success => 1,
            Self::Warnings => 2,
            Self::Failure => 3,
            Self::Exception => 4,
            Self::Retry => 5,
            Self::Cancelled => 6,
        }
    }

    /// The worse of two.
    #[must_use]
    pub const fn worst(self, other: Self) -> Self {
        if other.severity() > self.severity() { other } else { self }
    }

    /// Whether people call it green: success, warnings or skipped.
    #[must_use]
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Success | Self::Warnings | Self::Skipped)
    }

    /// The word, as in the API, the database and the user interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Warnings => "warnings",
            Self::Failure => "failure",
            Self::Skipped => "skipped",
            Self::Exception => "exception",
            Self::Retry => "retry",
            Self::Cancelled => "cancelled",
        }
    }

    /// The outcome that a word names.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::BY_SEVERITY.into_iter().find(|outcome| outcome.as_str() == word)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

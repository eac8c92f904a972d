//! Halts: the word of somebody who may that a scheduler or a worker rests until it is taken back.

use std::fmt;

use crate::Wall;

/// Who halted something, why and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Halt {
    /// Who said so.
    pub by: String,
    /// Why, in words for people; may be empty.
    pub reason: String,
    /// When.
    pub at: Wall,
}

/// To follow "disabled" or "paused": `by ann: the compiler is broken`.
impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.reason.is_empty() { "" } else { ": " };
        write!(f, "by {}{separator}{}", self.by, self.reason)
    }
}

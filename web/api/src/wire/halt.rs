//! Why something rests.

use schemars::JsonSchema;
use serde::Serialize;

use super::Time;

/// Who halted something, and why.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Halt {
    pub by: String,
    /// In words for people, may be empty.
    pub reason: String,
    pub since: Time,
}

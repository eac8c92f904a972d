//! What a build shares with others: its end with other requests, and locks.

use schemars::JsonSchema;
use serde::Serialize;

/// A lock that a build has.
#[derive(Serialize, JsonSchema)]
pub(crate) struct HeldLock {
    pub name: String,
    /// `host` or `worker`: among which builds it counts.
    pub scope: String,
    /// `counting` or `exclusive`.
    pub access: String,
}

/// A request that the build of another answers.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Merged {
    pub request: u64,
    pub buildset: u64,
}

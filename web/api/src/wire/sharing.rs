//! What a build has to do with others: its end with other requests, locks, and buildsets that it triggers.

use schemars::JsonSchema;
use serde::Serialize;

/// A lock of a build or a step.
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

/// A buildset that a step of a build has triggered.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Trigger {
    /// Number of the step.
    pub step: u32,
    pub scheduler: String,
    /// `open`, `finished` or `refused`. Of a buildset that outlives the build it stays `open` when the build has ended: look at the buildset.
    pub state: String,
    pub buildset: Option<u64>,
    pub result: Option<String>,
    /// Why it was refused.
    pub reason: Option<String>,
    /// Whether it outlives the build; else it is cancelled with it.
    pub detached: bool,
}

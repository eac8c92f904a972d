//! Buildsets of triggerable schedulers. Permission: `trigger`; of which schedulers is the operator's grant.
//!
//! Without more, a set has the versions that this build has checked out. What an untrusted build triggers is untrusted.

use crate::bindings::capabilities::stampmill::host::trigger as wit;
use crate::{Fault, Outcome};
use serde_json::Value;

/// A buildset that is to be made.
#[derive(Debug)]
pub struct Request(wit::Request);

/// A buildset that was made.
#[derive(Debug)]
pub struct Triggered(wit::Triggered);

impl Request {
    /// Of the scheduler with this name.
    #[must_use]
    pub fn new(scheduler: &str) -> Request {
        Request(wit::Request::new(scheduler))
    }

    /// Takes what the scheduler has as default of each codebase instead of the build's versions.
    #[must_use]
    pub fn latest(self) -> Request {
        self.0.latest();
        self
    }

    /// This version of one codebase; `None` leaves what it would be.
    #[must_use]
    pub fn version(self, codebase: &str, branch: Option<&str>, revision: Option<&str>) -> Request {
        self.0.version(codebase, branch, revision);
        self
    }

    /// A property of the set.
    #[must_use]
    pub fn property(self, name: &str, value: &Value) -> Request {
        self.0.property(name, &value.to_string());
        self
    }

    /// Lets the set outlive this build. Else it is cancelled when the build ends before it.
    #[must_use]
    pub fn detach(self) -> Request {
        self.0.detach();
        self
    }

    /// Makes it; answers once it is stored.
    pub fn start(self) -> Result<Triggered, Fault> {
        Ok(Triggered(self.0.start()?))
    }
}

impl Triggered {
    /// Its number.
    #[must_use]
    pub fn buildset(&self) -> u64 {
        self.0.buildset()
    }

    /// Waits until it is complete.
    pub fn wait(&self) -> Result<Outcome, Fault> {
        Ok(self.0.wait()?)
    }
}

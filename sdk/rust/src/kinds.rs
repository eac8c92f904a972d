//! One trait per kind of plugin.

use crate::{Change, Fault, HookReply, HookRequest, Judgement, Occasion, Outcome, Polled, Request, SeenChange};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

/// What every plugin is: something made from its configuration, once per use, before anything else is asked of it.
///
/// Parse patterns and check what a schema cannot say here: an error here is shown to the operator when the configuration is read.
pub trait Plugin: Sized + 'static {
    /// The configuration. Give it `#[serde(rename_all = "kebab-case", deny_unknown_fields)]`: the first for one style of keys in the
    /// operator's file, the second so that a misspelt key is an error.
    type Config: DeserializeOwned + JsonSchema;

    /// Makes the plugin. Capabilities are not to be used yet.
    fn new(config: Self::Config) -> Result<Self, Fault>;
}

/// A change source that is asked from time to time.
pub trait ChangePoller: Plugin {
    /// The changes since `cursor` (none: the first time), oldest first.
    ///
    /// The host stores changes and cursor in one transaction, so an answer that got lost is asked again with the old cursor. Keep a call
    /// short: answer a page and say `more`.
    fn poll(&self, cursor: Option<&str>) -> Result<Polled, Fault>;
}

/// A change source that is told by HTTP.
pub trait ChangeHook: Plugin {
    /// Looks at one request. Everything in it is a stranger's until its signature is checked.
    fn receive(&self, request: &HookRequest) -> Result<HookReply, Fault>;
}

/// Names the codebase that a change belongs to.
pub trait CodebaseGenerator: Plugin {
    /// The codebase, or none for a change that this plugin does not know.
    fn codebase_of(&self, change: &SeenChange) -> Result<Option<String>, Fault>;
}

/// Says whether a change is for a scheduler.
pub trait SchedulerFilter: Plugin {
    /// The judgement of one change. It must depend on nothing but the change and the configuration: the host may ask again later, to explain.
    fn judge(&self, change: &Change) -> Result<Judgement, Fault>;
}

/// Says which requests of a builder may share a build.
pub trait Merge: Plugin {
    /// The key of a request: it shares a build with those alone that have the same key and that the host's own rule of merging allows.
    /// Without one it is built by itself. It must depend on nothing but the request and the configuration.
    fn key(&self, request: &Request) -> Result<Option<String>, Fault>;
}

/// One step of a build.
pub trait Step: Plugin {
    /// Does it. A fault makes the step an `exception`; for what the build did wrong, answer [`Outcome::Failure`].
    fn run(&self) -> Result<Outcome, Fault>;
}

/// Tells somebody of what happened.
pub trait Reporter: Plugin {
    /// Delivered at least once: `id` is the same each time, `attempt` counts from 1.
    fn report(&self, id: &str, attempt: u32, occasion: &Occasion) -> Result<(), Fault>;
}

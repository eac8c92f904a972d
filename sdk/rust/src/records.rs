//! The words that plugins and host share. They are the contract's own records; what is here adds constructors.

use crate::bindings;
use crate::bindings::capabilities::stampmill::host::facts;
use crate::bindings::capabilities::stampmill::types::types;

/// A change with the host's id, codebase and arrival time (milliseconds since 1970).
pub use types::Change;
/// The result of a step, a build or a buildset.
pub use types::Outcome;
/// A difference to apply on top of a source stamp.
pub use types::Patch;
/// A request that waits for a build, as decision plugins see it.
pub use types::Request;
/// What a change source saw. Make one with `..SeenChange::default()`, or `SeenChange { author, ..Default::default() }`.
pub use types::SeenChange;
/// A named JSON value; `value` is JSON text, see [`Setting::new`].
pub use types::Setting;
/// One version of one codebase.
pub use types::SourceStamp;
/// What a request wants of one codebase.
pub use types::WantedSource;

/// A build to look at. `property` answers JSON text.
pub use facts::Build;
/// A buildset to look at.
pub use facts::Buildset;
/// A step of a build to look at.
pub use facts::Step as BuildStep;

/// What a poll answers: changes, oldest first, and the cursor to come back with; the host stores both together.
pub use bindings::change_poller::exports::stampmill::change_source::poller::Polled;

/// An HTTP request that the host received for this change source.
pub use bindings::change_hook::exports::stampmill::change_source::hook::Request as HookRequest;

/// What to answer the sender, and the changes to take in.
pub use bindings::change_hook::exports::stampmill::change_source::hook::Reply as HookReply;

/// What a scheduler filter says of one change, and why.
pub use bindings::scheduler_filter::exports::stampmill::filter::filter::Judgement;
/// The three things that a scheduler filter can say.
pub use bindings::scheduler_filter::exports::stampmill::filter::filter::Verdict;

/// What happened, with what it happened to.
pub use bindings::reporter::exports::stampmill::reporter::reporter::Occasion;

#[expect(clippy::derivable_impls, reason = "the record is generated and cannot derive")]
impl Default for SeenChange {
    fn default() -> SeenChange {
        SeenChange {
            author: String::new(),
            committer: None,
            comments: String::new(),
            files: Vec::new(),
            repository: String::new(),
            project: String::new(),
            revision: None,
            branch: None,
            category: None,
            link: None,
            committed_at: None,
            properties: Vec::new(),
            extra: Vec::new(),
        }
    }
}

#[expect(clippy::derivable_impls, reason = "the record is generated and cannot derive")]
impl Default for Request {
    fn default() -> Request {
        Request {
            id: 0,
            builder: String::new(),
            project: String::new(),
            priority: 0,
            reason: String::new(),
            scheduler: None,
            owner: None,
            submitted_at: 0,
            sources: Vec::new(),
            properties: Vec::new(),
            extra: Vec::new(),
        }
    }
}

impl Request {
    /// The JSON text of a property, if its buildset has it.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.iter().find(|setting| setting.name == name).map(|setting| setting.value.as_str())
    }
}

impl Setting {
    /// A named value.
    pub fn new(name: impl Into<String>, value: &serde_json::Value) -> Setting {
        Setting { name: name.into(), value: value.to_string() }
    }
}

impl Judgement {
    /// Build this change.
    pub fn important(reason: impl Into<String>) -> Judgement {
        Judgement { verdict: Verdict::Important, reason: reason.into() }
    }

    /// Not by itself, but take it along with the next important one.
    pub fn unimportant(reason: impl Into<String>) -> Judgement {
        Judgement { verdict: Verdict::Unimportant, reason: reason.into() }
    }

    /// Nothing for this scheduler.
    pub fn ignore(reason: impl Into<String>) -> Judgement {
        Judgement { verdict: Verdict::Ignore, reason: reason.into() }
    }
}

impl HookRequest {
    /// The first header of this name; names of headers know no case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

impl HookReply {
    /// A reply that takes nothing in.
    pub fn status(status: u16, body: impl Into<String>) -> HookReply {
        HookReply { status, body: body.into(), delivery: None, changes: Vec::new() }
    }
}

/// The word that configuration, pages and reports use for an outcome.
pub fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "success",
        Outcome::Warnings => "warnings",
        Outcome::Failure => "failure",
        Outcome::Skipped => "skipped",
        Outcome::Exception => "exception",
        Outcome::Retry => "retry",
        Outcome::Cancelled => "cancelled",
    }
}

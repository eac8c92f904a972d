//! The words of the contract as plain Rust: what goes into plugins and what comes out. `convert` carries them over.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

/// Whose fault it is that something was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The configuration, the request or a grant forbids it: trying again changes nothing.
    #[error("refused: {0}")]
    Refused(String),
    /// The world is not answering.
    #[error("unavailable: {reason}")]
    Unavailable {
        /// What doesn't answer.
        reason: String,
        /// Try again at the earliest after this long.
        retry_after: Option<Duration>,
    },
    /// A bug in the plugin.
    #[error("broken: {0}")]
    Broken(String),
}

impl Fault {
    /// The world is not answering, and nobody knows for how long.
    pub fn unavailable(reason: impl Into<String>) -> Fault {
        Fault::Unavailable { reason: reason.into(), retry_after: None }
    }
}

/// How a step or build ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should be.
    Success,
    /// Done, with something to look at.
    Warnings,
    /// Done, and the result is bad.
    Failure,
    /// Not done, as it should be.
    Skipped,
    /// Not done because of a mistake in the machinery.
    Exception,
    /// Not done, to be done again.
    Retry,
    /// Ended by a person.
    Cancelled,
}

/// A name with a JSON value.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// The name.
    pub name: String,
    /// The value.
    pub value: Value,
}

/// What a change source saw, before the host gives it an id and a codebase.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeenChange {
    /// Who wrote it.
    pub author: String,
    /// Who committed it, where that is known apart.
    pub committer: Option<String>,
    /// The message.
    pub comments: String,
    /// Names of the files that it touches; one that isn't UTF-8 is C-quoted.
    pub files: Vec<String>,
    /// Where it was seen.
    pub repository: String,
    /// The project, or nothing.
    pub project: String,
    /// The revision after it.
    pub revision: Option<String>,
    /// The branch.
    pub branch: Option<String>,
    /// A word of the change source's own.
    pub category: Option<String>,
    /// A page to read about it.
    pub link: Option<String>,
    /// Milliseconds since 1970.
    pub committed_at: Option<u64>,
    /// Properties that its builds get.
    pub properties: Vec<Setting>,
    /// What the contract may learn to say later.
    pub extra: Vec<Setting>,
}

/// A change as the host knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Given by the host.
    pub id: u64,
    /// Given by the codebase generator.
    pub codebase: String,
    /// Milliseconds since 1970.
    pub arrived_at: u64,
    /// What the change source saw.
    pub seen: SeenChange,
}

/// A difference to apply on top of a revision.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// Leading path components to strip.
    pub level: u32,
    /// The difference itself.
    pub body: Vec<u8>,
    /// Where to apply it.
    pub subdirectory: String,
    /// Who wrote it.
    pub author: String,
    /// What they said.
    pub comment: String,
}

/// What is to be built of one codebase.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceStamp {
    /// The codebase.
    pub codebase: String,
    /// Where it is.
    pub repository: String,
    /// The project.
    pub project: String,
    /// The branch.
    pub branch: Option<String>,
    /// The revision; none: the latest of the branch.
    pub revision: Option<String>,
    /// What to put on top.
    pub patch: Option<Patch>,
    /// What the contract may learn to say later.
    pub extra: Vec<Setting>,
}

/// What a request wants of one codebase.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WantedSource {
    /// The codebase.
    pub codebase: String,
    /// Where it is.
    pub repository: String,
    /// The project.
    pub project: String,
    /// The branch.
    pub branch: Option<String>,
    /// The revision; none: the latest of the branch.
    pub revision: Option<String>,
    /// Whether there is a patch on top.
    pub patched: bool,
    /// Whether a build of it may see secrets.
    pub trusted: bool,
}

/// A request that waits for a build.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// Its id.
    pub id: u64,
    /// The builder.
    pub builder: String,
    /// The builder's project.
    pub project: String,
    /// Higher goes first.
    pub priority: i32,
    /// Why its set was made.
    pub reason: String,
    /// The scheduler that made its set.
    pub scheduler: Option<String>,
    /// Who asked for it.
    pub owner: Option<String>,
    /// Milliseconds since 1970.
    pub submitted_at: u64,
    /// What it wants built.
    pub sources: Vec<WantedSource>,
    /// Properties of its set.
    pub properties: Vec<Setting>,
    /// What the contract may learn to say later.
    pub extra: Vec<Setting>,
}

/// A step, to look at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepFacts {
    /// Its name.
    pub name: String,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// One line about it.
    pub summary: String,
    /// The last bytes of its logs by name; a plugin asks for so many lines of them.
    pub log_tails: BTreeMap<String, Vec<u8>>,
}

/// A build, to look at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BuildFacts {
    /// Its id.
    pub id: u64,
    /// Its number on the builder.
    pub number: u32,
    /// Which attempt of its request it is.
    pub attempt: u32,
    /// The builder.
    pub builder: String,
    /// The project.
    pub project: String,
    /// The worker.
    pub worker: String,
    /// Why it was made.
    pub reason: String,
    /// What it builds.
    pub stamps: Vec<SourceStamp>,
    /// What is new in it.
    pub changes: Vec<Change>,
    /// Who wrote what is new.
    pub blamelist: Vec<String>,
    /// Who else wants to know.
    pub interested: Vec<String>,
    /// Whether its sources are trusted.
    pub trusted: bool,
    /// Its properties.
    pub properties: BTreeMap<String, Value>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// How the one before it ended.
    pub previous_outcome: Option<Outcome>,
    /// One line about it.
    pub summary: String,
    /// Its page.
    pub url: String,
    /// Milliseconds since 1970.
    pub started_at: u64,
    /// Milliseconds since 1970.
    pub finished_at: Option<u64>,
    /// Its steps.
    pub steps: Vec<StepFacts>,
}

/// A buildset, to look at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BuildsetFacts {
    /// Its id.
    pub id: u64,
    /// Why it was made.
    pub reason: String,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Its builds.
    pub builds: Vec<BuildFacts>,
}

/// What a reporter is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Occasion {
    /// A build began.
    BuildStarted(BuildFacts),
    /// A build ended.
    BuildFinished(BuildFacts),
    /// It became known that the set will fail.
    FirstFailure(BuildsetFacts),
    /// The set is done.
    BuildsetFinished(BuildsetFacts),
    /// What the contract may learn to say later.
    Other(Value),
}

/// What a poll found.
#[derive(Clone, Debug, PartialEq)]
pub struct Polled {
    /// Oldest first.
    pub changes: Vec<SeenChange>,
    /// What to come back with.
    pub cursor: String,
    /// Ask again at once.
    pub more: bool,
}

/// A request that a webhook received.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HookRequest {
    /// The method.
    pub method: String,
    /// The path below the hook's own.
    pub path: String,
    /// The query, without the question mark.
    pub query: String,
    /// Names in lower case, values as text.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What the hook answers.
#[derive(Clone, Debug, PartialEq)]
pub struct HookReply {
    /// HTTP status, 100 to 599.
    pub status: u16,
    /// Text for the sender.
    pub body: String,
    /// The sender's id of this delivery.
    pub delivery: Option<String>,
    /// The changes in it.
    pub changes: Vec<SeenChange>,
}

/// What a filter thinks of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is a reason to build.
    Important,
    /// It is built along with others.
    Unimportant,
    /// It isn't looked at.
    Ignore,
}

/// A verdict with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outcome::Success => "success",
            Outcome::Warnings => "warnings",
            Outcome::Failure => "failure",
            Outcome::Skipped => "skipped",
            Outcome::Exception => "exception",
            Outcome::Retry => "retry",
            Outcome::Cancelled => "cancelled",
        })
    }
}

//! What a host answers, as far as the command line looks at it. Fields that it does not know are let pass: the host may be newer.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use stampmill_model::Outcome;

use super::failure::Failure;

/// An answer in its type.
pub(crate) fn read<T: DeserializeOwned>(value: Value) -> anyhow::Result<T> {
    serde_json::from_value(value).map_err(|error| {
        Failure::Broken(format!(
            "the host's answer is not what this release expects: {error}; are both of one release?"
        ))
        .into()
    })
}

/// A page of a list.
#[derive(Deserialize, Debug)]
pub(crate) struct List<T> {
    pub(crate) items: Vec<T>,
}

/// A build.
#[derive(Deserialize, Clone, Debug)]
pub(crate) struct Build {
    pub(crate) id: u64,
    pub(crate) builder: String,
    pub(crate) number: u64,
    pub(crate) state: String,
    pub(crate) result: Option<String>,
    #[serde(default)]
    pub(crate) summary: String,
    pub(crate) worker: String,
    pub(crate) reason: String,
    pub(crate) owner: Option<String>,
    pub(crate) request: u64,
    pub(crate) buildset: u64,
    #[serde(default)]
    pub(crate) merged: Vec<Merged>,
    pub(crate) attempt: u32,
    pub(crate) started_at: String,
    pub(crate) source_stamps: Vec<SourceStamp>,
    #[serde(default)]
    pub(crate) properties: BTreeMap<String, Property>,
    pub(crate) steps: Vec<Step>,
}

/// A request that the build answers as well.
#[derive(Deserialize, Clone, Debug)]
pub(crate) struct Merged {
    pub(crate) request: u64,
    pub(crate) buildset: u64,
}

/// A property.
#[derive(Deserialize, Clone, Debug)]
pub(crate) struct Property {
    pub(crate) value: Value,
}

/// A source stamp.
#[derive(Deserialize, Clone, Debug)]
pub(crate) struct SourceStamp {
    pub(crate) codebase: String,
    pub(crate) repository: String,
    pub(crate) branch: Option<String>,
    pub(crate) revision: Option<String>,
    pub(crate) changes: Vec<u64>,
}

/// A step.
#[derive(Deserialize, Clone, Debug)]
pub(crate) struct Step {
    pub(crate) number: u32,
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) result: Option<String>,
    #[serde(default)]
    pub(crate) summary: String,
    pub(crate) logs: Vec<String>,
}

/// A request.
#[derive(Deserialize, Clone, Debug)]
pub(crate) struct Request {
    pub(crate) id: u64,
    pub(crate) builder: String,
    pub(crate) state: String,
    pub(crate) result: Option<String>,
}

/// Why a request waits.
#[derive(Deserialize, Debug)]
pub(crate) struct Explanation {
    pub(crate) summary: String,
    pub(crate) position: Option<u64>,
    pub(crate) workers: Vec<WorkerReason>,
}

/// What a change waits for at a scheduler.
#[derive(Deserialize, Debug)]
pub(crate) struct ChangeWait {
    pub(crate) scheduler: String,
    pub(crate) reason: String,
    pub(crate) until: Option<String>,
}

/// Why a worker does not run it.
#[derive(Deserialize, Debug)]
pub(crate) struct WorkerReason {
    pub(crate) worker: String,
    pub(crate) reason: String,
}

/// A buildset.
#[derive(Deserialize, Debug)]
pub(crate) struct Buildset {
    pub(crate) reason: String,
    pub(crate) scheduler: Option<String>,
    pub(crate) owner: Option<String>,
    pub(crate) rebuild_of: Option<u64>,
    pub(crate) dependent_on: Option<u64>,
    pub(crate) pinged_by: Option<u64>,
}

/// A change.
#[derive(Deserialize, Debug)]
pub(crate) struct Change {
    pub(crate) id: u64,
    pub(crate) author: String,
    pub(crate) comments: String,
    pub(crate) repository: String,
    pub(crate) branch: Option<String>,
    pub(crate) revision: Option<String>,
    pub(crate) codebase: Option<String>,
    pub(crate) trouble: Option<String>,
    pub(crate) decided: bool,
    pub(crate) decisions: Vec<Decision>,
    pub(crate) buildsets: Vec<u64>,
}

/// What a scheduler made of a change.
#[derive(Deserialize, Debug)]
pub(crate) struct Decision {
    pub(crate) scheduler: String,
    pub(crate) verdict: String,
    pub(crate) reason: String,
}

/// What an ask for builds has made.
#[derive(Deserialize, Debug)]
pub(crate) struct Made {
    pub(crate) buildset: u64,
    pub(crate) requests: Vec<u64>,
}

/// Ids of changes that were taken.
#[derive(Deserialize, Debug)]
pub(crate) struct ChangesTaken {
    pub(crate) changes: Vec<u64>,
}

/// A scheduler.
#[derive(Deserialize, Debug)]
pub(crate) struct Scheduler {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) when: String,
    pub(crate) disabled: Option<Halt>,
    pub(crate) waiting: u64,
    pub(crate) next_at: Option<String>,
}

/// A worker.
#[derive(Deserialize, Debug)]
pub(crate) struct Worker {
    pub(crate) name: String,
    pub(crate) running: Vec<u64>,
}

/// Who halted something, and why.
#[derive(Deserialize, Debug)]
pub(crate) struct Halt {
    pub(crate) by: String,
    pub(crate) reason: String,
}

/// A user.
#[derive(Deserialize, Debug)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) role: String,
    pub(crate) created_at: String,
}

/// Somebody who makes changes.
#[derive(Deserialize, Debug)]
pub(crate) struct Person {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) attributes: Vec<PersonAttribute>,
    pub(crate) last_change: Option<LastChange>,
}

/// What a person is known by.
#[derive(Deserialize, Debug)]
pub(crate) struct PersonAttribute {
    kind: String,
    value: String,
}

impl std::fmt::Display for PersonAttribute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.kind, self.value)
    }
}

/// The newest change of a person.
#[derive(Deserialize, Debug)]
pub(crate) struct LastChange {
    pub(crate) id: u64,
    pub(crate) arrived_at: String,
}

/// A token.
#[derive(Deserialize, Debug)]
pub(crate) struct Token {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) holder: String,
    pub(crate) role: Option<String>,
    pub(crate) created_at: String,
    pub(crate) expires_at: Option<String>,
}

/// A token with its secret.
#[derive(Deserialize)]
pub(crate) struct NewToken {
    pub(crate) secret: String,
}

impl Build {
    /// The outcome, when it has ended.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        (self.state == "finished").then(|| outcome_of(self.result.as_deref()))
    }

    /// The revision that was checked out, else the one that was asked for; of the first codebase.
    pub(crate) fn revision(&self) -> Option<&str> {
        let got = self.properties.get("got_revision").map(|property| &property.value);
        let stamp = self.source_stamps.first()?;
        let got = got.and_then(|got| got.as_str().or_else(|| got.get(&stamp.codebase)?.as_str()));
        got.or(stamp.revision.as_deref())
    }

    /// `linux/12`, as commands take it.
    pub(crate) fn label(&self) -> String {
        format!("{}/{}", super::output::clean(&self.builder), self.number)
    }
}

/// The outcome that a result names; one of a newer host is nothing that can be called green.
pub(crate) fn outcome_of(result: Option<&str>) -> Outcome {
    result.and_then(Outcome::parse).unwrap_or(Outcome::Exception)
}

//! An occasion as JSON, in one form for all reporters that send it on.
//!
//! ```json
//! {"id": "…", "attempt": 1, "event": "build-finished", "build": {
//!     "id": 7, "number": 3, "attempt": 1, "builder": "linux", "project": "app", "worker": "w1", "reason": "…", "url": "…",
//!     "result": "failure", "previous_result": "success", "summary": "…", "started_at": 1700000000000, "finished_at": 1700000009000,
//!     "trusted": true, "blamelist": ["Ann <ann@example>"], "interested": ["Ann <ann@example>", "sheriff@example"], "got_revision": "…",
//!     "source_stamps": [{"codebase": "", "repository": "…", "project": "", "branch": "main", "revision": "…", "patched": false}],
//!     "changes": [{"id": 1, "codebase": "", "author": "…", "comments": "…", "files": ["…"], "repository": "…", "project": "",
//!                  "branch": "main", "revision": "…", "category": null, "link": null, "arrived_at": 1700000000000, "committed_at": null}],
//!     "steps": [{"name": "compile", "result": "failure", "summary": "make: exit 2"}]}}
//! ```
//!
//! Times are milliseconds since 1970; what is not known is null. Events are `build-started`, `build-finished`, and, with `"buildset": {"id",
//! "reason", "result", "builds": […]}` instead of a build, `first-failure` and `buildset-finished`.

use crate::{Build, BuildStep, Buildset, Change, Occasion, Outcome, SourceStamp, outcome_word};
use serde_json::{Value, json};

/// The whole event.
pub fn to_json(id: &str, attempt: u32, occasion: &Occasion) -> Value {
    let (key, about) = match occasion {
        Occasion::BuildStarted(build) | Occasion::BuildFinished(build) => ("build", build_to_json(build)),
        Occasion::FirstFailure(buildset) | Occasion::BuildsetFinished(buildset) => {
            ("buildset", buildset_to_json(buildset))
        }
        Occasion::Other(text) => ("other", serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str()))),
    };
    json!({ "id": id, "attempt": attempt, "event": name(occasion), key: about })
}

/// The event's name.
pub fn name(occasion: &Occasion) -> &'static str {
    match occasion {
        Occasion::BuildStarted(_) => "build-started",
        Occasion::BuildFinished(_) => "build-finished",
        Occasion::FirstFailure(_) => "first-failure",
        Occasion::BuildsetFinished(_) => "buildset-finished",
        Occasion::Other(_) => "other",
    }
}

fn result(outcome: Option<Outcome>) -> Value {
    outcome.map_or(Value::Null, |outcome| Value::from(outcome_word(outcome)))
}

/// A build.
pub fn build_to_json(build: &Build) -> Value {
    let got_revision = build.property("got_revision").and_then(|text| serde_json::from_str(&text).ok());
    json!({
        "id": build.id(),
        "number": build.number(),
        "attempt": build.attempt(),
        "builder": build.builder(),
        "project": build.project(),
        "worker": build.worker(),
        "reason": build.reason(),
        "url": build.url(),
        "result": result(build.outcome()),
        "previous_result": result(build.previous_outcome()),
        "summary": build.summary(),
        "started_at": build.started_at(),
        "finished_at": build.finished_at(),
        "trusted": build.trusted(),
        "blamelist": build.blamelist(),
        "interested": build.interested(),
        "got_revision": got_revision.unwrap_or(Value::Null),
        "source_stamps": build.stamps().iter().map(stamp_to_json).collect::<Vec<_>>(),
        "changes": build.changes().iter().map(change_to_json).collect::<Vec<_>>(),
        "steps": build.steps().iter().map(step_to_json).collect::<Vec<_>>(),
    })
}

fn buildset_to_json(buildset: &Buildset) -> Value {
    json!({
        "id": buildset.id(),
        "reason": buildset.reason(),
        "result": result(buildset.outcome()),
        "builds": buildset.builds().iter().map(build_to_json).collect::<Vec<_>>(),
    })
}

fn step_to_json(step: &BuildStep) -> Value {
    json!({ "name": step.name(), "result": result(step.outcome()), "summary": step.summary() })
}

fn stamp_to_json(stamp: &SourceStamp) -> Value {
    json!({
        "codebase": stamp.codebase,
        "repository": stamp.repository,
        "project": stamp.project,
        "branch": stamp.branch,
        "revision": stamp.revision,
        "patched": stamp.patch.is_some(),
    })
}

fn change_to_json(change: &Change) -> Value {
    let seen = &change.seen;
    json!({
        "id": change.id,
        "codebase": change.codebase,
        "author": seen.author,
        "comments": seen.comments,
        "files": seen.files,
        "repository": seen.repository,
        "project": seen.project,
        "branch": seen.branch,
        "revision": seen.revision,
        "category": seen.category,
        "link": seen.link,
        "arrived_at": change.arrived_at,
        "committed_at": seen.committed_at,
    })
}

//! Between the words of the host and the records that plugins get.

use std::time::Duration;

use stampmill_engine::input::Trouble;
use stampmill_model as model;
use stampmill_runtime as runtime;

/// What a plugin saw, as the host keeps it.
pub(crate) fn seen_change(seen: runtime::SeenChange) -> model::SeenChange {
    model::SeenChange {
        author: seen.author,
        committer: seen.committer,
        comments: seen.comments,
        files: seen.files,
        repository: seen.repository,
        project: seen.project,
        revision: seen.revision,
        branch: seen.branch,
        category: seen.category,
        link: seen.link,
        committed_at: seen.committed_at.map(model::Wall),
        properties: seen.properties.into_iter().map(|setting| (setting.name, setting.value)).collect(),
    }
}

/// Why a plugin did not answer; only what the world may mend by itself is worth another try.
pub(crate) fn trouble(error: &runtime::PluginError) -> Trouble {
    let (retry, retry_after) = match error.fault() {
        Some(runtime::Fault::Unavailable { retry_after, .. }) => (true, *retry_after),
        Some(runtime::Fault::Refused(_) | runtime::Fault::Broken(_)) | None => (false, None),
    };
    Trouble { message: error.to_string(), retry, retry_after: retry_after.map(milliseconds) }
}

fn milliseconds(length: Duration) -> model::Milliseconds {
    model::Milliseconds(u64::try_from(length.as_millis()).unwrap_or(u64::MAX))
}

/// The verdict of one filter.
pub(crate) fn judgement(judgement: runtime::Judgement) -> (model::Verdict, String) {
    let verdict = match judgement.verdict {
        runtime::Verdict::Important => model::Verdict::Important,
        runtime::Verdict::Unimportant => model::Verdict::Unimportant,
        runtime::Verdict::Ignore => model::Verdict::Ignored,
    };
    (verdict, judgement.reason)
}

/// A change as a codebase generator gets it.
pub(crate) fn seen_for_plugin(seen: &model::SeenChange) -> runtime::SeenChange {
    let setting =
        |(name, value): &(String, serde_json::Value)| runtime::Setting { name: name.clone(), value: value.clone() };
    runtime::SeenChange {
        author: seen.author.clone(),
        committer: seen.committer.clone(),
        comments: seen.comments.clone(),
        files: seen.files.clone(),
        repository: seen.repository.clone(),
        project: seen.project.clone(),
        revision: seen.revision.clone(),
        branch: seen.branch.clone(),
        category: seen.category.clone(),
        link: seen.link.clone(),
        committed_at: seen.committed_at.map(|at| at.0),
        properties: seen.properties.iter().map(setting).collect(),
        extra: Vec::new(),
    }
}

/// A change as a filter, a step or a reporter gets it.
pub(crate) fn change_for_plugin(change: &model::Change) -> runtime::Change {
    runtime::Change {
        id: change.id.0,
        codebase: change.codebase.clone().unwrap_or_default(),
        arrived_at: change.arrived_at.0,
        seen: seen_for_plugin(&change.seen),
    }
}

fn stamp(stamp: &model::SourceStamp) -> runtime::SourceStamp {
    let patch = |patch: &model::Patch| runtime::Patch {
        level: patch.level,
        body: patch.body.clone(),
        subdirectory: patch.subdirectory.clone(),
        author: patch.author.clone(),
        comment: patch.comment.clone(),
    };
    runtime::SourceStamp {
        codebase: stamp.codebase.clone(),
        repository: stamp.repository.clone(),
        project: stamp.project.clone(),
        branch: stamp.branch.clone(),
        revision: stamp.revision.clone(),
        patch: stamp.patch.as_ref().map(patch),
        extra: Vec::new(),
    }
}

/// An outcome as plugins get it.
pub(crate) const fn outcome(outcome: model::Outcome) -> runtime::Outcome {
    match outcome {
        model::Outcome::Success => runtime::Outcome::Success,
        model::Outcome::Warnings => runtime::Outcome::Warnings,
        model::Outcome::Failure => runtime::Outcome::Failure,
        model::Outcome::Skipped => runtime::Outcome::Skipped,
        model::Outcome::Exception => runtime::Outcome::Exception,
        model::Outcome::Retry => runtime::Outcome::Retry,
        model::Outcome::Cancelled => runtime::Outcome::Cancelled,
    }
}

/// A build as a reporter gets it, with the changes that its stamps name.
pub(crate) fn build_facts(build: &model::Build, changes: &[model::Change], url: String) -> runtime::BuildFacts {
    let (ended, summary, finished_at) = match &build.state {
        model::BuildState::Dispatched | model::BuildState::Running | model::BuildState::Cancelling { .. } => {
            (None, String::new(), None)
        }
        model::BuildState::Finished { outcome: ended, summary, at } => {
            (Some(outcome(*ended)), summary.clone(), Some(at.0))
        }
    };
    runtime::BuildFacts {
        id: build.id.0,
        number: u32::try_from(build.number).unwrap_or(u32::MAX),
        attempt: build.attempt,
        builder: build.builder.to_string(),
        project: build.project.clone(),
        worker: build.worker.to_string(),
        reason: build.reason.clone(),
        stamps: build.stamps.iter().map(stamp).collect(),
        changes: changes.iter().map(change_for_plugin).collect(),
        blamelist: build.blamelist.clone(),
        interested: build.blamelist.clone(),
        trusted: build.stamps.iter().all(|stamp| stamp.trusted),
        properties: build.properties.iter().map(|(name, property)| (name.clone(), property.value.clone())).collect(),
        outcome: ended,
        previous_outcome: None,
        summary,
        url,
        started_at: build.started_at.0,
        finished_at,
        steps: build.steps.iter().map(step_facts).collect(),
    }
}

fn step_facts(step: &model::Step) -> runtime::StepFacts {
    let ended = match &step.state {
        model::StepState::Waiting | model::StepState::Running { .. } => None,
        model::StepState::Finished { outcome: ended, .. } => Some(outcome(*ended)),
    };
    runtime::StepFacts {
        name: step.name.clone(),
        outcome: ended,
        summary: step.summary.clone(),
        log_tails: std::collections::BTreeMap::new(),
    }
}

//! Between the words of the host and the records that plugins get.

use std::time::Duration;

use stampmill_agent::convert::{build_for_plugin, outcome_for_plugin};
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

/// A build as a reporter gets it, with the changes that its stamps name, and those whom its builder names as interested.
pub(crate) fn build_facts(
    build: &model::Build,
    changes: &[model::Change],
    named: &[String],
    url: String,
) -> runtime::BuildFacts {
    let (ended, summary, finished_at) = match &build.state {
        model::BuildState::Dispatched | model::BuildState::Running | model::BuildState::Cancelling { .. } => {
            (None, String::new(), None)
        }
        model::BuildState::Finished { outcome: ended, summary, at } => {
            (Some(outcome_for_plugin(*ended)), summary.clone(), Some(at.0))
        }
    };
    runtime::BuildFacts {
        interested: model::person::interested(&build.blamelist, named),
        outcome: ended,
        summary,
        url,
        finished_at,
        steps: build.steps.iter().map(step_facts).collect(),
        ..build_for_plugin(build, changes, &build.properties)
    }
}

fn step_facts(step: &model::Step) -> runtime::StepFacts {
    let ended = match &step.state {
        model::StepState::Waiting | model::StepState::Running { .. } => None,
        model::StepState::Finished { outcome: ended, .. } => Some(outcome_for_plugin(*ended)),
    };
    runtime::StepFacts {
        name: step.name.clone(),
        outcome: ended,
        summary: step.summary.clone(),
        log_tails: std::collections::BTreeMap::new(),
    }
}

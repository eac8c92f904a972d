//! Builds, stamps and changes as plugins see them, on a worker and on the host.

use stampmill_model as model;
use stampmill_runtime as runtime;

/// An outcome as plugins get it.
#[must_use]
pub const fn outcome_for_plugin(outcome: model::Outcome) -> runtime::Outcome {
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

/// An outcome as a plugin gave it.
#[must_use]
pub const fn outcome_from_runtime(outcome: runtime::Outcome) -> model::Outcome {
    match outcome {
        runtime::Outcome::Success => model::Outcome::Success,
        runtime::Outcome::Warnings => model::Outcome::Warnings,
        runtime::Outcome::Failure => model::Outcome::Failure,
        runtime::Outcome::Skipped => model::Outcome::Skipped,
        runtime::Outcome::Exception => model::Outcome::Exception,
        runtime::Outcome::Retry => model::Outcome::Retry,
        runtime::Outcome::Cancelled => model::Outcome::Cancelled,
    }
}

/// A build with its properties as they are now.
#[must_use]
pub fn running_build(order: &model::BuildOrder, properties: &model::Properties) -> runtime::BuildFacts {
    build_for_plugin(&order.build, &order.changes, properties)
}

/// What is known of a build from its start on: neither how it ended nor how its steps did.
#[must_use]
pub fn build_for_plugin(
    build: &model::Build,
    changes: &[model::Change],
    properties: &model::Properties,
) -> runtime::BuildFacts {
    runtime::BuildFacts {
        id: build.id.0,
        number: u32::try_from(build.number).unwrap_or(u32::MAX),
        attempt: build.attempt,
        builder: build.builder.as_str().to_owned(),
        project: build.project.clone(),
        worker: build.worker.as_str().to_owned(),
        reason: build.reason.clone(),
        stamps: build.stamps.iter().map(stamp).collect(),
        changes: changes.iter().map(change_for_plugin).collect(),
        blamelist: build.blamelist.clone(),
        trusted: build.stamps.iter().all(|stamp| stamp.trusted),
        properties: properties.iter().map(|(name, property)| (name.clone(), property.value.clone())).collect(),
        started_at: build.started_at.0,
        ..runtime::BuildFacts::default()
    }
}

fn stamp(stamp: &model::SourceStamp) -> runtime::SourceStamp {
    runtime::SourceStamp {
        codebase: stamp.codebase.clone(),
        repository: stamp.repository.clone(),
        project: stamp.project.clone(),
        branch: stamp.branch.clone(),
        revision: stamp.revision.clone(),
        patch: stamp.patch.as_ref().map(|patch| runtime::Patch {
            level: patch.level,
            body: patch.body.clone(),
            subdirectory: patch.subdirectory.clone(),
            author: patch.author.clone(),
            comment: patch.comment.clone(),
        }),
        extra: Vec::new(),
    }
}

/// A request as a decision plugin gets it. Patches stay here: they are megabytes, and nothing that such a plugin decides by.
#[must_use]
pub fn request_for_plugin(request: &model::Request, set: &model::Buildset, project: &str) -> runtime::Request {
    let setting = |(name, property): (&String, &model::Property)| runtime::Setting {
        name: name.clone(),
        value: property.value.clone(),
    };
    runtime::Request {
        id: request.id.0,
        builder: request.builder.to_string(),
        project: project.to_owned(),
        priority: request.priority,
        reason: set.reason.clone(),
        scheduler: set.scheduler.as_ref().map(ToString::to_string),
        owner: set.owner.clone(),
        submitted_at: request.submitted_at.0,
        sources: set.stamps.iter().map(wanted_source).collect(),
        properties: set.properties.iter().map(setting).collect(),
        extra: Vec::new(),
    }
}

fn wanted_source(stamp: &model::SourceStamp) -> runtime::WantedSource {
    runtime::WantedSource {
        codebase: stamp.codebase.clone(),
        repository: stamp.repository.clone(),
        project: stamp.project.clone(),
        branch: stamp.branch.clone(),
        revision: stamp.revision.clone(),
        patched: stamp.patch.is_some(),
        trusted: stamp.trusted,
    }
}

/// A change as a filter, a step or a reporter gets it.
#[must_use]
pub fn change_for_plugin(change: &model::Change) -> runtime::Change {
    runtime::Change {
        id: change.id.0,
        codebase: change.codebase.clone().unwrap_or_default(),
        arrived_at: change.arrived_at.0,
        seen: seen_for_plugin(&change.seen),
    }
}

/// A change as a codebase generator gets it.
#[must_use]
pub fn seen_for_plugin(seen: &model::SeenChange) -> runtime::SeenChange {
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

//! Between the model and the rows: the one place that knows both.

mod accounts;
mod halt;
mod last_seen;
mod locks;
mod merge_key;
mod network;
mod person;
mod pings;
mod triggers;

use serde::Deserialize as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use stampmill_engine::OccasionKind;
use stampmill_engine::output::{Batch, Delivery, Notice, NoticeState, SchedulerState, Subject, WorkerKept};
use stampmill_model::{
    Build, BuildId, BuildState, Buildset, BuildsetId, BuildsetState, Change, ChangeId, ChangeSourceName, Decision,
    Merged, NoticeId, Outcome, Parent, Patch, Properties, Property, PropertySource, Request, RequestId, RequestState,
    SeenChange, SourceStamp, Steady, Step, StepState, Verdict, Wall,
};

pub(crate) use self::accounts::{
    session_from_row, session_to_row, token_from_row, token_to_row, user_from_row, user_to_row,
};
use self::locks::{lock_from_row, lock_state_from_row, lock_state_to_row, lock_to_row};
use self::network::{network_from_row, network_to_row};
pub(crate) use self::person::{person_from_row, person_to_row};
use self::triggers::{trigger_from_row, trigger_to_row};
use crate::StoreError;
use crate::rows::{
    BatchRow, BuildRow, BuildStateRow, BuildsetRow, BuildsetStateRow, ChangeRow, DecisionRow, DeliveryRow, NoticeRow,
    NoticeStateRow, OccasionRow, PatchRow, PropertiesRow, PropertyRow, PropertySourceRow, RequestRow, RequestStateRow,
    Row, SchedulerRow, SeenRow, StampRow, StepRow, StepStateRow, SubjectRow, VerdictRow, WorkerRow,
};

/// A patch's body and its key; the rows hold the key.
pub(crate) type PatchBody<'a> = ([u8; 32], &'a [u8]);

/// Finds the body of a patch by its key.
pub(crate) type FindPatch<'a> = dyn Fn(&[u8; 32]) -> Result<Vec<u8>, StoreError> + 'a;

// --- changes -------------------------------------------------------------------------------------------------------------------------

pub(crate) fn change_to_row(change: &Change) -> ChangeRow {
    ChangeRow {
        id: change.id.0,
        source: change.source.as_ref().map(ToString::to_string),
        arrived_at: change.arrived_at.0,
        trusted: change.trusted,
        seen: seen_to_row(&change.seen),
        codebase: change.codebase.clone(),
        trouble: change.trouble.clone(),
        decisions: change.decisions.iter().map(decision_to_row).collect(),
        decided: change.decided,
        buildsets: change.buildsets.iter().map(|id| id.0).collect(),
    }
}

pub(crate) fn change_from_row(row: ChangeRow) -> Result<Change, StoreError> {
    Ok(Change {
        id: ChangeId(row.id),
        source: row.source.map(Into::into),
        arrived_at: Wall(row.arrived_at),
        trusted: row.trusted,
        seen: seen_from_row(row.seen)?,
        codebase: row.codebase,
        trouble: row.trouble,
        decisions: row.decisions.into_iter().map(decision_from_row).collect(),
        decided: row.decided,
        buildsets: row.buildsets.into_iter().map(BuildsetId).collect(),
    })
}

fn seen_to_row(seen: &SeenChange) -> SeenRow {
    SeenRow {
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
        properties: seen.properties.iter().map(|(name, value)| (name.clone(), value.to_string())).collect(),
    }
}

fn seen_from_row(row: SeenRow) -> Result<SeenChange, StoreError> {
    let property = |(name, value): (String, String)| Ok((name, json::<ChangeRow>(&value)?));
    Ok(SeenChange {
        author: row.author,
        committer: row.committer,
        comments: row.comments,
        files: row.files,
        repository: row.repository,
        project: row.project,
        revision: row.revision,
        branch: row.branch,
        category: row.category,
        link: row.link,
        committed_at: row.committed_at.map(Wall),
        properties: row.properties.into_iter().map(property).collect::<Result<_, StoreError>>()?,
    })
}

fn decision_to_row(decision: &Decision) -> DecisionRow {
    DecisionRow {
        scheduler: decision.scheduler.to_string(),
        verdict: match decision.verdict {
            Verdict::Important => VerdictRow::Important,
            Verdict::Unimportant => VerdictRow::Unimportant,
            Verdict::Ignored => VerdictRow::Ignored,
            Verdict::Failed => VerdictRow::Failed,
        },
        reason: decision.reason.clone(),
    }
}

fn decision_from_row(row: DecisionRow) -> Decision {
    Decision {
        scheduler: row.scheduler.into(),
        verdict: match row.verdict {
            VerdictRow::Important => Verdict::Important,
            VerdictRow::Unimportant => Verdict::Unimportant,
            VerdictRow::Ignored => Verdict::Ignored,
            VerdictRow::Failed => Verdict::Failed,
        },
        reason: row.reason,
    }
}

// --- sources and properties ----------------------------------------------------------------------------------------------------------

fn stamps_to_rows<'a>(stamps: &'a [SourceStamp], bodies: &mut Vec<PatchBody<'a>>) -> Vec<StampRow> {
    stamps
        .iter()
        .map(|stamp| StampRow {
            codebase: stamp.codebase.clone(),
            repository: stamp.repository.clone(),
            project: stamp.project.clone(),
            branch: stamp.branch.clone(),
            revision: stamp.revision.clone(),
            patch: stamp.patch.as_ref().map(|patch| {
                let key = <[u8; 32]>::from(Sha256::digest(&patch.body));
                bodies.push((key, &patch.body));
                PatchRow {
                    level: patch.level,
                    body: key,
                    subdirectory: patch.subdirectory.clone(),
                    author: patch.author.clone(),
                    comment: patch.comment.clone(),
                }
            }),
            trusted: stamp.trusted,
            changes: stamp.changes.iter().map(|id| id.0).collect(),
        })
        .collect()
}

fn stamps_from_rows(rows: Vec<StampRow>, find: &FindPatch<'_>) -> Result<Vec<SourceStamp>, StoreError> {
    let stamp = |row: StampRow| {
        let patch = match row.patch {
            None => None,
            Some(patch) => Some(Patch {
                level: patch.level,
                body: find(&patch.body)?,
                subdirectory: patch.subdirectory,
                author: patch.author,
                comment: patch.comment,
            }),
        };
        Ok(SourceStamp {
            codebase: row.codebase,
            repository: row.repository,
            project: row.project,
            branch: row.branch,
            revision: row.revision,
            patch,
            trusted: row.trusted,
            changes: row.changes.into_iter().map(ChangeId).collect(),
        })
    };
    rows.into_iter().map(stamp).collect()
}

fn properties_to_row(properties: &Properties) -> PropertiesRow {
    let property = |property: &Property| PropertyRow {
        value: property.value.to_string(),
        source: match &property.source {
            PropertySource::Global => PropertySourceRow::Global,
            PropertySource::Worker => PropertySourceRow::Worker,
            PropertySource::Builder => PropertySourceRow::Builder,
            PropertySource::Change => PropertySourceRow::Change,
            PropertySource::Scheduler => PropertySourceRow::Scheduler,
            PropertySource::Force => PropertySourceRow::Force,
            PropertySource::Trigger => PropertySourceRow::Trigger,
            PropertySource::Job => PropertySourceRow::Job,
            PropertySource::Build => PropertySourceRow::Build,
            PropertySource::Step(name) => PropertySourceRow::Step(name.clone()),
        },
    };
    properties.iter().map(|(name, value)| (name.clone(), property(value))).collect()
}

fn properties_from_row<R: Row>(row: PropertiesRow) -> Result<Properties, StoreError> {
    let property = |row: PropertyRow| -> Result<Property, StoreError> {
        let source = match row.source {
            PropertySourceRow::Global => PropertySource::Global,
            PropertySourceRow::Worker => PropertySource::Worker,
            PropertySourceRow::Builder => PropertySource::Builder,
            PropertySourceRow::Change => PropertySource::Change,
            PropertySourceRow::Scheduler => PropertySource::Scheduler,
            PropertySourceRow::Force => PropertySource::Force,
            PropertySourceRow::Trigger => PropertySource::Trigger,
            PropertySourceRow::Job => PropertySource::Job,
            PropertySourceRow::Build => PropertySource::Build,
            PropertySourceRow::Step(name) => PropertySource::Step(name),
        };
        Ok(Property { value: json::<R>(&row.value)?, source })
    };
    row.into_iter().map(|(name, row)| Ok((name, property(row)?))).collect()
}

/// Reads what `Value::to_string` wrote. There is no limit of depth: what could be written must come back.
fn json<R: Row>(text: &str) -> Result<Value, StoreError> {
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.disable_recursion_limit();
    Value::deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| StoreError::Row { table: R::TABLE, problem: format!("a JSON value: {error}") })
}

fn outcome<R: Row>(word: &str) -> Result<Outcome, StoreError> {
    Outcome::parse(word)
        .ok_or_else(|| StoreError::Row { table: R::TABLE, problem: format!("the outcome {word:?} is unknown") })
}

// --- buildsets and requests ----------------------------------------------------------------------------------------------------------

pub(crate) fn buildset_to_row<'a>(buildset: &'a Buildset, bodies: &mut Vec<PatchBody<'a>>) -> BuildsetRow {
    let (mut rebuild_of, mut dependent_on, mut triggered_by, mut pinged_by) = (None, None, None, None);
    match buildset.parent {
        Some(Parent::Rebuild(build)) => rebuild_of = Some(build.0),
        Some(Parent::Dependent(set)) => dependent_on = Some(set.0),
        Some(Parent::Pinged(set)) => pinged_by = Some(set.0),
        Some(Parent::Triggered(build)) => triggered_by = Some(build.0),
        None => {}
    }
    BuildsetRow {
        id: buildset.id.0,
        reason: buildset.reason.clone(),
        scheduler: buildset.scheduler.as_ref().map(ToString::to_string),
        owner: buildset.owner.clone(),
        stamps: stamps_to_rows(&buildset.stamps, bodies),
        blamelist: buildset.blamelist.clone(),
        properties: properties_to_row(&buildset.properties),
        requests: buildset.requests.iter().map(|id| id.0).collect(),
        external_id: buildset.external_id.clone(),
        rebuild_of,
        dependent_on,
        triggered_by,
        pinged_by,
        depth: buildset.depth,
        superseded: buildset.superseded,
        submitted_at: buildset.submitted_at.0,
        state: match &buildset.state {
            BuildsetState::Open { will_fail } => BuildsetStateRow::Open { will_fail: *will_fail },
            BuildsetState::Finished { outcome, at } => {
                BuildsetStateRow::Finished { outcome: outcome.to_string(), at: at.0 }
            }
        },
    }
}

pub(crate) fn buildset_from_row(row: BuildsetRow, find: &FindPatch<'_>) -> Result<Buildset, StoreError> {
    let rebuild = row.rebuild_of.map(|build| Parent::Rebuild(BuildId(build)));
    let dependent = row.dependent_on.map(|set| Parent::Dependent(BuildsetId(set)));
    let triggered = row.triggered_by.map(|build| Parent::Triggered(BuildId(build)));
    let pinged = row.pinged_by.map(|set| Parent::Pinged(BuildsetId(set)));
    let parent = rebuild.or(dependent).or(triggered).or(pinged);
    Ok(Buildset {
        id: BuildsetId(row.id),
        reason: row.reason,
        scheduler: row.scheduler.map(Into::into),
        owner: row.owner,
        stamps: stamps_from_rows(row.stamps, find)?,
        blamelist: row.blamelist,
        properties: properties_from_row::<BuildsetRow>(row.properties)?,
        requests: row.requests.into_iter().map(RequestId).collect(),
        external_id: row.external_id,
        parent,
        depth: row.depth,
        superseded: row.superseded,
        submitted_at: Wall(row.submitted_at),
        state: match row.state {
            BuildsetStateRow::Open { will_fail } => BuildsetState::Open { will_fail },
            BuildsetStateRow::Finished { outcome: word, at } => {
                BuildsetState::Finished { outcome: outcome::<BuildsetRow>(&word)?, at: Wall(at) }
            }
        },
    })
}

pub(crate) fn request_to_row(request: &Request) -> RequestRow {
    RequestRow {
        id: request.id.0,
        buildset: request.buildset.0,
        builder: request.builder.to_string(),
        priority: request.priority,
        only_worker: request.only_worker.as_ref().map(ToString::to_string),
        submitted_at: request.submitted_at.0,
        attempts: request.attempts,
        losses: request.losses,
        merge_key: merge_key::to_row(&request.merge_key),
        state: match &request.state {
            RequestState::AwaitingApproval => RequestStateRow::AwaitingApproval,
            RequestState::Pending => RequestStateRow::Pending,
            RequestState::Building(build) => RequestStateRow::Building(build.0),
            RequestState::Complete { outcome, build, at, reason } => RequestStateRow::Complete {
                outcome: outcome.to_string(),
                build: build.map(|build| build.0),
                at: at.0,
                reason: reason.clone(),
            },
        },
    }
}

pub(crate) fn request_from_row(row: RequestRow) -> Result<Request, StoreError> {
    Ok(Request {
        id: RequestId(row.id),
        buildset: BuildsetId(row.buildset),
        builder: row.builder.into(),
        priority: row.priority,
        only_worker: row.only_worker.map(Into::into),
        submitted_at: Wall(row.submitted_at),
        attempts: row.attempts,
        losses: row.losses,
        merge_key: merge_key::from_row(row.merge_key),
        state: match row.state {
            RequestStateRow::AwaitingApproval => RequestState::AwaitingApproval,
            RequestStateRow::Pending => RequestState::Pending,
            RequestStateRow::Building(build) => RequestState::Building(BuildId(build)),
            RequestStateRow::Complete { outcome: word, build, at, reason } => RequestState::Complete {
                outcome: outcome::<RequestRow>(&word)?,
                build: build.map(BuildId),
                at: Wall(at),
                reason,
            },
        },
    })
}

// --- builds --------------------------------------------------------------------------------------------------------------------------

pub(crate) fn build_to_row<'a>(build: &'a Build, bodies: &mut Vec<PatchBody<'a>>) -> BuildRow {
    BuildRow {
        id: build.id.0,
        number: build.number,
        builder: build.builder.to_string(),
        project: build.project.clone(),
        request: build.request.0,
        buildset: build.buildset.0,
        merged: build.merged.iter().map(|merged| (merged.request.0, merged.buildset.0)).collect(),
        attempt: build.attempt,
        worker: build.worker.to_string(),
        reason: build.reason.clone(),
        owner: build.owner.clone(),
        stamps: stamps_to_rows(&build.stamps, bodies),
        blamelist: build.blamelist.clone(),
        properties: properties_to_row(&build.properties),
        steps: build.steps.iter().map(step_to_row).collect(),
        locks: build.locks.iter().map(lock_to_row).collect(),
        triggers: build.triggers.iter().map(trigger_to_row).collect(),
        started_at: build.started_at.0,
        state: match &build.state {
            BuildState::Dispatched => BuildStateRow::Dispatched,
            BuildState::Running => BuildStateRow::Running,
            BuildState::Cancelling { reason } => BuildStateRow::Cancelling { reason: reason.clone() },
            BuildState::Finished { outcome, summary, at } => {
                BuildStateRow::Finished { outcome: outcome.to_string(), summary: summary.clone(), at: at.0 }
            }
        },
    }
}

pub(crate) fn build_from_row(row: BuildRow, find: &FindPatch<'_>) -> Result<Build, StoreError> {
    Ok(Build {
        id: BuildId(row.id),
        number: row.number,
        builder: row.builder.into(),
        project: row.project,
        request: RequestId(row.request),
        buildset: BuildsetId(row.buildset),
        merged: row.merged.into_iter().map(merged).collect(),
        attempt: row.attempt,
        worker: row.worker.into(),
        reason: row.reason,
        owner: row.owner,
        stamps: stamps_from_rows(row.stamps, find)?,
        blamelist: row.blamelist,
        properties: properties_from_row::<BuildRow>(row.properties)?,
        steps: row.steps.into_iter().map(step_from_row).collect::<Result<_, _>>()?,
        locks: row.locks.into_iter().map(lock_from_row).collect(),
        triggers: row.triggers.into_iter().map(trigger_from_row).collect::<Result<_, _>>()?,
        started_at: Wall(row.started_at),
        state: match row.state {
            BuildStateRow::Dispatched => BuildState::Dispatched,
            BuildStateRow::Running => BuildState::Running,
            BuildStateRow::Cancelling { reason } => BuildState::Cancelling { reason },
            BuildStateRow::Finished { outcome: word, summary, at } => {
                BuildState::Finished { outcome: outcome::<BuildRow>(&word)?, summary, at: Wall(at) }
            }
        },
    })
}

fn merged((request, buildset): (u64, u64)) -> Merged {
    Merged { request: RequestId(request), buildset: BuildsetId(buildset) }
}

fn step_to_row(step: &Step) -> StepRow {
    StepRow {
        number: step.number,
        name: step.name.clone(),
        summary: step.summary.clone(),
        logs: step.logs.clone(),
        network: network_to_row(&step.network),
        locks: step.locks.iter().map(lock_to_row).collect(),
        lock_state: lock_state_to_row(step.lock_state),
        state: match &step.state {
            StepState::Waiting => StepStateRow::Waiting,
            StepState::Running { started_at } => StepStateRow::Running { started_at: started_at.0 },
            StepState::Finished { started_at, at, outcome } => {
                StepStateRow::Finished { started_at: started_at.0, at: at.0, outcome: outcome.to_string() }
            }
        },
    }
}

fn step_from_row(row: StepRow) -> Result<Step, StoreError> {
    Ok(Step {
        number: row.number,
        name: row.name,
        summary: row.summary,
        logs: row.logs,
        network: network_from_row(row.network),
        locks: row.locks.into_iter().map(lock_from_row).collect(),
        lock_state: lock_state_from_row(row.lock_state),
        state: match row.state {
            StepStateRow::Waiting => StepState::Waiting,
            StepStateRow::Running { started_at } => StepState::Running { started_at: Wall(started_at) },
            StepStateRow::Finished { started_at, at, outcome: word } => {
                StepState::Finished { started_at: Wall(started_at), at: Wall(at), outcome: outcome::<BuildRow>(&word)? }
            }
        },
    })
}

// --- what waits ----------------------------------------------------------------------------------------------------------------------

pub(crate) fn scheduler_to_row(state: &SchedulerState) -> SchedulerRow {
    let batch = |batch: &Batch| BatchRow {
        branch: batch.branch.clone(),
        changes: batch.changes.iter().map(|id| id.0).collect(),
        fires_at: batch.fires_at.map(|at| at.0),
    };
    SchedulerRow {
        batches: state.batches.iter().map(batch).collect(),
        next_firing: state.next_firing.map(|at| at.0),
        done_until: state.done_until.map(|at| at.0),
        disabled: state.disabled.as_ref().map(halt::to_row),
        last_seen: last_seen::to_rows(&state.last_seen),
        pings: pings::to_rows(&state.pings),
        left_out: state.left_out.as_ref().map(pings::left_out_to_row),
    }
}

pub(crate) fn scheduler_from_row(row: SchedulerRow) -> SchedulerState {
    let batch = |row: BatchRow| Batch {
        branch: row.branch,
        changes: row.changes.into_iter().map(ChangeId).collect(),
        fires_at: row.fires_at.map(Steady),
    };
    SchedulerState {
        batches: row.batches.into_iter().map(batch).collect(),
        next_firing: row.next_firing.map(Steady),
        done_until: row.done_until.map(Wall),
        last_seen: last_seen::from_rows(row.last_seen),
        disabled: row.disabled.map(halt::from_row),
        pings: row.pings.into_iter().map(pings::from_row).collect(),
        left_out: row.left_out.map(pings::left_out_from_row),
    }
}

pub(crate) fn worker_to_row(kept: &WorkerKept) -> WorkerRow {
    WorkerRow { paused: kept.paused.as_ref().map(halt::to_row) }
}

pub(crate) fn worker_from_row(row: WorkerRow) -> WorkerKept {
    WorkerKept { paused: row.paused.map(halt::from_row) }
}

pub(crate) fn delivery_to_row(delivery: &Delivery) -> DeliveryRow {
    DeliveryRow { changes: delivery.changes.iter().map(|id| id.0).collect(), at: delivery.at.0 }
}

pub(crate) fn delivery_from_row(source: ChangeSourceName, id: String, row: DeliveryRow) -> Delivery {
    Delivery { source, id, changes: row.changes.into_iter().map(ChangeId).collect(), at: Wall(row.at) }
}

pub(crate) fn notice_to_row(notice: &Notice) -> NoticeRow {
    NoticeRow {
        id: notice.id.0,
        reporter: notice.reporter.to_string(),
        occasion: match notice.occasion {
            OccasionKind::BuildStarted => OccasionRow::BuildStarted,
            OccasionKind::BuildFinished => OccasionRow::BuildFinished,
            OccasionKind::FirstFailure => OccasionRow::FirstFailure,
            OccasionKind::BuildsetFinished => OccasionRow::BuildsetFinished,
        },
        subject: match notice.subject {
            Subject::Build(id) => SubjectRow::Build(id.0),
            Subject::Buildset(id) => SubjectRow::Buildset(id.0),
        },
        attempt: notice.attempt,
        state: match &notice.state {
            NoticeState::Sending => NoticeStateRow::Sending,
            NoticeState::Waiting { until, error } => NoticeStateRow::Waiting { until: until.0, error: error.clone() },
            NoticeState::Dead { error, at } => NoticeStateRow::Dead { error: error.clone(), at: at.0 },
        },
    }
}

pub(crate) fn notice_from_row(row: NoticeRow) -> Notice {
    Notice {
        id: NoticeId(row.id),
        reporter: row.reporter.into(),
        occasion: match row.occasion {
            OccasionRow::BuildStarted => OccasionKind::BuildStarted,
            OccasionRow::BuildFinished => OccasionKind::BuildFinished,
            OccasionRow::FirstFailure => OccasionKind::FirstFailure,
            OccasionRow::BuildsetFinished => OccasionKind::BuildsetFinished,
        },
        subject: match row.subject {
            SubjectRow::Build(id) => Subject::Build(BuildId(id)),
            SubjectRow::Buildset(id) => Subject::Buildset(BuildsetId(id)),
        },
        attempt: row.attempt,
        state: match row.state {
            NoticeStateRow::Sending => NoticeState::Sending,
            NoticeStateRow::Waiting { until, error } => NoticeState::Waiting { until: Steady(until), error },
            NoticeStateRow::Dead { error, at } => NoticeState::Dead { error, at: Wall(at) },
        },
    }
}

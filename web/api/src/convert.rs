//! From the words of the host to the shapes of the API, and back for what is sent.

mod form;

use std::collections::BTreeMap;
use std::fmt::Display;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use stampmill_model as model;
use stampmill_model::{BuildState, BuildsetState, Parent, RequestState, StepState, TriggerState, Wall};
use stampmill_service as service;

use crate::error::ApiError;
use crate::wire;

/// RFC 3339 in UTC with milliseconds.
pub(crate) fn time(wall: Wall) -> wire::Time {
    // The latest time that fits is the year 9999; a broken clock is shown as that.
    let stamp = i64::try_from(wall.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    format!("{:.3}", stamp.unwrap_or(jiff::Timestamp::MAX))
}

/// A time that was sent.
pub(crate) fn wall(text: &str) -> Result<Wall, ApiError> {
    let parsed: Result<jiff::Timestamp, _> = text.parse();
    let ms = parsed.ok().and_then(|stamp| u64::try_from(stamp.as_millisecond()).ok());
    ms.map(Wall).ok_or_else(|| {
        ApiError::bad_request("bad-time", format!("{text:?} is no time; write it as 2026-03-01T12:00:00Z"))
    })
}

fn texts<T: Display>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

pub(crate) fn list<T, C, U>(page: service::Page<T, C>, item: impl Fn(T) -> U) -> wire::List<U>
where
    C: Display,
{
    wire::List { items: page.items.into_iter().map(item).collect(), next: page.next.map(|cursor| cursor.to_string()) }
}

/// A list that has one page.
pub(crate) fn whole<U>(items: impl Iterator<Item = U>) -> wire::List<U> {
    wire::List { items: items.collect(), next: None }
}

pub(crate) fn builder(state: service::BuilderState, schedulers: &[service::SchedulerView]) -> wire::Builder {
    let view = state.view;
    let force = schedulers.iter().filter(|scheduler| scheduler.is_force() && scheduler.builders.contains(&view.name));
    wire::Builder {
        force: force.map(|scheduler| scheduler.name.to_string()).collect(),
        name: view.name.to_string(),
        project: view.project,
        description: view.description,
        interested: view.interested,
        worker_tags: view.worker_tags,
        workers: texts(&view.worker_names),
        tier: view.tier.as_str().to_owned(),
        job: view.job,
        steps: view.steps.into_iter().map(|step| wire::JobStep { name: step.name, plugin: step.plugin }).collect(),
        pending: state.pending,
        recent_builds: state.builds.iter().map(|build| build.id.0).collect(),
        last_result: state.last_finished.and_then(|build| result_of(&build.state)),
    }
}

fn result_of(state: &BuildState) -> Option<String> {
    match state {
        BuildState::Finished { outcome, .. } => Some(outcome.to_string()),
        BuildState::Dispatched | BuildState::Running | BuildState::Cancelling { .. } => None,
    }
}

pub(crate) fn build(build: model::Build, catalogue: &service::Catalogue) -> wire::Build {
    let (state, summary, finished_at) = match &build.state {
        BuildState::Dispatched => ("dispatched", String::new(), None),
        BuildState::Running => ("running", String::new(), None),
        BuildState::Cancelling { reason } => ("cancelling", reason.clone(), None),
        BuildState::Finished { summary, at, .. } => ("finished", summary.clone(), Some(time(*at))),
    };
    wire::Build {
        interested: catalogue.interested(&build),
        result: result_of(&build.state),
        id: build.id.0,
        builder: build.builder.to_string(),
        number: build.number,
        project: build.project,
        state: state.to_owned(),
        summary,
        worker: build.worker.to_string(),
        reason: build.reason,
        owner: build.owner,
        request: build.request.0,
        buildset: build.buildset.0,
        merged: build.merged.iter().map(merged).collect(),
        attempt: build.attempt,
        started_at: time(build.started_at),
        finished_at,
        source_stamps: build.stamps.into_iter().map(source_stamp).collect(),
        blamelist: build.blamelist,
        properties: properties(build.properties),
        steps: build.steps.into_iter().map(step).collect(),
        locks: build.locks.iter().map(held_lock).collect(),
        triggers: build.triggers.iter().map(trigger).collect(),
    }
}

fn trigger(trigger: &model::Trigger) -> wire::Trigger {
    let (state, result, reason) = match &trigger.state {
        TriggerState::Refused { reason } => ("refused", None, Some(reason.clone())),
        TriggerState::Open { .. } => ("open", None, None),
        TriggerState::Finished { outcome, .. } => ("finished", Some(outcome.to_string()), None),
    };
    wire::Trigger {
        step: trigger.step,
        scheduler: trigger.scheduler.to_string(),
        state: state.to_owned(),
        buildset: trigger.buildset().map(|set| set.0),
        result,
        reason,
        detached: trigger.detached,
    }
}

fn held_lock(held: &model::HeldLock) -> wire::HeldLock {
    wire::HeldLock {
        name: held.name.to_string(),
        scope: held.scope.as_str().to_owned(),
        access: held.access.as_str().to_owned(),
    }
}

fn merged(merged: &model::Merged) -> wire::Merged {
    wire::Merged { request: merged.request.0, buildset: merged.buildset.0 }
}

fn step(step: model::Step) -> wire::Step {
    let (state, result, started_at, finished_at) = match step.state {
        StepState::Waiting => ("waiting", None, None, None),
        StepState::Running { started_at } => ("running", None, Some(time(started_at)), None),
        StepState::Finished { started_at, at, outcome } => {
            ("finished", Some(outcome.to_string()), Some(time(started_at)), Some(time(at)))
        }
    };
    wire::Step {
        number: step.number,
        name: step.name,
        state: state.to_owned(),
        result,
        started_at,
        finished_at,
        summary: step.summary,
        logs: step.logs,
        network: network(step.network),
        locks: step.locks.iter().map(held_lock).collect(),
        lock_state: step.lock_state.as_str().to_owned(),
    }
}

fn network(network: model::Network) -> wire::Network {
    let attempt = |attempt: model::NetworkAttempt| wire::NetworkAttempt {
        protocol: attempt.protocol.as_str().to_owned(),
        target: attempt.target,
        address: attempt.address.map(|address| address.to_string()),
        result: attempt.end.as_str().to_owned(),
        why: attempt.why,
        count: attempt.count,
    };
    wire::Network { attempts: network.attempts.into_iter().map(attempt).collect(), unlisted: network.unlisted }
}

pub(crate) fn log(info: service::LogInfo) -> wire::Log {
    wire::Log { step: info.step, name: info.log, lines: info.lines, bytes: info.bytes, complete: info.ended }
}

fn properties(properties: model::Properties) -> BTreeMap<String, wire::Property> {
    properties
        .into_iter()
        .map(|(name, property)| (name, wire::Property { value: property.value, source: property.source.to_string() }))
        .collect()
}

fn source_stamp(stamp: model::SourceStamp) -> wire::SourceStamp {
    wire::SourceStamp {
        codebase: stamp.codebase,
        repository: stamp.repository,
        project: stamp.project,
        branch: stamp.branch,
        revision: stamp.revision,
        patch: stamp.patch.map(|patch| wire::Patch {
            level: patch.level,
            body: String::from_utf8_lossy(&patch.body).into_owned(),
            subdirectory: patch.subdirectory,
            author: patch.author,
            comment: patch.comment,
        }),
        trusted: stamp.trusted,
        changes: stamp.changes.iter().map(|change| change.0).collect(),
    }
}

pub(crate) fn buildset(set: model::Buildset) -> wire::Buildset {
    let (state, result, will_fail, finished_at) = match set.state {
        BuildsetState::Open { will_fail } => ("open", None, will_fail, None),
        BuildsetState::Finished { outcome, at } => {
            ("finished", Some(outcome.to_string()), !outcome.is_good(), Some(time(at)))
        }
    };
    let (mut rebuild_of, mut dependent_on, mut triggered_by, mut pinged_by) = (None, None, None, None);
    match set.parent {
        Some(Parent::Rebuild(build)) => rebuild_of = Some(build.0),
        Some(Parent::Dependent(set)) => dependent_on = Some(set.0),
        Some(Parent::Pinged(set)) => pinged_by = Some(set.0),
        Some(Parent::Triggered(build)) => triggered_by = Some(build.0),
        None => {}
    }
    wire::Buildset {
        id: set.id.0,
        reason: set.reason,
        scheduler: set.scheduler.map(|name| name.to_string()),
        owner: set.owner,
        state: state.to_owned(),
        result,
        will_fail,
        submitted_at: time(set.submitted_at),
        finished_at,
        source_stamps: set.stamps.into_iter().map(source_stamp).collect(),
        blamelist: set.blamelist,
        properties: properties(set.properties),
        requests: set.requests.iter().map(|request| request.0).collect(),
        external_id: set.external_id,
        rebuild_of,
        dependent_on,
        triggered_by,
        pinged_by,
        superseded: set.superseded,
    }
}

pub(crate) fn request(request: model::Request) -> wire::Request {
    let (state, build, result, finished_at, reason) = match request.state {
        RequestState::AwaitingApproval => ("awaiting-approval", None, None, None, None),
        RequestState::Pending => ("pending", None, None, None, None),
        RequestState::Building(build) => ("building", Some(build.0), None, None, None),
        RequestState::Complete { outcome, build, at, reason } => {
            let reason = Some(reason).filter(|reason| !reason.is_empty());
            ("complete", build.map(|build| build.0), Some(outcome.to_string()), Some(time(at)), reason)
        }
    };
    wire::Request {
        id: request.id.0,
        buildset: request.buildset.0,
        builder: request.builder.to_string(),
        priority: request.priority,
        only_worker: request.only_worker.map(|worker| worker.to_string()),
        submitted_at: time(request.submitted_at),
        attempts: request.attempts,
        state: state.to_owned(),
        build,
        merging: request.merge_key.in_words(),
        result,
        finished_at,
        reason,
    }
}

pub(crate) fn explanation(explanation: service::Explanation) -> wire::Explanation {
    wire::Explanation {
        summary: explanation.summary,
        position: explanation.position,
        workers: explanation
            .workers
            .into_iter()
            .map(|(worker, reason)| wire::WorkerReason { worker: worker.to_string(), reason })
            .collect(),
    }
}

pub(crate) fn change_wait(wait: service::ChangeWait) -> wire::ChangeWait {
    wire::ChangeWait { scheduler: wait.scheduler.to_string(), reason: wait.reason, until: wait.until.map(time) }
}

pub(crate) fn change(change: model::Change) -> wire::Change {
    let seen = change.seen;
    wire::Change {
        id: change.id.0,
        source: change.source.map(|name| name.to_string()),
        author: seen.author,
        committer: seen.committer,
        comments: seen.comments,
        files: seen.files,
        repository: seen.repository,
        project: seen.project,
        codebase: change.codebase,
        revision: seen.revision,
        branch: seen.branch,
        category: seen.category,
        link: seen.link,
        arrived_at: time(change.arrived_at),
        committed_at: seen.committed_at.map(time),
        trusted: change.trusted,
        properties: seen.properties.into_iter().collect::<BTreeMap<String, Value>>(),
        trouble: change.trouble,
        decided: change.decided,
        decisions: change
            .decisions
            .into_iter()
            .map(|decision| wire::Decision {
                scheduler: decision.scheduler.to_string(),
                verdict: decision.verdict.as_str().to_owned(),
                reason: decision.reason,
            })
            .collect(),
        buildsets: change.buildsets.iter().map(|set| set.0).collect(),
    }
}

pub(crate) fn worker(worker: service::WorkerView) -> wire::Worker {
    let since = match &worker.state {
        service::WorkerState::NeverSeen => None,
        service::WorkerState::Away { since, .. } | service::WorkerState::Connected { since, .. } => Some(time(*since)),
    };
    wire::Worker {
        name: worker.name.to_string(),
        tags: worker.tags,
        max_builds: worker.max_builds,
        state: worker.state.as_str().to_owned(),
        since,
        running: worker.running.iter().map(|build| build.0).collect(),
        paused: worker.paused.map(halt),
        info: worker.state.info().cloned().map(worker_info),
    }
}

fn worker_info(info: model::WorkerInfo) -> wire::WorkerInfo {
    wire::WorkerInfo {
        version: info.version,
        os: info.os,
        arch: info.arch,
        uname: info.uname,
        cores: info.cores,
        max_builds: info.max_builds,
        tier: info.tier.as_str().to_owned(),
        mechanisms: info
            .mechanisms
            .into_iter()
            .map(|mechanism| wire::Mechanism { name: mechanism.name, works: mechanism.works, detail: mechanism.detail })
            .collect(),
        tools: info.tools,
    }
}

pub(crate) fn change_source(source: service::ChangeSourceView) -> wire::ChangeSource {
    let (kind, every_ms, next_poll_in_ms) = match source.kind {
        service::ChangeSourceKind::Poller { every, next_poll_in } => {
            ("poller", Some(every.0), next_poll_in.map(|length| length.0))
        }
        service::ChangeSourceKind::Hook => ("hook", None, None),
    };
    wire::ChangeSource {
        name: source.name.to_string(),
        plugin: source.plugin,
        kind: kind.to_owned(),
        trusted: source.trusted,
        trouble: source.trouble,
        every_ms,
        next_poll_in_ms,
    }
}

pub(crate) fn scheduler((scheduler, now): (service::SchedulerView, service::SchedulerNow)) -> wire::Scheduler {
    let ask = |codebase: &str| {
        let fields = scheduler.form.as_ref().map(|form| form.source_fields(codebase)).unwrap_or_default();
        fields.iter().map(|field| field.as_str().to_owned()).collect()
    };
    wire::Scheduler {
        name: scheduler.name.to_string(),
        kind: scheduler.kind,
        when: scheduler.when,
        builders: texts(&scheduler.builders),
        codebases: scheduler
            .codebases
            .into_iter()
            .map(|default| wire::CodebaseDefault {
                ask: ask(&default.codebase),
                codebase: default.codebase,
                repository: default.repository,
                branch: default.branch,
                revision: default.revision,
            })
            .collect(),
        filters: scheduler.filters,
        form: scheduler.form.as_ref().map(form::form),
        disabled: now.disabled.map(halt),
        waits_for: now.waits_for,
        left_out: now.left_out,
        waiting: now.waiting,
        next_at: now.next_at.map(time),
    }
}

fn halt(halt: model::Halt) -> wire::Halt {
    wire::Halt { by: halt.by, reason: halt.reason, since: time(halt.at) }
}

pub(crate) fn plugin(plugin: &service::PluginView) -> wire::Plugin {
    wire::Plugin {
        name: plugin.name.clone(),
        kind: plugin.kind.clone(),
        version: plugin.version.clone(),
        digest: plugin.digest.0.to_string(),
        summary: plugin.summary.clone(),
        asks: plugin.asks.clone(),
        imports: plugin.imports.clone(),
        uses: plugin
            .uses
            .iter()
            .map(|usage| wire::PluginUse { place: usage.place.clone(), granted: grant(&usage.grant) })
            .collect(),
    }
}

fn grant(grant: &model::Grant) -> wire::Grant {
    wire::Grant {
        command: grant.command.clone(),
        net: grant.net.clone(),
        read: grant.read.clone(),
        write: grant.write.clone(),
        http: grant.http.clone(),
        secret: grant.secret.clone(),
        credential: grant.credential.clone(),
        trigger: grant.trigger.clone(),
    }
}

pub(crate) fn notice(notice: service::Notice) -> wire::Notice {
    let (build, buildset) = match notice.subject {
        service::Subject::Build(id) => (Some(id.0), None),
        service::Subject::Buildset(id) => (None, Some(id.0)),
    };
    let (error, given_up_at) = match notice.state {
        service::NoticeState::Sending => (String::new(), None),
        service::NoticeState::Waiting { error, .. } => (error, None),
        service::NoticeState::Dead { error, at } => (error, Some(time(at))),
    };
    let occasion = match notice.occasion {
        service::OccasionKind::BuildStarted => "build-started",
        service::OccasionKind::BuildFinished => "build-finished",
        service::OccasionKind::FirstFailure => "first-failure",
        service::OccasionKind::BuildsetFinished => "buildset-finished",
    };
    wire::Notice {
        id: notice.id.0,
        reporter: notice.reporter.to_string(),
        occasion: occasion.to_owned(),
        build,
        buildset,
        attempts: notice.attempt,
        error,
        given_up_at,
    }
}

pub(crate) fn user(user: service::UserView) -> wire::User {
    wire::User { name: user.name, role: user.role.to_string(), created_at: time(user.created_at) }
}

pub(crate) fn token(token: service::TokenView) -> wire::Token {
    let (kind, holder, role) = match token.holder {
        service::TokenHolder::User { name, role } => ("user", name, Some(role.to_string())),
        service::TokenHolder::Worker(worker) => ("worker", worker.to_string(), None),
    };
    wire::Token {
        id: token.id,
        name: token.name,
        kind: kind.to_owned(),
        holder,
        role,
        created_at: time(token.created_at),
        expires_at: token.expires_at.map(time),
    }
}

pub(crate) fn made(made: service::Made) -> wire::Made {
    wire::Made { buildset: made.buildset.0, requests: made.requests.iter().map(|request| request.0).collect() }
}

pub(crate) fn force_ask(builder: Option<String>, body: wire::ForceBody) -> service::ForceAsk {
    let choice = |choice: wire::StampChoice| service::SourceChoice {
        branch: choice.branch,
        revision: choice.revision,
        repository: choice.repository,
        project: choice.project,
    };
    let only = wire::StampChoice {
        branch: body.branch,
        revision: body.revision,
        repository: body.repository,
        project: body.project,
    };
    service::ForceAsk {
        builder,
        scheduler: body.scheduler,
        reason: body.reason,
        stamps: body.codebases.into_iter().map(|(codebase, stamp)| (codebase, choice(stamp))).collect(),
        only: choice(only),
        properties: body.properties,
        priority: body.priority,
        worker: body.worker,
    }
}

pub(crate) fn try_ask(body: wire::TryBody) -> Result<service::TryAsk, ApiError> {
    let diff = if body.base64 {
        let decoded = BASE64_STANDARD.decode(&body.diff);
        decoded.map_err(|error| ApiError::bad_request("invalid", format!("`diff` is not in base64: {error}")))?
    } else {
        body.diff.into_bytes()
    };
    Ok(service::TryAsk {
        scheduler: body.scheduler,
        builders: body.builders,
        codebase: body.codebase,
        base: service::StampChoice { branch: body.branch, revision: body.revision },
        diff,
        level: body.level,
        subdirectory: body.subdirectory,
        comment: body.comment,
        properties: body.properties,
    })
}

pub(crate) fn submit_ask(body: wire::SubmitBody) -> service::SubmitAsk {
    service::SubmitAsk {
        builders: body.builders,
        stamps: body
            .source_stamps
            .into_iter()
            .map(|stamp| model::SourceStamp {
                codebase: stamp.codebase,
                repository: stamp.repository,
                project: stamp.project,
                branch: stamp.branch,
                revision: stamp.revision,
                patch: None,
                trusted: stamp.trusted,
                changes: Vec::new(),
            })
            .collect(),
        reason: body.reason,
        properties: body.properties,
        priority: body.priority,
        external_id: body.external_id,
    }
}

pub(crate) fn seen_change(body: wire::ChangeBody) -> Result<model::SeenChange, ApiError> {
    Ok(model::SeenChange {
        author: body.author,
        committer: body.committer,
        comments: body.comments,
        files: body.files,
        repository: body.repository,
        project: body.project,
        revision: body.revision,
        branch: body.branch,
        category: body.category,
        link: body.link,
        committed_at: body.committed_at.as_deref().map(wall).transpose()?,
        properties: body.properties.into_iter().collect(),
    })
}

pub(crate) fn role(word: &str) -> Result<service::Role, ApiError> {
    service::Role::parse(word).ok_or_else(|| {
        ApiError::bad_request("bad-role", format!("{word:?} is no role; take viewer, developer, operator or admin"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_with_milliseconds_and_read_back() {
        assert_eq!(time(Wall(1_772_366_400_250)), "2026-03-01T12:00:00.250Z");
        assert_eq!(time(Wall(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(wall("2026-03-01T13:00:00.250+01:00").unwrap(), Wall(1_772_366_400_250));
        assert!(time(Wall(u64::MAX)).starts_with("9999-12-3"));
        assert!(wall("yesterday").is_err());
        assert!(wall("1969-12-31T00:00:00Z").is_err());
    }
}

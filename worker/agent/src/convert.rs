//! Between the model's words and those of the protocol, in both directions, and from the model's to the runtime's. The host uses these too.

use std::sync::Arc;

use stampmill_model as model;
use stampmill_protocol as wire;

mod facts;
mod network;
mod rights;
mod triggers;

pub use facts::{
    build_for_plugin, change_for_plugin, outcome_for_plugin, outcome_from_runtime, request_for_plugin, running_build,
    seen_for_plugin,
};
pub(crate) use network::attempt_from_runtime;
pub use rights::{grant_for_plugin, limits_for_plugin};
pub(crate) use triggers::wish_of_plugin;
pub use triggers::{trigger_state_from_wire, trigger_state_to_wire};

/// An outcome for the wire.
#[must_use]
pub const fn outcome_to_wire(outcome: model::Outcome) -> wire::Outcome {
    match outcome {
        model::Outcome::Success => wire::Outcome::Success,
        model::Outcome::Warnings => wire::Outcome::Warnings,
        model::Outcome::Failure => wire::Outcome::Failure,
        model::Outcome::Skipped => wire::Outcome::Skipped,
        model::Outcome::Exception => wire::Outcome::Exception,
        model::Outcome::Retry => wire::Outcome::Retry,
        model::Outcome::Cancelled => wire::Outcome::Cancelled,
    }
}

/// An outcome from the wire.
#[must_use]
pub const fn outcome_from_wire(outcome: wire::Outcome) -> model::Outcome {
    match outcome {
        wire::Outcome::Success => model::Outcome::Success,
        wire::Outcome::Warnings => model::Outcome::Warnings,
        wire::Outcome::Failure => model::Outcome::Failure,
        wire::Outcome::Skipped => model::Outcome::Skipped,
        wire::Outcome::Exception => model::Outcome::Exception,
        wire::Outcome::Retry => model::Outcome::Retry,
        wire::Outcome::Cancelled => model::Outcome::Cancelled,
    }
}

/// What happened in a build, for the wire.
#[must_use]
pub fn event_to_wire(event: model::BuildEvent) -> wire::Event {
    use model::BuildEvent as From;
    use wire::Event as To;
    match event {
        From::Accepted => To::Accepted,
        From::Declined { reason } => To::Declined { reason },
        From::LocksWanted { step } => To::LocksWanted { step },
        From::StepStarted { step, at } => To::StepStarted { step, at: at.0 },
        From::StepSummary { step, summary } => To::StepSummary { step, summary },
        From::LogOpened { step, log } => To::LogOpened { step, log },
        From::PropertySet { name, value, step } => To::PropertySet { name, value, step },
        From::NetworkTried { step, network } => To::NetworkTried {
            step,
            attempts: network.attempts.into_iter().map(network::attempt_to_wire).collect(),
            unlisted: network.unlisted,
        },
        From::Triggered { step, wish } => To::Triggered { step, wish: triggers::wish_to_wire(*wish) },
        From::StepFinished { step, outcome, summary, at } => {
            To::StepFinished { step, outcome: outcome_to_wire(outcome), summary, at: at.0 }
        }
        From::Finished { outcome, summary, at, program } => To::Finished {
            outcome: outcome_to_wire(outcome),
            summary,
            at: at.0,
            program: program.map(|program| match program {
                model::ProgramEnd::Exited(code) => wire::ProgramEnd::Exited(code),
                model::ProgramEnd::Signalled(signal) => wire::ProgramEnd::Signalled(signal),
            }),
        },
    }
}

/// What happened in a build, from the wire.
#[must_use]
pub fn event_from_wire(event: wire::Event) -> model::BuildEvent {
    use model::BuildEvent as To;
    use model::Wall;
    use wire::Event as From;
    match event {
        From::Accepted => To::Accepted,
        From::Declined { reason } => To::Declined { reason },
        From::LocksWanted { step } => To::LocksWanted { step },
        From::StepStarted { step, at } => To::StepStarted { step, at: Wall(at) },
        From::StepSummary { step, summary } => To::StepSummary { step, summary },
        From::LogOpened { step, log } => To::LogOpened { step, log },
        From::PropertySet { name, value, step } => To::PropertySet { name, value, step },
        From::NetworkTried { step, attempts, unlisted } => {
            let attempts = attempts.into_iter().map(network::attempt_from_wire).collect();
            To::NetworkTried { step, network: model::Network { attempts, unlisted } }
        }
        From::Triggered { step, wish } => To::Triggered { step, wish: Box::new(triggers::wish_from_wire(wish)) },
        From::StepFinished { step, outcome, summary, at } => {
            To::StepFinished { step, outcome: outcome_from_wire(outcome), summary, at: Wall(at) }
        }
        From::Finished { outcome, summary, at, program } => To::Finished {
            outcome: outcome_from_wire(outcome),
            summary,
            at: Wall(at),
            program: program.map(|program| match program {
                wire::ProgramEnd::Exited(code) => model::ProgramEnd::Exited(code),
                wire::ProgramEnd::Signalled(signal) => model::ProgramEnd::Signalled(signal),
            }),
        },
    }
}

/// What a worker says of itself, for the wire.
#[must_use]
pub fn info_to_wire(info: model::WorkerInfo) -> wire::Info {
    wire::Info {
        version: info.version,
        os: info.os,
        arch: info.arch,
        uname: info.uname,
        cores: info.cores,
        max_builds: info.max_builds,
        tier: match info.tier {
            model::Tier::Sandboxed => wire::Tier::Sandboxed,
            model::Tier::Degraded => wire::Tier::Degraded,
            model::Tier::WasmOnly => wire::Tier::WasmOnly,
        },
        mechanisms: info
            .mechanisms
            .into_iter()
            .map(|mechanism| wire::Mechanism { name: mechanism.name, works: mechanism.works, detail: mechanism.detail })
            .collect(),
        tools: info.tools,
    }
}

/// What a worker says of itself, from the wire.
#[must_use]
pub fn info_from_wire(info: wire::Info) -> model::WorkerInfo {
    model::WorkerInfo {
        version: info.version,
        os: info.os,
        arch: info.arch,
        uname: info.uname,
        cores: info.cores,
        max_builds: info.max_builds,
        tier: match info.tier {
            wire::Tier::Sandboxed => model::Tier::Sandboxed,
            wire::Tier::Degraded => model::Tier::Degraded,
            wire::Tier::WasmOnly => model::Tier::WasmOnly,
        },
        mechanisms: info
            .mechanisms
            .into_iter()
            .map(|mechanism| model::Mechanism {
                name: mechanism.name,
                works: mechanism.works,
                detail: mechanism.detail,
            })
            .collect(),
        tools: info.tools,
    }
}

/// A whole build, for the wire.
#[must_use]
pub fn order_to_wire(order: &model::BuildOrder) -> wire::Order {
    let build = &order.build;
    wire::Order {
        build: wire::Build {
            id: build.id.0,
            number: build.number,
            builder: build.builder.as_str().to_owned(),
            project: build.project.clone(),
            request: build.request.0,
            buildset: build.buildset.0,
            attempt: build.attempt,
            worker: build.worker.as_str().to_owned(),
            reason: build.reason.clone(),
            owner: build.owner.clone(),
            stamps: build.stamps.iter().map(stamp_to_wire).collect(),
            blamelist: build.blamelist.clone(),
            properties: build
                .properties
                .iter()
                .map(|(name, property)| (name.clone(), property_to_wire(property)))
                .collect(),
            started_at: build.started_at.0,
        },
        changes: order.changes.iter().map(change_to_wire).collect(),
        job: wire::Job { name: order.job.name.clone(), steps: order.job.steps.iter().map(step_to_wire).collect() },
    }
}

/// A whole build, from the wire. Its steps wait; it counts as dispatched.
#[must_use]
pub fn order_from_wire(order: wire::Order) -> model::BuildOrder {
    let build = order.build;
    let waiting = |(number, step): (u32, &wire::StepPlan)| model::Step {
        number,
        name: step.name.clone(),
        summary: String::new(),
        logs: Vec::new(),
        network: model::Network::default(),
        locks: Vec::new(),
        lock_state: model::LockState::Idle,
        state: model::StepState::Waiting,
    };
    model::BuildOrder {
        build: model::Build {
            id: model::BuildId(build.id),
            number: build.number,
            builder: build.builder.into(),
            project: build.project,
            request: model::RequestId(build.request),
            buildset: model::BuildsetId(build.buildset),
            // Which other requests it answers, which locks it has and what it has triggered is the host's affair.
            merged: Vec::new(),
            locks: Vec::new(),
            triggers: Vec::new(),
            attempt: build.attempt,
            worker: build.worker.into(),
            reason: build.reason,
            owner: build.owner,
            stamps: build.stamps.into_iter().map(stamp_from_wire).collect(),
            blamelist: build.blamelist,
            properties: build
                .properties
                .into_iter()
                .map(|(name, property)| (name, property_from_wire(property)))
                .collect(),
            steps: (0..).zip(&order.job.steps).map(waiting).collect(),
            started_at: model::Wall(build.started_at),
            state: model::BuildState::Dispatched,
        },
        changes: order.changes.into_iter().map(change_from_wire).collect(),
        job: Arc::new(model::Job {
            name: order.job.name,
            steps: order.job.steps.into_iter().map(step_from_wire).collect(),
        }),
    }
}

fn property_to_wire(property: &model::Property) -> wire::Property {
    use model::PropertySource as From;
    use wire::PropertySource as To;
    wire::Property {
        value: property.value.clone(),
        source: match &property.source {
            From::Global => To::Global,
            From::Worker => To::Worker,
            From::Builder => To::Builder,
            From::Change => To::Change,
            From::Scheduler => To::Scheduler,
            From::Force => To::Force,
            From::Trigger => To::Trigger,
            From::Job => To::Job,
            From::Build => To::Build,
            From::Step(name) => To::Step(name.clone()),
        },
    }
}

fn property_from_wire(property: wire::Property) -> model::Property {
    use model::PropertySource as To;
    use wire::PropertySource as From;
    model::Property {
        value: property.value,
        source: match property.source {
            From::Global => To::Global,
            From::Worker => To::Worker,
            From::Builder => To::Builder,
            From::Change => To::Change,
            From::Scheduler => To::Scheduler,
            From::Force => To::Force,
            From::Trigger => To::Trigger,
            From::Job => To::Job,
            From::Build => To::Build,
            From::Step(name) => To::Step(name),
        },
    }
}

fn stamp_to_wire(stamp: &model::SourceStamp) -> wire::SourceStamp {
    wire::SourceStamp {
        codebase: stamp.codebase.clone(),
        repository: stamp.repository.clone(),
        project: stamp.project.clone(),
        branch: stamp.branch.clone(),
        revision: stamp.revision.clone(),
        patch: stamp.patch.as_ref().map(|patch| wire::Patch {
            level: patch.level,
            body: patch.body.clone(),
            subdirectory: patch.subdirectory.clone(),
            author: patch.author.clone(),
            comment: patch.comment.clone(),
        }),
        trusted: stamp.trusted,
        changes: stamp.changes.iter().map(|change| change.0).collect(),
    }
}

fn stamp_from_wire(stamp: wire::SourceStamp) -> model::SourceStamp {
    model::SourceStamp {
        codebase: stamp.codebase,
        repository: stamp.repository,
        project: stamp.project,
        branch: stamp.branch,
        revision: stamp.revision,
        patch: stamp.patch.map(|patch| model::Patch {
            level: patch.level,
            body: patch.body,
            subdirectory: patch.subdirectory,
            author: patch.author,
            comment: patch.comment,
        }),
        trusted: stamp.trusted,
        changes: stamp.changes.into_iter().map(model::ChangeId).collect(),
    }
}

fn change_to_wire(change: &model::Change) -> wire::Change {
    let seen = &change.seen;
    wire::Change {
        id: change.id.0,
        codebase: change.codebase.clone().unwrap_or_default(),
        arrived_at: change.arrived_at.0,
        trusted: change.trusted,
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
        properties: seen
            .properties
            .iter()
            .map(|(name, value)| wire::Setting { name: name.clone(), value: value.clone() })
            .collect(),
    }
}

fn change_from_wire(change: wire::Change) -> model::Change {
    model::Change {
        id: model::ChangeId(change.id),
        source: None,
        arrived_at: model::Wall(change.arrived_at),
        trusted: change.trusted,
        seen: model::SeenChange {
            author: change.author,
            committer: change.committer,
            comments: change.comments,
            files: change.files,
            repository: change.repository,
            project: change.project,
            revision: change.revision,
            branch: change.branch,
            category: change.category,
            link: change.link,
            committed_at: change.committed_at.map(model::Wall),
            properties: change.properties.into_iter().map(|setting| (setting.name, setting.value)).collect(),
        },
        codebase: Some(change.codebase),
        trouble: None,
        decisions: Vec::new(),
        decided: true,
        buildsets: Vec::new(),
    }
}

fn step_to_wire(step: &model::StepPlan) -> wire::StepPlan {
    wire::StepPlan {
        name: step.name.clone(),
        plugin: step.plugin.name.clone(),
        digest: step.plugin.digest.0.as_ref().to_owned(),
        config: step.config.clone(),
        grant: wire::Grant {
            command: step.grant.command.clone(),
            net: step.grant.net.clone(),
            read: step.grant.read.clone(),
            write: step.grant.write.clone(),
            http: step.grant.http.clone(),
            secret: step.grant.secret.clone(),
            credential: step.grant.credential.clone(),
            trigger: step.grant.trigger.clone(),
        },
        limits: wire::PluginLimits {
            memory_bytes: step.limits.memory_bytes,
            compute_ms: step.limits.compute.map(|length| length.0),
            host_call_ms: step.limits.host_call.map(|length| length.0),
        },
        when: step.when.clone(),
        locks: step.locks.iter().map(lock_to_wire).collect(),
        halt_on_failure: step.halt_on_failure,
        flunk_on_failure: step.flunk_on_failure,
        warn_on_failure: step.warn_on_failure,
        flunk_on_warnings: step.flunk_on_warnings,
        warn_on_warnings: step.warn_on_warnings,
        always_run: step.always_run,
        time_limit_ms: step.time_limit.0,
    }
}

fn lock_to_wire(wanted: &model::LockUse) -> wire::LockUse {
    let exclusive = match wanted.access {
        model::LockAccess::Counting => false,
        model::LockAccess::Exclusive => true,
    };
    wire::LockUse { name: wanted.name.to_string(), exclusive }
}

fn lock_from_wire(wanted: wire::LockUse) -> model::LockUse {
    let access = if wanted.exclusive { model::LockAccess::Exclusive } else { model::LockAccess::Counting };
    model::LockUse { name: wanted.name.into(), access }
}

fn step_from_wire(step: wire::StepPlan) -> model::StepPlan {
    model::StepPlan {
        name: step.name,
        plugin: model::PluginRef { name: step.plugin, digest: model::Digest(step.digest.into()) },
        config: step.config,
        grant: model::Grant {
            command: step.grant.command,
            net: step.grant.net,
            read: step.grant.read,
            write: step.grant.write,
            http: step.grant.http,
            secret: step.grant.secret,
            credential: step.grant.credential,
            trigger: step.grant.trigger,
        },
        limits: model::PluginLimits {
            memory_bytes: step.limits.memory_bytes,
            time: None,
            compute: step.limits.compute_ms.map(model::Milliseconds),
            host_call: step.limits.host_call_ms.map(model::Milliseconds),
        },
        when: step.when,
        locks: step.locks.into_iter().map(lock_from_wire).collect(),
        halt_on_failure: step.halt_on_failure,
        flunk_on_failure: step.flunk_on_failure,
        warn_on_failure: step.warn_on_failure,
        flunk_on_warnings: step.flunk_on_warnings,
        warn_on_warnings: step.warn_on_warnings,
        always_run: step.always_run,
        time_limit: model::Milliseconds(step.time_limit_ms),
    }
}

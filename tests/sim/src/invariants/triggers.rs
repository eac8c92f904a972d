//! What a step triggers is made once and known to its build, where it was granted; the worker hears of it; and it ends with the build.

use stampmill_engine::config::SchedulerKind;
use stampmill_engine::{Effect, Input, Output};
use stampmill_model::{Build, BuildId, BuildState, Buildset, Parent, RequestState, Trigger, TriggerState};

use super::{Finding, Invariant, expect};
use crate::facts::{Facts, Step};
use crate::records::Written;

pub(super) struct Triggers;

impl Invariant for Triggers {
    fn handled(&mut self, facts: &Facts, step: &Step<'_>) -> Finding {
        for written in step.written {
            match written {
                Written::Buildset { before: None, after } => made(facts, after)?,
                Written::Build { before, after } => {
                    let known = before.as_ref().map_or(&[][..], |before| &before.triggers);
                    told_of_new(step, known, after)?;
                }
                _ => {}
            }
        }
        for build in step.ended() {
            ended(facts, build)?;
        }
        told_again(facts, step)
    }

    fn over(&mut self, facts: &Facts) -> Finding {
        let durable = &facts.disk.durable;
        for (id, set) in &durable.buildsets {
            let Some(Parent::Triggered(build)) = set.parent else { continue };
            let of_build = |it: &&Trigger| it.buildset() == Some(*id);
            let triggers = durable.builds.get(&build).map_or(0, |it| it.triggers.iter().filter(of_build).count());
            expect(triggers == 1, || format!("build {build} has triggered buildset {id} {triggers} times"))?;
        }
        for build in durable.builds.values() {
            for set in build.triggers.iter().filter_map(Trigger::buildset) {
                let parent = durable.buildsets.get(&set).and_then(|set| set.parent);
                let id = build.id;
                expect(parent == Some(Parent::Triggered(id)), || {
                    format!("buildset {set} of build {id} is {parent:?}")
                })?;
            }
        }
        Ok(())
    }
}

/// A new set has a build that may have triggered it.
fn made(facts: &Facts, set: &Buildset) -> Finding {
    let Some(Parent::Triggered(id)) = set.parent else { return Ok(()) };
    let build = &facts.said.builds[&id];
    let Some(trigger) = build.triggers.iter().find(|trigger| trigger.buildset() == Some(set.id)) else {
        return Err(format!("buildset {} was triggered by build {id}, which does not know it", set.id));
    };
    let scheduler = facts.config.schedulers.iter().find(|scheduler| scheduler.name == trigger.scheduler);
    let is_triggerable = scheduler.is_some_and(|scheduler| scheduler.kind == SchedulerKind::Triggerable);
    expect(is_triggerable, || format!("{scheduler:?} was triggered"))?;
    let steps = facts.builder(&build.builder).map_or(&[][..], |builder| &builder.job.steps);
    let plan = steps.iter().find(|plan| plan.name == build.steps[trigger.step as usize].name);
    let is_granted = plan.is_some_and(|plan| plan.grant.trigger.iter().any(|name| *name == trigger.scheduler.as_str()));
    expect(is_granted, || format!("build {id} triggers {} without a grant", trigger.scheduler))?;
    let is_trusted = build.stamps.iter().all(|stamp| stamp.trusted);
    let gains = !is_trusted && set.stamps.iter().any(|stamp| stamp.trusted);
    expect(!gains, || format!("build {id} is not trusted, and what it triggers is: {set:?}"))?;
    let (depth, most) = (set.depth, facts.config.limits.trigger_depth);
    expect((1..=most).contains(&depth), || format!("buildset {} is {depth} deep, the most is {most}", set.id))?;
    let is_awaited_with_locks = !build.locks.is_empty() && !trigger.detached;
    expect(!is_awaited_with_locks, || format!("build {id} has locks and waits for {set:?}"))
}

/// Whatever has become of a trigger the worker is told in the same step, unless the build has ended in it.
fn told_of_new(step: &Step<'_>, known: &[Trigger], build: &Build) -> Finding {
    if matches!(build.state, BuildState::Finished { .. }) {
        return Ok(());
    }
    for (number, trigger) in (0_u32..).zip(&build.triggers) {
        if known.get(number as usize) != Some(trigger) {
            let is_said = is_told(step, build.id, number, &trigger.state);
            expect(is_said, || format!("build {} triggers {trigger:?}, and nobody is told", build.id))?;
        }
    }
    Ok(())
}

/// A worker that is back with a build hears of all its triggers.
fn told_again(facts: &Facts, step: &Step<'_>) -> Finding {
    let Some(Input::WorkerConnected { worker, builds, .. }) = step.input else { return Ok(()) };
    let own = builds.iter().filter_map(|id| facts.said.builds.get(id));
    let open = own.filter(|build| build.worker == *worker && !matches!(build.state, BuildState::Finished { .. }));
    for build in open {
        for (number, trigger) in (0_u32..).zip(&build.triggers) {
            let is_said = is_told(step, build.id, number, &trigger.state);
            expect(is_said, || format!("{worker} is back with build {}, and hears nothing of {trigger:?}", build.id))?;
        }
    }
    Ok(())
}

fn is_told(step: &Step<'_>, id: BuildId, of: u32, is: &TriggerState) -> bool {
    step.outputs.iter().any(|output| {
        matches!(output, Output::Effect(Effect::TellTrigger { build, number, state, .. })
            if *build == id && *number == of && state == is)
    })
}

/// What was triggered and not detached is over with its build, but for builds that are being cancelled.
fn ended(facts: &Facts, build: &Build) -> Finding {
    for set in build.triggers.iter().filter(|trigger| !trigger.detached).filter_map(Trigger::buildset) {
        for request in &facts.said.buildsets[&set].requests {
            let state = &facts.said.requests[request].state;
            let is_ending = match state {
                RequestState::Complete { .. } => true,
                RequestState::Building(id) => {
                    matches!(facts.said.builds[id].state, BuildState::Cancelling { .. })
                }
                RequestState::Pending | RequestState::AwaitingApproval => false,
            };
            let id = build.id;
            expect(is_ending, || {
                format!("build {id} has ended, and request {request} of what it triggered is {state:?}")
            })?;
        }
    }
    Ok(())
}

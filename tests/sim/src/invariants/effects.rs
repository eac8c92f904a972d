//! Nothing happens in the world before the writes that it follows from are durable.

use stampmill_engine::{Answer, Effect, Output};
use stampmill_model::{Build, BuildState, BuildsetId, LockState, Step as BuildStep, StepState, TriggerState};

use super::{Finding, Invariant, expect};
use crate::facts::{Facts, Step};
use crate::records::is_open;

pub(super) struct Effects;

impl Invariant for Effects {
    fn handled(&mut self, _: &Facts, step: &Step<'_>) -> Finding {
        let first_effect = step.outputs.iter().position(|output| matches!(output, Output::Effect(_)));
        let last_write = step.outputs.iter().rposition(|output| matches!(output, Output::Write(_)));
        let in_order = first_effect.is_none_or(|effect| last_write.is_none_or(|write| write < effect));
        expect(in_order, || "a write comes after an effect".to_owned())
    }

    fn acted(&mut self, facts: &Facts, effect: &Effect) -> Finding {
        let durable = &facts.disk.durable;
        let holds = match effect {
            Effect::Poll { source, cursor, .. } => durable.cursors.get(source) == cursor.as_ref() || cursor.is_some(),
            Effect::AskCodebase { change } | Effect::AskFilters { change, .. } => {
                durable.changes.contains_key(&change.id)
            }
            Effect::AskMergeKey { request, set } => {
                durable.requests.contains_key(&request.id) && durable.buildsets.contains_key(&set.id)
            }
            Effect::Dispatch { worker, order } => {
                let sent = &order.build;
                durable.builds.get(&sent.id).is_some_and(|it| it.worker == *worker && is_of(it, sent))
                    && order.changes.iter().all(|change| durable.changes.contains_key(&change.id))
            }
            // Of another's build, or of one that is over, a worker may forget everything.
            Effect::Acknowledge { worker, build, sequence } => durable
                .builds
                .get(build)
                .is_none_or(|it| it.worker != *worker || !is_open(it) || durable.sequence(*build) >= *sequence),
            Effect::CancelBuild { worker, build, .. } => durable.builds.get(build).is_none_or(|it| {
                it.worker != *worker || !matches!(it.state, BuildState::Dispatched | BuildState::Running)
            }),
            // The set may be complete by now.
            Effect::TellTrigger { worker, build, number, state } => durable.builds.get(build).is_none_or(|it| {
                let kept = usize::try_from(*number).ok().and_then(|number| it.triggers.get(number));
                it.worker == *worker && kept.is_some_and(|kept| kept.buildset() == set_of(state))
            }),
            // The step may be over by now.
            Effect::TellLocks { worker, build, step } => durable.builds.get(build).is_none_or(|it| {
                let told = |step: &BuildStep| {
                    step.lock_state == LockState::Held || matches!(step.state, StepState::Finished { .. })
                };
                it.worker == *worker && it.steps.get(*step as usize).is_some_and(told)
            }),
            Effect::Report { notice } => {
                !facts.said.notices.contains_key(&notice.id)
                    || durable.notices.get(&notice.id).is_some_and(|it| it.attempt >= notice.attempt)
            }
            Effect::Answer { answer, .. } => match answer {
                Answer::ChangesTaken(changes) => changes.iter().all(|id| durable.changes.contains_key(id)),
                Answer::Buildset { id, requests } => {
                    durable.buildsets.contains_key(id) && requests.iter().all(|id| durable.requests.contains_key(id))
                }
                Answer::Done | Answer::Refused(_) => true,
            },
            Effect::Warn { .. } => true,
        };
        expect(holds, || format!("not stored before: {effect:?}"))
    }
}

/// Whether a build is the one that was sent; requests that shared it may have left since.
fn is_of(stored: &Build, sent: &Build) -> bool {
    stored.number == sent.number
        && stored.requests().all(|request| sent.requests().any(|it| it == request))
        && (stored.request != sent.request || stored.attempt == sent.attempt)
}

fn set_of(state: &TriggerState) -> Option<BuildsetId> {
    match state {
        TriggerState::Refused { .. } => None,
        TriggerState::Open { buildset } | TriggerState::Finished { buildset, .. } => Some(*buildset),
    }
}

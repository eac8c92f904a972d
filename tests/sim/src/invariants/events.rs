//! What a worker tells twice, of another's build or after a gap changes nothing; what it tells in order is stored with its number, and a build that ran to
//! its end has every step as the worker told it.

use stampmill_engine::Input;
use stampmill_model::{Build, BuildEvent, BuildState, Outcome, StepState};

use super::{Finding, Invariant, expect};
use crate::facts::{Facts, Step};
use crate::records::{Written, is_open};

pub(super) struct Events;

impl Invariant for Events {
    fn handled(&mut self, facts: &Facts, step: &Step<'_>) -> Finding {
        let Some(Input::BuildTold { worker, build, sequence, previous, .. }) = step.input else { return Ok(()) };
        if step.was_due {
            return Ok(());
        }
        let mut numbers = None;
        let mut change = None;
        for written in step.written {
            match written {
                Written::Sequence { build: of, before, after } if of == build => numbers = Some((*before, *after)),
                Written::Build { before, after } if after.id == *build => change = Some((before, after)),
                _ => {}
            }
        }
        let before = numbers.map_or_else(|| facts.said.sequence(*build), |(before, _)| before);
        let now = facts.said.builds.get(build);
        let was_open = match change {
            Some((before, _)) => before.as_ref().is_some_and(|before| is_open(before)),
            None => now.is_some_and(|now| is_open(now)),
        };
        let is_mine = now.is_some_and(|now| now.worker == *worker);
        let is_next = was_open && is_mine && *sequence > before && *previous <= before;
        let is_taken = change.is_some();
        expect(is_taken == is_next, || {
            format!(
                "message {sequence} of build {build} after {previous} by {worker}, where {before} is stored: taken is {is_taken}"
            )
        })?;
        let is_ended = change.is_some_and(|(_, after)| !is_open(after));
        expect(!is_taken || is_ended || numbers.is_some_and(|(_, after)| after == *sequence), || {
            format!("message {sequence} of build {build} is taken and its number is not: {numbers:?}")
        })
    }

    fn committed(&mut self, facts: &Facts, written: &[Written]) -> Finding {
        for written in written {
            if let Written::Build { after, .. } = written {
                is_as_told(facts, after)?;
            }
        }
        Ok(())
    }
}

fn is_as_told(facts: &Facts, build: &Build) -> Finding {
    let BuildState::Finished { outcome, .. } = build.state else { return Ok(()) };
    if matches!(outcome, Outcome::Retry | Outcome::Cancelled) {
        return Ok(());
    }
    let script = facts.scripts.get(&build.id).ok_or_else(|| format!("build {} has ended and never began", build.id))?;
    for (_, event) in script {
        match event {
            BuildEvent::StepFinished { step, outcome: told, .. } => {
                let step = build.steps.iter().find(|it| it.number == *step);
                let is_told = |it: &StepState| matches!(it, StepState::Finished { outcome, .. } if outcome == told);
                expect(step.is_some_and(|step| is_told(&step.state)), || {
                    format!("build {} has {step:?} where {event:?} was told", build.id)
                })?;
            }
            BuildEvent::Finished { outcome: told, .. } => {
                expect(*told == outcome, || format!("build {} is {outcome:?} where {told:?} was told", build.id))?;
            }
            _ => {}
        }
    }
    Ok(())
}

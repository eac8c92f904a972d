//! A project is built once in a wave at most, after all that it depends on has passed in it, and never where one of these has not.

use std::collections::{BTreeMap, BTreeSet};

use stampmill_engine::Write;
use stampmill_engine::config::SchedulerKind;
use stampmill_engine::output::{PingState, SchedulerState};
use stampmill_model::{Buildset, BuildsetId, BuildsetState, Outcome, Parent, SchedulerName};

use super::{Finding, Invariant, expect};
use crate::facts::{Facts, Step};
use crate::records::{Written, is_open_set};

#[derive(Default)]
pub(super) struct Pinging {
    /// The set of each scheduler in each wave.
    built: BTreeMap<(BuildsetId, SchedulerName), BuildsetId>,
}

impl Invariant for Pinging {
    fn handled(&mut self, facts: &Facts, step: &Step<'_>) -> Finding {
        let news = step.written.iter().filter_map(|written| match written {
            Written::Buildset { before: None, after } => Some((after, pinged_by(after)?)),
            _ => None,
        });
        for (set, pinged_by) in news {
            let Some(name) = &set.scheduler else { return Err(format!("{set:?} is pinged and has no scheduler")) };
            let state = facts.said.schedulers.get(name);
            let ping =
                state.into_iter().flat_map(|state| &state.pings).find(|ping| ping.state == PingState::Building(set.id));
            let Some(ping) = ping else { return Err(format!("{name} does not know that it builds {}", set.id)) };
            expect(has_passed(facts, pinged_by), || format!("{pinged_by} has pinged {} and not passed", set.id))?;
            let began = &facts.said.buildsets[&ping.wave];
            expect(has_passed(facts, ping.wave) && !began.superseded, || format!("{began:?} has begun a wave"))?;
            self.after_what_it_needs(facts, step, set, ping.wave)?;
        }
        Self::waits_are_bounded(step)
    }

    fn committed(&mut self, facts: &Facts, written: &[Written]) -> Finding {
        for written in written {
            let Written::Buildset { before: None, after } = written else { continue };
            let (Some(_), Some(name)) = (pinged_by(after), &after.scheduler) else { continue };
            let state = &facts.disk.durable.schedulers[name];
            let ping = state.pings.iter().find(|ping| ping.state == PingState::Building(after.id));
            let Some(ping) = ping else { continue };
            let other = self.built.insert((ping.wave, name.clone()), after.id);
            expect(other.is_none(), || {
                format!("{name} is built twice in the wave of {}: {other:?}, {}", ping.wave, after.id)
            })?;
        }
        Ok(())
    }

    fn over(&mut self, facts: &Facts) -> Finding {
        let left = facts.disk.durable.schedulers.iter().find(|(_, state)| !state.pings.is_empty());
        expect(left.is_none(), || format!("a wave has not come to its end: {left:?}"))
    }
}

impl Pinging {
    /// Of what its project depends on each has passed in the wave, or is not in it.
    fn after_what_it_needs(&self, facts: &Facts, step: &Step<'_>, set: &Buildset, wave: BuildsetId) -> Finding {
        let project_of = |name: &SchedulerName| {
            facts.config.schedulers.iter().find(|it| it.name == *name).and_then(|it| match &it.kind {
                SchedulerKind::Pinged { project } => Some(project.as_str()),
                _ => None,
            })
        };
        let Some(project) = set.scheduler.as_ref().and_then(project_of) else {
            return Err(format!("{set:?} is pinged, and no scheduler is"));
        };
        let needs = facts.config.projects.iter().find(|it| it.name == project).map(|it| it.depends_on.as_slice());
        for scheduler in &facts.config.schedulers {
            let SchedulerKind::Pinged { project: needed } = &scheduler.kind else { continue };
            if !needs.unwrap_or_default().contains(needed) {
                continue;
            }
            let pings = facts.said.schedulers.get(&scheduler.name).map(|state| state.pings.as_slice());
            let waits = pings.unwrap_or_default().iter().any(|ping| ping.wave == wave);
            expect(!waits, || format!("{set:?} is built before {needed} has passed in the wave of {wave}"))?;
            // Under another configuration it may have been in the wave for nothing.
            if let Some(built) = self.built.get(&(wave, scheduler.name.clone()))
                && !step.is_configured()
            {
                expect(!is_open_set(&facts.said.buildsets[built]), || {
                    format!("{built} is open, and {set:?} follows it")
                })?;
            }
        }
        Ok(())
    }

    /// A scheduler waits once for each project that has news.
    fn waits_are_bounded(step: &Step<'_>) -> Finding {
        let waits = |state: &SchedulerState| {
            let waiting = state.pings.iter().filter(|ping| ping.state == PingState::Waiting);
            let from: Vec<_> = waiting.map(|ping| ping.from.clone()).collect();
            let once: BTreeSet<_> = from.iter().cloned().collect();
            (from.len() == once.len())
                .then_some(())
                .ok_or_else(|| format!("waits twice for the news of one: {state:?}"))
        };
        step.outputs.iter().try_for_each(|output| match output {
            stampmill_engine::Output::Write(Write::SchedulerState(_, state)) => waits(state),
            _ => Ok(()),
        })
    }
}

fn pinged_by(set: &Buildset) -> Option<BuildsetId> {
    match set.parent {
        Some(Parent::Pinged(other)) => Some(other),
        Some(Parent::Rebuild(_) | Parent::Dependent(_) | Parent::Triggered(_)) | None => None,
    }
}

fn has_passed(facts: &Facts, set: BuildsetId) -> bool {
    let state = facts.said.buildsets.get(&set).map(|set| &set.state);
    matches!(state, Some(BuildsetState::Finished { outcome: Outcome::Success | Outcome::Warnings, .. }))
}

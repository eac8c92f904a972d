//! A buildset that has passed as it is is followed once by each scheduler that depends on its own, with its sources; no other ever is.

use std::collections::BTreeSet;

use stampmill_engine::config::{Scheduler, SchedulerKind};
use stampmill_model::{Buildset, BuildsetId, BuildsetState, Outcome, Parent, SchedulerName};

use super::{Finding, Invariant, expect};
use crate::facts::{Facts, Step, has_wishes};
use crate::records::{Written, is_open_set};

#[derive(Default)]
pub(super) struct Following {
    /// Which sets were followed, and by whom.
    followed: BTreeSet<(BuildsetId, SchedulerName)>,
}

impl Invariant for Following {
    fn handled(&mut self, facts: &Facts, step: &Step<'_>) -> Finding {
        let sets = || {
            step.written.iter().filter_map(|written| match written {
                Written::Buildset { before, after } => Some((before, after)),
                _ => None,
            })
        };
        for (_, ended) in sets().filter(|(_, set)| !is_open_set(set)) {
            let followers = sets().filter(|(before, new)| before.is_none() && follows(new) == Some(ended.id));
            let followers: Vec<_> = followers.map(|(_, new)| new).collect();
            let names: Vec<_> = followers.iter().filter_map(|set| set.scheduler.as_ref()).collect();
            let schedulers = facts.config.schedulers.iter();
            let dependents = schedulers.filter(|it| is_due(facts, it, ended)).map(|scheduler| &scheduler.name);
            let dependents: Vec<_> = dependents.collect();
            expect(names == dependents, || format!("{dependents:?} wait for {ended:?}, and {names:?} follow"))?;
            let other = followers.iter().find(|set| set.stamps != ended.stamps);
            expect(other.is_none(), || format!("{other:?} has other sources than {ended:?}, which it follows"))?;
        }
        let mut new =
            sets().filter(|(before, _)| before.is_none()).filter_map(|(_, new)| Some((new.id, follows(new)?)));
        let early = new.find(|(_, followed)| !sets().any(|(_, ended)| ended.id == *followed && !is_open_set(ended)));
        expect(early.is_none(), || format!("buildset follows one that has not just ended: {early:?}"))
    }

    fn committed(&mut self, facts: &Facts, written: &[Written]) -> Finding {
        for written in written {
            let Written::Buildset { before: None, after } = written else { continue };
            let (Some(followed), Some(scheduler)) = (follows(after), &after.scheduler) else { continue };
            let is_first = self.followed.insert((followed, scheduler.clone()));
            expect(is_first, || format!("{scheduler} follows buildset {followed} twice, last with {}", after.id))?;
            let set = &facts.disk.durable.buildsets[&followed];
            expect(has_passed(set), || format!("{scheduler} follows {set:?}"))?;
        }
        Ok(())
    }
}

fn follows(set: &Buildset) -> Option<BuildsetId> {
    match set.parent {
        Some(Parent::Dependent(followed)) => Some(followed),
        Some(Parent::Rebuild(_) | Parent::Pinged(_) | Parent::Triggered(_)) | None => None,
    }
}

fn is_due(facts: &Facts, dependent: &Scheduler, ended: &Buildset) -> bool {
    let is_upstream =
        |upstream: &SchedulerName| ended.scheduler.as_ref() == Some(upstream) && has_wishes(&facts.config, dependent);
    matches!(&dependent.kind, SchedulerKind::Dependent { upstream } if is_upstream(upstream)) && has_passed(ended)
}

/// Whether a set has passed, and not by a build of other sources.
fn has_passed(set: &Buildset) -> bool {
    let is_good = matches!(set.state, BuildsetState::Finished { outcome: Outcome::Success | Outcome::Warnings, .. });
    is_good && !set.superseded
}

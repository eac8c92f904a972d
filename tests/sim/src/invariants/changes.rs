//! A change that is important to a scheduler ends up in exactly one buildset of it, unless the scheduler was removed or had nobody to build it.

use std::collections::{BTreeMap, BTreeSet};

use stampmill_model::{ChangeId, Parent, SchedulerName, Verdict};

use super::{Finding, Invariant, expect};
use crate::facts::{Facts, Step, has_wishes, takes_changes};
use crate::records::Written;

#[derive(Default)]
pub(super) struct Changes {
    built: BTreeSet<(SchedulerName, ChangeId)>,
    /// Schedulers that had builders without any worker: what they fired then is reported and gone.
    idle: BTreeSet<SchedulerName>,
    verdicts: BTreeMap<(SchedulerName, ChangeId), Verdict>,
}

impl Invariant for Changes {
    fn handled(&mut self, facts: &Facts, step: &Step<'_>) -> Finding {
        if step.is_configured() {
            let idle = facts.config.schedulers.iter().filter(|scheduler| !has_wishes(&facts.config, scheduler));
            self.idle.extend(idle.map(|scheduler| scheduler.name.clone()));
        }
        Ok(())
    }

    fn committed(&mut self, _: &Facts, written: &[Written]) -> Finding {
        for written in written {
            match written {
                Written::Change { after, .. } => {
                    for decision in &after.decisions {
                        let key = (decision.scheduler.clone(), after.id);
                        let first = *self.verdicts.entry(key).or_insert(decision.verdict);
                        expect(first == decision.verdict, || {
                            format!(
                                "{} has decided {first:?} on change {} and now {decision:?}",
                                decision.scheduler, after.id
                            )
                        })?;
                    }
                }
                Written::Buildset { before: None, after } => {
                    let Some(scheduler) = &after.scheduler else { continue };
                    // One that took changes before it became dependent may follow a set that has them too; and what builds trigger, they may
                    // trigger of the same changes as often as they like.
                    if matches!(after.parent, Some(Parent::Dependent(_) | Parent::Triggered(_))) {
                        continue;
                    }
                    for id in after.stamps.iter().flat_map(|stamp| &stamp.changes) {
                        let is_first = self.built.insert((scheduler.clone(), *id));
                        expect(is_first, || {
                            format!("{scheduler} has built change {id} twice, last in set {}", after.id)
                        })?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn over(&mut self, facts: &Facts) -> Finding {
        for scheduler in facts.config.schedulers.iter().filter(|it| takes_changes(&it.kind)) {
            let name = &scheduler.name;
            let decided = self.verdicts.iter().filter(|((by, _), _)| by == name);
            for ((_, change), verdict) in decided {
                let is_built = self.built.contains(&(name.clone(), *change));
                match verdict {
                    Verdict::Important => expect(is_built || self.idle.contains(name), || {
                        format!("change {change} is important to {name} and in no buildset of it")
                    })?,
                    Verdict::Unimportant => {}
                    Verdict::Ignored | Verdict::Failed => {
                        expect(!is_built, || format!("change {change} is {verdict:?} for {name} and was built"))?;
                    }
                }
            }
        }
        Ok(())
    }
}

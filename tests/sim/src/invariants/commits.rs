//! Every commit of a repository that is polled, and of a delivery that was taken, becomes one change: no poll is skipped, none is taken twice.

use std::collections::BTreeMap;

use stampmill_model::ChangeId;

use super::{Finding, Invariant, expect};
use crate::facts::Facts;
use crate::records::Written;

#[derive(Default)]
pub(super) struct Commits {
    by_revision: BTreeMap<String, ChangeId>,
}

impl Invariant for Commits {
    fn committed(&mut self, _: &Facts, written: &[Written]) -> Finding {
        for written in written {
            let Written::Change { before: None, after } = written else { continue };
            let Some(revision) = after.seen.revision.clone() else { continue };
            let other = self.by_revision.insert(revision.clone(), after.id);
            expect(other.is_none(), || format!("revision {revision} is change {} and change {other:?}", after.id))?;
        }
        Ok(())
    }

    fn over(&mut self, facts: &Facts) -> Finding {
        for source in &facts.config.change_sources {
            let mut last = ChangeId(0);
            for seen in facts.pushed.get(&source.name).into_iter().flatten() {
                let revision = seen.revision.as_deref().unwrap_or_default();
                let change = self.by_revision.get(revision).copied();
                let change =
                    change.ok_or_else(|| format!("revision {revision} of source {} is no change", source.name))?;
                let is_polled = facts.disk.durable.cursors.contains_key(&source.name);
                expect(!is_polled || change > last, || {
                    format!("change {change} came before {last} in {}", source.name)
                })?;
                last = change;
            }
        }
        Ok(())
    }
}

//! A buildset is marked as superseded exactly when a build of other versions has answered one of its requests; any other was built as it is.

use std::collections::BTreeSet;

use stampmill_model::{Build, BuildState, Buildset, BuildsetId, Outcome};

use super::merged::is_same_version;
use super::{Finding, Invariant, expect};
use crate::facts::Facts;
use crate::records::Written;

#[derive(Default)]
pub(super) struct Superseded {
    /// The sets that a build of other versions has answered.
    answered: BTreeSet<BuildsetId>,
}

impl Invariant for Superseded {
    fn committed(&mut self, facts: &Facts, written: &[Written]) -> Finding {
        let sets = &facts.disk.durable.buildsets;
        let mut touched = BTreeSet::new();
        for written in written {
            match written {
                Written::Buildset { after, .. } => drop(touched.insert(after.id)),
                Written::Build { after, .. } if has_answered(after) => {
                    touched.extend(after.buildsets());
                    self.answered.extend(after.buildsets().filter(|id| !is_built(&sets[id], after)));
                }
                _ => {}
            }
        }
        touched.into_iter().try_for_each(|id| {
            let (marked, answered) = (sets[&id].superseded, self.answered.contains(&id));
            expect(marked == answered, || {
                format!("buildset {id} is superseded: {marked}; answered by other versions: {answered}")
            })
        })
    }
}

fn has_answered(build: &Build) -> bool {
    matches!(build.state, BuildState::Finished { outcome, .. } if outcome != Outcome::Retry)
}

fn is_built(set: &Buildset, build: &Build) -> bool {
    set.stamps.iter().all(|wanted| build.stamps.iter().any(|built| is_same_version(built, wanted)))
}

//! A buildset is finished exactly when all of its requests are complete, with the worst of their outcomes, and stays so. A set
//! in which something has failed has failed, whatever was cancelled beside it.

use std::collections::BTreeSet;

use stampmill_model::{BuildsetState, Outcome, RequestState};

use super::{Finding, Invariant, expect};
use crate::facts::{Facts, Step};
use crate::records::{Written, is_open_set};

pub(super) struct Buildsets;

impl Invariant for Buildsets {
    fn handled(&mut self, facts: &Facts, step: &Step<'_>) -> Finding {
        let mut touched = BTreeSet::new();
        for written in step.written {
            match written {
                Written::Buildset { before, after } => {
                    let was_open = before.as_ref().is_none_or(|before| is_open_set(before));
                    expect(was_open, || format!("buildset {} was finished and is {:?}", after.id, after.state))?;
                    touched.insert(after.id);
                }
                Written::Request { after, .. } => {
                    touched.insert(after.buildset);
                }
                _ => {}
            }
        }
        touched.into_iter().try_for_each(|id| {
            let set = facts
                .said
                .buildsets
                .get(&id)
                .ok_or_else(|| format!("buildset {id} has requests and is not written"))?;
            let states = set.requests.iter().map(|request| facts.said.requests.get(request).map(|it| &it.state));
            let outcomes: Vec<_> = states
                .map(|state| match state {
                    Some(RequestState::Complete { outcome, .. }) => Some(*outcome),
                    _ => None,
                })
                .collect();
            let is_complete = outcomes.iter().all(Option::is_some);
            let known = outcomes.iter().flatten().copied();
            let holds = match &set.state {
                BuildsetState::Open { will_fail } => {
                    !is_complete && *will_fail == known.clone().any(|outcome| !outcome.is_good())
                }
                BuildsetState::Finished { outcome, .. } => {
                    // What was cancelled says nothing where something has failed.
                    let failed = known.clone().filter(|it| matches!(it, Outcome::Failure | Outcome::Exception));
                    let worst = failed.reduce(Outcome::worst);
                    is_complete
                        && *outcome == worst.unwrap_or_else(|| known.clone().fold(Outcome::Skipped, Outcome::worst))
                }
            };
            expect(holds, || format!("buildset {id} is {:?} with requests {outcomes:?}", set.state))
        })
    }
}

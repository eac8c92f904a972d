//! Where a scheduler cancels on failure, nothing of a set goes on once a request of it has failed, and that reason is given for nothing else.

use stampmill_model::{BuildState, BuildsetId, Outcome, RequestState};

use super::{Finding, Invariant, expect};
use crate::facts::{Facts, Step};
use crate::records::Written;

pub(super) struct Failing;

impl Invariant for Failing {
    fn handled(&mut self, facts: &Facts, step: &Step<'_>) -> Finding {
        for written in step.written {
            match written {
                Written::Request { after, .. } => {
                    if let RequestState::Complete { outcome, reason, .. } = &after.state {
                        is_due(facts, after.buildset, reason)?;
                        // What was due before a new configuration ended by the old one.
                        if is_failure(*outcome) && !step.is_configured() {
                            is_done(facts, after.buildset)?;
                        }
                    }
                }
                Written::Build { after, .. } => {
                    if let BuildState::Cancelling { reason } = &after.state {
                        after.buildsets().try_for_each(|set| is_due(facts, set, reason))?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn is_failure(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Failure | Outcome::Exception)
}

/// Whether something of a set has failed that was cancelled for it.
fn is_due(facts: &Facts, set: BuildsetId, reason: &str) -> Finding {
    if !reason.ends_with(" in this buildset") {
        return Ok(());
    }
    let requests = facts.said.buildsets.get(&set).into_iter().flat_map(|set| &set.requests);
    let mut states = requests.filter_map(|id| facts.said.requests.get(id)).map(|request| &request.state);
    let has_failed = states.any(|it| matches!(it, RequestState::Complete { outcome, .. } if is_failure(*outcome)));
    expect(has_failed, || format!("nothing of buildset {set} has failed, and a part is cancelled as {reason}"))
}

/// Whether nothing of a set that has failed goes on, if its scheduler wants that.
fn is_done(facts: &Facts, id: BuildsetId) -> Finding {
    let set = &facts.said.buildsets[&id];
    let scheduler = facts.config.schedulers.iter().find(|it| Some(&it.name) == set.scheduler.as_ref());
    if !scheduler.is_some_and(|scheduler| scheduler.cancel_on_failure) {
        return Ok(());
    }
    let goes_on = set.requests.iter().find(|request| facts.goes_on(**request));
    expect(goes_on.is_none(), || format!("request {goes_on:?} goes on, and buildset {id} has failed"))
}

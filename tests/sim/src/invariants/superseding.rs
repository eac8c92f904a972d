//! A newer buildset of changes cancels the older ones that it replaces, where the scheduler says so, and that reason is given for nothing else.

use stampmill_model::{BuildState, Buildset, BuildsetId, RequestState, SourceStamp};

use super::{Finding, Invariant, expect};
use crate::facts::{Facts, Step};
use crate::records::{Written, is_open_set};

pub(super) struct Superseding;

impl Invariant for Superseding {
    fn handled(&mut self, facts: &Facts, step: &Step<'_>) -> Finding {
        for written in step.written {
            match written {
                Written::Request { after, .. } => {
                    if let RequestState::Complete { reason, .. } = &after.state {
                        is_due(facts, after.buildset, reason)?;
                    }
                }
                Written::Build { after, .. } => {
                    if let BuildState::Cancelling { reason } = &after.state {
                        after.buildsets().try_for_each(|set| is_due(facts, set, reason))?;
                    }
                }
                // What was due before a new configuration was made by the old one.
                Written::Buildset { before: None, after } if !step.is_configured() => is_done(facts, after)?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether what was cancelled for this reason is replaced by the set that it names.
fn is_due(facts: &Facts, older: BuildsetId, reason: &str) -> Finding {
    let Some(newer) = reason.strip_prefix("superseded by buildset ") else { return Ok(()) };
    let sets = &facts.said.buildsets;
    let newer = newer.parse().ok().and_then(|id| sets.get(&BuildsetId(id)));
    let is_replaced = newer.zip(sets.get(&older)).is_some_and(|(newer, older)| replaces(newer, older));
    expect(is_replaced, || format!("buildset {older} is {reason}, which does not replace it"))
}

/// Whether all that a new set replaces is cancelled, or has ended.
fn is_done(facts: &Facts, newer: &Buildset) -> Finding {
    let said = &facts.said;
    let scheduler = facts.config.schedulers.iter().find(|it| Some(&it.name) == newer.scheduler.as_ref());
    let awaits = newer.requests.iter().any(|id| said.requests[id].state == RequestState::AwaitingApproval);
    if awaits || !scheduler.is_some_and(|scheduler| scheduler.cancel_superseded) {
        return Ok(());
    }
    let older = said.open_buildsets.range(..newer.id).map(|id| &said.buildsets[id]);
    for older in older.filter(|older| is_open_set(older) && replaces(newer, older)) {
        let goes_on = older.requests.iter().find(|request| facts.goes_on(**request));
        expect(goes_on.is_none(), || {
            format!("request {goes_on:?} goes on, and buildset {} replaces its set", newer.id)
        })?;
    }
    Ok(())
}

fn replaces(newer: &Buildset, older: &Buildset) -> bool {
    let is_of_changes = |set: &Buildset| {
        set.owner.is_none()
            && set.parent.is_none()
            && set.stamps.iter().any(|stamp| !stamp.changes.is_empty())
            && set.stamps.iter().all(|stamp| stamp.patch.is_none())
    };
    newer.id > older.id
        && newer.scheduler.is_some()
        && newer.scheduler == older.scheduler
        && is_of_changes(newer)
        && is_of_changes(older)
        && newer.stamps.len() == older.stamps.len()
        && older.stamps.iter().all(|old| newer.stamps.iter().any(|new| follows(new, old)))
}

fn follows(new: &SourceStamp, old: &SourceStamp) -> bool {
    let is_same = new.codebase == old.codebase && new.repository == old.repository && new.branch == old.branch;
    let newest = old.changes.iter().max();
    let has_it =
        newest.is_none() || new.changes.iter().max() > newest || new.changes.is_empty() && new.revision.is_none();
    is_same && has_it && (new.trusted || !old.trusted)
}

//! Superseding: a newer buildset of changes cancels the older open ones of its scheduler and its branches, where the scheduler says so. The rule is in
//! `docs/decisions/0014-rules-that-cancel.md`.

use stampmill_model::{Buildset, BuildsetId, ChangeId, SchedulerName, SourceStamp};

use crate::Engine;
use crate::buildset::OpenBuildset;

/// What buildsets have in common of which a newer one may supersede the older.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Branches {
    scheduler: SchedulerName,
    /// Codebase, repository and branch, in the order of the codebases' names.
    sources: Vec<(String, String, Option<String>)>,
}

impl Branches {
    /// Those of a set that changes have made; `None` for one that a person, a program, a clock or another set has.
    pub(crate) fn of(set: &Buildset) -> Option<Self> {
        let is_of_changes = set.stamps.iter().any(|stamp| !stamp.changes.is_empty());
        let is_patched = set.stamps.iter().any(|stamp| stamp.patch.is_some());
        if !is_of_changes || is_patched || set.owner.is_some() || set.parent.is_some() {
            return None;
        }
        let source = |stamp: &SourceStamp| (stamp.codebase.clone(), stamp.repository.clone(), stamp.branch.clone());
        let mut sources: Vec<_> = set.stamps.iter().map(source).collect();
        sources.sort_unstable();
        Some(Self { scheduler: set.scheduler.clone()?, sources })
    }
}

/// Whether a set builds all that another of the same branches does, and at least as trusted: a stranger's change ends no build of the house's own.
fn covers(newer: &Buildset, older: &Buildset) -> bool {
    older.stamps.iter().all(|old| {
        let new = newer.stamps.iter().find(|new| new.codebase == old.codebase);
        new.is_some_and(|new| (new.trusted || !old.trusted) && is_newer(new, old))
    })
}

/// A change may be judged late: then its set is made after that of a newer one.
fn is_newer(new: &SourceStamp, old: &SourceStamp) -> bool {
    let last = |stamp: &SourceStamp| -> Option<ChangeId> { stamp.changes.iter().max().copied() };
    match (last(new), last(old)) {
        (Some(new), Some(old)) => new > old,
        (None, Some(_)) => new.revision.is_none(),
        (Some(_) | None, None) => true,
    }
}

impl Engine {
    /// A buildset is open: a newer one may supersede it.
    pub(crate) fn note_branches(&mut self, set: &Buildset) {
        if let Some(branches) = Branches::of(set) {
            self.branches.entry(branches).or_default().insert(set.id);
        }
    }

    /// A buildset is complete.
    pub(crate) fn forget_branches(&mut self, set: &Buildset) {
        let Some(branches) = Branches::of(set) else { return };
        if let Some(sets) = self.branches.get_mut(&branches) {
            sets.remove(&set.id);
            if sets.is_empty() {
                self.branches.remove(&branches);
            }
        }
    }

    /// A buildset may be built: what it supersedes is cancelled, if its scheduler wants that.
    pub(crate) fn supersede(&mut self, id: BuildsetId) {
        let Some(newer) = self.buildsets.get(&id).map(|open| &open.set) else { return };
        let scheduler = newer.scheduler.as_ref().and_then(|name| self.lookup.scheduler(name));
        if !scheduler.is_some_and(|position| self.config.schedulers[position].cancel_superseded) {
            return;
        }
        let branches = Branches::of(newer).and_then(|branches| self.branches.get(&branches));
        let older = branches.into_iter().flat_map(|sets| sets.range(..id)).filter_map(|id| self.buildsets.get(id));
        let older = older.filter(|open| covers(newer, &open.set));
        let requests: Vec<_> = older.flat_map(|OpenBuildset { set, .. }| set.requests.clone()).collect();
        for request in requests {
            self.cancel_request(request, format!("superseded by buildset {id}"));
        }
    }
}

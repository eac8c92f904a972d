//! Absolute stamps: a codebase that nothing touches is built at the last revision that its scheduler has seen, so that every build is of
//! revisions that are known when it is made. Otherwise the worker takes the newest of its own time.

use std::sync::Arc;

use stampmill_model::{ChangeId, SourceStamp};

use super::stamps;
use crate::Engine;
use crate::config::{CodebaseDefault, Scheduler, SchedulerKind};
use crate::intake::OpenChange;
use crate::outbox::Key;
use crate::output::{LastSeen, SchedulerState};

impl Engine {
    /// A change that a scheduler does not ignore is its codebase's last one, unless a later one was judged before it.
    pub(crate) fn note_last_seen(&mut self, scheduler: &Scheduler, id: ChangeId) {
        if !scheduler.absolute_stamps {
            return;
        }
        let is_its_branch = |open: &&OpenChange| branch_of(&scheduler.kind) == Some(open.change.seen.branch.as_deref());
        let Some(open) = self.changes.get(&id).filter(is_its_branch) else { return };
        let codebase = open.change.codebase.clone().unwrap_or_default();
        let state = self.schedulers.entry(scheduler.name.clone()).or_default();
        if state.last_seen.get(&codebase).is_some_and(|last| last.change > id) {
            return;
        }
        let seen = &open.change.seen;
        let last = LastSeen {
            change: id,
            repository: seen.repository.clone(),
            project: seen.project.clone(),
            branch: seen.branch.clone(),
            revision: seen.revision.clone(),
            trusted: open.change.trusted,
        };
        state.last_seen.insert(codebase, last);
        self.outbox.mark(Key::Scheduler(scheduler.name.clone()));
    }

    /// Forgets what is not wanted any more: the option is off, the codebase is not listed, or it is of a branch that the scheduler has left.
    pub(crate) fn sync_last_seen(&mut self) {
        let config = Arc::clone(&self.config);
        for scheduler in &config.schedulers {
            let Some(state) = self.schedulers.get_mut(&scheduler.name) else { continue };
            let before = state.last_seen.len();
            state.last_seen.retain(|codebase, last| {
                let is_listed = scheduler.codebases.iter().any(|default| default.codebase == *codebase);
                scheduler.absolute_stamps && is_listed && branch_of(&scheduler.kind) == Some(last.branch.as_deref())
            });
            if state.last_seen.len() != before {
                self.outbox.mark(Key::Scheduler(scheduler.name.clone()));
            }
        }
    }

    /// The stamp of a codebase that no change of a buildset touches.
    pub(super) fn untouched(&self, scheduler: &Scheduler, default: &CodebaseDefault) -> SourceStamp {
        let state = self.schedulers.get(&scheduler.name).filter(|_| scheduler.absolute_stamps);
        let last = state.and_then(|state: &SchedulerState| state.last_seen.get(&default.codebase));
        let Some(last) = last else { return stamps::of_default(default) };
        let repository = if last.repository.is_empty() { &default.repository } else { &last.repository };
        SourceStamp {
            codebase: default.codebase.clone(),
            repository: repository.clone(),
            project: last.project.clone(),
            branch: last.branch.clone(),
            revision: last.revision.clone(),
            patch: None,
            // Who may not have secrets in the build of a change has none in the builds after it, which have its code.
            trusted: last.trusted,
            changes: Vec::new(),
        }
    }
}

/// The one branch whose changes a scheduler builds; `None` where there may be several.
fn branch_of(kind: &SchedulerKind) -> Option<Option<&str>> {
    match kind {
        SchedulerKind::SingleBranch { branch, .. } => Some(branch.as_deref()),
        SchedulerKind::Nightly { only_if_changed: Some(changed), .. } => Some(changed.branch.as_deref()),
        SchedulerKind::Nightly { only_if_changed: None, .. }
        | SchedulerKind::AnyBranch { .. }
        | SchedulerKind::Periodic { .. }
        | SchedulerKind::Dependent { .. }
        | SchedulerKind::Pinged { .. }
        | SchedulerKind::Try { .. }
        | SchedulerKind::Triggerable
        | SchedulerKind::Force(_) => None,
    }
}

//! What a scheduler's own words say of a change, before its filters are asked.

use stampmill_model::Change;

use crate::config::{Scheduler, SchedulerKind};

/// Why a change is not for this scheduler; `None` when it may be.
pub(super) fn refusal(scheduler: &Scheduler, change: &Change) -> Option<String> {
    let branch = change.seen.branch.as_deref();
    match &scheduler.kind {
        SchedulerKind::SingleBranch { branch: wanted, .. } => {
            foreign_codebase(scheduler, change).or_else(|| wrong_branch(branch, wanted.as_deref()))
        }
        SchedulerKind::AnyBranch { branches, .. } => {
            foreign_codebase(scheduler, change).or_else(|| not_among(branch, branches.as_deref()?))
        }
        SchedulerKind::Nightly { only_if_changed: Some(changed), .. } => {
            foreign_codebase(scheduler, change).or_else(|| wrong_branch(branch, changed.branch.as_deref()))
        }
        SchedulerKind::Periodic { .. } => Some("builds at intervals, not on changes".to_owned()),
        SchedulerKind::Nightly { only_if_changed: None, .. } => Some("builds at set times, not on changes".to_owned()),
        SchedulerKind::Dependent { upstream } => Some(format!("builds when `{upstream}` has passed, not on changes")),
        SchedulerKind::Pinged { project } => {
            Some(format!("builds when what project `{project}` depends on has passed, not on changes"))
        }
        SchedulerKind::Try { .. } => Some("builds patches, not changes".to_owned()),
        SchedulerKind::Triggerable => Some("builds when a step triggers it, not on changes".to_owned()),
        SchedulerKind::Force(_) => Some("builds when a person asks, not on changes".to_owned()),
    }
}

fn foreign_codebase(scheduler: &Scheduler, change: &Change) -> Option<String> {
    let codebase = change.codebase.as_deref().unwrap_or_default();
    let is_mine = scheduler.codebases.iter().any(|mine| mine.codebase == codebase);
    (!is_mine).then(|| format!("not my codebase `{codebase}`"))
}

fn wrong_branch(branch: Option<&str>, wanted: Option<&str>) -> Option<String> {
    match (branch, wanted) {
        (branch, wanted) if branch == wanted => None,
        (Some(branch), Some(wanted)) => Some(format!("branch `{branch}` is not `{wanted}`")),
        (Some(branch), None) => Some(format!("branch `{branch}` is not the default branch")),
        (None, wanted) => Some(format!("the default branch is not `{}`", wanted.unwrap_or_default())),
    }
}

fn not_among(branch: Option<&str>, wanted: &[String]) -> Option<String> {
    if wanted.iter().any(|wanted| branch == Some(wanted)) {
        return None;
    }
    let wanted: Vec<_> = wanted.iter().map(|wanted| format!("`{wanted}`")).collect();
    let branch = branch.map_or("the default branch".to_owned(), |branch| format!("branch `{branch}`"));
    Some(format!("{branch} is not one of {}", wanted.join(", ")))
}

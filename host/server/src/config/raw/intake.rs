//! Change sources and schedulers.

use stampmill_model::Milliseconds;

use super::{ChangeSource, Codebase, Scheduler, SchedulerKind, flag, name, optional, properties, usage};
use crate::config::finding::Problem;
use crate::config::limits;
use crate::config::reader::{At, Table};

pub(super) fn change_source(table: &mut Table<'_>) -> Option<ChangeSource> {
    let name = name(table, "change source", "app");
    let what = table.what.clone();
    let usage = usage(table, &what);
    let every = table.duration("every", limits::POLL_EVERY_LEAST);
    let trusted = flag(table, "trusted", false);
    let project = optional(table, "project").unwrap_or_default();
    Some(ChangeSource { name: name?, usage: usage?, every, trusted, project })
}

const KINDS: [(&str, SchedulerKind); 4] = [
    ("single-branch", SchedulerKind::SingleBranch),
    ("any-branch", SchedulerKind::AnyBranch),
    ("periodic", SchedulerKind::Periodic),
    ("force", SchedulerKind::Force),
];

pub(super) fn scheduler(table: &mut Table<'_>) -> Option<Scheduler> {
    let name = name(table, "scheduler", "quick");
    let kind = table.choice("kind", &KINDS);
    table.require("kind", "kind = \"single-branch\"");
    let branch = table.text("branch");
    let branches = table.texts("branches");
    let stable_for = table.duration("stable-for", Milliseconds(0));
    let every = table.duration("every", limits::PERIOD_LEAST);
    let codebases = codebases(table);
    let filters = filters(table);
    let builders = builders(table);
    let on_every_worker = flag(table, "on-every-worker", false);
    let priority = table.number("priority", i64::from(i32::MIN), i64::from(i32::MAX));
    let properties = properties(table);
    let approve_untrusted = flag(table, "approve-untrusted", false);
    let reason = optional(table, "reason").unwrap_or_default();
    let scheduler = Scheduler {
        name: name?,
        kind: kind?,
        branch,
        branches,
        stable_for,
        every,
        codebases,
        filters,
        builders,
        on_every_worker,
        priority: priority.and_then(|at| i32::try_from(at.value).ok()).unwrap_or(0),
        properties,
        approve_untrusted,
        reason,
        span: table.span.clone(),
    };
    check_keys_of_kind(table, &scheduler);
    Some(scheduler)
}

fn builders(table: &Table<'_>) -> Vec<At<String>> {
    let builders = table.texts("builders");
    table.require("builders", "builders = [\"NAME\"]");
    let Some(builders) = builders else { return Vec::new() };
    if builders.value.is_empty() {
        let problem = Problem::error(builders.span, format!("{} has no builders", table.what));
        table.sink().report(problem.label("empty").mend("name at least one"));
    }
    builders.value
}

fn codebases(table: &Table<'_>) -> Vec<Codebase> {
    let mut codebases = Vec::new();
    for (name, entry) in table.named_tables("codebases", "codebase") {
        let repository = entry.required_text("repository", "repository = \"https://…\"");
        let branch = optional(&entry, "branch");
        let revision = optional(&entry, "revision");
        entry.finish();
        let Some(repository) = repository else { continue };
        codebases.push(Codebase { name, repository: repository.value, branch, revision });
    }
    codebases
}

fn filters(table: &Table<'_>) -> Vec<super::Use> {
    let mut filters = Vec::new();
    let what = table.what.clone();
    for filter in table.tables("filter", &format!("a filter of {what}")) {
        filters.extend(usage(&filter, &format!("filter of {what}")));
        filter.finish();
    }
    filters
}

/// Keys that mean nothing for the kind are mistakes: they look as if they did something.
fn check_keys_of_kind(table: &Table<'_>, scheduler: &Scheduler) {
    use SchedulerKind::{AnyBranch, Force, Periodic, SingleBranch};
    let keys: [(&str, &[SchedulerKind], &str); 5] = [
        ("branch", &[SingleBranch], "single-branch"),
        ("branches", &[AnyBranch], "any-branch"),
        ("stable-for", &[SingleBranch, AnyBranch], "single-branch` and `any-branch"),
        ("every", &[Periodic], "periodic"),
        ("filter", &[SingleBranch, AnyBranch], "single-branch` and `any-branch"),
    ];
    let kind = scheduler.kind.value;
    let word = KINDS.iter().find(|(_, known)| *known == kind).map_or("", |(word, _)| word);
    for (key, kinds, names) in keys {
        let Some(place) = table.key_span(key).filter(|_| !kinds.contains(&kind)) else { continue };
        let problem = Problem::error(place, format!("`{key}` of {} means nothing for kind `{word}`", table.what))
            .label("without effect")
            .also(scheduler.kind.span.clone(), "the kind")
            .mend(format!("it belongs to kind `{names}`"));
        table.sink().report(match (key, kind) {
            ("branch", AnyBranch) => problem.mend("write `branches = [\"…\"]`, or take kind `single-branch`"),
            ("branch", Periodic | Force) => problem
                .mend("give the branch with the codebase: `codebases.NAME = { repository = \"…\", branch = \"…\" }`"),
            ("branches", SingleBranch) => problem.mend("write `branch = \"…\"`, or take kind `any-branch`"),
            _ => problem,
        });
    }
    if kind == Periodic {
        table.require("every", "every = \"1h\"");
    }
}

//! Change sources and schedulers.

use stampmill_model::Milliseconds;

use super::{ChangeSource, Codebase, Scheduler, SchedulerKind, flag, form, name, optional, properties, usage};
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

const KINDS: [(&str, SchedulerKind); 9] = [
    ("single-branch", SchedulerKind::SingleBranch),
    ("any-branch", SchedulerKind::AnyBranch),
    ("periodic", SchedulerKind::Periodic),
    ("nightly", SchedulerKind::Nightly),
    ("dependent", SchedulerKind::Dependent),
    ("pinged", SchedulerKind::Pinged),
    ("try", SchedulerKind::Try),
    ("triggerable", SchedulerKind::Triggerable),
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
    let at = table.text("at");
    let time_zone = table.text("time-zone");
    let only_if_changed = flag(table, "only-if-changed", false);
    let force_at = table.text("force-at");
    let upstream = table.text("upstream");
    let trusted = flag(table, "trusted", false);
    let codebases = codebases(table);
    let absolute_source_stamps = flag(table, "absolute-source-stamps", false);
    let filters = filters(table);
    let builders = builders(table);
    let on_every_worker = flag(table, "on-every-worker", false);
    let priority = table.number("priority", i64::from(i32::MIN), i64::from(i32::MAX));
    let properties = properties(table);
    let approve_untrusted = flag(table, "approve-untrusted", false);
    let cancel_superseded = flag(table, "cancel-superseded", false);
    let cancel_on_failure = flag(table, "cancel-on-failure", false);
    let pings = table.flag("pings").filter(|at| at.value).map(|at| at.span);
    let reason = optional(table, "reason").unwrap_or_default();
    let entries = form::entries(table);
    let reason_required = flag(table, "reason-required", false);
    let scheduler = Scheduler {
        name: name?,
        kind: kind?,
        branch,
        branches,
        stable_for,
        every,
        at,
        time_zone,
        only_if_changed,
        force_at,
        upstream,
        trusted,
        codebases,
        absolute_source_stamps,
        filters,
        builders,
        on_every_worker,
        priority: priority.and_then(|at| i32::try_from(at.value).ok()).unwrap_or(0),
        properties,
        approve_untrusted,
        cancel_superseded,
        cancel_on_failure,
        pings,
        reason,
        entries,
        reason_required,
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
        let ask = entry.choices("ask", &form::SOURCE_FIELDS);
        entry.finish();
        let Some(repository) = repository else { continue };
        codebases.push(Codebase { name, repository: repository.value, branch, revision, ask });
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
    use SchedulerKind::{AnyBranch, Dependent, Force, Nightly, Periodic, Pinged, SingleBranch, Triggerable, Try};
    let keys: [(&str, &[SchedulerKind], &str); 16] = [
        ("branch", &[SingleBranch, Nightly], "single-branch` and `nightly"),
        ("branches", &[AnyBranch], "any-branch"),
        ("stable-for", &[SingleBranch, AnyBranch], "single-branch` and `any-branch"),
        ("every", &[Periodic], "periodic"),
        ("at", &[Nightly], "nightly"),
        ("time-zone", &[Nightly], "nightly"),
        ("only-if-changed", &[Nightly], "nightly"),
        ("force-at", &[Nightly], "nightly"),
        ("upstream", &[Dependent], "dependent"),
        ("trusted", &[Try], "try"),
        ("parameter", &[Force], "force"),
        ("reason-required", &[Force], "force"),
        ("absolute-source-stamps", &[SingleBranch, Nightly], "single-branch` and `nightly"),
        (
            "pings",
            &[SingleBranch, AnyBranch, Periodic, Nightly, Dependent, Triggerable, Force],
            "single-branch`, `force` and the others but `try` and `pinged",
        ),
        ("filter", &[SingleBranch, AnyBranch, Nightly], "single-branch`, `any-branch` and `nightly"),
        ("cancel-superseded", &[SingleBranch, AnyBranch, Nightly], "single-branch`, `any-branch` and `nightly"),
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
            ("branch", Dependent) => problem.mend("remove it: the sources are those of the scheduler in `upstream`"),
            ("branch", Periodic | Pinged | Try | Triggerable | Force) => problem
                .mend("give the branch with the codebase: `codebases.NAME = { repository = \"…\", branch = \"…\" }`"),
            ("branches", SingleBranch) => problem.mend("write `branch = \"…\"`, or take kind `any-branch`"),
            _ => problem,
        });
    }
    match kind {
        Periodic => table.require("every", "every = \"1h\""),
        Nightly => table.require("at", "at = \"0 3 * * *\""),
        Dependent => table.require("upstream", "upstream = \"NAME\""),
        SingleBranch | AnyBranch | Pinged | Try | Triggerable | Force => {}
    }
    check_nightly(table, scheduler);
    check_force(table, scheduler);
    if kind == Dependent
        && let Some(place) = table.key_span("codebases")
    {
        let problem =
            Problem::error(place, format!("`codebases` of {} means nothing for kind `dependent`", table.what));
        table.sink().report(
            problem.label("without effect").mend("remove it: the sources are those of the scheduler in `upstream`"),
        );
    }
}

/// What people are asked means nothing when nobody is asked.
fn check_force(table: &Table<'_>, scheduler: &Scheduler) {
    if scheduler.kind.value != SchedulerKind::Force {
        for (codebase, ask) in scheduler.codebases.iter().filter_map(|it| Some((&it.name.value, it.ask.as_ref()?))) {
            let message = format!("`ask` of codebase `{codebase}` means nothing here: nobody is asked");
            let problem = Problem::error(ask.span.clone(), message).also(scheduler.kind.span.clone(), "the kind");
            table.sink().report(problem.label("without effect").mend("it belongs to kind `force`"));
        }
    }
    if scheduler.reason_required
        && let Some(place) = table.key_span("reason")
    {
        let message = format!("`reason` of {} is never seen, for `reason-required` makes people give one", table.what);
        table.sink().report(Problem::error(place, message).label("without effect").mend("remove one of them"));
    }
}

/// What a nightly scheduler says of changes means nothing when it does not look at them.
fn check_nightly(table: &Table<'_>, scheduler: &Scheduler) {
    if scheduler.kind.value != SchedulerKind::Nightly || scheduler.only_if_changed {
        return;
    }
    for key in ["branch", "force-at", "filter", "cancel-superseded", "absolute-source-stamps"] {
        let Some(place) = table.key_span(key) else { continue };
        let problem =
            Problem::error(place, format!("`{key}` of {} means nothing without `only-if-changed`", table.what));
        table.sink().report(problem.label("without effect").mend("add `only-if-changed = true`, or remove it"));
    }
}

//! Jobs, builders and workers.

use std::collections::BTreeMap;

use stampmill_engine::config::{Retry, RetryCause};
use stampmill_model::{Author, LockAccess, LockScope, Milliseconds, Tier};

use super::{
    Builder, Job, Lock, LockUse, Project, Step, Use, Worker, check_name, count, flag, form, name, optional, properties,
    usage, with,
};
use crate::config::finding::Problem;
use crate::config::limits;
use crate::config::reader::{At, Table};
use crate::config::value::ConfigValue;

pub(super) fn job(table: &mut Table<'_>) -> Option<Job> {
    let name = name(table, "job", "build");
    let what = table.what.clone();
    let parameters = form::parameters(table);
    let mut steps = Vec::new();
    for mut step_table in table.tables("step", &format!("a step of {what}")) {
        steps.extend(step(&mut step_table, &what));
        step_table.finish();
    }
    table.require("step", "[[job.step]] with plugin = \"shell\"");
    Some(Job { name: name?, parameters, steps })
}

fn step(table: &mut Table<'_>, job: &str) -> Option<Step> {
    let given = table.text("name");
    if let Some(name) = &given {
        table.what = format!("step `{}` of {job}", name.value);
        check_name("step", name, table.sink());
    }
    let what = table.what.clone();
    let usage = usage(table, &what);
    let when = table.text("when");
    let halt_on_failure = flag(table, "halt-on-failure", true);
    let flunk_on_failure = flag(table, "flunk-on-failure", true);
    let warn_on_failure = flag(table, "warn-on-failure", true);
    let flunk_on_warnings = flag(table, "flunk-on-warnings", false);
    let warn_on_warnings = flag(table, "warn-on-warnings", true);
    let always_run = flag(table, "always-run", false);
    let locks = lock_uses(table);
    let timeout = table.duration("timeout", Milliseconds(1)).map_or(limits::STEP_TIMEOUT, |at| at.value);
    let mut usage = usage?;
    let unnamed = given.is_none();
    let name = given.unwrap_or_else(|| usage.plugin.clone());
    usage.what = format!("step `{}` of {job}", name.value);
    Some(Step {
        name,
        unnamed,
        usage,
        when,
        halt_on_failure,
        flunk_on_failure,
        warn_on_failure,
        flunk_on_warnings,
        warn_on_warnings,
        always_run,
        locks,
        timeout,
    })
}

const TIERS: [(&str, Tier); 3] =
    [("sandboxed", Tier::Sandboxed), ("degraded", Tier::Degraded), ("wasm-only", Tier::WasmOnly)];

pub(super) fn builder(table: &mut Table<'_>) -> Option<Builder> {
    let name = name(table, "builder", "linux");
    let job = table.required_text("job", "job = \"NAME\"");
    let with = with(table);
    let project = optional(table, "project").unwrap_or_default();
    let (worker_names, worker_tags) = workers(table);
    let max_builds = count(table, "max-builds");
    let merge = table.flag("merge");
    let merge_by = plugin_of(table, "merge-by", "merge plugin");
    let locks = lock_uses(table);
    let retry = retry(table);
    let tier = table.choice("isolation", &TIERS).map_or(Tier::Sandboxed, |at| at.value);
    let properties = properties(table);
    let description = optional(table, "description");
    let interested = interested(table);
    let job = job?;
    Some(Builder {
        name: name?,
        with: with.unwrap_or_else(|| ConfigValue::empty(job.span.clone())),
        job,
        project,
        worker_names,
        worker_tags,
        max_builds,
        merge,
        merge_by,
        locks,
        retry,
        tier,
        properties,
        description,
        interested,
    })
}

/// A table of the builder that uses a plugin.
fn plugin_of(table: &Table<'_>, key: &'static str, word: &str) -> Option<Use> {
    let what = format!("{word} of {}", table.what);
    let inner = table.table(key, format!("the {what}"))?;
    let usage = usage(&inner, &what);
    inner.finish();
    usage
}

/// Authors, as a change would have them: nobody looks whether they are people already.
fn interested(table: &Table<'_>) -> Vec<String> {
    let Some(list) = table.texts("interested") else { return Vec::new() };
    if list.value.len() > limits::INTERESTED_MAX {
        let text = format!("`interested` of {} names {} people", table.what, list.value.len());
        let problem = Problem::error(list.span, text).label("too many");
        let mend = format!("name {} at most; an address of mail may be that of a list", limits::INTERESTED_MAX);
        table.sink().report(problem.mend(mend));
        return Vec::new();
    }
    let mut seen: BTreeMap<String, At<()>> = BTreeMap::new();
    for at in &list.value {
        let Some(author) = Author::parse(&at.value) else {
            let problem =
                Problem::error(at.span.clone(), format!("{:?} in `interested` of {} is nobody", at.value, table.what));
            table.sink().report(
                problem.label("nobody").mend("write an author as a change has it, such as \"ann@example.org\""),
            );
            continue;
        };
        if let Some(first) = seen.insert(author.key(), at.with(())) {
            let problem = Problem::error(
                at.span.clone(),
                format!("`{}` stands twice in `interested` of {}", at.value, table.what),
            );
            let problem = problem.label("the second").also(first.span, "the first");
            table.sink().report(problem.mend("everybody is told once: leave one of them out"));
        }
    }
    list.value.into_iter().map(|at| at.value).collect()
}

/// A lock that is not said to be counted is had alone: too careful is slow, too careless is wrong.
const ACCESSES: [(&str, LockAccess); 2] = [("exclusive", LockAccess::Exclusive), ("counting", LockAccess::Counting)];

fn lock_uses(table: &Table<'_>) -> Vec<LockUse> {
    let mut uses = Vec::new();
    for lock in table.tables("locks", &format!("a lock of {}", table.what)) {
        let name = lock.required_text("name", "name = \"NAME\"");
        let access = lock.choice("access", &ACCESSES).map_or(LockAccess::Exclusive, |at| at.value);
        uses.extend(name.map(|name| LockUse { name, access }));
        lock.finish();
    }
    uses
}

/// Which builds are tried again. A list that is written says all: without `worker-lost` in it, not even a lost build is.
fn retry(table: &Table<'_>) -> Retry {
    let Some(inner) = table.table("retry", format!("`retry` of {}", table.what)) else { return Retry::default() };
    let causes = inner.texts("on");
    inner.require("on", "on = [\"worker-lost\", \"signal\", \"exit-code 75\"]");
    let most = i64::from(limits::RETRY_ATTEMPTS_MOST);
    let attempts = inner.number("attempts", 1, most).and_then(|at| u32::try_from(at.value).ok());
    let mut on: Vec<RetryCause> = Vec::new();
    for cause in causes.into_iter().flat_map(|causes| causes.value) {
        let problem = match retry_cause(&cause.value) {
            Ok(known) if on.contains(&known) => {
                Problem::error(cause.span, format!("`{}` stands twice in {}", cause.value, inner.what))
                    .mend("leave one of them out")
            }
            Ok(known) => {
                on.push(known);
                continue;
            }
            Err(mend) => {
                Problem::error(cause.span, format!("`{}` in {} is no cause to try again", cause.value, inner.what))
                    .mend(mend)
            }
        };
        table.sink().report(problem);
    }
    inner.finish();
    Retry { on, attempts }
}

/// The cause that a text names, or the mend.
fn retry_cause(text: &str) -> Result<RetryCause, &'static str> {
    let number = |text: &str, most: u32| text.parse().ok().filter(|number: &u32| (1..=most).contains(number));
    match text.split_once(' ') {
        None if text == "worker-lost" => Ok(RetryCause::WorkerLost),
        None if text == "signal" => Ok(RetryCause::Signal(None)),
        Some(("signal", signal)) => {
            number(signal, 64).map(|it| RetryCause::Signal(Some(it))).ok_or("signals have numbers from 1 to 64")
        }
        Some(("exit-code", code)) => number(code, 255)
            .and_then(|code| i32::try_from(code).ok())
            .map(RetryCause::ExitCode)
            .ok_or("exit codes of failures are numbers from 1 to 255"),
        _ => Err("write `worker-lost`, `signal`, `signal 9` or `exit-code 75`"),
    }
}

const SCOPES: [(&str, LockScope); 2] = [("host", LockScope::Host), ("worker", LockScope::Worker)];

pub(super) fn lock(table: &mut Table<'_>) -> Option<Lock> {
    let name = name(table, "lock", "db");
    let count = count(table, "count").unwrap_or(1);
    let scope = table.choice("scope", &SCOPES).map_or(LockScope::Host, |at| at.value);
    Some(Lock { name: name?, count, scope })
}

/// A builder says of any text that it is its project, so the name of one may be any text too.
pub(super) fn project(table: &mut Table<'_>) -> Option<Project> {
    let name = table.required_text("name", "name = \"app\"");
    let shares = count(table, "shares");
    let max_builds = count(table, "max-builds");
    let depends_on = table.texts("depends-on").map(|list| list.value).unwrap_or_default();
    Some(Project { name: name?, shares, max_builds, depends_on })
}

fn workers(table: &Table<'_>) -> (Vec<At<String>>, Vec<At<String>>) {
    let Some(workers) = table.table("workers", format!("`workers` of {}", table.what)) else {
        return (Vec::new(), Vec::new());
    };
    let names = workers.texts("names");
    let tags = workers.texts("tags");
    for (key, list) in [("names", &names), ("tags", &tags)] {
        if let Some(list) = list.as_ref().filter(|list| list.value.is_empty()) {
            let problem = Problem::error(list.span.clone(), format!("`{key}` of {} is empty", workers.what));
            workers.sink().report(problem.label("empty").mend("leave it out to take any worker"));
        }
    }
    workers.finish();
    let values = |list: Option<At<Vec<At<String>>>>| list.map(|at| at.value).unwrap_or_default();
    (values(names), values(tags))
}

pub(super) fn worker(table: &mut Table<'_>) -> Option<Worker> {
    let name = name(table, "worker", "w1");
    let tags = table.texts("tags").map(|tags| tags.value.into_iter().map(|at| at.value).collect()).unwrap_or_default();
    let max_builds = count(table, "max-builds");
    let properties = properties(table);
    Some(Worker { name: name?, tags, max_builds, properties })
}

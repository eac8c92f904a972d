//! What is allowed and most likely not meant.

use std::collections::BTreeSet;

use serde_json::Value;
use stampmill_engine::form::{Entry, Parameter};

use crate::config::finding::{Problem, Sink};
use crate::config::nearest::{did_you_mean, nearest};
use crate::config::raw::{Builder, File, SchedulerKind, Worker};

/// The codebase generator whose configuration lists every codebase that it can yield.
const REPOSITORY_MAP: &str = "repository-map";

pub(super) fn report(file: &File, sink: &Sink) {
    codebases(file, sink);
    schedulers(file, sink);
    builders(file, sink);
    hidden_answers(file, sink);
    projects(file, sink);
    untrusted_secrets(file, sink);
}

/// A codebase that no scheduler lists is never built, and a scheduler without codebases builds no change that has one.
fn codebases(file: &File, sink: &Sink) {
    let Some(generator) = file.codebases.as_ref() else { return };
    for scheduler in &file.schedulers {
        let by_changes = matches!(scheduler.kind.value, SchedulerKind::SingleBranch | SchedulerKind::AnyBranch);
        if by_changes && scheduler.codebases.is_empty() {
            let message = format!(
                "scheduler `{}` lists no codebases, and a codebase generator is configured",
                scheduler.name.value
            );
            let problem =
                Problem::warning(scheduler.span.clone(), message).label("builds only changes without a codebase");
            sink.report(problem.mend("add `codebases.NAME = { repository = \"…\" }`"));
        }
    }
    if generator.plugin.value != REPOSITORY_MAP {
        return;
    }
    let mut yielded = Vec::new();
    leaves(&generator.config.value, "", &mut yielded);
    let listed: BTreeSet<&str> = file
        .schedulers
        .iter()
        .flat_map(|scheduler| &scheduler.codebases)
        .map(|codebase| codebase.name.value.as_str())
        .collect();
    let mut told = BTreeSet::new();
    for (pointer, codebase) in &yielded {
        if listed.contains(codebase.as_str()) || !told.insert(codebase) {
            continue;
        }
        let message = format!("the codebase generator yields the codebase `{codebase}`, which no scheduler lists");
        let problem = Problem::warning(generator.config.place(pointer), message).label("its changes are never built");
        sink.report(problem.mend(format!("add `codebases.{codebase} = {{ repository = \"…\" }}` to a scheduler")));
    }
    for codebase in file.schedulers.iter().flat_map(|scheduler| &scheduler.codebases) {
        let names = yielded.iter().map(|(_, name)| name.as_str());
        if names.clone().any(|name| name == codebase.name.value) {
            continue;
        }
        let message = format!("the codebase generator never yields the codebase `{}`", codebase.name.value);
        let problem = Problem::warning(codebase.name.span.clone(), message).label("no change has it");
        sink.report(match nearest(&codebase.name.value, names) {
            Some(name) => problem.mend(format!("did you mean `{name}`?")),
            None => problem.mend("add its repository to the `config` of `[codebases]`"),
        });
    }
}

fn leaves(value: &Value, pointer: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) => found.push((pointer.to_owned(), text.clone())),
        Value::Object(object) => {
            for (key, value) in object {
                let key = key.replace('~', "~0").replace('/', "~1");
                leaves(value, &format!("{pointer}/{key}"), found);
            }
        }
        _ => {}
    }
}

fn schedulers(file: &File, sink: &Sink) {
    for scheduler in &file.schedulers {
        if scheduler.kind.value == SchedulerKind::SingleBranch && scheduler.branch.is_none() {
            let message = format!("scheduler `{}` has no `branch`", scheduler.name.value);
            let problem =
                Problem::warning(scheduler.span.clone(), message).label("builds only changes without a branch");
            sink.report(problem.mend("add `branch = \"main\"`, or take kind `any-branch`"));
        }
    }
}

/// Shares and limits of a project that no builder names are nobody's.
fn projects(file: &File, sink: &Sink) {
    let named: BTreeSet<&str> = file.builders.iter().map(|builder| builder.project.as_str()).collect();
    for project in &file.projects {
        let name = &project.name;
        if !named.contains(name.value.as_str()) {
            let problem = Problem::warning(name.span.clone(), format!("project `{}` has no builder", name.value));
            let mend = did_you_mean(&name.value, "projects", named.iter().copied().filter(|name| !name.is_empty()));
            sink.report(problem.label("named by no builder").mend(mend));
        }
    }
}

fn builders(file: &File, sink: &Sink) {
    for builder in &file.builders {
        let name = &builder.name.value;
        let scheduled = file.schedulers.iter().flat_map(|scheduler| &scheduler.builders).any(|at| at.value == *name);
        if !scheduled {
            let problem = Problem::warning(builder.name.span.clone(), format!("builder `{name}` is in no scheduler"));
            sink.report(problem.label("never builds").mend("name it in the `builders` of a scheduler"));
        }
        let fits = |worker: &Worker| {
            let named =
                builder.worker_names.is_empty() || builder.worker_names.iter().any(|at| at.value == worker.name.value);
            named && builder.worker_tags.iter().all(|tag| worker.tags.contains(&tag.value))
        };
        if file.workers.iter().any(fits) {
            continue;
        }
        let why = if file.workers.is_empty() { "no worker is configured" } else { "no worker has its names and tags" };
        let problem = Problem::warning(builder.name.span.clone(), format!("builder `{name}` can run nowhere: {why}"));
        let tags: Vec<String> = builder.worker_tags.iter().map(|tag| format!("{:?}", tag.value)).collect();
        let mend = format!("add `[[worker]]` with `name = \"…\"` and `tags = [{}]`", tags.join(", "));
        sink.report(problem.label("its requests will wait").mend(mend));
    }
}

/// What a builder gives to its job overrides what people answer.
fn hidden_answers(file: &File, sink: &Sink) {
    for scheduler in &file.schedulers {
        for entry in &scheduler.entries {
            let Entry::Parameter(Parameter { name: asked, .. }) = entry else { continue };
            let named = |builder: &&Builder| scheduler.builders.iter().any(|at| at.value == builder.name.value);
            let hides = |builder: &&Builder| {
                let job = file.jobs.iter().find(|job| job.name.value == builder.job.value);
                job.is_some_and(|job| job.parameters.iter().any(|parameter| parameter.name == *asked))
            };
            let Some(builder) = file.builders.iter().filter(named).find(hides) else { continue };
            let (name, builder, job) = (&scheduler.name.value, &builder.name.value, &builder.job.value);
            let message = format!("`{asked}` that scheduler `{name}` asks is never seen by builder `{builder}`");
            let problem = Problem::warning(scheduler.span.clone(), message);
            let problem = problem.label(format!("job `{job}` has a parameter `{asked}`"));
            sink.report(problem.mend("give one of them another name"));
        }
    }
}

/// The default of `trusted` is no, and an untrusted build gets no secret: whoever grants one should know.
fn untrusted_secrets(file: &File, sink: &Sink) {
    if file.change_sources.is_empty() || file.change_sources.iter().any(|source| source.trusted) {
        return;
    }
    for step in file.jobs.iter().flat_map(|job| &job.steps) {
        let grant = &step.usage.grant;
        let secret = grant.keys.iter().find(|(key, _, items)| *key == "secret" && !items.is_empty());
        let credential = grant.credential.as_ref().filter(|_| !grant.credentials.is_empty());
        let Some(place) = secret.map(|(_, place, _)| place).or(credential) else { continue };
        let message = format!("{} is granted a secret, and no change source is trusted", step.usage.what);
        let problem = Problem::warning(place.clone(), message).label("withheld from builds of untrusted changes");
        sink.report(problem.mend("add `trusted = true` to a change source whose authors may use your secrets"));
        return;
    }
}

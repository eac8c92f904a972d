//! Jobs, builders and workers.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use stampmill_engine::config as engine;
use stampmill_engine::form::Parameter;
use stampmill_model::{BuilderName, Job, PluginRef, PropertySource, StepPlan};

use super::giving::given;
use super::{known, locking, with_source};
use crate::config::finding::{Problem, Sink};
use crate::config::reader::At;
use crate::config::uses::{self, Checker};
use crate::config::{PluginUse, raw};

pub(super) fn jobs(
    jobs: Vec<raw::Job>,
    locks: &[String],
    checker: &Checker<'_>,
) -> (BTreeMap<String, Arc<Job>>, Vec<PluginUse>) {
    let mut resolved = BTreeMap::new();
    let mut uses = Vec::new();
    for job in jobs {
        check_directories(&job, checker.sink);
        let steps: Vec<(StepPlan, PluginUse)> =
            job.steps.into_iter().filter_map(|planned| step(planned, locks, checker)).collect();
        let (plans, step_uses): (Vec<StepPlan>, Vec<PluginUse>) = steps.into_iter().unzip();
        uses.extend(step_uses);
        let name = job.name.value;
        resolved.insert(name.clone(), Arc::new(Job { name, steps: plans }));
    }
    (resolved, uses)
}

/// Two checkouts in one directory overwrite each other. Where each has a condition it may be that only one of them is ever run.
fn check_directories(job: &raw::Job, sink: &Sink) {
    let mut seen: Vec<(&str, &raw::Step)> = Vec::new();
    for step in job.steps.iter().filter(|step| step.usage.plugin.value == "git") {
        let directory = step.usage.config.value.get("directory").and_then(Value::as_str).unwrap_or(".");
        let directory = directory.trim_end_matches('/').trim_start_matches("./");
        if let Some((_, first)) = seen.iter().find(|(other, _)| *other == directory) {
            let message = format!("{} checks out into the directory of {}", step.usage.what, first.usage.what);
            let place = step.usage.plugin.span.clone();
            let problem = match (&first.when, &step.when) {
                (Some(_), Some(_)) => Problem::warning(place, message),
                _ => Problem::error(place, message),
            };
            let problem = problem.label("the second").also(first.usage.plugin.span.clone(), "the first");
            sink.report(problem.mend("give one of them `directory = \"…\"` in its `config`"));
        }
        seen.push((directory, step));
    }
}

fn step(step: raw::Step, locks: &[String], checker: &Checker<'_>) -> Option<(StepPlan, PluginUse)> {
    if let Some(when) = &step.when
        && let Err(error) = stampmill_job::check_expression(&when.value)
    {
        let problem = Problem::error(when.span.clone(), format!("`when` of {}: {error}", step.usage.what));
        checker.sink.report(problem.label("no condition"));
    }
    let locks = locking::uses(step.locks, &step.usage.what, locks, checker.sink);
    let usage = checker.check(step.usage, uses::STEP)?;
    let plan = StepPlan {
        name: step.name.value,
        plugin: PluginRef { name: usage.plugin.name.clone(), digest: usage.plugin.digest.clone() },
        config: usage.config.clone(),
        grant: usage.grant.clone(),
        limits: usage.limits,
        locks,
        when: step.when.map(|when| when.value),
        halt_on_failure: step.halt_on_failure,
        flunk_on_failure: step.flunk_on_failure,
        warn_on_failure: step.warn_on_failure,
        flunk_on_warnings: step.flunk_on_warnings,
        warn_on_warnings: step.warn_on_warnings,
        always_run: step.always_run,
        time_limit: step.timeout,
    };
    Some((plan, usage))
}

/// What builders refer to.
pub(super) struct Known<'a> {
    pub(super) jobs: &'a BTreeMap<String, Arc<Job>>,
    pub(super) parameters: &'a BTreeMap<String, Vec<Parameter>>,
    pub(super) workers: &'a [String],
    pub(super) locks: &'a [String],
}

pub(super) fn builders(
    builders: Vec<raw::Builder>,
    known_names: &Known<'_>,
    checker: &Checker<'_>,
) -> (Vec<engine::Builder>, BTreeMap<BuilderName, PluginUse>) {
    let sink = checker.sink;
    let Known { jobs, parameters, workers, locks } = known_names;
    let job_names: Vec<String> = jobs.keys().cloned().collect();
    let mut resolved = Vec::new();
    let mut places = Vec::new();
    let mut merges = BTreeMap::new();
    for builder in builders {
        let what = format!("builder `{}`", builder.name.value);
        let names = builder.worker_names.into_iter().filter(|name| known(name, &what, "worker", workers, sink));
        let names = names.map(|name| name.value.into()).collect();
        let tags = builder.worker_tags.into_iter().map(|tag| tag.value).collect();
        let locks = locking::uses(builder.locks, &what, locks, sink);
        known(&builder.job, &what, "job", &job_names, sink);
        let merge = merge(builder.merge.as_ref(), builder.merge_by.as_ref(), sink);
        let merge_by = builder.merge_by.and_then(|usage| checker.check(usage, uses::MERGE));
        merges.extend(merge_by.map(|usage| (builder.name.value.as_str().into(), usage)));
        let Some(job) = jobs.get(&builder.job.value) else { continue };
        places.push(builder.name.with(()));
        let asked = parameters.get(&builder.job.value).map_or(&[][..], Vec::as_slice);
        let with = given(&builder.with, asked, &format!("{what} with job `{}`", builder.job.value), &builder.job, sink);
        resolved.push(engine::Builder {
            name: builder.name.value.into(),
            project: builder.project,
            job: Arc::clone(job),
            workers: engine::WorkerChoice { names, tags },
            max_builds: builder.max_builds,
            merge,
            locks,
            retry: builder.retry,
            tier: builder.tier,
            properties: with_source(builder.properties, &PropertySource::Builder),
            with: with_source(with, &PropertySource::Job),
        });
    }
    locking::check_order(&resolved, &places, sink);
    (resolved, merges)
}

/// A plugin that nobody would ask is a mistake.
fn merge(merge: Option<&At<bool>>, plugin: Option<&raw::Use>, sink: &Sink) -> engine::Merge {
    let never = merge.filter(|merge| !merge.value);
    match (never, plugin) {
        (None, None) => engine::Merge::Alike,
        (None, Some(_)) => engine::Merge::ByPlugin,
        (Some(_), None) => engine::Merge::Never,
        (Some(merge), Some(usage)) => {
            let message = format!("the {} is never asked, as `merge` is false", usage.what);
            let problem = Problem::error(merge.span.clone(), message).label("nothing is merged");
            let problem = problem.also(usage.plugin.span.clone(), "the plugin");
            sink.report(problem.mend("leave out one of `merge` and `merge-by`"));
            engine::Merge::Never
        }
    }
}

pub(super) fn project(project: raw::Project) -> engine::Project {
    let depends_on = project.depends_on.into_iter().map(|at| at.value).collect();
    engine::Project { name: project.name.value, shares: project.shares, max_builds: project.max_builds, depends_on }
}

pub(super) fn worker(worker: raw::Worker) -> engine::Worker {
    engine::Worker {
        name: worker.name.value.into(),
        tags: worker.tags,
        max_builds: worker.max_builds,
        properties: with_source(worker.properties, &PropertySource::Worker),
    }
}

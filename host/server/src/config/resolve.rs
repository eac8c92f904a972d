//! From the file as written to what the host works with: names looked up, plugins found, everything that is wrong reported.

mod building;
mod giving;
mod locking;
mod pinging;
mod scheduling;
mod warnings;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use stampmill_engine::config as engine;
use stampmill_engine::form::Parameter;
use stampmill_model::{BuilderName, Job, Properties, Property, PropertySource};

use super::finding::{Problem, Sink};
use super::lock::NewPin;
use super::nearest::did_you_mean;
use super::raw::{self, File, SecretFrom};
use super::reader::At;
use super::uses::{self, Checker, Most};
use super::{Bundled, HostLimits, PluginFile, PluginUse, SecretSource, limits};
use crate::config::lock::Lock;
use crate::config::shelf::Shelf;

/// Everything but the file's own name and findings.
pub(super) struct Resolved {
    pub(super) listen: String,
    pub(super) engine: engine::Config,
    pub(super) jobs: BTreeMap<String, Arc<Job>>,
    pub(super) parameters: BTreeMap<String, Vec<Parameter>>,
    pub(super) plugins: BTreeMap<String, Arc<PluginFile>>,
    pub(super) pins: Vec<NewPin>,
    pub(super) change_sources: Vec<PluginUse>,
    pub(super) codebases: Option<PluginUse>,
    /// For each scheduler of `engine`.
    pub(super) filters: Vec<Vec<PluginUse>>,
    pub(super) merges: BTreeMap<BuilderName, PluginUse>,
    pub(super) reporters: Vec<PluginUse>,
    pub(super) steps: Vec<PluginUse>,
    pub(super) secrets: BTreeMap<String, SecretSource>,
    pub(super) limits: HostLimits,
}

/// Looks everything up. `folder` is the folder of the configuration.
pub(super) fn resolve(file: File, bundled: &[Bundled], folder: &Path, lock: &Lock, sink: &Sink) -> Resolved {
    names_are_unique(&file, sink);
    warnings::report(&file, sink);
    let owners = pinging::owners(&file, sink);
    let shelf = Shelf::new(bundled, &file.plugins, folder, lock, sink);
    let secret_names = file.secrets.iter().map(|secret| secret.name.value.clone()).collect();
    let kind = |scheduler: &raw::Scheduler| (scheduler.name.value.clone(), scheduler.kind.value);
    let scheduler_kinds = file.schedulers.iter().map(kind).collect();
    let most = Most::new(&file.limits);
    let checker = Checker { shelf, secrets: secret_names, schedulers: scheduler_kinds, most, sink };

    let (sources, change_sources) = scheduling::change_sources(file.change_sources, &checker);
    let codebases = file.codebases.and_then(|usage| checker.check(usage, uses::CODEBASES));
    let builder_names: Vec<String> = file.builders.iter().map(|builder| builder.name.value.clone()).collect();
    let (schedulers, filters) = scheduling::schedulers(file.schedulers, &builder_names, &owners, &checker);
    let asked = file.jobs.iter().map(|job| (job.name.value.clone(), job.parameters.clone()));
    let parameters = asked.collect();
    let lock_names: Vec<String> = file.locks.iter().map(|lock| lock.name.value.clone()).collect();
    let (jobs, steps) = building::jobs(file.jobs, &lock_names, &checker);
    let worker_names: Vec<String> = file.workers.iter().map(|worker| worker.name.value.clone()).collect();
    let locks: Vec<_> = file.locks.into_iter().map(locking::lock).collect();
    let (builders, merges) = building::builders(
        file.builders,
        &building::Known { jobs: &jobs, parameters: &parameters, workers: &worker_names, locks: &lock_names },
        &checker,
    );
    let projects = file.projects.into_iter().map(building::project).collect();
    let workers = file.workers.into_iter().map(building::worker).collect();
    let (engine_reporters, reporters) = reporters(file.reporters, &builder_names, &checker);
    for plugin in &file.plugins {
        // Also the ones that nothing uses: `plugin list` shows them and they are pinned.
        checker.shelf.find(&plugin.name, "the configuration");
    }

    let engine = engine::Config {
        change_sources: sources,
        codebase_generator: codebases.is_some(),
        schedulers,
        builders,
        locks,
        projects,
        workers,
        reporters: engine_reporters,
        properties: with_source(file.properties, &PropertySource::Global),
        limits: engine_limits(&file.limits),
    };
    let (plugins, pins) = checker.shelf.into_found();
    Resolved {
        listen: listen(file.listen, sink),
        engine,
        jobs,
        parameters,
        plugins,
        pins,
        change_sources,
        codebases,
        filters,
        merges,
        reporters,
        steps,
        secrets: secrets(file.secrets, folder, sink),
        limits: HostLimits {
            body_bytes: file.limits.body_bytes.unwrap_or(limits::BODY_BYTES),
            local_worker_alone: file.limits.local_worker_alone.unwrap_or(limits::LOCAL_WORKER_ALONE),
            steps: file.limits.steps,
        },
    }
}

fn names_are_unique(file: &File, sink: &Sink) {
    unique("change sources", file.change_sources.iter().map(|source| &source.name), sink);
    unique("schedulers", file.schedulers.iter().map(|scheduler| &scheduler.name), sink);
    unique("jobs", file.jobs.iter().map(|job| &job.name), sink);
    unique("builders", file.builders.iter().map(|builder| &builder.name), sink);
    unique("locks", file.locks.iter().map(|lock| &lock.name), sink);
    unique("projects", file.projects.iter().map(|project| &project.name), sink);
    unique("workers", file.workers.iter().map(|worker| &worker.name), sink);
    for job in &file.jobs {
        let steps = format!("steps of job `{}`", job.name.value);
        unique_or_unnamed(&steps, job.steps.iter().map(|step| (&step.name, step.unnamed)), sink);
    }
    let reporters = file.reporters.iter().map(|reporter| (&reporter.name, reporter.unnamed));
    unique_or_unnamed("reporters", reporters, sink);
}

fn unique<'a>(word: &str, names: impl Iterator<Item = &'a At<String>>, sink: &Sink) {
    unique_or_unnamed(word, names.map(|name| (name, false)), sink);
}

/// The flag says that a name was not given and is the plugin's.
fn unique_or_unnamed<'a>(word: &str, names: impl Iterator<Item = (&'a At<String>, bool)>, sink: &Sink) {
    let mut seen: BTreeMap<&str, &At<String>> = BTreeMap::new();
    for (name, unnamed) in names {
        let Some(first) = seen.get(name.value.as_str()) else {
            seen.insert(&name.value, name);
            continue;
        };
        let mend = if unnamed {
            format!("without a `name` it has its plugin's: add `name = \"{}-2\"`", name.value)
        } else {
            "give one of them another name".to_owned()
        };
        let problem = Problem::error(name.span.clone(), format!("two {word} are named `{}`", name.value));
        sink.report(problem.label("the second").also(first.span.clone(), "the first").mend(mend));
    }
}

/// Reports a name that refers to nothing; says whether it refers to something.
fn known(name: &At<String>, what: &str, noun: &str, known: &[String], sink: &Sink) -> bool {
    if known.contains(&name.value) {
        return true;
    }
    let plural = format!("{noun}s");
    let mend = did_you_mean(&name.value, &plural, known.iter().map(String::as_str));
    let problem = Problem::error(name.span.clone(), format!("unknown {noun} `{}` in {what}", name.value));
    sink.report(problem.label(format!("no such {noun}")).mend(mend));
    false
}

fn with_source(properties: BTreeMap<String, Value>, source: &PropertySource) -> Properties {
    let property = |(name, value)| (name, Property { value, source: source.clone() });
    properties.into_iter().map(property).collect()
}

fn reporters(
    reporters: Vec<raw::Reporter>,
    builders: &[String],
    checker: &Checker<'_>,
) -> (Vec<engine::Reporter>, Vec<PluginUse>) {
    let mut resolved = (Vec::new(), Vec::new());
    for reporter in reporters {
        let what = format!("reporter `{}`", reporter.name.value);
        let named = reporter.builders.into_iter().filter(|name| known(name, &what, "builder", builders, checker.sink));
        let named = named.map(|name| name.value.into()).collect();
        let Some(usage) = checker.check(reporter.usage, uses::REPORTER) else { continue };
        let name = reporter.name.value.into();
        resolved.0.push(engine::Reporter { name, on: reporter.on, builders: named });
        resolved.1.push(usage);
    }
    resolved
}

fn engine_limits(limits: &raw::Limits) -> engine::Limits {
    let default = engine::Limits::default();
    engine::Limits {
        worker_lost_after: limits.worker_lost_after.unwrap_or(default.worker_lost_after),
        attempts: limits.build_attempts.unwrap_or(default.attempts),
        report_attempts: limits.report_attempts.unwrap_or(default.report_attempts),
        retry_pause_most: limits.retry_pause_most.unwrap_or(default.retry_pause_most),
        declined_for: limits.declined_for.unwrap_or(default.declined_for),
        trigger_depth: limits.trigger_depth.unwrap_or(default.trigger_depth),
    }
}

/// Loopback only: whoever wants to be reached from elsewhere says so.
const LISTEN: &str = "127.0.0.1:8010";

fn listen(listen: Option<At<String>>, sink: &Sink) -> String {
    let Some(listen) = listen else { return LISTEN.to_owned() };
    let valid =
        listen.value.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if !valid {
        let message = format!("`listen` is `{}`, and an address with a port is expected", listen.value);
        let problem = Problem::error(listen.span, message)
            .mend(format!("write `listen = \"{LISTEN}\"`; port 0 picks a free one"));
        sink.report(problem.label("no address with a port"));
    }
    listen.value
}

fn secrets(secrets: Vec<raw::Secret>, folder: &Path, sink: &Sink) -> BTreeMap<String, SecretSource> {
    let mut sources = BTreeMap::new();
    for secret in secrets {
        let name = secret.name.value;
        let (source, missing) = match secret.from {
            SecretFrom::File(file) => {
                let path = folder.join(&file.value);
                let missing = (!path.is_file()).then(|| file.with(format!("the file {} is not there", path.display())));
                (SecretSource::File(path), missing)
            }
            SecretFrom::Env(variable) => {
                let missing = std::env::var_os(&variable.value).is_none();
                let missing =
                    missing.then(|| variable.with(format!("the environment variable {} is not set", variable.value)));
                (SecretSource::Env(variable.value), missing)
            }
        };
        if let Some(missing) = missing {
            let problem = Problem::warning(missing.span, format!("secret `{name}`: {}", missing.value));
            sink.report(problem.label("not there now").mend("steps that are granted it will fail until it is there"));
        }
        sources.insert(name, source);
    }
    sources
}

//! Properties: which value wins, and what a build says of itself.

use serde_json::Value;
use stampmill_model::{BuilderName, Buildset, Properties, Property, PropertySource, WorkerName};

use crate::config::{Builder, Config, Worker};

/// The same properties, all from one source: whoever sends a property does not choose what it overrides.
pub(crate) fn sourced(properties: &Properties, source: &PropertySource) -> Properties {
    let tagged = properties
        .iter()
        .map(|(name, property)| (name.clone(), Property { value: property.value.clone(), source: source.clone() }));
    tagged.collect()
}

/// The second over the first.
pub(crate) fn layered(mut below: Properties, above: Properties) -> Properties {
    below.extend(above);
    below
}

/// What names a build in its own properties.
pub(crate) struct Naming<'a> {
    pub(crate) builder: &'a BuilderName,
    pub(crate) number: u64,
    pub(crate) worker: &'a WorkerName,
}

/// The properties that a build starts with, in the order of [`PropertySource`].
pub(crate) fn of_build(config: &Config, builder: &Builder, worker: &Worker, set: &Buildset, number: u64) -> Properties {
    let global = sourced(&config.properties, &PropertySource::Global);
    let of_worker = sourced(&worker.properties, &PropertySource::Worker);
    let of_builder = sourced(&builder.properties, &PropertySource::Builder);
    let of_job = sourced(&builder.with, &PropertySource::Job);
    let naming = Naming { builder: &builder.name, number, worker: &worker.name };
    let layers = [of_worker, of_builder, set.properties.clone(), of_job, own(&naming, set)];
    layers.into_iter().fold(global, layered)
}

/// What `own` may set: nobody else's value for one of these is ever seen.
pub const NAMES_OF_BUILD: [&str; 12] = [
    "buildername",
    "buildnumber",
    "workername",
    "codebase",
    "repository",
    "project",
    "branch",
    "revision",
    "scheduler",
    "owner",
    "reason",
    "owners",
];

/// Buildbot's names.
fn own(naming: &Naming<'_>, set: &Buildset) -> Properties {
    let mut own = vec![
        ("buildername", Value::from(naming.builder.as_str())),
        ("buildnumber", Value::from(naming.number)),
        ("workername", Value::from(naming.worker.as_str())),
    ];
    if let [stamp] = set.stamps.as_slice() {
        own.push(("codebase", Value::from(stamp.codebase.as_str())));
        own.push(("repository", Value::from(stamp.repository.as_str())));
        own.push(("project", Value::from(stamp.project.as_str())));
        own.extend(stamp.branch.as_deref().map(|branch| ("branch", Value::from(branch))));
        own.extend(stamp.revision.as_deref().map(|revision| ("revision", Value::from(revision))));
    }
    own.extend(set.scheduler.as_ref().map(|scheduler| ("scheduler", Value::from(scheduler.as_str()))));
    own.extend(set.owner.as_deref().map(|owner| ("owner", Value::from(owner))));
    if !set.reason.is_empty() {
        own.push(("reason", Value::from(set.reason.as_str())));
    }
    if !set.blamelist.is_empty() {
        own.push(("owners", Value::from(set.blamelist.clone())));
    }
    debug_assert!(own.iter().all(|(name, _)| NAMES_OF_BUILD.contains(name)), "{own:?}");
    let own = own.into_iter();
    own.map(|(name, value)| (name.to_owned(), Property { value, source: PropertySource::Build })).collect()
}

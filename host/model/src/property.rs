//! Properties: key and value pairs of a build, each with the place that it came from.

use std::collections::BTreeMap;
use std::fmt;

/// Where a property's value came from. The variants are in order of precedence: a later one overrides an earlier one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PropertySource {
    /// The host's configuration, for every build.
    Global,
    /// The worker that runs the build.
    Worker,
    /// The builder's configuration.
    Builder,
    /// A change of the build.
    Change,
    /// The scheduler that made the buildset.
    Scheduler,
    /// The person who forced or submitted it.
    Force,
    /// The step of another build that triggered it.
    Trigger,
    /// What the builder gives to its job: it was checked with the configuration, and nobody who asks for a build changes it.
    Job,
    /// The build itself: `buildername`, `buildnumber`, `workername` and so on.
    Build,
    /// A step, by name.
    Step(String),
}

impl fmt::Display for PropertySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global => f.write_str("Global"),
            Self::Worker => f.write_str("Worker"),
            Self::Builder => f.write_str("Builder"),
            Self::Change => f.write_str("Change"),
            Self::Scheduler => f.write_str("Scheduler"),
            Self::Force => f.write_str("Force"),
            Self::Trigger => f.write_str("Trigger"),
            Self::Job => f.write_str("Job"),
            Self::Build => f.write_str("Build"),
            Self::Step(name) => write!(f, "Step {name}"),
        }
    }
}

/// A property's value, which is any JSON value, and its source.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Property {
    /// Any JSON value, kept as it came.
    pub value: serde_json::Value,
    /// Who set it.
    pub source: PropertySource,
}

/// Properties by name.
pub type Properties = BTreeMap<String, Property>;

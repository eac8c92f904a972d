//! What expressions can name.

use serde_json::{Map, Value, json};
use stampmill_model::{Build, Outcome, Properties, SourceStamp, WorkerInfo, WorkerName};

/// The names that an expression may begin with.
pub const ROOTS: [&str; 5] = ["props", "src", "worker", "build", "outcome"];

/// What an expression can know of the worker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WorkerFacts {
    /// Its name in the host's configuration.
    pub name: WorkerName,
    /// Processors that it may use.
    pub cores: u32,
    /// Such as `linux`.
    pub os: String,
    /// Such as `x86_64`.
    pub arch: String,
}

impl WorkerFacts {
    /// From what a worker says of itself.
    #[must_use]
    pub fn new(name: WorkerName, info: &WorkerInfo) -> Self {
        Self { name, cores: info.cores, os: info.os.clone(), arch: info.arch.clone() }
    }
}

/// The values behind the names, as JSON.
#[derive(Clone, PartialEq, Debug)]
pub struct Facts {
    props: Value,
    src: Value,
    worker: Value,
    build: Value,
    outcome: Value,
}

impl Facts {
    /// The facts of a build at one moment.
    #[must_use]
    pub fn new(build: &Build, properties: &Properties, worker: &WorkerFacts, outcome: Outcome) -> Self {
        let props = properties.iter().map(|(name, property)| (name.clone(), property.value.clone()));
        Self {
            props: Value::Object(props.collect()),
            src: sources(&build.stamps),
            worker: json!({
                "name": worker.name.as_str(),
                "cores": worker.cores,
                "os": worker.os,
                "arch": worker.arch,
            }),
            build: json!({
                "number": build.number,
                "builder": build.builder.as_str(),
                "reason": build.reason,
                "project": build.project,
                "attempt": build.attempt,
                "owner": build.owner,
            }),
            outcome: json!(outcome.as_str()),
        }
    }

    /// The value of one of [`ROOTS`].
    #[must_use]
    pub fn root(&self, name: &str) -> Option<&Value> {
        match name {
            "props" => Some(&self.props),
            "src" => Some(&self.src),
            "worker" => Some(&self.worker),
            "build" => Some(&self.build),
            "outcome" => Some(&self.outcome),
            _ => None,
        }
    }
}

fn sources(stamps: &[SourceStamp]) -> Value {
    let mut all = Map::new();
    for stamp in stamps {
        let one = json!({
            "branch": stamp.branch,
            "revision": stamp.revision,
            "repository": stamp.repository,
            "project": stamp.project,
        });
        if let (true, Value::Object(fields)) = (stamp.codebase.is_empty(), &one) {
            all.extend(fields.clone());
        }
        all.insert(stamp.codebase.clone(), one);
    }
    Value::Object(all)
}

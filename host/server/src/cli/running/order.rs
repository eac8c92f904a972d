//! The build of a local run, made by the engine as a host's would be: the same properties, the same order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use stampmill_engine::config::{Builder, CodebaseDefault, Config, Merge, Retry, Worker, WorkerChoice};
use stampmill_engine::form::Parameter;
use stampmill_engine::input::Submission;
use stampmill_engine::{Answer, Effect, Engine, Input, Output, ReplyTo, Snapshot};
use stampmill_model::{
    BuildOrder, BuilderName, Job, Now, Properties, Property, PropertySource, SourceStamp, Steady, StepPlan, Tier, Wall,
    WorkerInfo,
};

use crate::cli::failure::Failure;
use crate::config::Loaded;

/// The name of the worker.
pub(super) const WORKER: &str = "local";

/// What is built.
pub(super) struct Plan {
    builder: Builder,
    /// What the job asks of its builders.
    parameters: Vec<Parameter>,
    global: Properties,
    /// Where the job's sources are for the schedulers that use it; by name.
    pub(super) codebases: BTreeMap<String, CodebaseDefault>,
}

/// A job as its builder has it; when several use it, or none does, as a builder of the job's name without properties would.
pub(super) fn plan(loaded: &Loaded, job: &Arc<Job>) -> Plan {
    let engine = &loaded.engine;
    let users: Vec<&Builder> = engine.builders.iter().filter(|builder| builder.job.name == job.name).collect();
    let mut codebases = BTreeMap::new();
    for scheduler in &engine.schedulers {
        if users.iter().any(|builder| scheduler.builders.contains(&builder.name)) {
            for codebase in &scheduler.codebases {
                codebases.entry(codebase.codebase.clone()).or_insert_with(|| codebase.clone());
            }
        }
    }
    if codebases.is_empty() {
        codebases.insert(String::new(), CodebaseDefault::default());
    }
    let builder = match users.as_slice() {
        [only] => (*only).clone(),
        _ => Builder {
            name: BuilderName::from(job.name.as_str()),
            project: String::new(),
            job: Arc::clone(job),
            workers: WorkerChoice::default(),
            max_builds: None,
            merge: Merge::Never,
            locks: Vec::new(),
            retry: Retry::default(),
            tier: Tier::WasmOnly,
            properties: Properties::new(),
            with: Properties::new(),
        },
    };
    let parameters = loaded.parameters.get(&job.name).cloned().unwrap_or_default();
    Plan { builder, parameters, global: engine.properties.clone(), codebases }
}

impl Plan {
    /// The build. Its steps may read the directories in `read` too: what they are to check out is there.
    pub(super) fn order(
        self,
        stamps: Vec<SourceStamp>,
        read: &[PathBuf],
        properties: Vec<(String, Value)>,
    ) -> anyhow::Result<BuildOrder> {
        let name = self.builder.name.clone();
        let reads = |path: &PathBuf| path.to_str().map(ToOwned::to_owned);
        let read: Vec<String> = read.iter().filter_map(reads).collect();
        let mut job = (*self.builder.job).clone();
        for step in &mut job.steps {
            may_read(step, &read);
        }
        let (given, properties) = properties.into_iter().partition(|(name, _)| self.asks(name));
        let with = self.with(given)?;
        let builder = Builder {
            job: Arc::new(job),
            workers: WorkerChoice::default(),
            // There is one request, and no plugin that could be asked about it.
            merge: Merge::Never,
            with,
            ..self.builder
        };
        let worker = Worker { name: WORKER.into(), tags: Vec::new(), max_builds: None, properties: Properties::new() };
        let config =
            Config { builders: vec![builder], workers: vec![worker], properties: self.global, ..Config::default() };
        let of_person = |(name, value)| (name, Property { value, source: PropertySource::Force });
        let submission = Submission {
            builders: vec![name],
            stamps,
            reason: "run by hand".to_owned(),
            owner: String::new(),
            properties: Vec::into_iter(properties).map(of_person).collect(),
            priority: 0,
            external_id: None,
        };
        decided(config, submission)
    }

    fn asks(&self, name: &str) -> bool {
        self.parameters.iter().any(|parameter| parameter.name == name)
    }

    /// What the job gets: from whoever runs it, else from its builder, else its own defaults.
    fn with(&self, given: Vec<(String, Value)>) -> anyhow::Result<Properties> {
        let given: BTreeMap<String, Value> = given.into_iter().collect();
        let mut with = self.builder.with.clone();
        for parameter in &self.parameters {
            let name = &parameter.name;
            let refused = |wrong: String| Failure::refused(format!("parameter `{name}` {wrong}"));
            let value = match given.get(name) {
                Some(value) => parameter.kind.read(value).map_err(refused)?,
                None if with.contains_key(name) => continue,
                None => parameter.unanswered(""),
            };
            if parameter.required && value.as_ref().is_none_or(|value| value == "") {
                return Err(refused(format!("is missing; give it with `-p {name}=…`")));
            }
            with.extend(value.map(|value| (name.clone(), Property { value, source: PropertySource::Job })));
        }
        Ok(with)
    }
}

fn may_read(step: &mut StepPlan, read: &[String]) {
    for path in read {
        if !step.grant.read.iter().any(|granted| Path::new(path).starts_with(granted)) {
            step.grant.read.push(path.clone());
        }
    }
}

fn decided(config: Config, submission: Submission) -> anyhow::Result<BuildOrder> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = Now { steady: Steady(0), wall: Wall(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)) };
    let (mut engine, _) = Engine::new(Arc::new(config), Snapshot::default(), now);
    let info = WorkerInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        os: std::env::consts::OS.to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        uname: Vec::new(),
        cores: 0,
        max_builds: 1,
        // The worker itself looks whether it can.
        tier: Tier::Sandboxed,
        mechanisms: Vec::new(),
        tools: BTreeMap::new(),
    };
    let connected = Input::WorkerConnected { worker: WORKER.into(), info, builds: Vec::new() };
    let submitted = Input::Submitted { submission, reply: ReplyTo(0) };
    let mut outputs = engine.handle(now, connected);
    outputs.extend(engine.handle(now, submitted));
    for output in outputs {
        match output {
            Output::Effect(Effect::Dispatch { order, .. }) => return Ok(*order),
            Output::Effect(Effect::Answer { answer: Answer::Refused(refusal), .. }) => {
                return Err(Failure::refused(refusal.to_string()));
            }
            Output::Effect(_) | Output::Write(_) => {}
        }
    }
    Err(Failure::Broken("the engine made no build of the job".to_owned()).into())
}

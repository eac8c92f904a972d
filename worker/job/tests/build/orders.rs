//! A build to try things on.
#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses a part of it")]

use std::sync::Arc;

use serde_json::{Value, json};
use stampmill_job::{Facts, WorkerFacts};
use stampmill_model::*;

pub(crate) fn property(value: Value, source: PropertySource) -> Property {
    Property { value, source }
}

pub(crate) fn step(name: &str) -> StepPlan {
    StepPlan {
        name: name.to_owned(),
        plugin: PluginRef { name: "shell".to_owned(), digest: Digest("00".repeat(32).into()) },
        config: json!({}),
        grant: Grant::default(),
        limits: PluginLimits::default(),
        locks: Vec::new(),
        when: None,
        halt_on_failure: true,
        flunk_on_failure: true,
        warn_on_failure: true,
        flunk_on_warnings: false,
        warn_on_warnings: true,
        always_run: false,
        time_limit: Milliseconds::from_seconds(60),
    }
}

pub(crate) fn order(steps: Vec<StepPlan>) -> BuildOrder {
    let stamp = |codebase: &str, revision: Option<&str>| SourceStamp {
        codebase: codebase.to_owned(),
        repository: format!("/srv/git/{codebase}.git"),
        project: "app".to_owned(),
        branch: Some("main".to_owned()),
        revision: revision.map(str::to_owned),
        trusted: true,
        ..SourceStamp::default()
    };
    let properties = [
        ("is_nightly", json!(true)),
        ("tags", json!(["a", "b"])),
        ("nested", json!({"deep": {"z": 1, "a": 2}})),
        ("text", json!("hello")),
        ("big", json!(u64::MAX)),
    ];
    let scheduler = |(name, value): (&str, Value)| (name.to_owned(), property(value, PropertySource::Scheduler));
    BuildOrder {
        build: Build {
            id: BuildId(7),
            number: 3,
            builder: "linux".into(),
            project: "app".to_owned(),
            request: RequestId(5),
            buildset: BuildsetId(4),
            merged: Vec::new(),
            locks: Vec::new(),
            triggers: Vec::new(),
            attempt: 1,
            worker: "w1".into(),
            reason: "a change".to_owned(),
            owner: None,
            stamps: vec![stamp("app", Some("0123abc")), stamp("lib", None)],
            blamelist: vec![],
            properties: properties.into_iter().map(scheduler).collect(),
            steps: vec![],
            started_at: Wall(0),
            state: BuildState::Dispatched,
        },
        changes: vec![],
        job: Arc::new(Job { name: "j".to_owned(), steps }),
    }
}

pub(crate) fn worker() -> WorkerFacts {
    WorkerFacts { name: "w1".into(), cores: 8, os: "linux".to_owned(), arch: "x86_64".to_owned() }
}

pub(crate) fn facts(order: &BuildOrder) -> Facts {
    Facts::new(&order.build, &order.build.properties, &worker(), Outcome::Success)
}

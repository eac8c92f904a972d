//! Small configurations and the things that happen in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use stampmill_engine::Config;
use stampmill_engine::config::{
    Builder, ChangeSource, ChangeSourceKind, CodebaseDefault, Merge, OccasionKind, Reporter, Retry, Scheduler,
    SchedulerKind, Worker, WorkerChoice,
};
use stampmill_engine::form::Form;
use stampmill_engine::input::{Force, Polled, Trouble};
use stampmill_model::{
    Digest, Grant, Job, Milliseconds, PluginRef, Properties, Property, PropertySource, SeenChange, StepPlan, Tier,
    WorkerInfo,
};

pub(crate) fn job(steps: &[&str]) -> Arc<Job> {
    let steps = steps.iter().map(|name| StepPlan {
        name: (*name).to_owned(),
        plugin: PluginRef { name: "shell".to_owned(), digest: Digest("0".repeat(64).into()) },
        config: serde_json::json!({ "command": ["true"] }),
        grant: Grant::default(),
        limits: stampmill_model::PluginLimits::default(),
        locks: Vec::new(),
        when: None,
        halt_on_failure: true,
        flunk_on_failure: true,
        warn_on_failure: true,
        flunk_on_warnings: false,
        warn_on_warnings: true,
        always_run: false,
        time_limit: Milliseconds::from_seconds(60),
    });
    Arc::new(Job { name: "job".to_owned(), steps: steps.collect() })
}

pub(crate) fn builder(name: &str) -> Builder {
    Builder {
        name: name.into(),
        project: "app".to_owned(),
        job: job(&["compile", "test"]),
        workers: WorkerChoice::default(),
        max_builds: None,
        merge: Merge::Alike,
        locks: Vec::new(),
        retry: Retry::default(),
        tier: Tier::Sandboxed,
        properties: Properties::new(),
        with: Properties::new(),
    }
}

/// A builder whose requests never share a build.
pub(crate) fn apart(builder: Builder) -> Builder {
    Builder { merge: Merge::Never, ..builder }
}

pub(crate) fn builder_with_tag(name: &str, tag: &str) -> Builder {
    Builder { workers: WorkerChoice { names: Vec::new(), tags: vec![tag.to_owned()] }, ..builder(name) }
}

pub(crate) fn worker(name: &str) -> Worker {
    Worker { name: name.into(), tags: Vec::new(), max_builds: None, properties: Properties::new() }
}

pub(crate) fn worker_with_tag(name: &str, tag: &str) -> Worker {
    Worker { tags: vec![tag.to_owned()], ..worker(name) }
}

pub(crate) fn info(max_builds: u32) -> WorkerInfo {
    WorkerInfo {
        version: "0.1.0".to_owned(),
        os: "linux".to_owned(),
        arch: "x86_64".to_owned(),
        uname: Vec::new(),
        cores: 2,
        max_builds,
        tier: Tier::Sandboxed,
        mechanisms: Vec::new(),
        tools: BTreeMap::new(),
    }
}

pub(crate) fn poller(name: &str, every_seconds: u64) -> ChangeSource {
    let kind = ChangeSourceKind::Poller { every: Milliseconds::from_seconds(every_seconds) };
    ChangeSource { name: name.into(), kind, trusted: true, project: "app".to_owned() }
}

pub(crate) fn hook(name: &str) -> ChangeSource {
    ChangeSource { name: name.into(), kind: ChangeSourceKind::Hook, trusted: true, project: "app".to_owned() }
}

pub(crate) fn scheduler(name: &str, kind: SchedulerKind, builders: &[&str]) -> Scheduler {
    let codebase =
        CodebaseDefault { repository: "https://git.example/app.git".to_owned(), ..CodebaseDefault::default() };
    Scheduler {
        name: name.into(),
        kind,
        codebases: vec![codebase],
        absolute_stamps: false,
        filters: 0,
        builders: builders.iter().map(|name| (*name).into()).collect(),
        on_every_worker: false,
        priority: 0,
        properties: Properties::new(),
        approve_untrusted: false,
        cancel_superseded: false,
        cancel_on_failure: false,
        pings: None,
        reason: String::new(),
    }
}

/// Builds each change of `main` at once.
pub(crate) fn on_main(name: &str, builders: &[&str]) -> Scheduler {
    scheduler(name, SchedulerKind::SingleBranch { branch: Some("main".to_owned()), stable_for: None }, builders)
}

/// Builds changes of `main` when the tree has been quiet.
pub(crate) fn on_quiet_main(name: &str, seconds: u64, builders: &[&str]) -> Scheduler {
    let stable_for = Some(Milliseconds::from_seconds(seconds));
    scheduler(name, SchedulerKind::SingleBranch { branch: Some("main".to_owned()), stable_for }, builders)
}

pub(crate) fn on_force(name: &str, builders: &[&str]) -> Scheduler {
    scheduler(name, SchedulerKind::Force(Form::default()), builders)
}

pub(crate) fn with_codebases(scheduler: Scheduler, names: &[&str]) -> Scheduler {
    let codebases = names.iter().map(|name| CodebaseDefault {
        codebase: (*name).to_owned(),
        repository: format!("https://git.example/{name}.git"),
        branch: Some("stable".to_owned()),
        revision: None,
    });
    Scheduler { codebases: codebases.collect(), ..scheduler }
}

pub(crate) fn reporter(name: &str, on: &[OccasionKind]) -> Reporter {
    Reporter { name: name.into(), on: on.to_vec(), builders: Vec::new() }
}

/// A hook `forge`, a scheduler `quick` on `main`, a force scheduler `by-hand`, a builder `linux` and a worker `w1`.
pub(crate) fn small() -> Config {
    Config {
        change_sources: vec![hook("forge")],
        schedulers: vec![on_main("quick", &["linux"]), on_force("by-hand", &["linux"])],
        builders: vec![builder("linux")],
        workers: vec![worker("w1")],
        ..Config::default()
    }
}

/// A change of `main` by this author.
pub(crate) fn seen(author: &str, revision: &str) -> SeenChange {
    seen_on("main", author, revision)
}

pub(crate) fn seen_on(branch: &str, author: &str, revision: &str) -> SeenChange {
    SeenChange {
        author: author.to_owned(),
        comments: format!("change {revision}"),
        files: vec!["src/a.c".to_owned()],
        repository: "https://git.example/app.git".to_owned(),
        revision: Some(revision.to_owned()),
        branch: Some(branch.to_owned()),
        ..SeenChange::default()
    }
}

pub(crate) fn polled(changes: Vec<SeenChange>, cursor: &str) -> Polled {
    Polled { changes, cursor: cursor.to_owned(), more: false }
}

pub(crate) fn trouble(message: &str) -> Trouble {
    Trouble { message: message.to_owned(), retry: true, retry_after: None }
}

pub(crate) fn refused(message: &str) -> Trouble {
    Trouble { retry: false, ..trouble(message) }
}

pub(crate) fn force(builder: &str) -> Force {
    Force { builder: Some(builder.into()), owner: "ann".to_owned(), ..Force::default() }
}

pub(crate) fn property(name: &str, value: impl Into<serde_json::Value>, source: PropertySource) -> Properties {
    [(name.to_owned(), Property { value: value.into(), source })].into()
}

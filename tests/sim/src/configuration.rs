//! Configurations, made by the seed. A run has one house with everything in it; its configurations are that with parts taken away or changed.
//!
//! Another kind of scheduler is one more line in [`KINDS`].

use std::collections::BTreeSet;
use std::sync::Arc;

use stampmill_engine::Config;
use stampmill_engine::calendar::Calendar;
use stampmill_engine::config::{
    Builder, ChangeSource, ChangeSourceKind, CodebaseDefault, Limits, Lock, LockUse, Merge, OccasionKind, Project,
    Reporter, Retry, RetryCause, Scheduler, SchedulerKind, Worker, WorkerChoice,
};
use stampmill_engine::form::Form;
use stampmill_model::{
    Digest, Grant, Job, LockAccess, LockScope, Milliseconds, PluginLimits, PluginRef, Properties, StepPlan, Tier,
};

use crate::dice::Dice;

/// Ways to make the kind of a scheduler; each is as likely as the others.
const KINDS: &[fn(&mut Dice) -> SchedulerKind] = &[
    |dice| SchedulerKind::SingleBranch { branch: branch(dice), stable_for: None },
    |dice| SchedulerKind::SingleBranch { branch: branch(dice), stable_for: Some(stable_for(dice)) },
    |dice| SchedulerKind::AnyBranch { branches: None, stable_for: Some(stable_for(dice)) },
    |dice| {
        let branches = dice.some(&["main".to_owned(), "dev".to_owned()]);
        let stable_for = dice.one_in(2).then(|| stable_for(dice));
        SchedulerKind::AnyBranch { branches: Some(branches), stable_for }
    },
    |dice| SchedulerKind::Periodic { every: Milliseconds::from_seconds(dice.between(60, 600)) },
    |dice| SchedulerKind::Nightly { at: minutes(dice), only_if_changed: None },
    |dice| SchedulerKind::Dependent { upstream: scheduler_name(dice).into() },
    |dice| SchedulerKind::Pinged { project: (*dice.pick(&PROJECTS[..PROJECTS.len() - 1])).to_owned() },
    |_| SchedulerKind::Triggerable,
    |_| SchedulerKind::Force(Form::default()),
];

const SCHEDULERS_MOST: usize = 7;
/// Of builders; the last is of those that have none.
const PROJECTS: [&str; 5] = ["p0", "p1", "p2", "p3", ""];
const TAGS: [&str; 3] = ["linux", "mac", "big"];
const BRANCHES: [Option<&str>; 4] = [Some("main"), Some("main"), Some("dev"), None];

/// A branch of the repositories; `None` is the default one.
pub(crate) fn branch(dice: &mut Dice) -> Option<String> {
    dice.pick(&BRANCHES).map(str::to_owned)
}

/// Every few minutes of each hour: a run is shorter than a night.
fn minutes(dice: &mut Dice) -> Calendar {
    let crontab = format!("*/{} * * * *", dice.between(1, 15));
    Calendar::new(&crontab, "Europe/Berlin").expect("a crontab")
}

fn stable_for(dice: &mut Dice) -> Milliseconds {
    Milliseconds::from_seconds(dice.between(1, 20))
}

/// The repository of a codebase.
pub(crate) fn repository(codebase: &str) -> String {
    format!("https://git.example/{codebase}.git")
}

/// All that a run may configure.
#[derive(Debug)]
pub(crate) struct House {
    full: Config,
    /// What the codebase generator knows; one nameless codebase without it.
    pub(crate) codebases: Vec<String>,
}

impl House {
    /// A house of this seed. Each of its builders has a worker that fits when everything is configured.
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let codebase_generator = dice.one_in(2);
        let codebases = if codebase_generator { dice.some(&["app", "lib", "doc"]) } else { vec![""] };
        let codebases: Vec<String> = codebases.into_iter().map(str::to_owned).collect();
        let locks: Vec<_> = (0..dice.roll(3)).map(|n| lock(dice, n)).collect();
        let builders: Vec<_> = (0..=dice.roll(5)).map(|n| builder(dice, n, &locks)).collect();
        let mut workers: Vec<_> = (0..=dice.roll(4)).map(|n| worker(dice, n)).collect();
        // The last one can run anything.
        workers.extend([Worker { tags: TAGS.map(str::to_owned).to_vec(), ..worker(dice, workers.len()) }]);
        let names: Vec<_> = builders.iter().map(|builder| builder.name.clone()).collect();
        let schedulers = (0..2 + dice.roll(SCHEDULERS_MOST - 1)).map(|n| {
            let defaults = dice.some(&codebases).into_iter().map(|codebase| CodebaseDefault {
                repository: repository(&codebase),
                codebase,
                branch: None,
                revision: None,
            });
            Scheduler {
                name: format!("s{n}").into(),
                codebases: defaults.collect(),
                kind: dice.pick(KINDS)(dice),
                absolute_stamps: dice.one_in(4),
                filters: dice.roll(3),
                builders: dice.some(&names),
                on_every_worker: dice.one_in(6),
                priority: priority(dice),
                properties: Properties::new(),
                approve_untrusted: dice.one_in(4),
                cancel_superseded: dice.one_in(3),
                cancel_on_failure: dice.one_in(3),
                pings: pings(dice),
                reason: String::new(),
            }
        });
        let full = resolved(Config {
            schedulers: schedulers.collect(),
            change_sources: (0..=dice.roll(3)).map(|n| source(dice, n)).collect(),
            codebase_generator,
            reporters: (0..dice.roll(3)).map(|n| reporter(dice, n, &names)).collect(),
            locks,
            projects: projects(dice),
            builders,
            workers,
            properties: Properties::new(),
            limits: limits(dice),
        });
        Self { full, codebases }
    }

    /// With everything.
    pub(crate) fn full(&self) -> Config {
        self.full.clone()
    }

    /// What the operator has after an afternoon with the editor.
    pub(crate) fn variant(&self, dice: &mut Dice) -> Config {
        let mut config = self.full();
        config.change_sources = dice.without_one_in(6, &config.change_sources);
        config.reporters = dice.without_one_in(4, &config.reporters);
        config.workers = dice.without_one_in(6, &config.workers);
        config.builders = dice.without_one_in(8, &config.builders);
        config.schedulers = dice.without_one_in(6, &config.schedulers);
        config.locks = dice.without_one_in(8, &config.locks);
        if dice.one_in(4) {
            config.projects = projects(dice);
        }
        for lock in &mut config.locks {
            if dice.one_in(4) {
                *lock = Lock { name: lock.name.clone(), ..self::lock(dice, 0) };
            }
        }
        for builder in &mut config.builders {
            change_builder(dice, builder, &config.locks);
        }
        for worker in &mut config.workers {
            change_worker(dice, worker);
        }
        for scheduler in &mut config.schedulers {
            change_scheduler(dice, scheduler);
        }
        if dice.one_in(4) {
            config.limits = limits(dice);
        }
        resolved(config)
    }

    /// For the time after the faults: everything that work under way may need, and nothing that makes new work for ever.
    pub(crate) fn calm(&self, dice: &mut Dice) -> Config {
        let mut config = self.full();
        let is_endless =
            |kind: &SchedulerKind| matches!(kind, SchedulerKind::Periodic { .. } | SchedulerKind::Nightly { .. });
        config.schedulers.retain(|scheduler| !is_endless(&scheduler.kind));
        if dice.one_in(3) && !config.schedulers.is_empty() {
            config.schedulers.remove(dice.roll(config.schedulers.len()));
        }
        config
    }
}

fn change_builder(dice: &mut Dice, builder: &mut Builder, locks: &[Lock]) {
    match dice.roll(8) {
        0 => builder.max_builds = max_builds(dice),
        1 | 2 => (builder.locks, builder.job) = work(dice, locks),
        3 => builder.merge = merge(dice),
        4 => builder.project = project_name(dice),
        5 => builder.retry = retry(dice),
        _ => {}
    }
}

fn change_worker(dice: &mut Dice, worker: &mut Worker) {
    match dice.roll(6) {
        0 => worker.max_builds = max_builds(dice),
        // Only fewer: a request for one worker alone must be possible there when everything is configured again.
        1 => worker.tags = dice.without_one_in(3, &worker.tags),
        _ => {}
    }
}

fn change_scheduler(dice: &mut Dice, scheduler: &mut Scheduler) {
    match dice.roll(12) {
        0 => scheduler.filters = dice.roll(3),
        1 => scheduler.kind = dice.pick(KINDS)(dice),
        2 => scheduler.priority = priority(dice),
        3 => scheduler.on_every_worker = dice.one_in(2),
        4 => scheduler.approve_untrusted = dice.one_in(2),
        5 => scheduler.cancel_superseded = !scheduler.cancel_superseded,
        6 => scheduler.cancel_on_failure = !scheduler.cancel_on_failure,
        7 => scheduler.absolute_stamps = dice.one_in(2),
        8 => scheduler.pings = pings(dice),
        _ => {}
    }
}

/// A configuration whose names all lead somewhere and in which nobody waits for himself, as the reader of the file makes sure.
fn resolved(mut config: Config) -> Config {
    let builders: BTreeSet<_> = config.builders.iter().map(|builder| builder.name.clone()).collect();
    let mut pinged = BTreeSet::new();
    for scheduler in &mut config.schedulers {
        scheduler.builders.retain(|name| builders.contains(name));
        if let SchedulerKind::Dependent { upstream } = &scheduler.kind
            && *upstream >= scheduler.name
        {
            scheduler.kind = SchedulerKind::Force(Form::default());
        }
        scheduler.absolute_stamps &= matches!(
            scheduler.kind,
            SchedulerKind::SingleBranch { .. } | SchedulerKind::Nightly { only_if_changed: Some(_), .. }
        );
        if let SchedulerKind::Pinged { project } = &scheduler.kind
            && !pinged.insert(project.clone())
        {
            scheduler.kind = SchedulerKind::Force(Form::default());
        }
        // What follows a ping begins no wave, and what builds trigger would begin ever more of them.
        if matches!(
            scheduler.kind,
            SchedulerKind::Pinged { .. } | SchedulerKind::Dependent { .. } | SchedulerKind::Triggerable
        ) {
            scheduler.pings = None;
        }
    }
    config.schedulers.retain(|scheduler| !scheduler.builders.is_empty());
    let locks: BTreeSet<_> = config.locks.iter().map(|lock| lock.name.clone()).collect();
    for builder in &mut config.builders {
        builder.locks.retain(|wanted| locks.contains(&wanted.name));
        for step in &mut Arc::make_mut(&mut builder.job).steps {
            step.locks.retain(|wanted| locks.contains(&wanted.name));
        }
    }
    for reporter in &mut config.reporters {
        reporter.builders.retain(|name| builders.contains(name));
    }
    config
}

fn builder(dice: &mut Dice, number: usize, locks: &[Lock]) -> Builder {
    let tags = if dice.one_in(2) { Vec::new() } else { vec![(*dice.pick(&TAGS)).to_owned()] };
    let tiers = [Tier::Sandboxed, Tier::Sandboxed, Tier::Degraded, Tier::WasmOnly];
    let (locks, job) = work(dice, locks);
    Builder {
        name: format!("b{number}").into(),
        project: project_name(dice),
        job,
        workers: WorkerChoice { names: Vec::new(), tags },
        max_builds: max_builds(dice),
        tier: *dice.pick(&tiers),
        properties: Properties::new(),
        with: Properties::new(),
        merge: merge(dice),
        locks,
        retry: retry(dice),
    }
}

fn merge(dice: &mut Dice) -> Merge {
    *dice.pick(&[Merge::Never, Merge::Alike, Merge::ByPlugin])
}

fn project_name(dice: &mut Dice) -> String {
    (*dice.pick(&PROJECTS)).to_owned()
}

/// In half of the houses nothing is shared; limits there may be in each.
fn projects(dice: &mut Dice) -> Vec<Project> {
    let is_sharing = dice.one_in(2);
    let mut project = |(number, name): (usize, &&str)| {
        let depends_on = dice.without_one_in(2, &PROJECTS[..number]).into_iter().map(str::to_owned).collect();
        let shares = dice.between(1, 5);
        let shares = u32::try_from(shares).ok().filter(|_| is_sharing);
        Project {
            name: (*name).to_owned(),
            shares,
            max_builds: *dice.pick(&[None, None, Some(1), Some(3)]),
            depends_on,
        }
    };
    PROJECTS.iter().take(PROJECTS.len() - 1).enumerate().map(&mut project).collect()
}

/// Half of them as they are by default.
fn retry(dice: &mut Dice) -> Retry {
    if dice.one_in(2) {
        return Retry::default();
    }
    let causes = [RetryCause::WorkerLost, RetryCause::WorkerLost, RetryCause::ExitCode(75), RetryCause::Signal(None)];
    Retry { on: dice.without_one_in(3, &causes), attempts: *dice.pick(&[None, Some(1), Some(2), Some(4)]) }
}

fn lock(dice: &mut Dice, number: usize) -> Lock {
    let count = *dice.pick(&[1, 2, 2, 3]);
    let scope = *dice.pick(&[LockScope::Host, LockScope::Worker]);
    Lock { name: format!("l{number}").into(), count, scope }
}

/// Half of the locks, each used in either way.
fn lock_uses(dice: &mut Dice, locks: &[Lock]) -> Vec<LockUse> {
    let locks = dice.without_one_in(2, locks).into_iter();
    let access = |dice: &mut Dice| *dice.pick(&[LockAccess::Counting, LockAccess::Counting, LockAccess::Exclusive]);
    locks.map(|lock| LockUse { name: lock.name, access: access(dice) }).collect()
}

fn worker(dice: &mut Dice, number: usize) -> Worker {
    let tags = dice.without_one_in(2, &TAGS.map(str::to_owned));
    Worker { name: format!("w{number}").into(), tags, max_builds: max_builds(dice), properties: Properties::new() }
}

fn max_builds(dice: &mut Dice) -> Option<u32> {
    *dice.pick(&[None, None, Some(1), Some(2), Some(3)])
}

fn pings(dice: &mut Dice) -> Option<String> {
    Some(project_name(dice)).filter(|project| !project.is_empty())
}

fn priority(dice: &mut Dice) -> i32 {
    *dice.pick(&[0, 0, 0, 1, -1, 5])
}

fn source(dice: &mut Dice, number: usize) -> ChangeSource {
    let poller = ChangeSourceKind::Poller { every: Milliseconds::from_seconds(dice.between(5, 60)) };
    let kind = if dice.one_in(2) { poller } else { ChangeSourceKind::Hook };
    ChangeSource { name: format!("c{number}").into(), kind, trusted: !dice.one_in(3), project: String::new() }
}

fn reporter(dice: &mut Dice, number: usize, builders: &[stampmill_model::BuilderName]) -> Reporter {
    let occasions = [
        OccasionKind::BuildStarted,
        OccasionKind::BuildFinished,
        OccasionKind::FirstFailure,
        OccasionKind::BuildsetFinished,
    ];
    let builders = if dice.one_in(2) { Vec::new() } else { dice.some(builders) };
    Reporter { name: format!("r{number}").into(), on: dice.some(&occasions), builders }
}

fn limits(dice: &mut Dice) -> Limits {
    let attempts = dice.between(1, 4);
    let report_attempts = dice.between(1, 6);
    Limits {
        worker_lost_after: Milliseconds::from_seconds(dice.between(10, 120)),
        attempts: u32::try_from(attempts).unwrap_or(1),
        report_attempts: u32::try_from(report_attempts).unwrap_or(1),
        retry_pause_most: Milliseconds::from_seconds(dice.between(5, 60)),
        declined_for: Milliseconds::from_seconds(dice.between(5, 30)),
        trigger_depth: u32::try_from(dice.between(1, 3)).unwrap_or(1),
    }
}

/// The name of any scheduler that a house can have.
pub(crate) fn scheduler_name(dice: &mut Dice) -> String {
    format!("s{}", dice.roll(SCHEDULERS_MOST))
}

/// What a builder has from the start, and its job. Whose steps take locks has the first one at most, and no step takes that: nobody waits in a circle.
fn work(dice: &mut Dice, locks: &[Lock]) -> (Vec<LockUse>, Arc<Job>) {
    if dice.one_in(2) {
        return (lock_uses(dice, locks), job(dice, &[]));
    }
    let (first, others): (Vec<_>, Vec<_>) = locks.iter().cloned().partition(|lock| lock.name.as_str() == "l0");
    (lock_uses(dice, &first), job(dice, &others))
}

fn job(dice: &mut Dice, locks: &[Lock]) -> Arc<Job> {
    let granted: Vec<_> = (0..dice.roll(SCHEDULERS_MOST)).map(|_| scheduler_name(dice)).collect();
    let steps = ["checkout", "compile", "test"][..=dice.roll(3)].iter().map(|name| StepPlan {
        name: (*name).to_owned(),
        plugin: PluginRef { name: "shell".to_owned(), digest: Digest("0".into()) },
        config: serde_json::Value::Null,
        grant: Grant { trigger: granted.clone(), ..Grant::default() },
        limits: PluginLimits::default(),
        locks: lock_uses(dice, locks),
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

//! An engine alone, in a world that answers at once: workers that tell of their builds, people who force, a forge that pushes.
//!
//! What the engine gives out is kept for a while, as it is kept until a commit in the host: a value that is
//! still being written has to be copied before it changes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stampmill_engine::config::{
    Builder, ChangeSource, ChangeSourceKind, CodebaseDefault, Lock, LockUse, Merge, OccasionKind, Reporter, Retry,
    Scheduler, SchedulerKind, Worker, WorkerChoice,
};
use stampmill_engine::form::Form;
use stampmill_engine::input::Force;
use stampmill_engine::{Config, Effect, Engine, Input, Output, ReplyTo, Snapshot, Write};
use stampmill_model::{
    BuildEvent, BuildId, Digest, Grant, Job, LockAccess, LockScope, Milliseconds, NoticeId, Now, Outcome, PluginLimits,
    PluginRef, Properties, RequestId, RequestState, SeenChange, Steady, StepPlan, Tier, Verdict, Wall, WorkerInfo,
    WorkerName,
};

/// Builders, and workers; a builder fits each tenth worker.
const MANY: usize = 1_000;
/// Kinds of workers.
const TAGS: usize = 10;
/// Schedulers, each of a branch and of so many builders.
const BRANCHES: usize = 100;
/// Inputs whose outputs are kept together.
const BATCH: usize = 64;
/// Steps of a job.
const STEPS: u32 = 3;

/// What is special of a mill.
#[derive(Clone, Copy, Default)]
pub(crate) struct Kind {
    /// Half of the builders want a lock of the host, each fourth one that of its worker.
    pub(crate) locks: bool,
    /// Requests of one builder share a build.
    pub(crate) merging: bool,
}

/// The time of each input of one kind.
#[derive(Clone, Default)]
pub(crate) struct Spent(Vec<Duration>);

impl Spent {
    /// Of the input in the middle, in microseconds: that of most is no other program's.
    pub(crate) fn median_us(&mut self) -> f64 {
        self.0.sort_unstable();
        self.0.get(self.0.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1e6)
    }
}

/// A build that a worker drives.
struct Active {
    worker: WorkerName,
    build: BuildId,
    /// The last message of it.
    sequence: u64,
}

/// An engine, and what its world has to say to it.
pub(crate) struct Mill {
    kind: Kind,
    engine: Engine,
    now: Now,
    kept: Vec<Output>,
    pub(crate) handled: usize,
    active: VecDeque<Active>,
    notices: VecDeque<(NoticeId, u32)>,
    /// Requests that are not complete.
    open: BTreeSet<RequestId>,
    forced: usize,
    ended: usize,
    pub(crate) spent: BTreeMap<&'static str, Spent>,
}

impl Mill {
    /// All workers are there and busy, and so many requests are open.
    pub(crate) fn new(kind: Kind, open: usize) -> Self {
        let now = Now { steady: Steady(0), wall: Wall(1_700_000_000_000) };
        let (engine, outputs) = Engine::new(Arc::new(config(kind)), Snapshot::default(), now);
        let mut mill = Self {
            kind,
            engine,
            now,
            kept: Vec::new(),
            handled: 0,
            active: VecDeque::new(),
            notices: VecDeque::new(),
            open: BTreeSet::new(),
            forced: 0,
            ended: 0,
            spent: BTreeMap::new(),
        };
        mill.take(outputs);
        // One after the other while nobody waits: this is not what is measured.
        for number in 0..MANY {
            mill.handle(
                "start",
                Input::WorkerConnected { worker: worker_name(number), info: info(kind), builds: Vec::new() },
            );
        }
        mill.fill(open);
        mill.spent.clear();
        mill
    }

    /// Goes on until so many inputs were handled or so much time has passed.
    pub(crate) fn run(&mut self, open: usize, inputs: usize, most: Duration) {
        let begun = Instant::now();
        let last = self.handled + inputs;
        while self.handled < last && begun.elapsed() < most {
            if let Some(active) = self.active.pop_front() {
                self.tell(active);
            }
            if let Some((notice, attempt)) = self.notices.pop_front() {
                self.handle("reported", Input::Reported { notice, attempt, result: Ok(()) });
            }
            self.fill(open);
        }
    }

    /// People force, and the forge pushes, until so many requests are open.
    fn fill(&mut self, open: usize) {
        while self.open.len() < open {
            self.forced += 1;
            if self.forced.is_multiple_of(20) {
                let changes = vec![change(self.forced / 20 % BRANCHES, self.forced)];
                let source = "forge".into();
                self.handle("change", Input::Received { source, delivery: None, changes, reply: ReplyTo(0) });
            } else {
                // Neighbours are of different kinds.
                let builder = Some(builder_name(self.forced * 7 % MANY).as_str().into());
                let force =
                    Force { builder, owner: "ann".to_owned(), reason: "why not".to_owned(), ..Force::default() };
                self.handle("forced", Input::Forced { force, reply: ReplyTo(0) });
            }
        }
    }

    /// A worker tells the next of its build. Now and then one is cut off, and comes back.
    fn tell(&mut self, mut active: Active) {
        active.sequence += 1;
        let (worker, build, sequence) = (active.worker.clone(), active.build, active.sequence);
        let event = event(sequence, self.now.wall);
        let ends = matches!(event, BuildEvent::Finished { .. });
        let what = if ends { "finished" } else { "told" };
        if !ends {
            self.active.push_back(active);
        }
        let told = Input::BuildTold { worker: worker.clone(), build, sequence, previous: sequence - 1, event };
        self.handle(what, told);
        if ends {
            self.ended += 1;
            if self.ended.is_multiple_of(50) {
                self.cut(worker);
            }
        }
    }

    fn cut(&mut self, worker: WorkerName) {
        let builds = self.active.iter().filter(|active| active.worker == worker).map(|active| active.build).collect();
        self.handle("left", Input::WorkerLeft { worker: worker.clone(), goodbye: false });
        self.handle("connected", Input::WorkerConnected { worker, info: info(self.kind), builds });
    }

    fn handle(&mut self, what: &'static str, input: Input) {
        self.handled += 1;
        if self.handled.is_multiple_of(BATCH) {
            self.now.steady.0 += 1;
            self.now.wall.0 += 1;
            self.kept.clear();
        }
        let begun = Instant::now();
        let outputs = black_box(self.engine.handle(self.now, black_box(input)));
        let took = begun.elapsed();
        self.spent.entry(what).or_default().0.push(took);
        self.take(outputs);
    }

    fn take(&mut self, outputs: Vec<Output>) {
        for output in &outputs {
            match output {
                Output::Write(Write::Request(request)) => match request.state {
                    RequestState::Complete { .. } => drop(self.open.remove(&request.id)),
                    RequestState::AwaitingApproval | RequestState::Pending | RequestState::Building(_) => {
                        self.open.insert(request.id);
                    }
                },
                Output::Effect(Effect::Dispatch { worker, order }) => {
                    self.active.push_back(Active { worker: worker.clone(), build: order.build.id, sequence: 0 });
                }
                Output::Effect(Effect::Report { notice }) => self.notices.push_back((notice.id, notice.attempt)),
                Output::Write(_) | Output::Effect(_) => {}
            }
        }
        self.kept.extend(outputs);
    }
}

/// A change that a thousand schedulers judge, each by its filters; answers how many inputs that took.
pub(crate) fn judged_by_many() -> usize {
    let now = Now { steady: Steady(0), wall: Wall(1_700_000_000_000) };
    let schedulers = (0..MANY).map(|number| Scheduler {
        filters: 1,
        ..scheduler(
            format!("s{number}"),
            SchedulerKind::AnyBranch { branches: None, stable_for: None },
            vec![builder_name(number)],
        )
    });
    let config = Config { schedulers: schedulers.collect(), ..config(Kind::default()) };
    let (mut engine, _) = Engine::new(Arc::new(config), Snapshot::default(), now);
    let mut inputs = 0;
    let mut handle = |input| {
        inputs += 1;
        black_box(engine.handle(now, black_box(input)))
    };
    let source = "forge".into();
    let asked = handle(Input::Received { source, delivery: None, changes: vec![change(0, 1)], reply: ReplyTo(0) });
    // What was asked for is kept until it is answered.
    for output in &asked {
        if let Output::Effect(Effect::AskFilters { scheduler, change }) = output {
            // One in ten builds it.
            let verdict = if scheduler.as_str().ends_with('7') { Verdict::Important } else { Verdict::Ignored };
            let result = Ok(vec![(verdict, "its files are not mine".to_owned())]);
            handle(Input::Judged { scheduler: scheduler.clone(), change: change.id, result });
        }
    }
    inputs
}

/// The messages of a build, by number.
fn event(sequence: u64, at: Wall) -> BuildEvent {
    let told = u32::try_from(sequence).unwrap_or(u32::MAX) - 1;
    let (step, part) = (told.saturating_sub(1) / 4, told.saturating_sub(1) % 4);
    match (told, part) {
        (0, _) => BuildEvent::Accepted,
        _ if step == STEPS => {
            BuildEvent::Finished { outcome: Outcome::Success, summary: "passed".to_owned(), at, program: None }
        }
        (_, 0) => BuildEvent::StepStarted { step, at },
        (_, 1) => BuildEvent::LogOpened { step, log: "stdio".to_owned() },
        (_, 2) => BuildEvent::PropertySet { name: format!("p{step}"), value: 7.into(), step },
        _ => BuildEvent::StepFinished { step, outcome: Outcome::Success, summary: "done".to_owned(), at },
    }
}

fn change(branch: usize, number: usize) -> SeenChange {
    SeenChange {
        author: "Ann <ann@app.example>".to_owned(),
        comments: "a change of something".to_owned(),
        files: vec!["src/a.c".to_owned(), "src/b.c".to_owned()],
        repository: "https://git.example/app.git".to_owned(),
        revision: Some(format!("{number:040}")),
        branch: Some(format!("branch-{branch}")),
        ..SeenChange::default()
    }
}

fn builder_name(number: usize) -> stampmill_model::BuilderName {
    format!("builder-{number}").into()
}

fn worker_name(number: usize) -> WorkerName {
    format!("worker-{number}").into()
}

fn config(kind: Kind) -> Config {
    let builders: Vec<_> = (0..MANY).map(|number| builder(kind, number)).collect();
    let branch = |number: usize| {
        let of = (0..MANY / BRANCHES).map(|each| builder_name(number * MANY / BRANCHES + each)).collect();
        let kind = SchedulerKind::SingleBranch { branch: Some(format!("branch-{number}")), stable_for: None };
        scheduler(format!("on-branch-{number}"), kind, of)
    };
    let by_hand =
        scheduler("by-hand".to_owned(), SchedulerKind::Force(Form::default()), (0..MANY).map(builder_name).collect());
    let host = (0..20).map(|number| Lock { name: format!("lock-{number}").into(), count: 20, scope: LockScope::Host });
    let of_worker = Lock { name: "box".into(), count: 1, scope: LockScope::Worker };
    Config {
        change_sources: vec![ChangeSource {
            name: "forge".into(),
            kind: ChangeSourceKind::Hook,
            trusted: true,
            project: String::new(),
        }],
        schedulers: (0..BRANCHES).map(branch).chain([by_hand]).collect(),
        builders,
        locks: if kind.locks { host.chain([of_worker]).collect() } else { Vec::new() },
        workers: (0..MANY).map(worker).collect(),
        reporters: vec![Reporter { name: "mail".into(), on: vec![OccasionKind::BuildFinished], builders: Vec::new() }],
        ..Config::default()
    }
}

fn builder(kind: Kind, number: usize) -> Builder {
    let mut locks = Vec::new();
    if kind.locks && number.is_multiple_of(2) {
        locks.push(LockUse { name: format!("lock-{}", number / 2 % 20).into(), access: LockAccess::Counting });
    }
    if kind.locks && number.is_multiple_of(4) {
        locks.push(LockUse { name: "box".into(), access: LockAccess::Exclusive });
    }
    Builder {
        name: builder_name(number),
        project: format!("project-{}", number / 4),
        job: job(),
        workers: WorkerChoice { names: Vec::new(), tags: vec![format!("tag-{}", number % TAGS)] },
        max_builds: None,
        merge: if kind.merging { Merge::Alike } else { Merge::Never },
        retry: Retry::default(),
        locks,
        tier: Tier::Sandboxed,
        properties: Properties::new(),
        with: Properties::new(),
    }
}

fn worker(number: usize) -> Worker {
    let tags = vec![format!("tag-{}", number % TAGS)];
    Worker { name: worker_name(number), tags, max_builds: None, properties: Properties::new() }
}

/// With locks of workers there is room beside a build that has one.
fn info(kind: Kind) -> WorkerInfo {
    WorkerInfo {
        version: "0.1.0".to_owned(),
        os: "linux".to_owned(),
        arch: "x86_64".to_owned(),
        uname: Vec::new(),
        cores: 2,
        max_builds: if kind.locks { 2 } else { 1 },
        tier: Tier::Sandboxed,
        mechanisms: Vec::new(),
        tools: BTreeMap::new(),
    }
}

fn scheduler(name: String, kind: SchedulerKind, builders: Vec<stampmill_model::BuilderName>) -> Scheduler {
    Scheduler {
        name: name.into(),
        kind,
        codebases: vec![CodebaseDefault {
            repository: "https://git.example/app.git".to_owned(),
            ..CodebaseDefault::default()
        }],
        absolute_stamps: false,
        filters: 0,
        builders,
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

fn job() -> Arc<Job> {
    let steps = (0..STEPS).map(|number| StepPlan {
        name: format!("step-{number}"),
        plugin: PluginRef { name: "shell".to_owned(), digest: Digest("0".into()) },
        config: serde_json::Value::Null,
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
    });
    Arc::new(Job { name: "job".to_owned(), steps: steps.collect() })
}

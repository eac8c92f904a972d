//! Many short histories, each decided by its seed: messages that come late, twice or not at all, workers and hosts that vanish, people who
//! change their minds. The invariants are checked after every input; then the faults stop and all work must finish.

use std::collections::BTreeMap;

use stampmill_engine::config::{ChangeSource, Limits, Scheduler, SchedulerKind, Worker};
use stampmill_engine::input::{Force, Polled, Rebuild, Trouble};
use stampmill_engine::{Config, Effect, Engine, Input, OccasionKind, Output, ReplyTo};
use stampmill_model::{
    BuildEvent, BuildId, BuildState, BuildsetState, Milliseconds, Outcome, RequestId, RequestState, Verdict, Wall,
    WorkerName,
};

use crate::setup::{
    builder, builder_with_tag, force, hook, info, on_force, on_main, on_quiet_main, poller, refused, reporter, seen,
    seen_on, small, trouble, worker, worker_with_tag,
};
use crate::world::{World, effects};

/// Knuth's multiplier; the high bits are good enough to choose by.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % sides
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }
}

/// A worker: what it tells of each build, and how much of that it was told is durable.
#[derive(Default)]
struct Machine {
    connected: bool,
    builds: BTreeMap<BuildId, Script>,
}

struct Script {
    events: Vec<BuildEvent>,
    told: usize,
    acknowledged: usize,
}

struct Chaos {
    world: World,
    dice: Dice,
    machines: BTreeMap<WorkerName, Machine>,
    /// Answers that are under way.
    mail: Vec<Input>,
    /// Whether anything may go wrong.
    faults: bool,
    inputs: usize,
}

const SLOTS: u32 = 2;

fn config(variant: usize) -> Config {
    let stable_for = Some(Milliseconds::from_seconds(5));
    let any = SchedulerKind::AnyBranch { branches: None, stable_for };
    let every = Milliseconds::from_seconds(300);
    let mut schedulers = vec![
        Scheduler { filters: 1, ..on_main("quick", &["linux", "mac"]) },
        Scheduler { filters: 2, ..on_quiet_main("full", 7, &["linux", "docs"]) },
        Scheduler { approve_untrusted: true, ..crate::setup::scheduler("any", any, &["docs"]) },
        crate::setup::scheduler("hourly", SchedulerKind::Periodic { every }, &["linux"]),
        Scheduler { on_every_worker: true, ..on_force("everywhere", &["docs"]) },
        on_force("by-hand", &["linux", "mac", "docs"]),
    ];
    if variant == 1 {
        schedulers.remove(1);
        schedulers[0].filters = 2;
    }
    let mut linux = builder("linux");
    linux.max_builds = Some(3);
    let w1 = Worker { max_builds: Some(1), ..worker("w1") };
    let occasions = [OccasionKind::BuildFinished, OccasionKind::FirstFailure, OccasionKind::BuildsetFinished];
    Config {
        change_sources: vec![poller("app", 20), ChangeSource { trusted: false, ..hook("forge") }],
        codebase_generator: true,
        schedulers,
        builders: vec![linux, builder_with_tag("mac", "macos"), builder("docs")],
        workers: vec![w1, worker_with_tag("w2", "macos"), worker_with_tag("w3", "macos")],
        reporters: vec![reporter("chat", &occasions)],
        limits: Limits { worker_lost_after: Milliseconds::from_seconds(60), ..Limits::default() },
        ..small()
    }
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let (world, outputs) = World::start(config(0));
        let machines = ["w1", "w2", "w3"].map(|name| (name.into(), Machine::default())).into();
        let mut chaos = Self { world, dice: Dice(seed), machines, mail: Vec::new(), faults: true, inputs: 0 };
        chaos.run(&outputs);
        chaos
    }

    /// Handles one input as the driver does: commit, then effects. With faults on, the host may die before or after the commit.
    fn tell(&mut self, input: Input) {
        let dies = self.faults && self.dice.one_in(80);
        let loses_commit = dies && self.dice.one_in(2);
        let before = loses_commit.then(|| self.world.store.clone());
        let outputs = self.world.tell(input);
        self.check(&outputs);
        self.inputs += 1;
        if let Some(before) = before {
            self.world.store = before;
        }
        if dies {
            return self.restart();
        }
        self.run(&outputs);
    }

    fn restart(&mut self) {
        for machine in self.machines.values_mut() {
            machine.connected = false;
        }
        if self.dice.one_in(2) {
            self.mail.clear();
        }
        let outputs = self.world.restart();
        self.check(&outputs);
        self.run(&outputs);
    }

    fn check(&self, outputs: &[Output]) {
        let first_effect = outputs.iter().position(|output| matches!(output, Output::Effect(_)));
        let last_write = outputs.iter().rposition(|output| matches!(output, Output::Write(_)));
        assert!(first_effect.is_none_or(|effect| last_write.is_none_or(|write| write < effect)));
        for view in self.world.engine.workers() {
            let most = if view.name.as_str() == "w1" { 1 } else { 2 };
            assert!(view.builds.len() <= most, "{} has {:?}", view.name, view.builds);
        }
        let open = self.world.store.builds.values().filter(|it| !matches!(it.state, BuildState::Finished { .. }));
        assert!(open.filter(|it| it.builder.as_str() == "linux").count() <= 3);
    }

    fn run(&mut self, outputs: &[Output]) {
        for effect in effects(outputs) {
            self.run_effect(effect);
        }
    }

    fn run_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Poll { source, attempt, .. } => {
                let result = self.answer(|dice| {
                    let changes = (0..dice.roll(3)).map(|n| seen(["ann", "bob"][n % 2], "r")).collect();
                    Polled { changes, cursor: format!("c{}", dice.roll(1000)), more: dice.one_in(5) }
                });
                self.mail.push(Input::Polled { source, attempt, result });
            }
            Effect::AskCodebase { change } => {
                let result = self.answer(|dice| (!dice.one_in(10)).then(String::new));
                self.mail.push(Input::CodebaseFound { change: change.id, result });
            }
            Effect::AskFilters { scheduler, change } => {
                let filters =
                    if scheduler.as_str() == "full" || self.world.config.schedulers[0].filters == 2 { 2 } else { 1 };
                let result = self.answer(|dice| {
                    let verdicts = [Verdict::Important, Verdict::Important, Verdict::Unimportant, Verdict::Ignored];
                    (0..filters).map(|_| (verdicts[dice.roll(4)], String::new())).collect()
                });
                self.mail.push(Input::Judged { scheduler, change: change.id, result });
            }
            Effect::Report { notice } => {
                let result = self.answer(|_| ());
                self.mail.push(Input::Reported { notice: notice.id, attempt: notice.attempt, result });
            }
            Effect::Dispatch { worker, order } => self.take_order(&worker, order.build.id, order.build.steps.len()),
            Effect::CancelBuild { worker, build, .. } => self.take_cancellation(&worker, build),
            Effect::Acknowledge { worker, build, sequence } => {
                if let Some(machine) = self.machines.get_mut(&worker).filter(|machine| machine.connected)
                    && let Some(script) = machine.builds.get_mut(&build)
                {
                    script.acknowledged = script.acknowledged.max(usize::try_from(sequence).expect("small"));
                    if script.acknowledged >= script.events.len() {
                        machine.builds.remove(&build);
                    }
                }
            }
            Effect::Answer { .. } | Effect::Warn { .. } => {}
        }
    }

    fn answer<T>(&mut self, value: impl FnOnce(&mut Dice) -> T) -> Result<T, Trouble> {
        match self.dice.roll(12) {
            0 if self.faults => Err(refused("broken")),
            1 | 2 if self.faults => Err(trouble("unavailable")),
            _ => Ok(value(&mut self.dice)),
        }
    }

    fn take_order(&mut self, worker: &WorkerName, build: BuildId, steps: usize) {
        let machine = self.machines.get_mut(worker).expect("a configured worker");
        if !machine.connected || machine.builds.contains_key(&build) {
            return;
        }
        let at = Wall(0);
        let mut events = vec![BuildEvent::Accepted];
        if self.faults && self.dice.one_in(8) {
            events = vec![BuildEvent::Declined { reason: "busy".to_owned() }];
        } else {
            let outcomes = [Outcome::Success, Outcome::Success, Outcome::Warnings, Outcome::Failure];
            for step in (0..steps).map(|step| u32::try_from(step).expect("few")) {
                events.push(BuildEvent::StepStarted { step, at });
                events.push(BuildEvent::StepFinished { step, outcome: Outcome::Success, summary: String::new(), at });
            }
            let outcome =
                if self.faults && self.dice.one_in(10) { Outcome::Retry } else { outcomes[self.dice.roll(4)] };
            events.push(BuildEvent::Finished { outcome, summary: String::new(), at });
        }
        machine.builds.insert(build, Script { events, told: 0, acknowledged: 0 });
    }

    /// The worker forgets a build that was acknowledged to its end; else it ends it and says so.
    fn take_cancellation(&mut self, worker: &WorkerName, build: BuildId) {
        let Some(machine) = self.machines.get_mut(worker).filter(|machine| machine.connected) else { return };
        let is_open = self
            .world
            .store
            .builds
            .get(&build)
            .is_some_and(|it| it.worker == *worker && !matches!(it.state, BuildState::Finished { .. }));
        if !is_open {
            machine.builds.remove(&build);
        } else if let Some(script) = machine.builds.get_mut(&build)
            && script.told < script.events.len()
        {
            script.events.truncate(script.told.max(1));
            let outcome = Outcome::Cancelled;
            script.events.push(BuildEvent::Finished { outcome, summary: String::new(), at: Wall(0) });
        }
    }

    /// A worker tells its next event of a build; with faults on, sometimes one that it told before.
    fn work(&mut self, name: &WorkerName) {
        let machine = &self.machines[name];
        if !machine.connected || machine.builds.is_empty() {
            return;
        }
        let index = self.dice.roll(machine.builds.len());
        let build = *machine.builds.keys().nth(index).expect("in range");
        let is_again = self.faults && self.dice.one_in(6);
        let script = self.machines.get_mut(name).and_then(|it| it.builds.get_mut(&build)).expect("just found");
        let position = if is_again && script.told > 0 { script.told - 1 } else { script.told };
        let Some(event) = script.events.get(position).cloned() else {
            script.told = script.acknowledged;
            return;
        };
        script.told = script.told.max(position + 1);
        let sequence = u64::try_from(position + 1).expect("small");
        self.tell(Input::BuildTold {
            worker: name.clone(),
            build,
            sequence,
            previous: sequence.saturating_sub(1),
            event,
        });
    }

    fn connect(&mut self, name: &WorkerName) {
        let machine = self.machines.get_mut(name).expect("a machine");
        machine.connected = true;
        for script in machine.builds.values_mut() {
            script.told = script.acknowledged;
        }
        let builds = machine.builds.keys().copied().collect();
        self.tell(Input::WorkerConnected { worker: name.clone(), info: info(SLOTS), builds });
    }

    fn deliver(&mut self) {
        if self.mail.is_empty() {
            return;
        }
        let index = self.dice.roll(self.mail.len());
        let input =
            if self.faults && self.dice.one_in(8) { self.mail[index].clone() } else { self.mail.swap_remove(index) };
        self.tell(input);
    }

    fn step(&mut self) {
        let name: WorkerName = ["w1", "w2", "w3"][self.dice.roll(3)].into();
        match self.dice.roll(24) {
            0..7 => self.deliver(),
            7..15 => self.work(&name),
            15 => self.pass(),
            16 => self.change_something(),
            17..19 => self.connect_if_away(&name),
            19 if self.dice.one_in(3) => {
                let machine = self.machines.get_mut(&name).expect("a machine");
                let (was, goodbye) = (machine.connected, self.dice.one_in(5));
                machine.connected = false;
                if self.dice.one_in(4) {
                    machine.builds.clear();
                }
                if was {
                    self.tell(Input::WorkerLeft { worker: name, goodbye });
                }
            }
            20 => self.ask(),
            21 if self.dice.one_in(10) => self.restart(),
            22 if self.dice.one_in(10) => {
                let variant = self.dice.roll(2);
                let config = config(variant);
                self.world.config = config.into();
                self.tell(Input::Configured(self.world.config.clone()));
            }
            _ => {}
        }
    }

    fn connect_if_away(&mut self, name: &WorkerName) {
        if !self.machines[name].connected {
            self.connect(name);
        }
    }

    fn pass(&mut self) {
        let seconds = [1, 3, 10, 40][self.dice.roll(4)];
        self.world.now.steady.0 += seconds * 1000;
        self.tell(Input::Tick);
    }

    fn change_something(&mut self) {
        let changes =
            (0..=self.dice.roll(2)).map(|_| seen_on(["main", "dev"][self.dice.roll(2)], "eve", "r")).collect();
        let delivery = Some(format!("d{}", self.dice.roll(40)));
        self.tell(Input::Received { source: "forge".into(), delivery, changes, reply: ReplyTo(0) });
    }

    /// People ask for all sorts of things, sensible or not.
    fn ask(&mut self) {
        let reply = ReplyTo(0);
        let last = self.world.store.requests.len() + 1;
        let request = RequestId(u64::try_from(self.dice.roll(last) + 1).expect("small"));
        let build = BuildId(u64::try_from(self.dice.roll(self.world.store.builds.len() + 1) + 1).expect("small"));
        let reason = "a person".to_owned();
        let builder = ["linux", "mac", "docs"][self.dice.roll(3)];
        let input = match self.dice.roll(8) {
            0 => Input::BuildCancelAsked { build, reason, reply },
            1 => Input::RequestCancelAsked { request, reason, reply },
            2 | 3 => Input::ApprovalGiven { request, approved: self.dice.one_in(2), by: reason, reply },
            4 => {
                let force = Force { scheduler: Some("everywhere".into()), ..Force::default() };
                Input::Forced { force, reply }
            }
            5 => {
                let Some(old) = self.world.store.builds.get(&build) else { return };
                let rebuild = Rebuild {
                    build,
                    builder: old.builder.clone(),
                    stamps: old.stamps.clone(),
                    blamelist: old.blamelist.clone(),
                    properties: old.properties.clone(),
                    owner: "ann".to_owned(),
                };
                Input::RebuildAsked { rebuild, reply }
            }
            6 => Input::PollNow { source: "app".into(), reply },
            _ => Input::Forced { force: Force { priority: Some(1), ..force(builder) }, reply },
        };
        self.tell(input);
    }

    fn open_requests(&self) -> Vec<RequestId> {
        let open = self.world.store.requests.values();
        let open = open.filter(|it| !matches!(it.state, RequestState::Complete { .. }));
        open.map(|request| request.id).collect()
    }

    /// No more faults, no more new work: everybody does their part, and everything that was asked for must end.
    fn calm_down(&mut self) {
        self.faults = false;
        let mut calm = config(0);
        calm.change_sources.clear();
        calm.schedulers.retain(|scheduler| !matches!(scheduler.kind, SchedulerKind::Periodic { .. }));
        self.world.config = calm.into();
        self.tell(Input::Configured(self.world.config.clone()));
        for _ in 0..400 {
            for name in ["w1", "w2", "w3"].map(WorkerName::from) {
                self.connect_if_away(&name);
                (0..20).for_each(|_| self.work(&name));
            }
            (0..10).for_each(|_| self.deliver());
            self.world.now.steady.0 += 10_000;
            self.tell(Input::Tick);
            for request in self.open_requests() {
                if self.world.store.requests[&request].state == RequestState::AwaitingApproval {
                    let by = "ann".to_owned();
                    self.tell(Input::ApprovalGiven { request, approved: true, by, reply: ReplyTo(0) });
                }
            }
            if self.open_requests().is_empty() && self.mail.is_empty() && self.world.engine.next_deadline().is_none() {
                return;
            }
        }
        let open = self.open_requests();
        let whys: Vec<_> = open.iter().map(|id| (id, self.world.engine.explain_request(*id))).collect();
        panic!("not finished: {whys:#?}, mail {:?}, deadline {:?}", self.mail, self.world.engine.next_deadline());
    }

    fn check_end(&self) {
        let store = &self.world.store;
        assert!(store.changes.values().all(|change| change.decided), "a change is undecided");
        assert!(store.buildsets.values().all(|set| matches!(set.state, BuildsetState::Finished { .. })));
        assert!(store.builds.values().all(|build| matches!(build.state, BuildState::Finished { .. })));
        for request in store.requests.values() {
            let builds: Vec<_> = store.builds.values().filter(|build| build.request == request.id).collect();
            let ended = |build: &&&std::sync::Arc<stampmill_model::Build>| {
                !matches!(build.state, BuildState::Finished { outcome: Outcome::Retry, .. })
            };
            assert!(builds.iter().filter(ended).count() <= 1, "request {} was built to the end twice", request.id);
        }
        let snapshot = store.snapshot();
        assert!(snapshot.requests.is_empty() && snapshot.builds.is_empty() && snapshot.notices.is_empty());
        let now = self.world.now;
        let (engine, outputs) = Engine::new(self.world.config.clone(), snapshot, now);
        assert_eq!((outputs, engine.next_deadline()), (Vec::new(), None), "nothing is left to do after a restart");
    }
}

/// One history to its end: inputs handled, builds made, builds that had to be made again.
fn history(seed: u64) -> [usize; 3] {
    let mut chaos = Chaos::new(seed);
    (0..700).for_each(|_| chaos.step());
    chaos.calm_down();
    chaos.check_end();
    let builds = &chaos.world.store.builds;
    let again = builds.values().filter(|build| build.attempt > 1).count();
    [chaos.inputs, builds.len(), again]
}

#[test]
fn whatever_happens_all_work_finishes_when_the_faults_stop() {
    let mut sums = [0; 3];
    for seed in 0..20 {
        let work = std::panic::catch_unwind(|| history(seed)).unwrap_or_else(|_| panic!("seed {seed} fails"));
        sums = std::array::from_fn(|n| sums[n] + work[n]);
    }
    let [inputs, builds, again] = sums;
    assert!(inputs > 10_000 && builds > 800 && again > 100, "the histories are too dull to show anything: {sums:?}");
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let stored = |seed| {
        let mut chaos = Chaos::new(seed);
        (0..300).for_each(|_| chaos.step());
        let store = chaos.world.store;
        (store.builds, store.requests, store.changes, store.delivered)
    };
    assert_eq!(stored(7), stored(7));
    assert_ne!(stored(7).0, stored(8).0);
}

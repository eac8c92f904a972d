//! One run: a host with the real engine, and a world that goes wrong around it until the faults stop.

mod calm;

use std::collections::VecDeque;
use std::sync::Arc;

use stampmill_engine::{Answer, Effect, Engine, Input, Output, ReplyTo, Write, invariants as engine_invariants};
use stampmill_model::{Milliseconds, Now, Steady, Wall};

use crate::configuration::House;
use crate::dice::Dice;
use crate::disk::Disk;
use crate::facts::{Facts, Step};
use crate::forge::Forge;
use crate::invariants::{Invariants, Violation};
use crate::people;
use crate::records::Written;
use crate::workers::{Link, Machine, ToWorker};

/// In one run of so many the real store stands beside the simulated disk: such a run takes about three times as long.
const WITH_STORE_ONE_IN: u64 = 64;

/// Inputs that are kept to be shown before a violation.
const SHOWN: usize = 20;

/// The engine looks at all of its state after one input in so many; the invariants of the simulation look at each.
const CHECKED_ONE_IN: u64 = 8;

/// What a run came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Work {
    /// Inputs that the engine handled.
    pub inputs: u64,
    /// Builds that were started.
    pub builds: u64,
    /// Builds that were not the first of their request.
    pub again: u64,
    /// Starts from what was stored.
    pub starts: u64,
}

impl std::ops::Add for Work {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            inputs: self.inputs + other.inputs,
            builds: self.builds + other.builds,
            again: self.again + other.again,
            starts: self.starts + other.starts,
        }
    }
}

/// A run that has broken a promise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Which seed.
    pub seed: u64,
    /// Which invariant.
    pub invariant: &'static str,
    /// What was broken.
    pub what: String,
    /// The last inputs before that, and what the world did.
    pub before: Vec<String>,
}

/// How often things go wrong in a run: one time in so many, each by itself, so that some runs have much of one fault and none of another.
#[derive(Debug)]
struct Rates {
    crash: usize,
    refusal: usize,
    cut: usize,
    reload: usize,
    wall: usize,
    wish: usize,
}

impl Rates {
    fn new(dice: &mut Dice) -> Self {
        let mut rate = |of: &[usize]| *dice.pick(of);
        Self {
            crash: rate(&[30, 80, 200, usize::MAX]),
            refusal: rate(&[40, 100, usize::MAX]),
            cut: rate(&[20, 60, 200]),
            reload: rate(&[20, 60, 200]),
            wall: rate(&[5, 50]),
            wish: rate(&[4, 8, 30]),
        }
    }
}

/// The world of one run.
struct Simulation<'a> {
    dice: Dice,
    rates: Rates,
    house: House,
    engine: Engine,
    inbox: VecDeque<Input>,
    facts: Facts,
    forge: Forge,
    machines: Vec<Machine>,
    invariants: Invariants,
    replies: u64,
    work: Work,
    shown: Shown<'a>,
}

/// Runs a seed to its end.
///
/// # Errors
/// The first promise that is broken.
pub fn run(seed: u64) -> Result<Work, Box<Failure>> {
    // What led to a violation is written down only when there is one: the same seed gives the same history.
    attempt(seed, 0).0.map_err(|failure| attempt(seed, SHOWN).0.err().unwrap_or(failure))
}

/// All that happens in a run, one line each.
#[must_use]
pub fn history(seed: u64) -> Vec<String> {
    attempt(seed, usize::MAX).1
}

fn attempt(seed: u64, shown: usize) -> (Result<Work, Box<Failure>>, Vec<String>) {
    let mut events = VecDeque::new();
    // A panic of the engine is a violation as any other.
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut simulation = Simulation::new(seed, Shown { events: &mut events, most: shown })?;
        simulation.play()?;
        Ok(simulation.work)
    }));
    let events = Vec::from(events);
    let Violation { invariant, what } = match ended {
        Ok(Ok(work)) => return (Ok(work), events),
        Ok(Err(violation)) => violation,
        Err(panic) => Violation { invariant: "the engine does not panic", what: words_of(panic.as_ref()) },
    };
    (Err(Box::new(Failure { seed, invariant, what, before: events })), Vec::new())
}

/// The last events.
struct Shown<'a> {
    events: &'a mut VecDeque<String>,
    most: usize,
}

impl Shown<'_> {
    fn event(&mut self, event: impl FnOnce() -> String) {
        if self.most > 0 {
            if self.events.len() == self.most {
                self.events.pop_front();
            }
            self.events.push_back(event());
        }
    }
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it has").to_owned()
}

impl<'a> Simulation<'a> {
    fn new(seed: u64, shown: Shown<'a>) -> Result<Self, Violation> {
        let mut dice = Dice::new(seed);
        let rates = Rates::new(&mut dice);
        let house = House::new(&mut dice);
        let config = Arc::new(house.full());
        let disk =
            if seed.is_multiple_of(WITH_STORE_ONE_IN) { Disk::with_store().map_err(store)? } else { Disk::default() };
        let now = Now { steady: Steady(0), wall: Wall(1_700_000_000_000) };
        let machines = config.workers.iter().map(|worker| Machine::new(worker.name.clone())).collect();
        let (engine, outputs) = Engine::new(Arc::clone(&config), stampmill_engine::Snapshot::default(), now);
        let mut simulation = Self {
            dice,
            rates,
            house,
            engine,
            inbox: VecDeque::new(),
            facts: Facts::new(config, disk, now),
            forge: Forge::default(),
            machines,
            invariants: Invariants::new(),
            replies: 0,
            work: Work::default(),
            shown,
        };
        simulation.took(None, &outputs, false)?;
        simulation.carry_out(outputs)?;
        Ok(simulation)
    }

    fn play(&mut self) -> Result<(), Violation> {
        for _ in 0..150 + self.dice.roll(200) {
            self.step()?;
        }
        self.calm_down()?;
        self.invariants.over(&self.facts)
    }

    /// Something happens.
    fn step(&mut self) -> Result<(), Violation> {
        let faults = self.facts.faults;
        let index = self.dice.roll(self.machines.len());
        match self.dice.roll(16) {
            0..4 => self.inbox.extend(self.forge.answer(&mut self.dice, faults)),
            4..10 => self.work_on(index),
            10 => self.pass(),
            11 => self.forge.push(&mut self.dice, &mut self.facts, &self.house.codebases),
            12 => {
                let reply = self.reply();
                self.inbox.extend(self.forge.deliver(&mut self.dice, reply));
            }
            13 => self.link(index),
            14 => self.upset(index)?,
            _ => {}
        }
        if self.dice.one_in(self.rates.wish) {
            let reply = self.reply();
            let codebases = &self.house.codebases;
            self.inbox.push_back(people::wish(&mut self.dice, &self.facts, &mut self.forge, codebases, reply));
        }
        if self.dice.one_in(self.rates.reload) {
            let config = Arc::new(self.house.variant(&mut self.dice));
            self.inbox.push_back(Input::Configured(config));
        }
        // A busy driver finds several inputs at once.
        if self.dice.one_in(3) { Ok(()) } else { self.turn() }
    }

    fn reply(&mut self) -> ReplyTo {
        self.replies += 1;
        ReplyTo(self.replies)
    }

    /// A worker hears, works and tells.
    fn work_on(&mut self, index: usize) {
        let (faults, is_all_heard) = (self.facts.faults, self.inbox.is_empty());
        let machine = &mut self.machines[index];
        for _ in 0..3 {
            machine.hear(&mut self.dice, &mut self.facts);
            machine.work(&mut self.dice, is_all_heard);
        }
        for _ in 0..=self.dice.roll(3) {
            self.inbox.extend(machine.deliver(&mut self.dice, faults));
        }
    }

    /// A worker that is away connects.
    fn link(&mut self, index: usize) {
        let machine = &mut self.machines[index];
        // The gateway refuses one that is not configured, but for the moment of a reload.
        let is_welcome = self.facts.worker(&machine.name).is_some() || self.dice.one_in(10);
        if matches!(machine.link, Link::Cut | Link::Down) && is_welcome {
            self.inbox.push_back(machine.connect(&mut self.dice, self.facts.faults));
        }
    }

    /// Something goes wrong with a worker.
    fn upset(&mut self, index: usize) -> Result<(), Violation> {
        let machine = &mut self.machines[index];
        match machine.link {
            Link::Up if self.dice.one_in(self.rates.cut / 8 + 1) => match self.dice.roll(4) {
                0 => {
                    machine.cut();
                    machine.forget();
                }
                1 => self.inbox.push_back(machine.leave(&mut self.facts)),
                _ => machine.cut(),
            },
            Link::Leaving if machine.is_quiet() || self.dice.one_in(4) => {
                machine.cut();
                self.inbox.push_back(machine.noticed(true));
            }
            Link::Cut => self.inbox.push_back(machine.noticed(false)),
            Link::Up | Link::Leaving | Link::Down => {}
        }
        if self.dice.one_in(self.rates.crash) { self.crash() } else { Ok(()) }
    }

    /// Time passes: often to the next deadline, as the driver waits for it, sometimes past it.
    fn pass(&mut self) {
        let now = self.facts.now.steady;
        let length = match self.engine.next_deadline().filter(|at| *at > now) {
            Some(at) if self.dice.one_in(2) => at.0 - now.0,
            _ => {
                let most = *self.dice.pick(&[1_000, 10_000, 60_000]);
                self.dice.between(0, most)
            }
        };
        self.advance(Milliseconds(length));
        self.inbox.push_back(Input::Tick);
    }

    fn advance(&mut self, length: Milliseconds) {
        self.facts.now.steady = self.facts.now.steady + length;
        let wall = &mut self.facts.now.wall.0;
        *wall = wall.saturating_add(length.0);
        if self.facts.faults && self.dice.one_in(self.rates.wall) {
            let jump = self.dice.between(0, 7_200_000);
            *wall = if self.dice.one_in(2) { wall.saturating_sub(jump) } else { wall.saturating_add(jump) };
        }
    }

    /// The driver takes what waits: handles it, commits, acts.
    fn turn(&mut self) -> Result<(), Violation> {
        let mut outputs = Vec::new();
        for _ in 0..=self.dice.roll(4) {
            let Some(input) = self.inbox.pop_front() else { break };
            self.shown.event(|| format!("input {input:?}"));
            outputs.extend(self.handle(&input)?);
        }
        if self.engine.next_deadline().is_some_and(|at| at <= self.facts.now.steady) {
            self.shown.event(|| "input Tick".to_owned());
            outputs.extend(self.handle(&Input::Tick)?);
        }
        if outputs.is_empty() { Ok(()) } else { self.carry_out(outputs) }
    }

    fn handle(&mut self, input: &Input) -> Result<Vec<Output>, Violation> {
        if let Input::Configured(config) = input {
            self.facts.config = Arc::clone(config);
        }
        let was_due = self.engine.next_deadline().is_some_and(|at| at <= self.facts.now.steady);
        let outputs = self.engine.handle(self.facts.now, input.clone());
        self.work.inputs += 1;
        self.took(Some(input), &outputs, was_due)?;
        Ok(outputs)
    }

    /// Notes what the engine says, and judges it.
    fn took(&mut self, input: Option<&Input>, outputs: &[Output], was_due: bool) -> Result<(), Violation> {
        let writes = outputs.iter().filter_map(|output| match output {
            Output::Write(write) => Some(write),
            Output::Effect(_) => None,
        });
        let said = &mut self.facts.said;
        let written: Vec<_> = writes.map(|write| said.apply(write)).collect();
        self.facts.learn(input, &written);
        // A debug build of the engine looks at itself.
        if !cfg!(debug_assertions)
            && self.work.inputs.is_multiple_of(CHECKED_ONE_IN)
            && let Some(violation) = engine_invariants::check(&self.engine).into_iter().next()
        {
            return Err(Violation { invariant: "the engine's state is sound", what: violation.0 });
        }
        let step = Step { input, outputs, written: &written, engine: &self.engine, was_due };
        self.invariants.handled(&self.facts, &step)
    }

    /// Commits, then acts; or something comes in between.
    fn carry_out(&mut self, outputs: Vec<Output>) -> Result<(), Violation> {
        self.shown.event(|| format!("  {outputs:?}"));
        let (writes, effects) = split(outputs);
        if self.faults_with(self.rates.crash) {
            return self.crash();
        }
        if !writes.is_empty() {
            let fails = self.faults_with(self.rates.refusal);
            // An error of the disk may come after the decisive write.
            if fails && self.dice.one_in(3) {
                self.commit(&writes)?;
            }
            if fails {
                return self.reload();
            }
            self.commit(&writes)?;
        }
        // It may die after some of the effects, or after none of them.
        let last = if self.faults_with(self.rates.crash) { self.dice.roll(effects.len() + 1) } else { usize::MAX };
        for (index, effect) in effects.into_iter().enumerate() {
            if index == last {
                return self.crash();
            }
            self.act(effect)?;
        }
        if last == usize::MAX { Ok(()) } else { self.crash() }
    }

    fn faults_with(&mut self, rate: usize) -> bool {
        self.facts.faults && self.dice.one_in(rate)
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), Violation> {
        let written: Vec<Written> = self.facts.disk.commit(writes, self.facts.now.steady).map_err(store)?;
        self.invariants.committed(&self.facts, &written)
    }

    /// The host dies and starts again, perhaps with another configuration. Steady time goes on from what was stored.
    fn crash(&mut self) -> Result<(), Violation> {
        self.shown.event(|| "the host dies and starts again".to_owned());
        self.forge.host_died();
        self.facts.now.steady = self.facts.disk.steady;
        if self.facts.faults && self.dice.one_in(6) {
            self.facts.config = Arc::new(self.house.variant(&mut self.dice));
        }
        self.start()
    }

    /// The store has refused a commit: what waits is dropped and the engine is loaded again, while plugins go on.
    fn reload(&mut self) -> Result<(), Violation> {
        self.shown.event(|| "a commit fails, and the engine is loaded again".to_owned());
        // The driver leaves the store alone for so long at least.
        let pause = self.dice.between(200, 5_000);
        self.advance(Milliseconds(pause));
        self.start()
    }

    fn start(&mut self) -> Result<(), Violation> {
        for input in std::mem::take(&mut self.inbox) {
            // A reload of the configuration is no decision of the engine: it holds from now on.
            if let Input::Configured(config) = input {
                self.facts.config = config;
            }
        }
        for machine in &mut self.machines {
            machine.cut();
            machine.link = Link::Down;
        }
        self.work.starts += 1;
        let (snapshot, _) = self.facts.disk.load().map_err(store)?;
        self.facts.begin_anew();
        let (engine, outputs) = Engine::new(Arc::clone(&self.facts.config), snapshot, self.facts.now);
        self.engine = engine;
        self.took(None, &outputs, true)?;
        self.carry_out(outputs)
    }

    fn act(&mut self, effect: Effect) -> Result<(), Violation> {
        self.invariants.acted(&self.facts, &effect)?;
        let (dice, facts, forge) = (&mut self.dice, &mut self.facts, &mut self.forge);
        match effect {
            Effect::Poll { source, cursor, attempt } => forge.polled(dice, facts, source, cursor.as_deref(), attempt),
            Effect::AskCodebase { change } => forge.codebase(dice, facts, &change, &self.house.codebases),
            Effect::AskFilters { scheduler, change } => forge.judged(dice, facts, scheduler, &change),
            Effect::AskMergeKey { request, .. } => forge.merge_key(dice, facts, request.id),
            Effect::Report { notice } => forge.told(dice, facts, &notice),
            Effect::Answer { reply, answer } => {
                // A source that is gone takes nothing; the forge's people see that and clean up.
                let is_taken = matches!(answer, Answer::ChangesTaken(_));
                forge.answered(dice, facts, reply, is_taken);
            }
            Effect::Dispatch { worker, order } => self.send(&worker, ToWorker::Dispatch(order)),
            Effect::CancelBuild { worker, build, .. } => self.send(&worker, ToWorker::Cancel(build)),
            Effect::TellLocks { worker, build, step } => self.send(&worker, ToWorker::LocksTaken(build, step)),
            Effect::TellTrigger { worker, build, number, state } => {
                self.send(&worker, ToWorker::Triggered(build, number, state));
            }
            Effect::Acknowledge { worker, build, sequence } => {
                self.send(&worker, ToWorker::Acknowledge(build, sequence))
            }
            Effect::Warn { .. } => {}
        }
        Ok(())
    }

    fn send(&mut self, worker: &stampmill_model::WorkerName, message: ToWorker) {
        if let Some(machine) = self.machines.iter_mut().find(|machine| machine.name == *worker) {
            machine.send(message);
        }
    }
}

fn split(outputs: Vec<Output>) -> (Vec<Write>, Vec<Effect>) {
    let (mut writes, mut effects) = (Vec::new(), Vec::new());
    for output in outputs {
        match output {
            Output::Write(write) => writes.push(write),
            Output::Effect(effect) => effects.push(effect),
        }
    }
    (writes, effects)
}

fn store(what: String) -> Violation {
    Violation { invariant: "the store hands out what was written", what }
}

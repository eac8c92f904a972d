//! Workers, and the network between them and the host.
//!
//! A connection keeps the order of messages and loses those that are under way when it ends. Faults go further: a message of a worker may come
//! twice, late, out of order, or not at all, as a commit that failed makes it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use stampmill_engine::Input;
use stampmill_model::{
    BuildEvent, BuildId, BuildOrder, Outcome, ProgramEnd, Tier, TriggerState, TriggerWish, Wall, WorkerInfo, WorkerName,
};

use crate::configuration::scheduler_name;
use crate::dice::Dice;
use crate::facts::Facts;

/// One in so many looks at a step that waits for what it has triggered ends its patience.
const WAITS_MOST: usize = 40;
/// How the program of a build may end; failures are tried again for some of these.
const PROGRAM_ENDS: [Option<ProgramEnd>; 4] =
    [None, Some(ProgramEnd::Exited(1)), Some(ProgramEnd::Exited(75)), Some(ProgramEnd::Signalled(9))];

/// What a host says to a worker.
#[derive(Clone, Debug)]
pub(crate) enum ToWorker {
    Dispatch(Box<BuildOrder>),
    Cancel(BuildId),
    Triggered(BuildId, u32, TriggerState),
    LocksTaken(BuildId, u32),
    Acknowledge(BuildId, u64),
}

/// A worker as it is, whatever the host believes.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) name: WorkerName,
    pub(crate) link: Link,
    builds: BTreeMap<BuildId, Script>,
    up: VecDeque<Input>,
    down: VecDeque<ToWorker>,
    /// Copies that the network still has.
    late: Vec<Input>,
}

/// How a machine is connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Link {
    Up,
    /// It has said goodbye, and hands in what it has.
    Leaving,
    /// The host has not noticed yet.
    Cut,
    Down,
}

/// What a machine tells of a build, in order, and how far it is.
#[derive(Debug)]
struct Script {
    events: Vec<(u64, BuildEvent)>,
    told: usize,
    /// How many it has ever told: the host may have them, so they stay as they are.
    spooled: usize,
    /// The number told before on this connection.
    previous: u64,
    acknowledged: u64,
    /// Before which event it waits for the end of which of its triggers.
    waits: BTreeMap<usize, u32>,
    /// Its triggers that the host has said are over.
    over: BTreeSet<u32>,
    /// Before which event it waits for the locks of which of its steps.
    locks: BTreeMap<usize, u32>,
    /// The steps of which the host has said that they have their locks.
    taken: BTreeSet<u32>,
}

impl Machine {
    pub(crate) fn new(name: WorkerName) -> Self {
        Self {
            name,
            link: Link::Down,
            builds: BTreeMap::new(),
            up: VecDeque::new(),
            down: VecDeque::new(),
            late: Vec::new(),
        }
    }

    fn is_linked(&self) -> bool {
        matches!(self.link, Link::Up | Link::Leaving)
    }

    /// Whether nothing is left to tell or to hear.
    pub(crate) fn is_quiet(&self) -> bool {
        self.builds.is_empty() && self.up.is_empty() && self.down.is_empty()
    }

    /// Connects, and names the builds that it has.
    pub(crate) fn connect(&mut self, dice: &mut Dice, faults: bool) -> Input {
        self.link = Link::Up;
        for script in self.builds.values_mut() {
            script.rewind();
        }
        let (max_builds, tier) = if faults {
            (
                u32::try_from(dice.between(1, 3)).unwrap_or(1),
                [Tier::Sandboxed, Tier::Degraded][usize::from(dice.one_in(6))],
            )
        } else {
            (2, Tier::Sandboxed)
        };
        let builds = self.builds.keys().copied().collect();
        Input::WorkerConnected { worker: self.name.clone(), info: info(max_builds, tier), builds }
    }

    /// The connection ends; what was under way is lost.
    pub(crate) fn cut(&mut self) {
        self.up.clear();
        self.down.clear();
        self.link = Link::Cut;
    }

    /// The machine starts anew without its builds.
    pub(crate) fn forget(&mut self) {
        self.builds.clear();
        self.late.clear();
    }

    /// It ends in order: builds are stopped and handed in.
    pub(crate) fn leave(&mut self, facts: &mut Facts) -> Input {
        self.link = Link::Leaving;
        for (id, script) in &mut self.builds {
            script.end(Outcome::Retry);
            facts.scripts.insert(*id, script.events.clone());
        }
        Input::WorkerLeaves { worker: self.name.clone() }
    }

    /// The host says something; it arrives if there is a connection.
    pub(crate) fn send(&mut self, message: ToWorker) {
        if self.is_linked() {
            self.down.push_back(message);
        }
    }

    /// Takes the next message of the host.
    pub(crate) fn hear(&mut self, dice: &mut Dice, facts: &mut Facts) {
        let Some(message) = self.down.pop_front() else { return };
        match message {
            ToWorker::Dispatch(order) => {
                if facts.faults && dice.one_in(10) {
                    self.down.push_front(ToWorker::Dispatch(order.clone()));
                }
                let build = order.build.id;
                let is_leaving = self.link == Link::Leaving;
                let script =
                    self.builds.entry(build).or_insert_with(|| Script::new(&order, dice, is_leaving, facts.faults));
                facts.scripts.insert(build, script.events.clone());
            }
            ToWorker::Cancel(build) => {
                if let Some(script) = self.builds.get_mut(&build) {
                    script.end(Outcome::Cancelled);
                    facts.scripts.insert(build, script.events.clone());
                }
            }
            ToWorker::Triggered(build, number, state) => {
                if let Some(script) = self.builds.get_mut(&build)
                    && !matches!(state, TriggerState::Open { .. })
                {
                    script.over.insert(number);
                }
            }
            ToWorker::LocksTaken(build, step) => {
                if let Some(script) = self.builds.get_mut(&build) {
                    script.taken.insert(step);
                }
            }
            ToWorker::Acknowledge(build, sequence) => {
                if let Some(script) = self.builds.get_mut(&build) {
                    script.acknowledged = script.acknowledged.max(sequence);
                    if script.is_over() {
                        self.builds.remove(&build);
                    }
                }
            }
        }
    }

    /// Works on one of its builds, which makes a message. When the host has heard all and a build is told and not acknowledged, something was lost.
    pub(crate) fn work(&mut self, dice: &mut Dice, is_all_heard: bool) {
        if !self.is_linked() || self.builds.is_empty() {
            return;
        }
        let is_lost = is_all_heard && self.up.is_empty() && self.down.is_empty();
        let index = dice.roll(self.builds.len());
        let Some((build, script)) = self.builds.iter_mut().nth(index) else { return };
        match script.events.get(script.told) {
            Some(_) if script.is_locked() && !is_lost => {}
            Some(_) if script.is_locked() => script.rewind(),
            // It waits, until the time limit of its step is over.
            Some(_) if script.is_waiting() && !dice.one_in(WAITS_MOST) => {}
            Some((sequence, event)) => {
                let (worker, event) = (self.name.clone(), event.clone());
                let (sequence, previous) = (*sequence, script.previous);
                (script.told, script.previous) = (script.told + 1, sequence);
                script.spooled = script.spooled.max(script.told);
                self.up.push_back(Input::BuildTold { worker, build: *build, sequence, previous, event });
            }
            None if is_lost => script.rewind(),
            None => {}
        }
    }

    /// The network hands a message to the host, as it sees fit.
    pub(crate) fn deliver(&mut self, dice: &mut Dice, faults: bool) -> Option<Input> {
        if faults && !self.late.is_empty() && dice.one_in(6) {
            return Some(self.late.swap_remove(dice.roll(self.late.len())));
        }
        if faults && self.up.len() > 1 && dice.one_in(12) {
            self.up.swap(0, 1);
        }
        let message = self.up.pop_front()?;
        match dice.roll(30) {
            0 if faults => return None,
            1 if faults => self.up.push_front(message.clone()),
            2 | 3 if faults => self.late.push(message.clone()),
            _ => {}
        }
        Some(message)
    }

    /// The end of a connection is noticed.
    pub(crate) fn noticed(&mut self, goodbye: bool) -> Input {
        self.link = Link::Down;
        Input::WorkerLeft { worker: self.name.clone(), goodbye }
    }
}

impl Script {
    fn new(order: &BuildOrder, dice: &mut Dice, declines: bool, faults: bool) -> Self {
        let at = order.build.started_at;
        let mut events = Vec::new();
        let (mut triggers, mut waits, mut locks) = (0, BTreeMap::new(), BTreeMap::new());
        if declines || faults && dice.one_in(8) {
            events.push(BuildEvent::Declined { reason: "busy".to_owned() });
        } else {
            let outcomes = [Outcome::Success, Outcome::Success, Outcome::Warnings, Outcome::Failure];
            events.push(BuildEvent::Accepted);
            for (step, plan) in (0..).zip(&order.job.steps) {
                if !plan.locks.is_empty() {
                    events.push(BuildEvent::LocksWanted { step });
                    locks.insert(events.len(), step);
                }
                events.push(BuildEvent::StepStarted { step, at });
                if faults && dice.one_in(6) {
                    let number = triggers;
                    triggers += 1;
                    events.push(BuildEvent::Triggered { step, wish: Box::new(wish(dice, number)) });
                    if dice.one_in(2) {
                        waits.insert(events.len(), number);
                    }
                }
                let outcome = *dice.pick(&outcomes);
                events.push(BuildEvent::StepFinished { step, outcome, summary: String::new(), at });
            }
            let outcome = if faults && dice.one_in(10) { Outcome::Retry } else { *dice.pick(&outcomes) };
            let program = *dice.pick(&PROGRAM_ENDS);
            events.push(BuildEvent::Finished { outcome, summary: String::new(), at, program });
        }
        // The numbers between are those of log frames.
        let mut sequence = 0;
        let numbered = events.into_iter().map(|event| {
            sequence += dice.between(1, 3);
            (sequence, event)
        });
        let events = numbered.collect();
        Self {
            events,
            told: 0,
            spooled: 0,
            previous: 0,
            acknowledged: 0,
            waits,
            over: BTreeSet::new(),
            locks,
            taken: BTreeSet::new(),
        }
    }

    fn is_waiting(&self) -> bool {
        self.waits.get(&self.told).is_some_and(|number| !self.over.contains(number))
    }

    fn is_locked(&self) -> bool {
        self.locks.get(&self.told).is_some_and(|step| !self.taken.contains(step))
    }

    /// What is not acknowledged is told again.
    fn rewind(&mut self) {
        self.told = self.events.partition_point(|(sequence, _)| *sequence <= self.acknowledged);
        self.previous = 0;
    }

    fn is_over(&self) -> bool {
        self.events.last().is_none_or(|(sequence, _)| *sequence <= self.acknowledged)
    }

    /// Ends the build where it is; one that has told its end stays as it is.
    fn end(&mut self, outcome: Outcome) {
        if self.spooled < self.events.len() {
            self.events.truncate(self.spooled);
            self.waits.clear();
            self.locks.clear();
            let last = self.events.last().map_or(0, |(sequence, _)| *sequence);
            self.events
                .push((last + 1, BuildEvent::Finished { outcome, summary: String::new(), at: Wall(0), program: None }));
        }
    }
}

/// What a step asks of any scheduler, granted or not.
fn wish(dice: &mut Dice, number: u32) -> TriggerWish {
    TriggerWish {
        number,
        scheduler: scheduler_name(dice).into(),
        latest: dice.one_in(3),
        versions: BTreeMap::new(),
        properties: BTreeMap::new(),
        detached: dice.one_in(2),
    }
}

fn info(max_builds: u32, tier: Tier) -> WorkerInfo {
    WorkerInfo {
        version: String::new(),
        os: String::new(),
        arch: String::new(),
        uname: Vec::new(),
        cores: 1,
        max_builds,
        tier,
        mechanisms: Vec::new(),
        tools: BTreeMap::new(),
    }
}

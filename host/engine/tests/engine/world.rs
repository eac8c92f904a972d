//! An engine with a store beside it that keeps what is written, so that a story can restart at any place.

use std::collections::BTreeMap;
use std::sync::Arc;

use stampmill_engine::input::Force;
use stampmill_engine::output::{Delivery, Notice, NoticeState, SchedulerState, WorkerKept};
use stampmill_engine::snapshot::LastIds;
use stampmill_engine::{Answer, Config, Effect, Engine, Input, Output, ReplyTo, Snapshot, Write, invariants};
use stampmill_model::{
    Build, BuildEvent, BuildId, BuildOrder, BuildState, Buildset, BuildsetId, BuildsetState, Change, ChangeId,
    ChangeSourceName, Milliseconds, NoticeId, Now, Outcome, ProgramEnd, Request, RequestId, RequestState,
    SchedulerName, SeenChange, Steady, Wall, WorkerName,
};

use crate::setup::info;

/// Everything that was ever written, by key.
#[derive(Clone, Default)]
pub(crate) struct Store {
    pub(crate) changes: BTreeMap<ChangeId, Arc<Change>>,
    pub(crate) buildsets: BTreeMap<BuildsetId, Arc<Buildset>>,
    pub(crate) requests: BTreeMap<RequestId, Arc<Request>>,
    pub(crate) builds: BTreeMap<BuildId, Arc<Build>>,
    pub(crate) sequences: BTreeMap<BuildId, u64>,
    pub(crate) cursors: BTreeMap<ChangeSourceName, String>,
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) schedulers: BTreeMap<SchedulerName, SchedulerState>,
    pub(crate) workers: BTreeMap<WorkerName, WorkerKept>,
    pub(crate) notices: BTreeMap<NoticeId, Notice>,
    pub(crate) delivered: Vec<NoticeId>,
}

impl Store {
    pub(crate) fn apply(&mut self, outputs: &[Output]) {
        for output in outputs {
            if let Output::Write(write) = output {
                self.write(write.clone());
            }
        }
    }

    fn write(&mut self, write: Write) {
        match write {
            Write::Change(change) => drop(self.changes.insert(change.id, change)),
            Write::Buildset(set) => drop(self.buildsets.insert(set.id, set)),
            Write::Request(request) => drop(self.requests.insert(request.id, request)),
            Write::Build(build) => drop(self.builds.insert(build.id, build)),
            Write::BuildSequence(build, sequence) => drop(self.sequences.insert(build, sequence)),
            Write::Cursor(source, cursor) => drop(self.cursors.insert(source, cursor)),
            Write::Delivery(delivery) => self.deliveries.push(delivery),
            Write::SchedulerState(name, state) => drop(self.schedulers.insert(name, state)),
            Write::Worker(name, kept) => drop(self.workers.insert(name, kept)),
            Write::Notice(notice) => drop(self.notices.insert(notice.id, notice)),
            Write::NoticeDone(id) => {
                assert!(self.notices.remove(&id).is_some(), "notice {id} was delivered, but never written");
                self.delivered.push(id);
            }
        }
    }

    /// What is not finished, as the real store hands it out.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let open = |set: &&Arc<Buildset>| matches!(set.state, BuildsetState::Open { .. });
        let buildsets: Vec<_> = self.buildsets.values().filter(open).cloned().collect();
        let in_set =
            |id: &ChangeId| buildsets.iter().any(|set| set.stamps.iter().any(|stamp| stamp.changes.contains(id)));
        let in_build = |id: &ChangeId| {
            let open = self.builds.values().filter(|it| !matches!(it.state, BuildState::Finished { .. }));
            open.flat_map(|build| &build.stamps).any(|stamp| stamp.changes.contains(id))
        };
        let in_batch = |id: &ChangeId| {
            self.schedulers.values().any(|state| state.batches.iter().any(|batch| batch.changes.contains(id)))
        };
        let changes = self.changes.values();
        let changes = changes.filter(|it| !it.decided || in_set(&it.id) || in_build(&it.id) || in_batch(&it.id));
        let requests = self.requests.values().filter(|it| buildsets.iter().any(|set| set.id == it.buildset));
        let builds = self.builds.values().filter(|it| !matches!(it.state, BuildState::Finished { .. }));
        let with_sequence = builds.map(|it| (Arc::clone(it), self.sequences.get(&it.id).copied().unwrap_or(0)));
        let mut numbers = BTreeMap::new();
        for build in self.builds.values() {
            let number = numbers.entry(build.builder.clone()).or_insert(0);
            *number = build.number.max(*number);
        }
        let notices = self.notices.values().filter(|it| !matches!(it.state, NoticeState::Dead { .. }));
        let last_notice = self.notices.keys().chain(&self.delivered).max().copied();
        Snapshot {
            changes: changes.cloned().collect(),
            requests: requests.cloned().collect(),
            builds: with_sequence.collect(),
            cursors: self.cursors.clone().into_iter().collect(),
            schedulers: self.schedulers.clone().into_iter().collect(),
            workers: self.workers.clone().into_iter().collect(),
            notices: notices.cloned().collect(),
            deliveries: self.deliveries.clone(),
            build_numbers: numbers.into_iter().collect(),
            last: LastIds {
                change: self.changes.keys().next_back().copied().unwrap_or(ChangeId(0)),
                buildset: self.buildsets.keys().next_back().copied().unwrap_or(BuildsetId(0)),
                request: self.requests.keys().next_back().copied().unwrap_or(RequestId(0)),
                build: self.builds.keys().next_back().copied().unwrap_or(BuildId(0)),
                notice: last_notice.unwrap_or(NoticeId(0)),
            },
            buildsets,
        }
    }
}

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) store: Store,
    pub(crate) config: Arc<Config>,
    pub(crate) now: Now,
    sequences: BTreeMap<BuildId, u64>,
}

impl World {
    /// An engine that starts for the first time, and what it gives out.
    pub(crate) fn start(config: Config) -> (Self, Vec<Output>) {
        let config = Arc::new(config);
        let now = Now { steady: Steady(0), wall: Wall(1_000_000) };
        let (engine, outputs) = Engine::new(Arc::clone(&config), Snapshot::default(), now);
        let mut store = Store::default();
        store.apply(&outputs);
        (Self { engine, store, config, now, sequences: BTreeMap::new() }, outputs)
    }

    /// The same, where the first outputs don't matter.
    pub(crate) fn new(config: Config) -> Self {
        Self::start(config).0
    }

    /// Stops without warning and starts from what was stored.
    pub(crate) fn restart(&mut self) -> Vec<Output> {
        let (engine, outputs) = Engine::new(Arc::clone(&self.config), self.store.snapshot(), self.now);
        self.engine = engine;
        self.took(outputs)
    }

    pub(crate) fn tell(&mut self, input: Input) -> Vec<Output> {
        let outputs = self.engine.handle(self.now, input);
        self.took(outputs)
    }

    fn took(&mut self, outputs: Vec<Output>) -> Vec<Output> {
        self.store.apply(&outputs);
        // In a debug build the engine has checked itself.
        if !cfg!(debug_assertions) {
            assert_eq!(invariants::check(&self.engine), []);
        }
        outputs
    }

    /// Time passes; the engine is called at each of its deadlines, as a driver does.
    pub(crate) fn pass(&mut self, seconds: u64) -> Vec<Output> {
        let end = self.now.steady + Milliseconds::from_seconds(seconds);
        let mut outputs = Vec::new();
        while let Some(deadline) = self.engine.next_deadline().filter(|deadline| *deadline <= end) {
            self.move_to(deadline);
            outputs.extend(self.tell(Input::Tick));
        }
        self.move_to(end);
        outputs
    }

    fn move_to(&mut self, steady: Steady) {
        self.now.wall.0 += steady.0 - self.now.steady.0;
        self.now.steady = steady;
    }

    pub(crate) fn reload(&mut self, config: Config) -> Vec<Output> {
        self.config = Arc::new(config);
        self.tell(Input::Configured(Arc::clone(&self.config)))
    }

    /// The hook `forge` reports changes.
    pub(crate) fn push(&mut self, changes: Vec<SeenChange>) -> Vec<Output> {
        self.tell(Input::Received { source: "forge".into(), delivery: None, changes, reply: ReplyTo(0) })
    }

    pub(crate) fn force(&mut self, force: Force) -> Vec<Output> {
        self.tell(Input::Forced { force, reply: ReplyTo(0) })
    }

    pub(crate) fn connect(&mut self, worker: &str, max_builds: u32) -> Vec<Output> {
        self.connect_with(worker, max_builds, &[])
    }

    pub(crate) fn connect_with(&mut self, worker: &str, max_builds: u32, builds: &[u64]) -> Vec<Output> {
        let builds = builds.iter().map(|id| BuildId(*id)).collect();
        self.tell(Input::WorkerConnected { worker: worker.into(), info: info(max_builds), builds })
    }

    pub(crate) fn leave(&mut self, worker: &str, goodbye: bool) -> Vec<Output> {
        self.tell(Input::WorkerLeft { worker: worker.into(), goodbye })
    }

    /// The build's worker tells the next event of it.
    pub(crate) fn event(&mut self, build: u64, event: BuildEvent) -> Vec<Output> {
        let build = BuildId(build);
        let sequence = self.sequences.entry(build).or_default();
        *sequence += 1;
        let sequence = *sequence;
        let worker = self.build(build.0).worker.clone();
        self.tell(Input::BuildTold { worker, build, sequence, previous: sequence.saturating_sub(1), event })
    }

    pub(crate) fn accept(&mut self, build: u64) -> Vec<Output> {
        self.event(build, BuildEvent::Accepted)
    }

    pub(crate) fn finish(&mut self, build: u64, outcome: Outcome) -> Vec<Output> {
        self.finish_with(build, outcome, None)
    }

    /// As the program did that decided it.
    pub(crate) fn finish_with(&mut self, build: u64, outcome: Outcome, program: Option<ProgramEnd>) -> Vec<Output> {
        let at = self.now.wall;
        self.event(build, BuildEvent::Finished { outcome, summary: String::new(), at, program })
    }

    pub(crate) fn change(&self, id: u64) -> &Change {
        &self.store.changes[&ChangeId(id)]
    }

    pub(crate) fn buildset(&self, id: u64) -> &Buildset {
        &self.store.buildsets[&BuildsetId(id)]
    }

    pub(crate) fn request(&self, id: u64) -> &Request {
        &self.store.requests[&RequestId(id)]
    }

    pub(crate) fn build(&self, id: u64) -> &Build {
        &self.store.builds[&BuildId(id)]
    }

    /// The decisions on a change, as `scheduler: verdict, reason`.
    pub(crate) fn decisions(&self, change: u64) -> Vec<String> {
        let decisions = self.change(change).decisions.iter();
        decisions.map(|it| format!("{}: {}, {}", it.scheduler, it.verdict.as_str(), it.reason)).collect()
    }

    pub(crate) fn outcome(&self, request: u64) -> Option<Outcome> {
        match self.request(request).state {
            RequestState::Complete { outcome, .. } => Some(outcome),
            RequestState::AwaitingApproval | RequestState::Pending | RequestState::Building(_) => None,
        }
    }

    pub(crate) fn waits(&self, request: u64) -> bool {
        self.request(request).state == RequestState::Pending
    }
}

pub(crate) fn effects(outputs: &[Output]) -> Vec<Effect> {
    let effects = outputs.iter().filter_map(|output| match output {
        Output::Effect(effect) => Some(effect.clone()),
        Output::Write(_) => None,
    });
    effects.collect()
}

pub(crate) fn orders(outputs: &[Output]) -> Vec<BuildOrder> {
    let orders = effects(outputs).into_iter().filter_map(|effect| match effect {
        Effect::Dispatch { order, .. } => Some(*order),
        _ => None,
    });
    orders.collect()
}

/// Dispatches, as `builder/number on worker`.
pub(crate) fn started(outputs: &[Output]) -> Vec<String> {
    let builds = orders(outputs).into_iter().map(|order| order.build);
    builds.map(|build| format!("{}/{} on {}", build.builder, build.number, build.worker)).collect()
}

/// The answer, of which there must be one.
pub(crate) fn answer(outputs: &[Output]) -> Answer {
    let answers = effects(outputs).into_iter().filter_map(|effect| match effect {
        Effect::Answer { answer, .. } => Some(answer),
        _ => None,
    });
    let answers: Vec<_> = answers.collect();
    assert_eq!(answers.len(), 1, "one answer expected in {outputs:#?}");
    answers[0].clone()
}

/// The text of a refusal.
pub(crate) fn refusal(outputs: &[Output]) -> String {
    match answer(outputs) {
        Answer::Refused(refusal) => refusal.to_string(),
        other => panic!("refusal expected, got {other:?}"),
    }
}

pub(crate) fn warnings(outputs: &[Output]) -> Vec<String> {
    let warnings = effects(outputs).into_iter().filter_map(|effect| match effect {
        Effect::Warn { message } => Some(message),
        _ => None,
    });
    warnings.collect()
}

//! Workers: who is connected, who has room, and what becomes of builds whose worker is gone.

use std::collections::BTreeSet;

use stampmill_model::{BuildId, BuildState, Halt, Outcome, Wall, WorkerInfo, WorkerName};

use crate::Engine;
use crate::build::{Ending, Tried};
use crate::input::{Answer, Refusal};
use crate::outbox::Key;
use crate::output::Effect;
use crate::timers::Timer;

/// What a worker is told of a build that it should forget.
pub(crate) const NOT_YOURS: &str = "the build is over, or not this worker's";

/// A worker as it is now.
#[derive(Clone, Debug, Default)]
pub(crate) struct WorkerState {
    pub(crate) link: Link,
    /// Open builds that were given to it.
    pub(crate) builds: BTreeSet<BuildId>,
    pub(crate) last_seen: Option<Wall>,
    /// Who paused it, if somebody has.
    pub(crate) paused: Option<Halt>,
}

/// Whether a worker is there.
#[derive(Clone, Debug)]
pub(crate) enum Link {
    /// It is, and says this of itself.
    Connected(WorkerInfo),
    /// It still is, to hand in what it has, and takes no more builds.
    Leaving(WorkerInfo),
    /// It is not; what it said of itself when it was.
    Away(Option<WorkerInfo>),
}

impl Default for Link {
    fn default() -> Self {
        Self::Away(None)
    }
}

/// A worker, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WorkerView {
    /// Which.
    pub name: WorkerName,
    /// What it said of itself when it connected last; `None` when it has not since the host started.
    pub info: Option<WorkerInfo>,
    /// Whether it is connected.
    pub connected: bool,
    /// The open builds that were given to it.
    pub builds: Vec<BuildId>,
    /// When it was heard of last since the host started.
    pub last_seen: Option<Wall>,
    /// Who paused it, if somebody has.
    pub paused: Option<Halt>,
}

impl Engine {
    /// A worker has connected and named the builds that it has.
    pub(crate) fn worker_connected(&mut self, name: &WorkerName, info: WorkerInfo, builds: Vec<BuildId>) {
        let told: BTreeSet<BuildId> = builds.into_iter().collect();
        let mine = self.workers.get(name).map(|state| state.builds.clone()).unwrap_or_default();
        for build in told.difference(&mine) {
            self.forget_build(name, *build);
        }
        if self.lookup.worker(name).is_none() && mine.is_empty() {
            // The next configuration may have it, and it does not connect anew for that.
            self.outbox.warn(format!("worker `{name}` has connected, but is not configured"));
        }
        let state = self.workers.entry(name.clone()).or_default();
        state.link = Link::Connected(info);
        state.last_seen = Some(self.now.wall);
        self.timers.cancel(&Timer::WorkerLost(name.clone()));
        self.refresh_room(name);
        self.wake_worker(name);
        // It may have become one that others no longer stand in line for.
        self.wake_lines();
        for build in mine {
            self.reconcile(name, build, told.contains(&build));
        }
    }

    /// Brings a build and its worker to the same mind after a cut.
    fn reconcile(&mut self, worker: &WorkerName, id: BuildId, has_it: bool) {
        if has_it {
            self.tell_triggers(id);
            self.tell_locks(id);
        }
        let Some(open) = self.builds.get(&id) else { return };
        match (&open.build.state, has_it) {
            (BuildState::Dispatched | BuildState::Running, true) => {}
            (BuildState::Dispatched, false) => self.dispatch_again(worker, id),
            (BuildState::Cancelling { reason }, true) => {
                let reason = reason.clone();
                self.outbox.effect(Effect::CancelBuild { worker: worker.clone(), build: id, reason });
            }
            (BuildState::Running | BuildState::Cancelling { .. }, false) => {
                self.lose_build(id, format!("worker `{worker}` came back without it"));
            }
            (BuildState::Finished { .. }, _) => debug_assert!(false, "build {id} is finished and open"),
        }
    }

    /// The order did not arrive. It goes out again, unless the configuration no longer allows it.
    fn dispatch_again(&mut self, worker: &WorkerName, id: BuildId) {
        let config = std::sync::Arc::clone(&self.config);
        let Some(open) = self.builds.get(&id) else { return };
        let builder_name = open.build.builder.clone();
        let position = self.lookup.worker(worker);
        let fits = position.is_some_and(|position| self.lookup.fits(&builder_name).binary_search(&position).is_ok());
        let builder = self.lookup.builder(&builder_name).map(|position| &config.builders[position]);
        match builder {
            Some(builder) if !self.has_locks_of(&open.build, builder) => {
                let summary = format!("the locks of builder `{builder_name}` are others now");
                self.finish_build(id, Ending::undone(summary, self.now.wall));
            }
            Some(builder) if fits && self.has_tier(worker, builder) => self.dispatch(id, builder),
            Some(_) => {
                let summary = format!("builder `{builder_name}` is no longer for worker `{worker}`");
                self.finish_build(id, Ending::undone(summary, self.now.wall));
            }
            None => {
                let summary = format!("builder `{builder_name}` is no longer configured");
                self.finish_build(id, Ending::undone(summary, self.now.wall));
            }
        }
    }

    /// A worker has begun to end: a build that it got now would be declined, or never answered.
    pub(crate) fn worker_leaves(&mut self, name: &WorkerName) {
        let Some(state) = self.workers.get_mut(name) else { return };
        if let Link::Connected(info) = &state.link {
            state.link = Link::Leaving(info.clone());
            self.refresh_room(name);
            self.wake_lines();
        }
    }

    /// Whether a worker has said that it ends.
    pub(crate) fn is_leaving(&self, name: &WorkerName) -> bool {
        self.workers.get(name).is_some_and(|state| matches!(state.link, Link::Leaving(_)))
    }

    /// A worker's connection has ended.
    pub(crate) fn worker_left(&mut self, name: &WorkerName, goodbye: bool) {
        let Some(state) = self.workers.get_mut(name) else { return };
        match &state.link {
            Link::Connected(info) | Link::Leaving(info) => state.link = Link::Away(Some(info.clone())),
            Link::Away(_) => {}
        }
        state.last_seen = Some(self.now.wall);
        let has_builds = !state.builds.is_empty();
        self.refresh_room(name);
        // Requests that only it could run no longer stand in line for a lock.
        self.wake_lines();
        if goodbye {
            self.lose_worker(name);
        } else if has_builds {
            self.expect_worker(name);
        }
        if self.lookup.worker(name).is_none() {
            self.workers.retain(|known, state| known != name || !state.builds.is_empty() || state.paused.is_some());
        }
    }

    /// Gives a worker that is away some time to come back.
    pub(crate) fn expect_worker(&mut self, name: &WorkerName) {
        let timer = Timer::WorkerLost(name.clone());
        if self.timers.due(&timer).is_none() {
            let at = self.now.steady + self.config.limits.worker_lost_after;
            self.timers.set(timer, at);
        }
    }

    /// A worker does not come back: its builds are given up.
    pub(crate) fn lose_worker(&mut self, name: &WorkerName) {
        self.timers.cancel(&Timer::WorkerLost(name.clone()));
        let builds = self.workers.get(name).map(|state| state.builds.clone()).unwrap_or_default();
        for build in builds {
            self.lose_build(build, format!("worker `{name}` was lost"));
        }
    }

    fn lose_build(&mut self, id: BuildId, summary: String) {
        let Some(open) = self.builds.get(&id) else { return };
        let at = self.now.wall;
        let ending = match &open.build.state {
            BuildState::Cancelling { reason } => {
                Ending { outcome: Outcome::Cancelled, summary: reason.clone(), at, tried: Tried::Lost }
            }
            BuildState::Dispatched | BuildState::Running | BuildState::Finished { .. } => {
                Ending { outcome: Outcome::Retry, summary, at, tried: Tried::Lost }
            }
        };
        self.finish_build(id, ending);
    }

    /// Tells a worker to forget a build.
    pub(crate) fn forget_build(&mut self, worker: &WorkerName, build: BuildId) {
        let reason = NOT_YOURS.to_owned();
        self.outbox.effect(Effect::CancelBuild { worker: worker.clone(), build, reason });
    }

    /// How many builds a worker may have at once; none when it is away or not configured.
    pub(crate) fn slots(&self, name: &WorkerName) -> usize {
        let Some(position) = self.lookup.worker(name) else { return 0 };
        match self.workers.get(name).map(|state| &state.link) {
            Some(Link::Connected(info)) => {
                let most = self.config.workers[position].max_builds.unwrap_or(u32::MAX).min(info.max_builds);
                usize::try_from(most).unwrap_or(usize::MAX)
            }
            Some(Link::Leaving(_) | Link::Away(_)) | None => 0,
        }
    }

    /// Whether a worker gets builds, now or when it has room.
    pub(crate) fn takes_builds(&self, name: &WorkerName) -> bool {
        self.slots(name) > 0 && self.workers.get(name).is_some_and(|state| state.paused.is_none())
    }

    /// How many more builds a worker may get; none while it is paused.
    pub(crate) fn free_slots(&self, name: &WorkerName) -> usize {
        match self.workers.get(name) {
            Some(state) if state.paused.is_none() => self.slots(name).saturating_sub(self.running_on(state)),
            _ => 0,
        }
    }

    /// How many builds of a worker have a slot.
    pub(crate) fn running_on(&self, worker: &WorkerState) -> usize {
        match self.waiting.is_empty() {
            true => worker.builds.len(),
            false => worker.builds.difference(&self.waiting).count(),
        }
    }

    /// A person pauses a worker: it finishes what it has and gets no more.
    pub(crate) fn worker_paused(&mut self, name: &WorkerName, by: String, reason: String) -> Result<Answer, Refusal> {
        self.check_known(name)?;
        self.workers.entry(name.clone()).or_default().paused = Some(Halt { by, reason, at: self.now.wall });
        self.refresh_room(name);
        // Who could run only there no longer stands in line for a lock.
        self.wake_lines();
        self.outbox.mark(Key::Worker(name.clone()));
        Ok(Answer::Done)
    }

    /// A person lets a worker have builds again.
    pub(crate) fn worker_resumed(&mut self, name: &WorkerName) -> Result<Answer, Refusal> {
        self.check_known(name)?;
        if self.workers.get_mut(name).and_then(|state| state.paused.take()).is_some() {
            self.refresh_room(name);
            self.wake_worker(name);
            self.outbox.mark(Key::Worker(name.clone()));
        }
        Ok(Answer::Done)
    }

    fn check_known(&self, name: &WorkerName) -> Result<(), Refusal> {
        let known = self.lookup.worker(name).map(|_| ());
        known.ok_or_else(|| Refusal::Unknown(format!("there is no worker `{name}`")))
    }

    /// The configuration has changed: workers may have more room, or less.
    pub(crate) fn sync_workers(&mut self) {
        self.room = self.room_anew();
        self.regroup_all();
        self.wake_all();
    }

    /// The configured workers in order, then others that still have builds.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerView> {
        let configured = self.config.workers.iter().map(|worker| &worker.name);
        let others =
            self.workers.iter().filter(|(name, state)| self.lookup.worker(name).is_none() && !state.builds.is_empty());
        let names = configured.chain(others.map(|(name, _)| name));
        names.map(|name| self.worker_view(name)).collect()
    }

    fn worker_view(&self, name: &WorkerName) -> WorkerView {
        let state = self.workers.get(name).cloned().unwrap_or_default();
        let (connected, info) = match state.link {
            Link::Connected(info) | Link::Leaving(info) => (true, Some(info)),
            Link::Away(info) => (false, info),
        };
        let builds = state.builds.into_iter().collect();
        let (last_seen, paused) = (state.last_seen, state.paused);
        WorkerView { name: name.clone(), info, connected, builds, last_seen, paused }
    }
}

//! The engine decides. It does no I/O, reads no clock, draws no random number, starts no thread and calls no plugin: the same inputs give
//! the same outputs.
//!
//! One way in, [`Engine::handle`]; one way out, [`Output`]s in order; [`Engine::next_deadline`] says when to call again with
//! [`Input::Tick`] if nothing else happens.
//!
//! The borders are [`config`] with [`form`], [`input`], [`output`] and [`snapshot`]. Behind them, in the order of the data: `intake` takes changes in,
//! `scheduling` decides on them, `buildset` makes requests, `superseding` ends those that newer ones replace, `merge_keys` has plugins say which may
//! share a build, `queue` orders them, `merging` says which share one, `locks` which
//! must not run at once, `pools` who has room, `shares` which project is next, `assign` gives them to
//! `workers`, `build` follows each build, `report` tells the world. `timers` drive all of it, [`explain`] says why, [`invariants`] says what must hold after every input.

pub mod calendar;
pub mod config;
pub mod explain;
pub mod form;
pub mod input;
pub mod invariants;
pub mod output;
pub mod snapshot;

mod assign;
mod build;
mod buildset;
mod intake;
mod limits;
mod load;
mod locks;
mod lookup;
mod merge_keys;
mod merging;
mod outbox;
mod pools;
mod properties;
mod queue;
mod report;
mod retrying;
mod scheduling;
mod shares;
mod superseding;
mod timers;
mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stampmill_model::{
    BuildId, BuilderName, BuildsetId, ChangeId, ChangeSourceName, LockAccess, NoticeId, Now, Request, RequestId,
    SchedulerName, Steady, Wall, WorkerName,
};

pub use config::{Config, OccasionKind};
pub use explain::{ChangeWait, Explanation};
pub use input::{Answer, Input, Refusal, ReplyTo};
pub use output::{Effect, Output, Write};
pub use properties::NAMES_OF_BUILD;
pub use snapshot::Snapshot;
pub use workers::WorkerView;

/// The state of all open work.
#[derive(Clone, Debug)]
pub struct Engine {
    now: Now,
    /// The latest that the clock on the wall has shown since it was last found to be put back.
    latest_wall: Wall,
    config: Arc<Config>,
    /// Counts the configurations; 0 is the one at start.
    generation: u64,
    /// Counts the inputs, in debug builds.
    handled: u64,
    lookup: lookup::Lookup,
    last: snapshot::LastIds,
    timers: timers::Timers,
    /// When each nightly scheduler is due.
    nights: timers::Timers<Wall, SchedulerName>,
    outbox: outbox::Outbox,

    sources: BTreeMap<ChangeSourceName, intake::Source>,
    deliveries: intake::Deliveries,
    changes: BTreeMap<ChangeId, intake::OpenChange>,

    schedulers: BTreeMap<SchedulerName, output::SchedulerState>,

    buildsets: BTreeMap<BuildsetId, buildset::OpenBuildset>,
    external_ids: BTreeMap<String, BuildsetId>,
    /// The open buildsets that changes have made, by what a newer one must share with them to supersede them.
    branches: BTreeMap<superseding::Branches, BTreeSet<BuildsetId>>,
    /// Requests of open buildsets, complete ones included.
    requests: BTreeMap<RequestId, Arc<Request>>,

    queue: queue::Queue,
    wake: assign::Wake,
    bars: BTreeMap<(RequestId, WorkerName), assign::Bar>,

    builds: BTreeMap<BuildId, build::OpenBuild>,
    build_numbers: BTreeMap<BuilderName, u64>,
    /// The locks that open builds have.
    locks: BTreeMap<locks::LockKey, locks::Holders>,
    /// The builds of which a step waits for a lock.
    step_lines: BTreeMap<locks::LockKey, BTreeMap<BuildId, LockAccess>>,
    /// Builds that wait for what they have triggered, and leave their slots to others meanwhile.
    waiting: BTreeSet<BuildId>,
    /// How many open builds each builder has, without those that wait.
    running: BTreeMap<BuilderName, u32>,
    /// What projects may have, and have had.
    projects: shares::Projects,
    workers: BTreeMap<WorkerName, workers::WorkerState>,
    /// The workers that are there, and how much room they have.
    room: pools::Room,

    notices: BTreeMap<NoticeId, output::Notice>,
}

impl Engine {
    /// Takes one input in. First everything that is due by `now` is done, then the input, then whatever can start is started.
    ///
    /// The outputs are all writes in the data's order, each key once, then the effects in the order in which they came up. `now.steady`
    /// must not go back; if it does, the last value holds.
    pub fn handle(&mut self, now: Now, input: Input) -> Vec<Output> {
        self.now = Now { steady: now.steady.max(self.now.steady), wall: now.wall };
        self.latest_wall = self.latest_wall.max(now.wall);
        if now.wall + limits::CLOCK_AHEAD_MOST < self.latest_wall {
            self.latest_wall = now.wall;
            self.sync_nightly();
        }
        self.fire_due();
        self.take(input);
        self.fire_due();
        self.assign();
        let outputs = self.flush();
        self.check_in_debug();
        outputs
    }

    /// When to call [`Self::handle`] with [`Input::Tick`] if nothing else happens before; `None` when nothing is planned.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Steady> {
        self.timers.next().into_iter().chain(self.next_look_at_clock()).min()
    }

    /// In debug builds every input is followed by a check; where much is open, which makes a check slow, only one in a thousand is.
    pub(crate) fn check_in_debug(&mut self) {
        if cfg!(debug_assertions) {
            self.handled = self.handled.wrapping_add(1);
            let is_small = self.requests.len() + self.changes.len() < limits::CHECKED_ALWAYS;
            if is_small || self.handled.is_multiple_of(limits::CHECKED_ONE_IN) {
                assert_eq!(invariants::check(self), Vec::new());
            }
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Configured(config) => self.configured(config),
            Input::Tick => {}
            Input::Polled { source, attempt, result } => self.polled(&source, attempt, result),
            Input::PollNow { source, reply } => {
                let answer = self.poll_now(&source);
                self.outbox.answer(reply, answer);
            }
            Input::Received { source, delivery, changes, reply } => {
                let answer = self.received(&source, delivery, changes);
                self.outbox.answer(reply, answer);
            }
            Input::ChangeSent { change, codebase, trusted, reply } => {
                let answer = self.change_sent(change, codebase, trusted);
                self.outbox.answer(reply, Ok(answer));
            }
            Input::CodebaseFound { change, result } => self.codebase_found(change, result),
            Input::Judged { scheduler, change, result } => self.judged(&scheduler, change, result),
            Input::MergeKeyFound { request, result } => self.merge_key_found(request, result),
            Input::WorkerConnected { worker, info, builds } => self.worker_connected(&worker, info, builds),
            Input::WorkerLeaves { worker } => self.worker_leaves(&worker),
            Input::WorkerLeft { worker, goodbye } => self.worker_left(&worker, goodbye),
            Input::BuildTold { worker, build, sequence, previous, event } => {
                self.build_told(&worker, build, (sequence, previous), event);
            }
            Input::Reported { notice, attempt, result } => self.reported(notice, attempt, result),
            asked @ (Input::Forced { .. }
            | Input::Tried { .. }
            | Input::Submitted { .. }
            | Input::RebuildAsked { .. }
            | Input::BuildCancelAsked { .. }
            | Input::RequestCancelAsked { .. }
            | Input::ApprovalGiven { .. }
            | Input::SchedulerDisabled { .. }
            | Input::SchedulerEnabled { .. }
            | Input::WorkerPaused { .. }
            | Input::WorkerResumed { .. }) => self.take_wish(asked),
        }
    }

    /// What people and programs ask for; each gets an answer.
    fn take_wish(&mut self, input: Input) {
        let (reply, answer) = match input {
            Input::Forced { force, reply } => (reply, self.forced(force)),
            Input::Tried { tried, reply } => (reply, self.tried(tried)),
            Input::Submitted { submission, reply } => (reply, self.submitted(submission)),
            Input::RebuildAsked { rebuild, reply } => (reply, self.rebuilt(rebuild)),
            Input::BuildCancelAsked { build, reason, reply } => (reply, self.build_cancel_asked(build, reason)),
            Input::RequestCancelAsked { request, reason, reply } => (reply, self.request_cancel_asked(request, reason)),
            Input::ApprovalGiven { request, approved, by, reply } => {
                (reply, self.approval_given(request, approved, &by))
            }
            Input::SchedulerDisabled { scheduler, by, reason, reply } => {
                (reply, self.scheduler_disabled(&scheduler, by, reason))
            }
            Input::SchedulerEnabled { scheduler, reply } => (reply, self.scheduler_enabled(&scheduler)),
            Input::WorkerPaused { worker, by, reason, reply } => (reply, self.worker_paused(&worker, by, reason)),
            Input::WorkerResumed { worker, reply } => (reply, self.worker_resumed(&worker)),
            _ => return,
        };
        self.outbox.answer(reply, answer);
    }

    fn configured(&mut self, config: Arc<Config>) {
        self.lookup = lookup::Lookup::new(&config);
        self.projects.configure(&config, self.now.steady);
        self.config = config;
        self.generation += 1;
        self.take_up_configuration();
    }

    /// The requests that wait for a worker, in the order of their turn.
    #[must_use]
    pub fn queue(&self) -> Vec<Arc<Request>> {
        self.queue.in_order().iter().filter_map(|id| self.requests.get(id)).map(Arc::clone).collect()
    }
}

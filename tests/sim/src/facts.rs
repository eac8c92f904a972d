//! What somebody knows who watches the engine from outside: the inputs that it got and what it said. Invariants judge by this.

pub(crate) mod locks;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use stampmill_engine::config::{Builder, Scheduler, SchedulerKind, Worker, WorkerChoice};
use stampmill_engine::{Config, Engine, Input, Output};
use stampmill_model::{
    Build, BuildEvent, BuildId, BuildState, BuilderName, ChangeSourceName, Milliseconds, Now, Request, RequestId,
    RequestState, SeenChange, Steady, WorkerInfo, WorkerName,
};

use crate::disk::Disk;
use crate::records::{Records, Written, is_open, is_waiting};

/// Everything that there is to know.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) config: Arc<Config>,
    pub(crate) now: Now,
    pub(crate) disk: Disk,
    /// What the engine has written so far, durable or not.
    pub(crate) said: Records,
    /// The workers that can be given builds, as far as the engine was told.
    pub(crate) connected: BTreeMap<WorkerName, WorkerInfo>,
    bars: BTreeMap<(RequestId, WorkerName), (u32, Steady)>,
    /// What each worker tells of the builds that it took, with its numbers.
    pub(crate) scripts: BTreeMap<BuildId, Vec<(u64, BuildEvent)>>,
    /// What each source has, oldest first; each has a revision of its own.
    pub(crate) pushed: BTreeMap<ChangeSourceName, Vec<SeenChange>>,
    /// Whether anything may go wrong still.
    pub(crate) faults: bool,
}

/// One input and what came of it; none at a start.
pub(crate) struct Step<'a> {
    pub(crate) input: Option<&'a Input>,
    pub(crate) outputs: &'a [Output],
    pub(crate) written: &'a [Written],
    /// The engine afterwards.
    pub(crate) engine: &'a Engine,
    /// Whether timers were due as well.
    pub(crate) was_due: bool,
}

impl Step<'_> {
    /// The builds that it started.
    pub(crate) fn started(&self) -> impl Iterator<Item = &Arc<Build>> {
        self.written.iter().filter_map(|written| match written {
            Written::Build { before: None, after } if is_open(after) => Some(after),
            _ => None,
        })
    }

    /// The builds that it ended.
    pub(crate) fn ended(&self) -> impl Iterator<Item = &Arc<Build>> {
        self.written.iter().filter_map(|written| match written {
            Written::Build { after, .. } if !is_open(after) => Some(after),
            _ => None,
        })
    }

    /// The builds that had a slot before it and have none now: they have ended, or wait for what they have triggered.
    pub(crate) fn left_slots(&self) -> impl Iterator<Item = &Arc<Build>> {
        self.written.iter().filter_map(|written| match written {
            Written::Build { after, .. } if !is_open(after) || is_waiting(after) => Some(after),
            _ => None,
        })
    }

    /// Whether it brought another configuration.
    pub(crate) fn is_configured(&self) -> bool {
        matches!(self.input, None | Some(Input::Configured(_)))
    }
}

impl Facts {
    pub(crate) fn new(config: Arc<Config>, disk: Disk, now: Now) -> Self {
        Self {
            config,
            now,
            disk,
            said: Records::default(),
            connected: BTreeMap::new(),
            bars: BTreeMap::new(),
            scripts: BTreeMap::new(),
            pushed: BTreeMap::new(),
            faults: true,
        }
    }

    /// An engine starts from what is durable; what the last one knew beyond that is gone.
    pub(crate) fn begin_anew(&mut self) {
        self.said = self.disk.durable.clone();
        self.connected.clear();
        self.bars.clear();
    }

    /// Takes in what the engine made of an input.
    pub(crate) fn learn(&mut self, input: Option<&Input>, written: &[Written]) {
        match input {
            Some(Input::WorkerConnected { worker, info, .. }) => {
                self.connected.insert(worker.clone(), info.clone());
            }
            Some(Input::WorkerLeaves { worker } | Input::WorkerLeft { worker, .. }) => {
                self.connected.remove(worker);
            }
            Some(Input::BuildTold { worker, build, event: BuildEvent::Declined { .. }, .. }) => {
                let declined = written.iter().find_map(|written| match written {
                    Written::Build { after, .. } if after.id == *build && !is_open(after) => Some(after),
                    _ => None,
                });
                for request in declined.into_iter().flat_map(|build| build.requests()) {
                    self.bar(request, worker);
                }
            }
            _ => {}
        }
        for written in written {
            if let Written::Request { after, .. } = written
                && matches!(after.state, RequestState::Complete { .. })
            {
                self.bars.retain(|(request, _), _| *request != after.id);
            }
        }
    }

    fn bar(&mut self, request: RequestId, worker: &WorkerName) {
        let limits = &self.config.limits;
        let (times, until) = self.bars.entry((request, worker.clone())).or_default();
        *times += 1;
        let doubled = limits.declined_for.0.saturating_mul(1 << (*times - 1).min(32));
        let length = doubled.min(limits.retry_pause_most.0).max(limits.declined_for.0);
        *until = self.now.steady + Milliseconds(length);
    }

    /// Whether a worker has declined a request and is not asked again yet.
    pub(crate) fn is_barred(&self, request: RequestId, worker: &WorkerName) -> bool {
        !self.bars.is_empty()
            && self.bars.get(&(request, worker.clone())).is_some_and(|(_, until)| *until > self.now.steady)
    }

    /// Whether a request waits, or has a build that nobody has cancelled.
    pub(crate) fn goes_on(&self, request: RequestId) -> bool {
        match &self.said.requests[&request].state {
            RequestState::AwaitingApproval | RequestState::Pending => true,
            RequestState::Building(build) => !matches!(self.said.builds[build].state, BuildState::Cancelling { .. }),
            RequestState::Complete { .. } => false,
        }
    }

    pub(crate) fn builder(&self, name: &BuilderName) -> Option<&Builder> {
        self.config.builders.iter().find(|builder| builder.name == *name)
    }

    pub(crate) fn worker(&self, name: &WorkerName) -> Option<&Worker> {
        self.config.workers.iter().find(|worker| worker.name == *name)
    }

    /// How many builds a worker may have; none when it is not there.
    pub(crate) fn slots(&self, name: &WorkerName) -> usize {
        let (Some(worker), Some(info)) = (self.worker(name), self.connected.get(name)) else { return 0 };
        usize::try_from(worker.max_builds.unwrap_or(u32::MAX).min(info.max_builds)).unwrap_or(usize::MAX)
    }

    /// Whether a builder, or its project, has as many builds as it may.
    pub(crate) fn is_full(&self, builder: &Builder) -> bool {
        let number = |most: u32| usize::try_from(most).unwrap_or(usize::MAX);
        let project = self.config.projects.iter().find(|project| project.name == builder.project);
        let most = project.and_then(|project| project.max_builds).map(number);
        most.is_some_and(|most| self.said.running_of_project(&builder.project) >= most)
            || builder.max_builds.map(number).is_some_and(|most| self.said.running_of(&builder.name) >= most)
    }

    /// Whether projects share, so that turns decide within each of them only.
    pub(crate) fn is_sharing(&self) -> bool {
        self.config.projects.iter().any(|project| project.shares.is_some())
    }

    /// The shares of a project, where projects share.
    pub(crate) fn shares(&self, project: &str) -> u32 {
        let project = self.config.projects.iter().find(|it| it.name == project);
        project.and_then(|project| project.shares).unwrap_or(1)
    }

    /// Whether a worker that is there may run a request, whatever else it does.
    pub(crate) fn fits(&self, request: &Request, builder: &Builder, name: &WorkerName) -> bool {
        let (Some(worker), Some(info)) = (self.worker(name), self.connected.get(name)) else { return false };
        request.only_worker.as_ref().is_none_or(|only| only == name)
            && allows(&builder.workers, worker)
            && info.tier <= builder.tier
    }
}

/// Whether a choice allows a worker.
pub(crate) fn allows(choice: &WorkerChoice, worker: &Worker) -> bool {
    (choice.names.is_empty() || choice.names.contains(&worker.name))
        && choice.tags.iter().all(|tag| worker.tags.contains(tag))
}

/// Whether a buildset of this scheduler would have requests.
pub(crate) fn has_wishes(config: &Config, scheduler: &Scheduler) -> bool {
    !scheduler.on_every_worker
        || scheduler.builders.iter().any(|name| {
            let builder = config.builders.iter().find(|builder| builder.name == *name);
            builder.is_some_and(|builder| config.workers.iter().any(|worker| allows(&builder.workers, worker)))
        })
}

/// Whether a scheduler builds changes.
pub(crate) fn takes_changes(kind: &SchedulerKind) -> bool {
    match kind {
        SchedulerKind::SingleBranch { .. } | SchedulerKind::AnyBranch { .. } => true,
        SchedulerKind::Nightly { only_if_changed, .. } => only_if_changed.is_some(),
        SchedulerKind::Periodic { .. }
        | SchedulerKind::Dependent { .. }
        | SchedulerKind::Pinged { .. }
        | SchedulerKind::Try { .. }
        | SchedulerKind::Triggerable
        | SchedulerKind::Force(_) => false,
    }
}

/// A place in the queue: the smaller, the earlier.
pub(crate) fn turn(request: &Request) -> (Reverse<i32>, RequestId) {
    (Reverse(request.priority), request.id)
}

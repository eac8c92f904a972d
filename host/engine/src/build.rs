//! Builds: what a worker tells of one, and what follows from its end.

mod progress;

use std::sync::Arc;

use stampmill_model::{Build, BuildEvent, BuildId, BuildState, Outcome, RequestId, Wall, WorkerName};

use crate::Engine;
use crate::buildset::{End, changes_of};
use crate::config::OccasionKind;
use crate::input::{Answer, Refusal};
use crate::outbox::Key;
use crate::output::{Effect, Write};
use crate::retrying::is_asked_for;
use crate::scheduling::awaited_sets;

/// A build that has not ended.
#[derive(Clone, Debug)]
pub(crate) struct OpenBuild {
    pub(crate) build: Arc<Build>,
    /// The last message of its worker that is in it.
    pub(crate) sequence: u64,
    /// Whether the operator knows of the present gap in its messages.
    is_gap_told: bool,
}

impl OpenBuild {
    /// A build with the messages up to this number in it.
    pub(crate) fn new(build: Arc<Build>, sequence: u64) -> Self {
        Self { build, sequence, is_gap_told: false }
    }
}

/// How a build ends.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    pub(crate) outcome: Outcome,
    pub(crate) summary: String,
    pub(crate) at: Wall,
    pub(crate) tried: Tried,
}

/// What a build that is to be tried again was for its request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tried {
    /// Nothing: it was never run.
    No,
    /// A try that is nobody's fault: its worker was stopped in order. The request goes back however many there were.
    Stopped,
    /// A try that was lost with its worker.
    Lost,
    /// A try after which a step asked for another.
    Asked,
    /// A try that ended like this for a cause that its builder lists.
    Failed(Outcome),
}

impl Ending {
    /// The worker never ran it; the request goes back as if nothing had been.
    pub(crate) fn undone(summary: String, at: Wall) -> Self {
        Self { outcome: Outcome::Retry, summary, at, tried: Tried::No }
    }
}

impl Engine {
    /// A worker tells of a build. What is doubled, from another worker or of a build that is over changes nothing.
    pub(crate) fn build_told(
        &mut self,
        worker: &WorkerName,
        id: BuildId,
        (sequence, previous): (u64, u64),
        event: BuildEvent,
    ) {
        if let Some(state) = self.workers.get_mut(worker) {
            state.last_seen = Some(self.now.wall);
        }
        let Some(open) = self.builds.get_mut(&id).filter(|open| open.build.worker == *worker) else {
            self.acknowledge(worker, id, sequence);
            return self.forget_build(worker, id);
        };
        if sequence <= open.sequence {
            let last = open.sequence;
            return self.acknowledge(worker, id, last);
        }
        if previous > open.sequence {
            if !open.is_gap_told {
                open.is_gap_told = true;
                let last = open.sequence;
                self.outbox.warn(format!("worker `{worker}` tells {sequence} of build {id} after {previous}, and {last} is the last that is stored: dropped"));
            }
            return;
        }
        (open.sequence, open.is_gap_told) = (sequence, false);
        self.outbox.mark(Key::Build(id));
        self.outbox.mark(Key::Sequence(id));
        self.acknowledge(worker, id, sequence);
        self.take_event(worker, id, event);
    }

    fn take_event(&mut self, worker: &WorkerName, id: BuildId, event: BuildEvent) {
        if let BuildEvent::StepFinished { step, .. } = &event {
            self.release_step_locks(id, Some(*step));
        }
        let Some(open) = self.builds.get_mut(&id) else { return };
        match event {
            BuildEvent::Declined { reason } => {
                let summary = format!("worker declined: {reason}");
                let at = self.now.wall;
                let ending = match open.build.state {
                    BuildState::Cancelling { .. } => {
                        Ending { outcome: Outcome::Cancelled, summary, at, tried: Tried::Lost }
                    }
                    BuildState::Dispatched => Ending::undone(summary, at),
                    BuildState::Running | BuildState::Finished { .. } => {
                        Ending { outcome: Outcome::Retry, summary, at, tried: Tried::Lost }
                    }
                };
                let requests: Vec<_> = open.build.requests().collect();
                for request in requests {
                    self.bar(request, worker, reason.clone());
                }
                self.finish_build(id, ending);
            }
            BuildEvent::Finished { outcome, summary, at, program } => {
                let build = Arc::clone(&open.build);
                let is_cancelled = matches!(open.build.state, BuildState::Cancelling { .. });
                let outcome = if is_cancelled && outcome == Outcome::Retry { Outcome::Cancelled } else { outcome };
                // A worker that is being stopped takes its builds with it, however often that happens; they are not at fault.
                let is_stopped = outcome == Outcome::Retry && self.is_leaving(worker);
                let not_stopped = if is_asked_for(&build) { Tried::Asked } else { Tried::Lost };
                let tried = if is_stopped { Tried::Stopped } else { not_stopped };
                let ending = Ending { outcome, summary, at, tried };
                let ending = if is_cancelled { ending } else { self.or_retry(&build, ending, program) };
                drop(build);
                self.finish_build(id, ending);
            }
            BuildEvent::Triggered { step, wish } => self.trigger(id, step, *wish),
            BuildEvent::LocksWanted { step } => self.want_step_locks(id, step),
            event @ (BuildEvent::Accepted
            | BuildEvent::StepStarted { .. }
            | BuildEvent::StepSummary { .. }
            | BuildEvent::LogOpened { .. }
            | BuildEvent::PropertySet { .. }
            | BuildEvent::NetworkTried { .. }
            | BuildEvent::StepFinished { .. }) => {
                if let Err(oddity) = progress::apply(Arc::make_mut(&mut open.build), event) {
                    self.outbox.warn(format!("worker `{worker}`, build {id}: {oddity}"));
                }
            }
        }
    }

    fn acknowledge(&mut self, worker: &WorkerName, build: BuildId, sequence: u64) {
        self.outbox.effect(Effect::Acknowledge { worker: worker.clone(), build, sequence });
    }

    /// A person wants a build ended.
    pub(crate) fn build_cancel_asked(&mut self, id: BuildId, reason: String) -> Result<Answer, Refusal> {
        let Some(open) = self.builds.get_mut(&id) else {
            return Err(if id <= self.last.build && id > BuildId(0) {
                Refusal::Conflict(format!("build {id} has ended"))
            } else {
                Refusal::Unknown(format!("there is no build {id}"))
            });
        };
        match open.build.state {
            BuildState::Dispatched | BuildState::Running => {
                let build = Arc::make_mut(&mut open.build);
                build.state = BuildState::Cancelling { reason: reason.clone() };
                let worker = build.worker.clone();
                self.outbox.mark(Key::Build(id));
                self.outbox.effect(Effect::CancelBuild { worker, build: id, reason });
            }
            BuildState::Cancelling { .. } | BuildState::Finished { .. } => {}
        }
        Ok(Answer::Done)
    }

    /// A build ends: it leaves the state, its worker has room again, and its requests are complete or go back to the queue.
    pub(crate) fn finish_build(&mut self, id: BuildId, ending: Ending) {
        self.release_step_locks(id, None);
        let Some(mut open) = self.builds.remove(&id) else { return };
        let build = Arc::make_mut(&mut open.build);
        progress::close_steps(build, ending.outcome, ending.at);
        build.state = BuildState::Finished { outcome: ending.outcome, summary: ending.summary, at: ending.at };
        let (worker, builder) = (build.worker.clone(), build.builder.clone());
        let requests: Vec<_> = build.requests().collect();
        let changes = changes_of(&build.stamps);
        self.notify_of_build(OccasionKind::BuildFinished, &open.build);
        self.release_locks(&open.build);
        self.outbox.unmark(&Key::Sequence(id));
        if let Some(state) = self.workers.get_mut(&worker) {
            state.builds.remove(&id);
        }
        if !self.waiting.remove(&id) {
            self.runs_one_less(&open.build);
        }
        self.refresh_room(&worker);
        self.wake_worker(&worker);
        self.regroup_builder(&builder);
        if ending.outcome != Outcome::Retry {
            self.mark_superseded(&open.build);
        }
        let awaited = awaited_sets(&open.build);
        let ended = format!("build {id}, which triggered it, has ended");
        self.outbox.put(Key::Build(id), Write::Build(open.build));
        for set in awaited {
            self.cancel_set(set, &ended);
        }
        for request in requests {
            match ending.outcome {
                Outcome::Retry => self.try_again(request, id, ending.tried),
                Outcome::Success
                | Outcome::Warnings
                | Outcome::Failure
                | Outcome::Skipped
                | Outcome::Exception
                | Outcome::Cancelled => self.complete_request(request, End::Built(id, ending.outcome)),
            }
        }
        for change in changes {
            self.release_change(change);
        }
    }

    /// Builder and project have one build less that runs.
    pub(crate) fn runs_one_less(&mut self, build: &Build) {
        match self.running.get_mut(&build.builder) {
            Some(running) if *running > 1 => *running -= 1,
            Some(_) | None => drop(self.running.remove(&build.builder)),
        }
        self.release_project(build);
    }

    /// A request goes back to the queue, unless it has had its tries.
    fn try_again(&mut self, id: RequestId, build: BuildId, tried: Tried) {
        let Some(request) = self.requests.get_mut(&id).map(Arc::make_mut) else { return };
        match tried {
            Tried::No => request.attempts = request.attempts.saturating_sub(1),
            Tried::Stopped => {}
            Tried::Lost | Tried::Asked | Tried::Failed(_) => request.losses += 1,
        }
        match self.given_up(id, tried) {
            Some((outcome, why)) => {
                self.outbox.warn(format!("request {id} is given up: {why}"));
                self.complete_request(id, End::Built(build, outcome));
            }
            None => self.queue_request(id),
        }
    }
}

//! Effects: what the engine wants done in the world, each answered by an input.

mod asking;
mod polling;
mod reporting;

use std::sync::Arc;

use stampmill_agent::convert::trigger_state_to_wire;
use stampmill_engine::{Effect, Write};
use stampmill_model::BuildState;
use stampmill_protocol::HostMessage;
use stampmill_service::Event;
use tokio::sync::Semaphore;

use crate::driver::World;
use crate::gateway;
use crate::limits::{POLLS_AT_ONCE, REPORTS_AT_ONCE};
use crate::shared::Shared;

/// Runs effects as tasks of the host.
pub(crate) struct Effects {
    shared: Arc<Shared>,
    polls: Arc<Semaphore>,
    reports: Arc<Semaphore>,
}

impl Effects {
    /// Effects of this host.
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            polls: Arc::new(Semaphore::new(POLLS_AT_ONCE)),
            reports: Arc::new(Semaphore::new(REPORTS_AT_ONCE)),
        }
    }

    /// A task that is given up when the host ends: the effect is emitted again at the next start.
    fn spawn(&self, limit: Option<&Arc<Semaphore>>, work: impl Future<Output = ()> + Send + 'static) {
        let limit = limit.map(Arc::clone);
        let stop = self.shared.stop.clone();
        self.shared.tasks.spawn(stop.run_until_cancelled_owned(async move {
            // The semaphore is never closed.
            let _permit = match &limit {
                Some(limit) => limit.acquire().await.ok(),
                None => None,
            };
            work.await;
        }));
    }
}

impl World for Effects {
    fn run(&mut self, effect: Effect) {
        let shared = Arc::clone(&self.shared);
        match effect {
            Effect::Poll { source, cursor, attempt } => {
                self.spawn(Some(&self.polls), async move { polling::poll(&shared, source, cursor, attempt).await });
            }
            Effect::AskCodebase { change } => {
                self.spawn(None, async move { asking::codebase(&shared, &change).await });
            }
            Effect::AskFilters { scheduler, change } => {
                self.spawn(None, async move { asking::filters(&shared, scheduler, &change).await });
            }
            Effect::AskMergeKey { request, set } => {
                self.spawn(None, async move { asking::merge_key(&shared, &request, &set).await });
            }
            Effect::Report { notice } => {
                self.spawn(Some(&self.reports), async move { reporting::report(&shared, notice).await });
            }
            Effect::Dispatch { worker, order } => {
                let message = gateway::dispatch(&shared, *order);
                self.shared.connections.send(&worker, message);
            }
            Effect::CancelBuild { worker, build, reason } => {
                self.shared.connections.send(&worker, HostMessage::CancelBuild { build: build.0, reason });
            }
            Effect::TellTrigger { worker, build, number, state } => {
                let state = trigger_state_to_wire(state);
                self.shared.connections.send(&worker, HostMessage::Triggered { build: build.0, number, state });
            }
            Effect::TellLocks { worker, build, step } => {
                self.shared.connections.send(&worker, HostMessage::LocksTaken { build: build.0, step });
            }
            Effect::Acknowledge { worker, build, sequence } => {
                self.shared.connections.acknowledge(&worker, build, sequence);
            }
            // The driver does these itself.
            Effect::Answer { .. } | Effect::Warn { .. } => {}
        }
    }

    fn handled(&mut self, inputs: usize) {
        self.shared.counters.handled(inputs);
    }

    fn failed(&mut self) {
        self.shared.connections.close_all();
    }

    fn written(&mut self, writes: &[Write]) {
        self.shared.counters.committed(writes);
        for write in writes {
            if let Some(event) = event_of(write) {
                self.shared.publish(event);
            }
        }
    }
}

/// What watchers are told of a write.
fn event_of(write: &Write) -> Option<Event> {
    match write {
        Write::Change(change) => Some(Event::ChangeChanged { id: change.id }),
        Write::Buildset(set) => Some(Event::BuildsetChanged { id: set.id }),
        Write::Request(request) => Some(Event::RequestChanged { id: request.id, builder: request.builder.clone() }),
        Write::Build(build) => Some(Event::BuildChanged {
            id: build.id,
            builder: build.builder.clone(),
            project: build.project.clone(),
            finished: matches!(build.state, BuildState::Finished { .. }),
        }),
        Write::Cursor(source, _) => Some(Event::ChangeSourceChanged { name: source.to_string() }),
        Write::SchedulerState(scheduler, _) => Some(Event::SchedulerChanged { scheduler: scheduler.clone() }),
        Write::Worker(worker, _) => Some(Event::WorkerChanged { worker: worker.clone() }),
        Write::BuildSequence(..) | Write::Delivery(_) | Write::Notice(_) | Write::NoticeDone(_) => None,
    }
}

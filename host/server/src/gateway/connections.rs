//! The table of connected workers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use stampmill_model::{BuildId, WorkerName};
use stampmill_protocol::HostMessage;
use tokio::sync::{Notify, mpsc};

/// Tells one connection of a worker from the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Generation(u64);

/// What is to be acknowledged on one connection: of each build the highest number, so that it does not pile up however much is stored at once.
#[derive(Default)]
pub(super) struct Acknowledgements {
    latest: Mutex<BTreeMap<u64, u64>>,
    more: Notify,
}

impl Acknowledgements {
    fn put(&self, build: BuildId, sequence: u64) {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).insert(build.0, sequence);
        self.more.notify_one();
    }

    /// All that there is to acknowledge; waits until there is something.
    pub(super) async fn take(&self) -> Vec<HostMessage> {
        loop {
            let latest = std::mem::take(&mut *self.latest.lock().unwrap_or_else(PoisonError::into_inner));
            if !latest.is_empty() {
                let message = |(build, sequence)| HostMessage::Acknowledge { build, sequence };
                return latest.into_iter().map(message).collect();
            }
            self.more.notified().await;
        }
    }
}

struct Connection {
    generation: Generation,
    outgoing: mpsc::Sender<HostMessage>,
    acknowledgements: Arc<Acknowledgements>,
    builds: BTreeMap<BuildId, Received>,
    /// Builds that were given on this connection and have not ended on it.
    given: BTreeSet<BuildId>,
}

/// How far the messages of one build are, on this connection.
#[derive(Clone, Copy, Default)]
struct Received {
    /// The last one that went to the engine.
    told: u64,
    /// The last one that the engine has acknowledged.
    stored: u64,
    /// The last one whose log frames are synced.
    logged: u64,
}

impl Received {
    /// Every message up to this number is durable.
    fn durable(self) -> u64 {
        if self.stored >= self.told { self.stored.max(self.logged) } else { self.stored }
    }
}

/// Connected workers by name; at most one connection each.
#[derive(Default)]
pub(crate) struct Connections {
    next: AtomicU64,
    by_name: Mutex<BTreeMap<WorkerName, Connection>>,
}

impl Connections {
    /// Takes a connection in; an older one of the same worker is closed by dropping its sender.
    pub(super) fn insert(
        &self,
        worker: &WorkerName,
        outgoing: mpsc::Sender<HostMessage>,
        acknowledgements: Arc<Acknowledgements>,
    ) -> Generation {
        let generation = Generation(self.next.fetch_add(1, Ordering::Relaxed));
        let connection =
            Connection { generation, outgoing, acknowledgements, builds: BTreeMap::new(), given: BTreeSet::new() };
        self.lock().insert(worker.clone(), connection);
        generation
    }

    /// Takes a connection out, and says whether it was still the worker's current one.
    pub(super) fn remove(&self, worker: &WorkerName, generation: Generation) -> bool {
        let mut by_name = self.lock();
        let current = by_name.get(worker).is_some_and(|connection| connection.generation == generation);
        if current {
            by_name.remove(worker);
        }
        current
    }

    /// Sends a message to a worker. A worker that is away gets it when it comes back, since the engine emits it again; one that does not
    /// read what it is sent is cut off and comes back.
    pub(crate) fn send(&self, worker: &WorkerName, message: HostMessage) {
        let mut by_name = self.lock();
        let Some(connection) = by_name.get_mut(worker) else { return };
        if let HostMessage::Dispatch { order, .. } = &message {
            connection.given.insert(BuildId(order.build.id));
        }
        if connection.outgoing.try_send(message).is_err() {
            tracing::warn!(%worker, "its connection does not take messages and is closed");
            // The connection's own task still tells the engine that it has ended, because its channel is closed.
            connection.outgoing = mpsc::channel(1).0;
        }
    }

    /// Whether a build was given on this worker's connection and has not ended on it.
    pub(super) fn gave(&self, worker: &WorkerName, build: BuildId) -> bool {
        self.lock().get(worker).is_some_and(|connection| connection.given.contains(&build))
    }

    /// The worker has told of the end of a build, or that it does not take it.
    pub(super) fn ended(&self, worker: &WorkerName, build: BuildId) {
        if let Some(connection) = self.lock().get_mut(worker) {
            connection.given.remove(&build);
        }
    }

    /// The engine has stored what the worker told up to this number.
    pub(crate) fn acknowledge(&self, worker: &WorkerName, build: BuildId, sequence: u64) {
        self.advance(worker, build, |received| received.stored = received.stored.max(sequence));
    }

    /// A message goes to the engine; answers the number of the one before it on this connection, or 0 when that one is stored or there is none.
    pub(super) fn told(&self, worker: &WorkerName, build: BuildId, sequence: u64) -> u64 {
        let mut by_name = self.lock();
        let Some(connection) = by_name.get_mut(worker) else { return 0 };
        let received = connection.builds.entry(build).or_default();
        let latest = received.told.max(sequence);
        std::mem::replace(&mut received.told, latest)
    }

    /// Cuts all workers off, so that they come back and tell again what was lost with a failed commit.
    pub(crate) fn close_all(&self) {
        for connection in self.lock().values_mut() {
            connection.outgoing = mpsc::channel(1).0;
        }
    }

    /// The log frames of a message are synced.
    pub(super) fn logged(&self, worker: &WorkerName, build: BuildId, sequence: u64) {
        self.advance(worker, build, |received| received.logged = received.logged.max(sequence));
    }

    fn advance(&self, worker: &WorkerName, build: BuildId, change: impl FnOnce(&mut Received)) {
        let mut by_name = self.lock();
        let Some(connection) = by_name.get_mut(worker) else { return };
        let received = connection.builds.entry(build).or_default();
        let before = received.durable();
        change(received);
        let after = received.durable();
        if received.stored >= received.told && received.logged <= received.stored {
            // Nothing is on its way: the table holds only builds that have something in flight.
            connection.builds.remove(&build);
        }
        if after != before {
            connection.acknowledgements.put(build, after);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<WorkerName, Connection>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

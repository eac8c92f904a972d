//! What every part of the running host shares.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use stampmill_model::{BuilderName, SchedulerName};
use stampmill_service::{Accounts, Event};
use stampmill_store::{LogFiles, Store};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock;
use crate::config::Loaded;
use crate::driver::DriverHandle;
use crate::figures::Counters;
use crate::gateway::Connections;
use crate::plugins::{Plugins, Pool};

/// A configuration in force, with the instances of decision plugins that belong to it.
pub(crate) struct Composition {
    /// The configuration.
    pub(crate) loaded: Loaded,
    /// Instances of the codebase generator.
    pub(crate) codebases: Pool,
    /// Instances of each scheduler's filters, in order.
    pub(crate) filters: BTreeMap<SchedulerName, Vec<Pool>>,
    /// Instances of the merge plugins.
    pub(crate) merges: BTreeMap<BuilderName, Pool>,
}

impl Composition {
    /// No instance is made yet.
    pub(crate) fn new(loaded: Loaded) -> Self {
        let pools = |filters: &Vec<_>| filters.iter().map(|_| Pool::default()).collect();
        let filters = loaded.filters.iter().map(|(name, filters)| (name.clone(), pools(filters))).collect();
        let merges = loaded.merges.keys().map(|name| (name.clone(), Pool::default())).collect();
        Self { loaded, codebases: Pool::default(), filters, merges }
    }
}

/// What every part of the running host shares.
pub(crate) struct Shared {
    /// The way to the engine.
    pub(crate) driver: DriverHandle,
    /// The database.
    pub(crate) store: Store,
    /// The logs.
    pub(crate) logs: LogFiles,
    /// Plugins of the host.
    pub(crate) plugins: Plugins,
    /// Connected workers.
    pub(crate) connections: Connections,
    /// What watchers are told.
    pub(crate) events: broadcast::Sender<Arc<Event>>,
    /// Users and tokens: whoever is connected by one hears of its end here.
    pub(crate) accounts: Accounts,
    /// What was counted since the start.
    pub(crate) counters: Counters,
    /// The data directory.
    pub(crate) data: PathBuf,
    /// Where it listens, for links when the configuration names no `public-url`.
    pub(crate) base_url: String,
    /// Tasks that must end before the process does.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the host is to end.
    pub(crate) stop: CancellationToken,
    composition: RwLock<Arc<Composition>>,
}

impl Shared {
    /// The parts, put together.
    pub(crate) fn new(
        driver: DriverHandle,
        (store, logs): (Store, LogFiles),
        (data, base_url): (PathBuf, String),
        loaded: Loaded,
        stop: CancellationToken,
    ) -> Self {
        Self {
            driver,
            accounts: Accounts::new(store.clone()),
            store,
            logs,
            plugins: Plugins::new(&data),
            connections: Connections::default(),
            events: broadcast::channel(crate::limits::EVENTS_BEHIND).0,
            counters: Counters::new(clock::wall()),
            data,
            base_url,
            tasks: TaskTracker::new(),
            stop,
            composition: RwLock::new(Arc::new(Composition::new(loaded))),
        }
    }

    /// The configuration in force.
    pub(crate) fn composition(&self) -> Arc<Composition> {
        Arc::clone(&self.composition.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another configuration in force, for everything but the engine, which is told by an input.
    pub(crate) fn replace(&self, loaded: Loaded) {
        *self.composition.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Composition::new(loaded));
    }

    /// Tells watchers; it is no matter if there are none.
    pub(crate) fn publish(&self, event: Event) {
        let _ = self.events.send(Arc::new(event));
    }
}

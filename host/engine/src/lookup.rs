//! The configuration by name, and which workers a builder's choice allows.

use std::collections::BTreeMap;

use stampmill_model::{BuilderName, LockName, SchedulerName, WorkerName};

use crate::Engine;
use crate::config::{Builder, Config, SchedulerKind, Worker, WorkerChoice};

/// Positions in the lists of a [`Config`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Lookup {
    builders: BTreeMap<BuilderName, BuilderEntry>,
    schedulers: BTreeMap<SchedulerName, usize>,
    /// Those that wait for a scheduler.
    dependents: BTreeMap<SchedulerName, Vec<usize>>,
    workers: BTreeMap<WorkerName, usize>,
    locks: BTreeMap<LockName, LockEntry>,
}

#[derive(Clone, Debug)]
struct LockEntry {
    position: usize,
    /// The builders that use it, in the order of the configuration.
    users: Vec<BuilderName>,
}

#[derive(Clone, Debug)]
struct BuilderEntry {
    position: usize,
    /// Positions of the workers that its choice allows, in the order of the configuration.
    fits: Vec<usize>,
}

impl Lookup {
    /// Reads a configuration.
    pub(crate) fn new(config: &Config) -> Self {
        let builders = config.builders.iter().enumerate().map(|(position, builder)| {
            let fits = config.workers.iter().enumerate();
            let fits = fits.filter(|(_, worker)| allows(&builder.workers, worker)).map(|(position, _)| position);
            (builder.name.clone(), BuilderEntry { position, fits: fits.collect() })
        });
        let schedulers = config.schedulers.iter().enumerate();
        let mut dependents: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (position, scheduler) in schedulers.clone() {
            if let SchedulerKind::Dependent { upstream } = &scheduler.kind {
                dependents.entry(upstream.clone()).or_default().push(position);
            }
        }
        let workers = config.workers.iter().enumerate();
        Self {
            builders: builders.collect(),
            schedulers: schedulers.map(|(position, scheduler)| (scheduler.name.clone(), position)).collect(),
            dependents,
            workers: workers.map(|(position, worker)| (worker.name.clone(), position)).collect(),
            locks: locks(config),
        }
    }

    /// Where a builder stands in the configuration.
    pub(crate) fn builder(&self, name: &BuilderName) -> Option<usize> {
        self.builders.get(name).map(|entry| entry.position)
    }

    /// Where a scheduler stands in the configuration.
    pub(crate) fn scheduler(&self, name: &SchedulerName) -> Option<usize> {
        self.schedulers.get(name).copied()
    }

    /// Where those stand that wait for a scheduler.
    pub(crate) fn dependents(&self, upstream: &SchedulerName) -> &[usize] {
        self.dependents.get(upstream).map_or(&[], Vec::as_slice)
    }

    /// Where a worker stands in the configuration.
    pub(crate) fn worker(&self, name: &WorkerName) -> Option<usize> {
        self.workers.get(name).copied()
    }

    /// Where a lock stands in the configuration.
    pub(crate) fn lock(&self, name: &LockName) -> Option<usize> {
        self.locks.get(name).map(|entry| entry.position)
    }

    /// The builders that use a lock.
    pub(crate) fn users_of_lock(&self, name: &LockName) -> &[BuilderName] {
        self.locks.get(name).map_or(&[], |entry| &entry.users)
    }

    /// The workers that a builder's choice allows, by position; none for an unknown builder.
    pub(crate) fn fits(&self, builder: &BuilderName) -> &[usize] {
        self.builders.get(builder).map_or(&[], |entry| &entry.fits)
    }
}

fn locks(config: &Config) -> BTreeMap<LockName, LockEntry> {
    let entries = config.locks.iter().enumerate().map(|(position, lock)| {
        let uses = |builder: &&Builder| builder.locks.iter().any(|wanted| wanted.name == lock.name);
        let users = config.builders.iter().filter(uses).map(|builder| builder.name.clone()).collect();
        (lock.name.clone(), LockEntry { position, users })
    });
    entries.collect()
}

/// Whether a choice allows a worker.
pub(crate) fn allows(choice: &WorkerChoice, worker: &Worker) -> bool {
    (choice.names.is_empty() || choice.names.contains(&worker.name))
        && choice.tags.iter().all(|tag| worker.tags.contains(tag))
}

impl Engine {
    /// The builder of this name, if it is configured.
    pub(crate) fn builder(&self, name: &BuilderName) -> Option<&Builder> {
        self.lookup.builder(name).map(|position| &self.config.builders[position])
    }
}

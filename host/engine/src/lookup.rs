//! The configuration by name, and which workers a builder's choice allows.

use std::collections::BTreeMap;

use stampmill_model::{BuilderName, SchedulerName, WorkerName};

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

    /// The workers that a builder's choice allows, by position; none for an unknown builder.
    pub(crate) fn fits(&self, builder: &BuilderName) -> &[usize] {
        self.builders.get(builder).map_or(&[], |entry| &entry.fits)
    }
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

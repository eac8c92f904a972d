//! The configuration by name, and what builders have in common that want the same workers or the same locks.

use std::collections::{BTreeMap, BTreeSet};

use stampmill_model::{BuilderName, ChangeSourceName, LockAccess, LockName, SchedulerName, Tier, WorkerName};

use crate::Engine;
use crate::config::{Builder, Config, LockUse, SchedulerKind, Worker, WorkerChoice};
use crate::scheduling::Projects;

/// Positions in the lists of a [`Config`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Lookup {
    change_sources: BTreeMap<ChangeSourceName, usize>,
    builders: BTreeMap<BuilderName, BuilderEntry>,
    schedulers: BTreeMap<SchedulerName, usize>,
    /// Those that wait for a scheduler.
    dependents: BTreeMap<SchedulerName, Vec<usize>>,
    projects: Projects,
    /// Those by which a builder is forced.
    forcing: BTreeMap<BuilderName, Vec<usize>>,
    workers: BTreeMap<WorkerName, usize>,
    /// For each worker the pools that it is in.
    pools_of: Vec<Vec<usize>>,
    /// Builders that want the same of their workers share a pool.
    pools: Vec<Pool>,
    locks: BTreeMap<LockName, LockEntry>,
}

#[derive(Clone, Debug)]
struct BuilderEntry {
    position: usize,
    pool: usize,
    /// Builders with the same list of locks, and with steps that want the same, have the same number here; without locks it is [`NO_LOCKS`].
    locks: usize,
}

/// The number of the empty list of locks.
pub(crate) const NO_LOCKS: usize = 0;

#[derive(Clone, Debug)]
struct Pool {
    tier: Tier,
    /// Positions of the workers that the choice allows, in the order of the configuration.
    fits: Vec<usize>,
}

#[derive(Clone, Debug)]
struct LockEntry {
    position: usize,
    /// The lists that it is in, and how builds take it that begin; none where only a step of theirs will.
    lists: BTreeMap<usize, Option<LockAccess>>,
}

impl Lookup {
    /// Reads a configuration.
    pub(crate) fn new(config: &Config) -> Self {
        let mut lookup = Self::default();
        let sources = config.change_sources.iter().enumerate();
        lookup.change_sources = sources.map(|(position, source)| (source.name.clone(), position)).collect();
        let workers = config.workers.iter().enumerate();
        lookup.workers = workers.map(|(position, worker)| (worker.name.clone(), position)).collect();
        let locks = config.locks.iter().enumerate();
        let entry = |position| LockEntry { position, lists: BTreeMap::new() };
        lookup.locks = locks.map(|(position, lock)| (lock.name.clone(), entry(position))).collect();
        lookup.read_builders(config);
        lookup.projects = Projects::new(config);
        for (position, scheduler) in config.schedulers.iter().enumerate() {
            lookup.schedulers.insert(scheduler.name.clone(), position);
            match &scheduler.kind {
                SchedulerKind::Dependent { upstream } => {
                    lookup.dependents.entry(upstream.clone()).or_default().push(position);
                }
                SchedulerKind::Force(_) => {
                    for builder in &scheduler.builders {
                        lookup.forcing.entry(builder.clone()).or_default().push(position);
                    }
                }
                SchedulerKind::SingleBranch { .. }
                | SchedulerKind::AnyBranch { .. }
                | SchedulerKind::Periodic { .. }
                | SchedulerKind::Nightly { .. }
                | SchedulerKind::Pinged { .. }
                | SchedulerKind::Try { .. }
                | SchedulerKind::Triggerable => {}
            }
        }
        lookup
    }

    fn read_builders(&mut self, config: &Config) {
        let mut pools: BTreeMap<(&WorkerChoice, Tier), usize> = BTreeMap::new();
        let mut lists: BTreeMap<(&[LockUse], BTreeSet<&LockName>), usize> =
            [((&[][..], BTreeSet::new()), NO_LOCKS)].into();
        for (position, builder) in config.builders.iter().enumerate() {
            let pool = *pools.entry((&builder.workers, builder.tier)).or_insert_with(|| {
                self.pools.push(pool(config, builder));
                self.pools.len() - 1
            });
            let next = lists.len();
            let of_steps: BTreeSet<_> = builder.job.locks_of_steps().map(|wanted| &wanted.name).collect();
            let at_once = builder.locks.iter().map(|wanted| (&wanted.name, Some(wanted.access)));
            let wanted: Vec<_> = at_once.chain(of_steps.iter().map(|name| (*name, None))).collect();
            let locks = *lists.entry((&builder.locks, of_steps)).or_insert(next);
            for (name, access) in wanted {
                if let Some(entry) = self.locks.get_mut(name) {
                    entry.lists.insert(locks, access);
                }
            }
            self.builders.insert(builder.name.clone(), BuilderEntry { position, pool, locks });
        }
        self.pools_of = vec![Vec::new(); config.workers.len()];
        for (number, pool) in self.pools.iter().enumerate() {
            for fit in &pool.fits {
                self.pools_of[*fit].push(number);
            }
        }
    }

    /// Where a change source stands in the configuration.
    pub(crate) fn change_source(&self, name: &ChangeSourceName) -> Option<usize> {
        self.change_sources.get(name).copied()
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

    /// Which projects depend on which.
    pub(crate) const fn projects(&self) -> &Projects {
        &self.projects
    }

    /// Where those stand by which a builder is forced.
    pub(crate) fn forcing(&self, builder: &BuilderName) -> &[usize] {
        self.forcing.get(builder).map_or(&[], Vec::as_slice)
    }

    /// Where a worker stands in the configuration.
    pub(crate) fn worker(&self, name: &WorkerName) -> Option<usize> {
        self.workers.get(name).copied()
    }

    /// The pools that a worker may be in, each with the isolation that it wants.
    pub(crate) fn pools_of(&self, worker: usize) -> impl Iterator<Item = (usize, Tier)> {
        let pools = self.pools_of.get(worker).into_iter().flatten();
        pools.map(|pool| (*pool, self.pools[*pool].tier))
    }

    /// The pool of a builder.
    pub(crate) fn pool_of(&self, builder: &BuilderName) -> Option<usize> {
        self.builders.get(builder).map(|entry| entry.pool)
    }

    /// The number of a builder's list of locks.
    pub(crate) fn locks_of(&self, builder: &BuilderName) -> usize {
        self.builders.get(builder).map_or(NO_LOCKS, |entry| entry.locks)
    }

    /// Where a lock stands in the configuration.
    pub(crate) fn lock(&self, name: &LockName) -> Option<usize> {
        self.locks.get(name).map(|entry| entry.position)
    }

    /// The lists of locks that a lock is in, and how builds take it that begin; none where only a step of theirs will.
    pub(crate) fn lists_of(&self, name: &LockName) -> impl Iterator<Item = (usize, Option<LockAccess>)> {
        self.locks.get(name).into_iter().flat_map(|entry| &entry.lists).map(|(list, access)| (*list, *access))
    }

    /// The workers that a builder's choice allows, by position; none for an unknown builder.
    pub(crate) fn fits(&self, builder: &BuilderName) -> &[usize] {
        self.pool_of(builder).map_or(&[], |pool| &self.pools[pool].fits)
    }
}

fn pool(config: &Config, builder: &Builder) -> Pool {
    let fits = config.workers.iter().enumerate().filter(|(_, worker)| allows(&builder.workers, worker));
    Pool { tier: builder.tier, fits: fits.map(|(position, _)| position).collect() }
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

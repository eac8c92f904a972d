//! Pools: the workers that builders with the same wishes may use, and which of them are there and have room.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use stampmill_model::{Tier, WorkerName};

use crate::Engine;
use crate::lookup::Lookup;
use crate::workers::Link;

/// Who may run a request: workers by their position in the configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Who {
    /// Any worker of a pool.
    Pool(usize),
    /// This worker, if its isolation is good enough.
    Only(usize, Tier),
}

/// A worker that is there and takes builds, now or when it has room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Standing {
    free_slots: usize,
    tier: Tier,
}

/// The part of a pool that is there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Present {
    /// How many take builds, now or when they have room.
    workers: usize,
    /// Those with room: the one with the most free slots first, then by the order of the configuration.
    free: BTreeSet<(Reverse<usize>, usize)>,
}

/// The workers that are there, and how much room they have.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Room {
    workers: BTreeMap<usize, Standing>,
    /// How many of them have room.
    free: usize,
    /// The pools of which somebody is there.
    pools: BTreeMap<usize, Present>,
}

impl Room {
    /// Whether no worker has room.
    pub(crate) fn is_none(&self) -> bool {
        self.free == 0
    }

    /// How many more builds a worker may get.
    pub(crate) fn free_slots(&self, worker: usize) -> usize {
        self.workers.get(&worker).map_or(0, |standing| standing.free_slots)
    }

    /// Whether a worker is there that is fenced well enough, busy or not.
    pub(crate) fn has(&self, worker: usize, tier: Tier) -> bool {
        self.workers.get(&worker).is_some_and(|standing| standing.tier <= tier)
    }

    /// Whether somebody is there who may run a request, busy or not.
    pub(crate) fn has_any(&self, who: Who) -> bool {
        match who {
            Who::Pool(pool) => self.pools.contains_key(&pool),
            Who::Only(worker, tier) => self.has(worker, tier),
        }
    }

    /// Who may run a request and has room, the one with the most free slots first.
    pub(crate) fn free(&self, who: Who) -> impl Iterator<Item = usize> {
        let (pool, only) = match who {
            Who::Pool(pool) => (self.pools.get(&pool), None),
            Who::Only(worker, tier) => {
                (None, Some(worker).filter(|_| self.has(worker, tier) && self.free_slots(worker) > 0))
            }
        };
        pool.into_iter().flat_map(|present| &present.free).map(|(_, worker)| *worker).chain(only)
    }

    /// What is known of a worker has changed.
    fn set(&mut self, worker: usize, standing: Option<Standing>, lookup: &Lookup) {
        let before = match standing {
            Some(standing) => self.workers.insert(worker, standing),
            None => self.workers.remove(&worker),
        };
        if before == standing {
            return;
        }
        let has_room = |standing: &Standing| standing.free_slots > 0;
        self.free = self.free + usize::from(standing.as_ref().is_some_and(has_room))
            - usize::from(before.as_ref().is_some_and(has_room));
        for (pool, tier) in lookup.pools_of(worker) {
            let fenced = |standing: &Standing| standing.tier <= tier;
            let (before, after) = (before.filter(fenced), standing.filter(fenced));
            if before == after {
                continue;
            }
            let present = self.pools.entry(pool).or_default();
            if let Some(before) = before {
                present.workers -= 1;
                present.free.remove(&(Reverse(before.free_slots), worker));
            }
            if let Some(after) = after {
                present.workers += 1;
                if has_room(&after) {
                    present.free.insert((Reverse(after.free_slots), worker));
                }
            }
            if present.workers == 0 {
                self.pools.remove(&pool);
            }
        }
    }
}

impl Engine {
    /// Keeps the index of workers that are there.
    pub(crate) fn refresh_room(&mut self, name: &WorkerName) {
        if let Some(position) = self.lookup.worker(name) {
            self.room.set(position, self.standing(name), &self.lookup);
        }
    }

    fn standing(&self, name: &WorkerName) -> Option<Standing> {
        match self.workers.get(name).map(|state| &state.link) {
            Some(Link::Connected(info)) if self.takes_builds(name) => {
                Some(Standing { free_slots: self.free_slots(name), tier: info.tier })
            }
            Some(Link::Connected(_) | Link::Leaving(_) | Link::Away(_)) | None => None,
        }
    }

    /// The index as it has to be.
    pub(crate) fn room_anew(&self) -> Room {
        let mut room = Room::default();
        for name in self.workers.keys() {
            if let Some(position) = self.lookup.worker(name) {
                room.set(position, self.standing(name), &self.lookup);
            }
        }
        room
    }
}

//! The queue: requests that wait, in the order of their turn: priority, then age.
//!
//! Requests that the same workers can run stand in one lane. Lanes that want the same of their workers and the same locks (and are of one
//! project, where projects share) are one group: where
//! the first of a group can't start, the others can't either, so a look at what could start costs one step for each group and not one for each
//! request. Those of a lane that could share a build are found without a look at the others.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stampmill_model::{BuilderName, Request, RequestId, Tier, WorkerName};

use crate::lookup::NO_LOCKS;
use crate::merging::Kin;
use crate::pools::Who;
use crate::shares::NO_PROJECT;

/// What decides which workers can run a request.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Lane {
    pub(crate) builder: BuilderName,
    pub(crate) only_worker: Option<WorkerName>,
}

impl Lane {
    /// The lane of a request.
    pub(crate) fn of(request: &Request) -> Self {
        Self { builder: request.builder.clone(), only_worker: request.only_worker.clone() }
    }
}

/// A place in the queue: the smaller, the earlier.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Turn {
    priority: Reverse<i32>,
    pub(crate) request: RequestId,
}

impl Turn {
    /// The place of a request.
    pub(crate) fn of(request: &Request) -> Self {
        Self { priority: Reverse(request.priority), request: request.id }
    }
}

/// Lanes that can start under the same conditions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Group {
    pub(crate) who: Who,
    /// The number of their list of locks.
    pub(crate) locks: usize,
    /// The number of their project, where projects are told apart.
    pub(crate) project: usize,
}

/// Who waits in a lane.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Waiting {
    turns: BTreeSet<Turn>,
    /// Those that could share a build. None of these sets is empty.
    kin: BTreeMap<Arc<Kin>, BTreeSet<Turn>>,
    /// `None` while nobody of the lane can start, whoever is there.
    group: Option<Group>,
}

/// All requests that wait for a worker.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Queue {
    /// No lane is empty.
    lanes: BTreeMap<Lane, Waiting>,
    /// The first of each lane that is in a group. No group is empty.
    groups: BTreeMap<Group, BTreeMap<Turn, Lane>>,
    /// The groups that want locks, by their list.
    locking: BTreeMap<usize, BTreeSet<Group>>,
    /// The kin of each that has some.
    kin: BTreeMap<RequestId, Arc<Kin>>,
}

impl Queue {
    /// Adds a request, with what it has in common with those that it could share a build with, to its lane, which is in this group.
    pub(crate) fn insert(&mut self, request: &Request, kin: Option<Arc<Kin>>, group: Option<Group>) {
        let (lane, turn) = (Lane::of(request), Turn::of(request));
        let waiting = self.lanes.entry(lane.clone()).or_default();
        let before = waiting.head();
        waiting.turns.insert(turn);
        waiting.group = group;
        if let Some(kin) = kin {
            waiting.kin.entry(Arc::clone(&kin)).or_default().insert(turn);
            self.kin.insert(request.id, kin);
        }
        let after = waiting.head();
        self.moved(lane, before, after);
    }

    /// Takes a request out, if it is in.
    pub(crate) fn remove(&mut self, request: &Request) {
        let (lane, turn) = (Lane::of(request), Turn::of(request));
        let Some(waiting) = self.lanes.get_mut(&lane) else { return };
        let before = waiting.head();
        waiting.turns.remove(&turn);
        if let Some(kin) = self.kin.remove(&request.id)
            && let Some(turns) = waiting.kin.get_mut(&kin)
        {
            turns.remove(&turn);
            if turns.is_empty() {
                waiting.kin.remove(&kin);
            }
        }
        let after = waiting.head();
        if waiting.turns.is_empty() {
            self.lanes.remove(&lane);
        }
        self.moved(lane, before, after);
    }

    /// A lane is in another group from now on, or in none.
    pub(crate) fn regroup(&mut self, lane: &Lane, group: Option<Group>) {
        let Some(waiting) = self.lanes.get_mut(lane) else { return };
        let before = waiting.head();
        waiting.group = group;
        let after = waiting.head();
        self.moved(lane.clone(), before, after);
    }

    /// The first of a lane is another than before, or in another group.
    fn moved(&mut self, lane: Lane, before: Option<(Group, Turn)>, after: Option<(Group, Turn)>) {
        if before == after {
            return;
        }
        if let Some((group, turn)) = after {
            self.groups.entry(group).or_default().insert(turn, lane);
            if group.locks != NO_LOCKS {
                self.locking.entry(group.locks).or_default().insert(group);
            }
        }
        if let Some((group, turn)) = before
            && let Some(heads) = self.groups.get_mut(&group)
        {
            heads.remove(&turn);
            if heads.is_empty() {
                self.groups.remove(&group);
                self.forget_locking(group);
            }
        }
    }

    fn forget_locking(&mut self, group: Group) {
        if let Some(groups) = self.locking.get_mut(&group.locks) {
            groups.remove(&group);
            if groups.is_empty() {
                self.locking.remove(&group.locks);
            }
        }
    }

    /// The groups in which somebody waits.
    pub(crate) fn groups(&self) -> impl Iterator<Item = Group> {
        self.groups.keys().copied()
    }

    /// The groups of any of a pool in which somebody waits.
    pub(crate) fn groups_of_pool(&self, pool: usize) -> impl Iterator<Item = Group> {
        let first = Group { who: Who::Pool(pool), locks: NO_LOCKS, project: NO_PROJECT };
        self.groups_from(first).take_while(move |group| group.who == first.who)
    }

    /// The groups of those who are only for a worker.
    pub(crate) fn groups_only_for(&self, worker: usize) -> impl Iterator<Item = Group> {
        let first = Group { who: Who::Only(worker, Tier::Sandboxed), locks: NO_LOCKS, project: NO_PROJECT };
        self.groups_from(first).take_while(move |group| matches!(group.who, Who::Only(only, _) if only == worker))
    }

    fn groups_from(&self, first: Group) -> impl Iterator<Item = Group> {
        self.groups.range(first..).map(|(group, _)| *group)
    }

    /// The groups that want this list of locks.
    pub(crate) fn groups_with_locks(&self, list: usize) -> impl Iterator<Item = Group> {
        self.locking.get(&list).into_iter().flatten().copied()
    }

    /// All groups that want locks.
    pub(crate) fn groups_with_any_lock(&self) -> impl Iterator<Item = Group> {
        self.locking.values().flatten().copied()
    }

    /// The group of a lane, if somebody waits in it and it has one.
    pub(crate) fn group_of(&self, lane: &Lane) -> Option<Group> {
        self.lanes.get(lane)?.group
    }

    /// The first of each lane of a group, earliest first.
    pub(crate) fn heads(&self, group: Group) -> impl Iterator<Item = (Turn, &Lane)> {
        self.groups.get(&group).into_iter().flatten().map(|(turn, lane)| (*turn, lane))
    }

    /// Who waits in a lane, earliest first.
    pub(crate) fn lane(&self, lane: &Lane) -> impl Iterator<Item = Turn> {
        self.lanes.get(lane).into_iter().flat_map(|waiting| &waiting.turns).copied()
    }

    /// Who waits and could share a build with a request that waits, itself included, earliest first.
    pub(crate) fn kin(&self, request: &Request) -> impl Iterator<Item = Turn> {
        let kin = self.kin.get(&request.id);
        let turns = kin.and_then(|kin| self.lanes.get(&Lane::of(request))?.kin.get(kin));
        turns.into_iter().flatten().copied()
    }

    /// Everybody, earliest first.
    pub(crate) fn in_order(&self) -> Vec<RequestId> {
        let mut turns: Vec<_> = self.lanes.values().flat_map(|waiting| &waiting.turns).copied().collect();
        turns.sort_unstable();
        turns.into_iter().map(|turn| turn.request).collect()
    }

    /// How many wait for the same builder and go first.
    pub(crate) fn ahead_of(&self, request: &Request) -> usize {
        let turn = Turn::of(request);
        let lanes = self.lanes_of(&request.builder).filter_map(|lane| self.lanes.get(lane));
        lanes.map(|waiting| waiting.turns.range(..turn).count()).sum()
    }

    /// All lanes in which somebody waits.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.keys()
    }

    /// The lanes of a builder in which somebody waits.
    pub(crate) fn lanes_of(&self, builder: &BuilderName) -> impl Iterator<Item = &Lane> {
        let first = Lane { builder: builder.clone(), only_worker: None };
        self.lanes.range(first..).map(|(lane, _)| lane).take_while(move |lane| lane.builder == *builder)
    }
}

impl Waiting {
    /// The place of the lane among those of its group.
    fn head(&self) -> Option<(Group, Turn)> {
        self.group.zip(self.turns.first().copied())
    }
}

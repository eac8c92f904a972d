//! The queue: requests that wait, in the order of their turn: priority, then age.
//!
//! Requests that the same workers can run stand in one lane, so that a lane that is stuck costs one look and not one for each request. Those of
//! a lane that could share a build are found without a look at the others.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stampmill_model::{BuilderName, Request, RequestId, WorkerName};

use crate::merging::Kin;

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

/// All requests that wait for a worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    /// No lane is empty.
    lanes: BTreeMap<Lane, BTreeSet<Turn>>,
    /// The first of each lane.
    heads: BTreeMap<Turn, Lane>,
    /// Those of a lane that could share a build. No group is empty.
    groups: BTreeMap<(Lane, Arc<Kin>), BTreeSet<Turn>>,
    /// The group of each that has one.
    kin: BTreeMap<RequestId, Arc<Kin>>,
}

impl Queue {
    /// Adds a request, with what it has in common with those that it could share a build with.
    pub(crate) fn insert(&mut self, request: &Request, kin: Option<Kin>) {
        let (lane, turn) = (Lane::of(request), Turn::of(request));
        if let Some(kin) = kin.map(Arc::new) {
            self.groups.entry((lane.clone(), Arc::clone(&kin))).or_default().insert(turn);
            self.kin.insert(request.id, kin);
        }
        let turns = self.lanes.entry(lane.clone()).or_default();
        let head = turns.first().copied();
        if turns.insert(turn) && head.is_none_or(|head| turn < head) {
            if let Some(head) = head {
                self.heads.remove(&head);
            }
            self.heads.insert(turn, lane);
        }
    }

    /// Takes a request out, if it is in.
    pub(crate) fn remove(&mut self, request: &Request) {
        let (lane, turn) = (Lane::of(request), Turn::of(request));
        if let Some(kin) = self.kin.remove(&request.id) {
            let group = (lane.clone(), kin);
            if let Some(turns) = self.groups.get_mut(&group) {
                turns.remove(&turn);
                if turns.is_empty() {
                    self.groups.remove(&group);
                }
            }
        }
        let Some(turns) = self.lanes.get_mut(&lane) else { return };
        turns.remove(&turn);
        let next = turns.first().copied();
        if next.is_none() {
            self.lanes.remove(&lane);
        }
        if self.heads.remove(&turn).is_some()
            && let Some(next) = next
        {
            self.heads.insert(next, lane);
        }
    }

    /// The first of each lane, earliest first.
    pub(crate) fn heads(&self) -> impl Iterator<Item = (Turn, &Lane)> {
        self.heads.iter().map(|(turn, lane)| (*turn, lane))
    }

    /// Who waits in a lane, earliest first.
    pub(crate) fn lane(&self, lane: &Lane) -> impl Iterator<Item = Turn> {
        self.lanes.get(lane).into_iter().flatten().copied()
    }

    /// Who waits and could share a build with a request that waits, itself included, earliest first.
    pub(crate) fn kin(&self, request: &Request) -> impl Iterator<Item = Turn> {
        let kin = self.kin.get(&request.id);
        let group = kin.and_then(|kin| self.groups.get(&(Lane::of(request), Arc::clone(kin))));
        group.into_iter().flatten().copied()
    }

    /// Everybody, earliest first.
    pub(crate) fn in_order(&self) -> Vec<RequestId> {
        let mut turns: Vec<_> = self.lanes.values().flatten().copied().collect();
        turns.sort_unstable();
        turns.into_iter().map(|turn| turn.request).collect()
    }

    /// How many wait for the same builder and go first.
    pub(crate) fn ahead_of(&self, request: &Request) -> usize {
        let turn = Turn::of(request);
        let lanes = self.lanes_of(&request.builder).filter_map(|lane| self.lanes.get(lane));
        lanes.map(|turns| turns.range(..turn).count()).sum()
    }

    /// The lanes of a builder in which somebody waits.
    pub(crate) fn lanes_of(&self, builder: &BuilderName) -> impl Iterator<Item = &Lane> {
        let first = Lane { builder: builder.clone(), only_worker: None };
        self.lanes.range(first..).map(|(lane, _)| lane).take_while(move |lane| lane.builder == *builder)
    }

    /// Whether the indexes say the same, and hold exactly these requests.
    pub(crate) fn agrees<'a>(&self, pending: impl Iterator<Item = (&'a Request, Option<Kin>)>) -> bool {
        let mut wanted = Self::default();
        for (request, kin) in pending {
            wanted.insert(request, kin);
        }
        let heads = wanted.lanes.iter().filter_map(|(lane, turns)| Some((*turns.first()?, lane.clone())));
        heads.collect::<BTreeMap<_, _>>() == self.heads
            && wanted.lanes == self.lanes
            && wanted.groups == self.groups
            && wanted.kin == self.kin
    }
}

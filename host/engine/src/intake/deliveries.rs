//! Deliveries that were taken, so that a doubled one gets the first answer again.

use std::collections::{BTreeMap, VecDeque};

use stampmill_model::{ChangeId, ChangeSourceName};

use crate::limits::DELIVERIES_MOST;
use crate::output::Delivery;

/// The last deliveries, the oldest leaving first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deliveries {
    taken: BTreeMap<ChangeSourceName, BTreeMap<String, Vec<ChangeId>>>,
    order: VecDeque<(ChangeSourceName, String)>,
}

impl Deliveries {
    /// The changes that a delivery became, if it was taken.
    pub(crate) fn changes_of(&self, source: &ChangeSourceName, id: &str) -> Option<&[ChangeId]> {
        self.taken.get(source)?.get(id).map(Vec::as_slice)
    }

    /// Remembers a delivery.
    pub(crate) fn remember(&mut self, delivery: Delivery) {
        let Delivery { source, id, changes, .. } = delivery;
        self.taken.entry(source.clone()).or_default().insert(id.clone(), changes);
        self.order.push_back((source, id));
        if self.order.len() > DELIVERIES_MOST
            && let Some((source, id)) = self.order.pop_front()
            && let Some(of_source) = self.taken.get_mut(&source)
        {
            of_source.remove(&id);
        }
    }
}

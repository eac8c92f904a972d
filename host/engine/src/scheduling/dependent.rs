//! Dependent: builds the sources of another scheduler's buildset once that has passed.

use std::sync::Arc;

use stampmill_model::{Buildset, Outcome, Parent};

use crate::Engine;
use crate::buildset::NewBuildset;

impl Engine {
    /// A buildset is complete. The schedulers that wait for its own build the same sources, if these have passed. Where a build of newer
    /// ones has answered for it, the set of those is followed.
    pub(crate) fn follow(&mut self, set: &Buildset, outcome: Outcome) {
        let (Some(upstream), Outcome::Success | Outcome::Warnings) = (&set.scheduler, outcome) else { return };
        if set.superseded {
            return;
        }
        let config = Arc::clone(&self.config);
        for position in self.lookup.dependents(upstream).to_vec() {
            if self.is_disabled(&config.schedulers[position].name) {
                continue;
            }
            let new = NewBuildset {
                parent: Some(Parent::Dependent(set.id)),
                depth: set.depth,
                authors: set.blamelist.clone(),
                stamps: set.stamps.clone(),
                ..NewBuildset::default()
            };
            self.submit_for(&config.schedulers[position], new);
        }
    }
}

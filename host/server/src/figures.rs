//! What the host counts while it runs, for `/metrics`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use stampmill_engine::Write;
use stampmill_model::{BuildState, Outcome, Wall};
use stampmill_service::Figures;

/// Counters since the start.
pub(crate) struct Counters {
    started_at: Wall,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    finished: BTreeMap<&'static str, (Outcome, u64)>,
    changes: u64,
    commits: u64,
    inputs: u64,
}

impl Counters {
    /// All at nought.
    pub(crate) fn new(started_at: Wall) -> Self {
        Self { started_at, counts: Mutex::default() }
    }

    /// Counts a batch of inputs.
    pub(crate) fn handled(&self, inputs: usize) {
        self.lock().inputs += inputs as u64;
    }

    /// Counts a commit and what it stored.
    pub(crate) fn committed(&self, writes: &[Write]) {
        let mut counts = self.lock();
        counts.commits += 1;
        for write in writes {
            match write {
                Write::Build(build) => {
                    if let BuildState::Finished { outcome, .. } = build.state {
                        counts.finished.entry(outcome.as_str()).or_insert((outcome, 0)).1 += 1;
                    }
                }
                // A change is stored first as it came, without a codebase or undecided.
                Write::Change(change) if change.decisions.is_empty() && !change.decided => counts.changes += 1,
                _ => {}
            }
        }
    }

    /// The counts now.
    pub(crate) fn figures(&self) -> Figures {
        let counts = self.lock();
        Figures {
            started_at: self.started_at,
            builds_finished: counts.finished.values().copied().collect(),
            changes_taken: counts.changes,
            commits: counts.commits,
            inputs: counts.inputs,
            trouble: None,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

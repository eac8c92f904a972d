//! An engine that was loaded has every request, build and undecided change that was stored, and the queue in its order.

use std::collections::BTreeSet;

use stampmill_engine::{Effect, Output};

use super::{Finding, Invariant, expect};
use crate::facts::{Facts, Step, turn};

pub(super) struct Loading;

impl Invariant for Loading {
    fn handled(&mut self, facts: &Facts, step: &Step<'_>) -> Finding {
        // What it asks for at once is asked for in the one call without an input.
        if step.input.is_some() {
            return Ok(());
        }
        let mut expected: Vec<_> = facts.said.pending().collect();
        expected.sort_by_key(|request| turn(request));
        let queue = step.engine.queue();
        expect(queue.iter().eq(expected.iter().copied()), || format!("the queue is {queue:?}, not {expected:?}"))?;
        let open: BTreeSet<_> = step.engine.workers().into_iter().flat_map(|worker| worker.builds).collect();
        expect(open == facts.said.open_builds, || format!("builds {open:?} and not {:?}", facts.said.open_builds))?;
        let asked: BTreeSet<_> = step.outputs.iter().filter_map(asked_about).collect();
        let durable = facts.said.changes.values();
        let mut unknown = durable.filter(|change| !change.decided && change.codebase.is_none());
        let forgotten = unknown.find(|change| !asked.contains(&change.id));
        expect(forgotten.is_none(), || format!("nobody is asked for the codebase of {forgotten:?}"))
    }
}

fn asked_about(output: &Output) -> Option<stampmill_model::ChangeId> {
    match output {
        Output::Effect(Effect::AskCodebase { change }) => Some(change.id),
        _ => None,
    }
}

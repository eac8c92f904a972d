//! What starts is the earliest that can, and nothing waits that could start.

use super::{Finding, Invariant, expect};
use crate::facts::locks::wants_any;
use crate::facts::{Facts, Step, turn};

pub(super) struct Queue;

impl Invariant for Queue {
    fn handled(&mut self, facts: &Facts, step: &Step<'_>) -> Finding {
        if facts.said.pending.is_empty() {
            return Ok(());
        }
        let names = facts.connected.keys();
        let free: Vec<_> = names.filter(|name| facts.said.running_on(name) < facts.slots(name)).collect();
        if free.is_empty() && step.started().next().is_none() {
            return Ok(());
        }
        for waiting in facts.said.pending() {
            let Some(builder) = facts.builder(&waiting.builder) else { continue };
            if facts.is_full(builder) {
                continue;
            }
            let can = |worker| facts.fits(waiting, builder, worker) && !facts.is_barred(waiting.id, worker);
            let idle = free.iter().find(|name| can(name) && !facts.is_locked(waiting, builder, name, false));
            expect(idle.is_none(), || format!("request {} waits and worker {idle:?} has room", waiting.id))?;
            for build in step.started() {
                let started = &facts.said.requests[&build.request];
                // Of two projects that share, the shares decide; and who was before it in the line for a lock may have started later.
                let is_before = !facts.is_sharing() || build.project == builder.project && !wants_any(builder);
                let is_passed = is_before
                    && turn(waiting) < turn(started)
                    && can(&build.worker)
                    && !facts.is_locked(waiting, builder, &build.worker, true);
                expect(!is_passed, || {
                    let (late, early) = (started.id, waiting.id);
                    format!("request {late} starts on {} before request {early}, whose turn is earlier", build.worker)
                })?;
            }
        }
        Ok(())
    }
}

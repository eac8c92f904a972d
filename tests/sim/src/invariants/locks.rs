//! A lock is never over-held, a build has those of its builder, and nobody takes one that somebody before him could not take as well.

use stampmill_model::{Build, LockAccess};

use super::{Finding, Invariant, expect};
use crate::facts::locks::{has_room, key};
use crate::facts::{Facts, Step, turn};
use crate::records::Written;

pub(super) struct Locks;

impl Invariant for Locks {
    fn handled(&mut self, facts: &Facts, step: &Step<'_>) -> Finding {
        for written in step.written {
            if let Written::Build { before: Some(before), after } = written {
                expect(before.locks == after.locks, || {
                    format!("build {} had {:?} and has {:?}", after.id, before.locks, after.locks)
                })?;
            }
        }
        step.started().try_for_each(|build| takes(facts, build))
    }
}

fn takes(facts: &Facts, build: &Build) -> Finding {
    let Some(builder) = facts.builder(&build.builder) else { return Ok(()) };
    let (id, wanted) = (build.id, facts.locks_of(builder));
    expect(build.locks == wanted, || format!("build {id} needs {wanted:?} and has {:?}", build.locks))?;
    let started = &facts.said.requests[&build.request];
    for wanted in builder.job.locks_of_steps() {
        let Some(lock) = facts.lock(&wanted.name) else { continue };
        let line = facts.line(&key(&lock.name, lock.scope, &build.worker), false);
        let passed = line.iter().find(|(before, _)| turn(before) < turn(started));
        expect(passed.is_none(), || {
            format!("build {id} begins, of which a step wants lock {}, for which {passed:?} stands before", lock.name)
        })?;
    }
    for lock in &build.locks {
        let key = key(&lock.name, lock.scope, &build.worker);
        let count = facts.lock(&lock.name).map_or(0, |lock| lock.count);
        // Others may have started after it; they are looked at by themselves.
        let holders: Vec<_> = facts.holders(&key).into_iter().filter(|(build, _)| build.id <= id).collect();
        let others: Vec<_> = holders.iter().filter(|(build, _)| build.id != id).map(|(_, access)| *access).collect();
        expect(has_room(&others, lock.access, count), || {
            let ids: Vec<_> = holders.iter().map(|(build, access)| (build.id, *access)).collect();
            format!("build {id} takes {key:?}, of which there are {count}, {:?}: {ids:?} have it", lock.access)
        })?;
        let taken: Vec<LockAccess> = holders.iter().map(|(_, access)| *access).collect();
        let line = facts.line(&key, false);
        let passed =
            line.iter().find(|(before, access)| turn(before) < turn(started) && !has_room(&taken, *access, count));
        expect(passed.is_none(), || {
            format!("build {id} for request {} takes {key:?}, for which {passed:?} stands before", started.id)
        })?;
    }
    Ok(())
}

//! A step takes its locks all at once, never one that is full, and none that a step of an earlier build could not take as well; it gives them back
//! when it ends.

use stampmill_model::{Build, BuildState, LockState, Step as BuildStep, StepState};

use super::{Finding, Invariant, expect};
use crate::facts::locks::{has_room, key};
use crate::facts::{Facts, Step};
use crate::records::Written;

pub(super) struct StepLocks;

impl Invariant for StepLocks {
    fn handled(&mut self, facts: &Facts, step: &Step<'_>) -> Finding {
        for written in step.written {
            let Written::Build { before, after } = written else { continue };
            for step in &after.steps {
                let is_over = matches!(step.state, StepState::Finished { .. });
                expect(!is_over || step.lock_state == LockState::Idle, || {
                    format!("step {} of build {} has ended and is {:?}", step.number, after.id, step.lock_state)
                })?;
                let before = before.as_ref().and_then(|before| before.steps.get(step.number as usize));
                let had = before.is_some_and(|before| before.lock_state == LockState::Held);
                if step.lock_state == LockState::Held && !had {
                    takes(facts, after, step)?;
                }
            }
            let is_over = matches!(after.state, BuildState::Finished { .. });
            expect(!is_over || after.steps.iter().all(|step| step.lock_state == LockState::Idle), || {
                format!("build {} has ended with locks of its steps", after.id)
            })?;
        }
        Ok(())
    }
}

fn takes(facts: &Facts, build: &Build, step: &BuildStep) -> Finding {
    for lock in &step.locks {
        let key = key(&lock.name, lock.scope, &build.worker);
        let count = facts.lock(&lock.name).map_or(1, |lock| lock.count);
        let holders = facts.holders(&key);
        let others: Vec<_> = holders.iter().filter(|(it, _)| it.id != build.id).map(|(_, access)| *access).collect();
        let who = || format!("step {} of build {} takes {key:?}, of which there are {count}", step.number, build.id);
        expect(has_room(&others, lock.access, count), || format!("{}: {others:?} had it", who()))?;
        let all: Vec<_> = holders.iter().map(|(_, access)| *access).collect();
        let line = facts.steps_in_line(&key);
        let passed = line.iter().find(|(it, access)| it.id < build.id && !has_room(&all, *access, count));
        expect(passed.is_none(), || format!("{}, before build {:?}", who(), passed.map(|(it, _)| it.id)))?;
    }
    Ok(())
}

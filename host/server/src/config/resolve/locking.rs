//! Locks that builders and steps take, and that no two of their builds can come to wait for each other.

use std::collections::{BTreeMap, VecDeque};

use stampmill_engine::config as engine;
use stampmill_model::{Job, LockName};

use super::known;
use crate::config::finding::{Problem, Sink};
use crate::config::raw;
use crate::config::reader::At;

pub(super) fn lock(lock: raw::Lock) -> engine::Lock {
    engine::Lock { name: lock.name.value.into(), count: lock.count, scope: lock.scope }
}

pub(super) fn uses(uses: Vec<raw::LockUse>, what: &str, locks: &[String], sink: &Sink) -> Vec<engine::LockUse> {
    let mut seen: BTreeMap<String, At<()>> = BTreeMap::new();
    let mut resolved = Vec::new();
    for raw::LockUse { name, access } in uses {
        known(&name, what, "lock", locks, sink);
        if let Some(first) = seen.get(&name.value) {
            let problem = Problem::error(name.span.clone(), format!("lock `{}` stands twice in {what}", name.value));
            let problem = problem.label("the second").also(first.span.clone(), "the first");
            sink.report(problem.mend("a lock is taken once: leave one of them out"));
            continue;
        }
        seen.insert(name.value.clone(), name.with(()));
        resolved.push(engine::LockUse { name: name.value.into(), access });
    }
    resolved
}

/// A build that has a lock while one of its steps waits for another.
#[derive(Clone)]
struct Wait {
    builder: usize,
    step: String,
    has: LockName,
    wants: LockName,
}

/// Refuses builders of which builds could wait for each other for ever: each has a lock of its builder while a step waits for one of the next.
/// Steps that take several locks at once make those one, because who waits for one of them may stand behind who waits for another.
pub(super) fn check_order(builders: &[engine::Builder], places: &[At<()>], sink: &Sink) {
    let mut together = Together::default();
    for step in builders.iter().flat_map(|builder| &builder.job.steps) {
        step.locks.windows(2).for_each(|two| together.join(&two[0].name, &two[1].name));
    }
    let mut waits: BTreeMap<LockName, BTreeMap<LockName, Wait>> = BTreeMap::new();
    for (number, builder) in builders.iter().enumerate() {
        for (step, wants) in locks_of_steps(&builder.job) {
            for has in &builder.locks {
                let wait = Wait { builder: number, step: step.to_owned(), has: has.name.clone(), wants: wants.clone() };
                let to = waits.entry(together.of(&has.name)).or_default();
                to.entry(together.of(wants)).or_insert(wait);
            }
        }
    }
    let Some(circle) = waits.values().flat_map(BTreeMap::values).find_map(|first| circle(first, &waits, &together))
    else {
        return;
    };
    let told: Vec<_> = circle.iter().map(|wait| told(wait, builders)).collect();
    let text = format!("builds could wait for each other for ever: {}", told.join("; "));
    let mut problem =
        Problem::error(places[circle[0].builder].span.clone(), text).label("has a lock while a step waits for one");
    for wait in &circle[1..] {
        problem = problem.also(places[wait.builder].span.clone(), "and this one");
    }
    sink.report(problem.mend("give a builder all that its builds need from the start, or its steps all of it"));
}

fn locks_of_steps(job: &Job) -> impl Iterator<Item = (&str, &LockName)> {
    job.steps.iter().flat_map(|step| step.locks.iter().map(|wanted| (step.name.as_str(), &wanted.name)))
}

fn told(wait: &Wait, builders: &[engine::Builder]) -> String {
    let Wait { builder, step, has, wants } = wait;
    format!("builder `{}` has lock `{has}` while its step `{step}` waits for lock `{wants}`", builders[*builder].name)
}

/// The shortest way from what is wanted back to what is had.
fn circle(
    first: &Wait,
    waits: &BTreeMap<LockName, BTreeMap<LockName, Wait>>,
    together: &Together,
) -> Option<Vec<Wait>> {
    let start = together.of(&first.has);
    let mut ways: VecDeque<Vec<Wait>> = [vec![first.clone()]].into();
    let mut seen = vec![together.of(&first.wants)];
    while let Some(way) = ways.pop_front() {
        let end = together.of(&way.last()?.wants);
        if end == start {
            return Some(way);
        }
        for (to, wait) in waits.get(&end).into_iter().flatten() {
            if !seen.contains(to) || *to == start {
                seen.push(to.clone());
                ways.push_back([way.clone(), vec![wait.clone()]].concat());
            }
        }
    }
    None
}

/// Locks that some step takes at once, each with the one that stands for all of them.
#[derive(Default)]
struct Together(BTreeMap<LockName, LockName>);

impl Together {
    fn of(&self, name: &LockName) -> LockName {
        self.0.get(name).unwrap_or(name).clone()
    }

    fn join(&mut self, one: &LockName, other: &LockName) {
        let (stays, goes) = (self.of(one), self.of(other));
        for name in self.0.values_mut().filter(|name| **name == goes) {
            *name = stays.clone();
        }
        for name in [one, other] {
            self.0.insert(name.clone(), stays.clone());
        }
    }
}

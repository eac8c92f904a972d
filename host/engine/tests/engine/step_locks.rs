//! Locks of steps: a build that runs waits in its middle.

use std::sync::Arc;

use stampmill_engine::config::{Builder, Lock, LockUse};
use stampmill_engine::{Config, Effect, Output};
use stampmill_model::{BuildEvent, Job, LockAccess, LockScope, LockState, Outcome, RequestId, StepPlan, Wall};

use crate::setup::{apart, builder, force, on_force, worker};
use crate::world::{World, effects, started, warnings};

use LockAccess::{Counting, Exclusive};

fn uses(locks: &[(&str, LockAccess)]) -> Vec<LockUse> {
    locks.iter().map(|(name, access)| LockUse { name: (*name).into(), access: *access }).collect()
}

/// A builder of steps `compile` and `test`, the second of which wants locks.
fn testing(name: &str, locks: &[(&str, LockAccess)]) -> Builder {
    let plain = builder(name);
    let with = |step: &StepPlan| match step.name.as_str() {
        "test" => StepPlan { locks: uses(locks), ..step.clone() },
        _ => step.clone(),
    };
    let job = Job { name: name.to_owned(), steps: plain.job.steps.iter().map(with).collect() };
    apart(Builder { job: Arc::new(job), ..plain })
}

fn config(locks: &[(&str, u32, LockScope)], builders: Vec<Builder>) -> Config {
    let names: Vec<_> = builders.iter().map(|builder| builder.name.as_str()).collect();
    Config {
        schedulers: vec![on_force("by-hand", &names)],
        workers: vec![worker("w1"), worker("w2")],
        locks: locks
            .iter()
            .map(|(name, count, scope)| Lock { name: (*name).into(), count: *count, scope: *scope })
            .collect(),
        builders,
        ..Config::default()
    }
}

fn world(config: Config) -> World {
    let mut world = World::new(config);
    world.connect("w1", 9);
    world
}

/// A build of a builder begins.
fn begin(world: &mut World, name: &str) -> u64 {
    let before = world.store.builds.len();
    world.force(force(name));
    assert_eq!(world.store.builds.len(), before + 1, "it starts at once");
    let build = u64::try_from(before).expect("few") + 1;
    world.accept(build);
    build
}

fn want(world: &mut World, build: u64) -> Vec<String> {
    told(&world.event(build, BuildEvent::LocksWanted { step: 1 }))
}

fn end_step(world: &mut World, build: u64) -> Vec<String> {
    let ended = BuildEvent::StepFinished { step: 1, outcome: Outcome::Success, summary: String::new(), at: Wall(9) };
    told(&world.event(build, ended))
}

/// Which steps have their locks, as `build/step on worker`.
fn told(outputs: &[Output]) -> Vec<String> {
    let told = effects(outputs).into_iter().filter_map(|effect| match effect {
        Effect::TellLocks { worker, build, step } => Some(format!("{build}/{step} on {worker}")),
        _ => None,
    });
    told.collect()
}

fn why(world: &World, request: u64) -> String {
    world.engine.explain_request(RequestId(request)).expect("it is open").summary
}

const NOTHING: [String; 0] = [];

#[test]
fn a8_03_steps_that_share_a_lock_never_run_at_once_and_the_builds_around_them_do() {
    let builders = ["a", "b", "c"].map(|name| testing(name, &[("db", Exclusive)])).to_vec();
    let mut world = world(config(&[("db", 1, LockScope::Host)], builders));
    let builds = ["a", "b", "c"].map(|name| begin(&mut world, name));
    assert_eq!(want(&mut world, builds[1]), ["2/1 on w1"]);
    assert_eq!(want(&mut world, builds[2]), NOTHING);
    assert_eq!(want(&mut world, builds[0]), NOTHING);
    assert_eq!(
        why(&world, 1),
        "build 1 on worker `w1`, step `test`, waits for lock `db`, which build 1 of builder `b` has"
    );
    assert_eq!(end_step(&mut world, builds[1]), ["1/1 on w1"], "the earlier build first");
    let line = "build 1 on worker `w1`, step `test`, waits for lock `db`, which build 1 of builder `a` has";
    assert_eq!(why(&world, 3), line);
    assert_eq!(
        told(&world.finish(builds[0], Outcome::Failure)),
        ["3/1 on w1"],
        "an end of the build is one of the step"
    );
    assert_eq!(world.build(builds[0]).steps[1].lock_state, LockState::Idle);
}

#[test]
fn counting_locks_of_steps_let_in_as_many_as_they_count_and_nobody_past_one_who_wants_it_alone() {
    let mut builders: Vec<_> = ["a", "b", "c"].map(|name| testing(name, &[("db", Counting)])).to_vec();
    builders.insert(2, testing("alone", &[("db", Exclusive)]));
    let mut world = world(config(&[("db", 2, LockScope::Host)], builders));
    let [a, b, alone, c] = ["a", "b", "alone", "c"].map(|name| begin(&mut world, name));
    assert_eq!(want(&mut world, a).len(), 1);
    assert_eq!(want(&mut world, alone), NOTHING);
    assert_eq!(want(&mut world, c), NOTHING, "there is room, but someone is before it");
    assert_eq!(want(&mut world, b).len(), 1, "it is before the one who waits");
    assert_eq!(end_step(&mut world, a), NOTHING);
    assert_eq!(end_step(&mut world, b), ["3/1 on w1"]);
    assert_eq!(end_step(&mut world, alone), ["4/1 on w1"]);
}

#[test]
fn a_lock_of_each_worker_is_that_of_the_builds_worker() {
    let builders = ["a", "b"].map(|name| testing(name, &[("disk", Exclusive)])).to_vec();
    let mut world = world(config(&[("disk", 1, LockScope::Worker)], builders));
    world.connect("w2", 9);
    let [a, b] = ["a", "b"].map(|name| begin(&mut world, name));
    assert_eq!(want(&mut world, a), ["1/1 on w1"]);
    assert_eq!(want(&mut world, b), ["2/1 on w2"]);
}

#[test]
fn a_step_takes_all_of_its_locks_at_once_and_goes_before_builds_that_have_not_begun() {
    let both = testing("both", &[("x", Exclusive), ("y", Exclusive)]);
    let whole = apart(Builder { locks: uses(&[("y", Exclusive)]), ..builder("whole") });
    let builders = vec![testing("x", &[("x", Exclusive)]), both, whole];
    let mut world = world(config(&[("x", 1, LockScope::Host), ("y", 1, LockScope::Host)], builders));
    let [x, both] = ["x", "both"].map(|name| begin(&mut world, name));
    assert_eq!(want(&mut world, x).len(), 1);
    assert_eq!(want(&mut world, both), NOTHING, "it does not take `y` while it waits for `x`");
    assert_eq!(started(&world.force(force("whole"))), NOTHING);
    assert_eq!(why(&world, 3), "waits for lock `y`, for which a step of build 1 of builder `both` is next");
    assert_eq!(end_step(&mut world, x), ["2/1 on w1"]);
    let outputs = world.event(
        both,
        BuildEvent::StepFinished { step: 1, outcome: Outcome::Success, summary: String::new(), at: Wall(9) },
    );
    assert_eq!(started(&outputs), ["whole/1 on w1"]);
}

#[test]
fn a_build_whose_step_wants_a_lock_does_not_begin_before_one_that_stands_in_line_for_it() {
    let whole = apart(Builder { locks: uses(&[("db", Exclusive)]), ..builder("whole") });
    let mut world = world(config(&[("db", 1, LockScope::Host)], vec![testing("late", &[("db", Exclusive)]), whole]));
    let late = begin(&mut world, "late");
    want(&mut world, late);
    assert_eq!(started(&world.force(force("whole"))), NOTHING);
    assert_eq!(started(&world.force(force("late"))), NOTHING, "or such builds could keep it waiting for ever");
    assert_eq!(why(&world, 3), "waits for lock `db`, for which request 2 of builder `whole` is next");
    assert_eq!(started(&world.finish(late, Outcome::Success)), ["whole/1 on w1", "late/2 on w1"]);
}

#[test]
fn what_a_step_has_and_waits_for_is_known_after_a_restart_and_told_to_a_worker_that_comes_back() {
    let builders = ["a", "b"].map(|name| testing(name, &[("db", Exclusive)])).to_vec();
    let mut world = world(config(&[("db", 1, LockScope::Host)], builders));
    let [a, b] = ["a", "b"].map(|name| begin(&mut world, name));
    assert_eq!(want(&mut world, a).len(), 1);
    assert_eq!(want(&mut world, b), NOTHING);
    world.restart();
    assert_eq!(told(&world.connect_with("w1", 9, &[a, b])), ["1/1 on w1"]);
    assert_eq!(end_step(&mut world, a), ["2/1 on w1"]);
}

#[test]
fn who_waits_no_longer_keeps_nobody_and_a_reload_lets_more_in() {
    let lock = |count| [("db", count, LockScope::Host)];
    let builders: Vec<_> = ["a", "b", "c"].map(|name| testing(name, &[("db", Counting)])).to_vec();
    let mut world = world(config(&lock(1), builders.clone()));
    let [a, b, c] = ["a", "b", "c"].map(|name| begin(&mut world, name));
    assert_eq!(want(&mut world, a).len(), 1);
    assert_eq!(want(&mut world, b), NOTHING);
    assert_eq!(want(&mut world, c), NOTHING);
    assert_eq!(end_step(&mut world, b), NOTHING, "it was cancelled while it waited");
    assert_eq!(told(&world.reload(config(&lock(2), builders))), ["3/1 on w1"]);
    assert_eq!(want(&mut world, a), NOTHING, "it has them already");
}

#[test]
fn a_worker_that_asks_out_of_turn_gets_no_lock() {
    let mut world = world(config(&[("db", 1, LockScope::Host)], vec![testing("a", &[("db", Exclusive)])]));
    let build = begin(&mut world, "a");
    let outputs = world.event(build, BuildEvent::LocksWanted { step: 7 });
    assert_eq!(warnings(&outputs), ["worker `w1`, build 1: step 7 wants locks out of turn"]);
    assert_eq!(end_step(&mut world, build), NOTHING);
    assert_eq!(want(&mut world, build), NOTHING, "the step has ended");
}

#[test]
fn a_build_that_did_not_arrive_goes_back_when_its_locks_are_others_meanwhile() {
    let whole = apart(Builder { locks: uses(&[("db", Exclusive)]), ..builder("a") });
    let locks = [("db", 1, LockScope::Host)];
    let mut world = world(config(&locks, vec![whole]));
    world.force(force("a"));
    world.leave("w1", false);
    world.reload(config(&locks, vec![testing("a", &[("db", Exclusive)])]));
    assert_eq!(started(&world.connect("w1", 9)), ["a/2 on w1"]);
    let after = world.build(2);
    assert_eq!((after.locks.len(), after.steps[1].locks.len(), after.attempt), (0, 1, 1));
}

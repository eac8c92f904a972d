//! Locks: what never runs at once, who is next, and what a request says that waits for one.

use stampmill_engine::config::{Builder, Lock, LockUse, Merge};
use stampmill_engine::input::Force;
use stampmill_engine::{Config, Input, ReplyTo};
use stampmill_model::{BuildEvent, BuildId, BuildState, LockAccess, LockScope, Outcome, RequestId};

use crate::setup::{apart, builder, builder_with_tag, force, on_force, worker, worker_with_tag};
use crate::world::{World, started};

use LockAccess::{Counting, Exclusive};

fn lock(name: &str, count: u32, scope: LockScope) -> Lock {
    Lock { name: name.into(), count, scope }
}

fn with(builder: Builder, locks: &[(&str, LockAccess)]) -> Builder {
    let locks = locks.iter().map(|(name, access)| LockUse { name: (*name).into(), access: *access });
    apart(Builder { locks: locks.collect(), ..builder })
}

/// Builders that can be forced, on the workers `w1` with the tag `x` and `w2`.
fn config(locks: Vec<Lock>, builders: Vec<Builder>) -> Config {
    let names: Vec<_> = builders.iter().map(|builder| builder.name.as_str().to_owned()).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    Config {
        schedulers: vec![on_force("by-hand", &names)],
        workers: vec![worker_with_tag("w1", "x"), worker("w2")],
        locks,
        builders,
        ..Config::default()
    }
}

fn forced(world: &mut World, builder: &str) -> Vec<String> {
    started(&world.force(force(builder)))
}

fn finish(world: &mut World, build: u64) -> Vec<String> {
    started(&world.finish(build, Outcome::Success))
}

fn why(world: &World, request: u64) -> String {
    world.engine.explain_request(RequestId(request)).expect("it is open").summary
}

const NOTHING: [String; 0] = [];

#[test]
fn a8_03_builders_that_share_an_exclusive_lock_never_run_at_once() {
    let builders = ["a", "b", "c"].map(|name| match name {
        "c" => builder("c"),
        name => with(builder(name), &[("db", Exclusive)]),
    });
    let mut world = World::new(config(vec![lock("db", 2, LockScope::Host)], builders.to_vec()));
    world.connect("w1", 5);
    assert_eq!(forced(&mut world, "a"), ["a/1 on w1"]);
    assert_eq!(forced(&mut world, "b"), NOTHING);
    assert_eq!(forced(&mut world, "a"), NOTHING);
    assert_eq!(forced(&mut world, "c"), ["c/1 on w1"], "who needs no lock waits for none");
    assert_eq!(why(&world, 2), "waits for lock `db`, which build 1 of builder `a` has");
    assert_eq!(finish(&mut world, 1), ["b/1 on w1"], "by age, not by builder");
    assert_eq!(finish(&mut world, 3), ["a/2 on w1"]);
}

#[test]
fn a8_03_a_counting_lock_of_two_lets_two_run() {
    let builders = ["a", "b", "c"].map(|name| with(builder(name), &[("db", Counting)]));
    let mut world = World::new(config(vec![lock("db", 2, LockScope::Host)], builders.to_vec()));
    world.connect("w1", 5);
    world.connect("w2", 5);
    let begun: Vec<_> = ["a", "b", "c", "a"].iter().flat_map(|name| forced(&mut world, name)).collect();
    assert_eq!(begun, ["a/1 on w1", "b/1 on w2"]);
    assert_eq!(finish(&mut world, 2).len(), 1);
    assert_eq!(world.build(3).builder.as_str(), "c");
    assert_eq!(finish(&mut world, 1).len(), 1);
}

#[test]
fn a_lock_of_each_worker_counts_there_alone() {
    let builders = ["a", "b"].map(|name| with(builder(name), &[("disk", Exclusive)]));
    let mut world = World::new(config(vec![lock("disk", 1, LockScope::Worker)], builders.to_vec()));
    world.connect("w1", 5);
    world.connect("w2", 5);
    let begun: Vec<_> = ["a", "b", "a"].iter().flat_map(|name| forced(&mut world, name)).collect();
    assert_eq!(begun, ["a/1 on w1", "b/1 on w2"]);
    assert_eq!(why(&world, 3), "waits for lock `disk` of worker `w1`, which build 1 of builder `a` has");
    assert_eq!(finish(&mut world, 2), ["a/2 on w2"]);
}

#[test]
fn who_wants_a_lock_alone_is_not_overtaken_by_those_who_count() {
    let builders = vec![with(builder("count"), &[("db", Counting)]), with(builder("alone"), &[("db", Exclusive)])];
    let mut world = World::new(config(vec![lock("db", 3, LockScope::Host)], builders));
    world.connect("w1", 9);
    forced(&mut world, "count");
    forced(&mut world, "count");
    assert_eq!(forced(&mut world, "alone"), NOTHING);
    assert_eq!(forced(&mut world, "count"), NOTHING, "there is room for a third, but someone is before it");
    assert_eq!(why(&world, 4), "waits for lock `db`, for which request 3 of builder `alone` is next");
    assert_eq!(finish(&mut world, 1), NOTHING);
    assert_eq!(finish(&mut world, 2), ["alone/1 on w1"]);
    assert_eq!(finish(&mut world, 3), ["count/3 on w1"]);
}

#[test]
fn who_is_more_urgent_stands_before_others() {
    let builders = vec![with(builder("a"), &[("db", Exclusive)]), with(builder("b"), &[("db", Exclusive)])];
    let mut world = World::new(config(vec![lock("db", 1, LockScope::Host)], builders));
    world.connect("w1", 9);
    forced(&mut world, "a");
    forced(&mut world, "a");
    world.force(Force { priority: Some(1), ..force("b") });
    assert_eq!(finish(&mut world, 1), ["b/1 on w1"]);
}

#[test]
fn who_waits_for_a_busy_worker_keeps_its_place_and_who_waits_for_none_has_no_place() {
    let alone = with(builder_with_tag("alone", "x"), &[("db", Exclusive)]);
    let builders = vec![alone, with(builder("count"), &[("db", Counting)]), builder_with_tag("other", "x")];
    let mut world = World::new(config(vec![lock("db", 2, LockScope::Host)], builders));
    world.connect("w2", 9);
    assert_eq!(forced(&mut world, "alone"), NOTHING);
    assert_eq!(forced(&mut world, "count"), ["count/1 on w2"], "nobody is there who could run the first");
    world.connect("w1", 1);
    assert_eq!(why(&world, 1), "waits for lock `db`, which build 1 of builder `count` has");
    assert_eq!(forced(&mut world, "other"), ["other/1 on w1"]);
    assert_eq!(finish(&mut world, 1), NOTHING);
    assert_eq!(forced(&mut world, "count"), NOTHING, "the first is next, and its worker will be free");
    assert_eq!(finish(&mut world, 2), ["alone/1 on w1"]);
    // The next of them loses its worker, and with it its place.
    world.force(force("alone"));
    world.finish(3, Outcome::Success);
    assert_eq!(started(&world.leave("w1", true)), NOTHING);
    assert_eq!(world.build(4).builder.as_str(), "count");
}

#[test]
fn a_worker_that_has_declined_the_first_in_line_takes_the_next_where_the_lock_is_its_own() {
    let mut world =
        World::new(config(vec![lock("disk", 1, LockScope::Worker)], vec![with(builder("a"), &[("disk", Exclusive)])]));
    world.connect("w1", 5);
    world.connect("w2", 5);
    assert_eq!(["a", "a", "a"].map(|name| forced(&mut world, name).len()), [1, 1, 0]);
    let outputs = world.event(2, BuildEvent::Declined { reason: "busy".to_owned() });
    assert_eq!(started(&outputs), ["a/3 on w2"], "request 2 waits for the lock of `w1`, and nobody for that of `w2`");
    assert_eq!(world.build(3).request, RequestId(3));
}

#[test]
fn who_was_declined_keeps_its_place_in_line_for_a_worker_that_is_busy() {
    let builders = vec![with(builder("a"), &[("db", Exclusive)]), builder_with_tag("other", "x")];
    let mut world = World::new(config(vec![lock("db", 1, LockScope::Host)], builders));
    world.connect("w1", 1);
    assert_eq!(forced(&mut world, "other"), ["other/1 on w1"]);
    world.connect("w2", 5);
    assert_eq!(["a", "a"].map(|name| forced(&mut world, name).len()), [1, 0]);
    let outputs = world.event(2, BuildEvent::Declined { reason: "busy".to_owned() });
    assert_eq!(started(&outputs), NOTHING, "request 2 is next, and `w1` will be free");
    assert_eq!(why(&world, 3), "waits for lock `db`, for which request 2 of builder `a` is next");
    assert_eq!(finish(&mut world, 1), ["a/2 on w1"]);
    assert_eq!(world.build(3).request, RequestId(2));
}

#[test]
fn who_could_run_only_on_a_paused_worker_keeps_nobody_from_a_lock() {
    let alone = with(builder_with_tag("alone", "x"), &[("db", Exclusive)]);
    let mut config =
        config(vec![lock("db", 1, LockScope::Host)], vec![alone, with(builder("a"), &[("db", Exclusive)])]);
    config.workers = vec![worker_with_tag("w1", "x"), worker("w2")];
    let mut world = World::new(config);
    world.connect("w1", 1);
    let (by, reason) = ("ann".to_owned(), String::new());
    world.tell(Input::WorkerPaused { worker: "w1".into(), by, reason, reply: ReplyTo(0) });
    assert_eq!(forced(&mut world, "alone"), NOTHING);
    world.connect("w2", 1);
    assert_eq!(forced(&mut world, "a"), ["a/1 on w2"]);
    assert_eq!(finish(&mut world, 1), NOTHING);
    assert!(why(&world, 1).contains("paused by ann"), "{}", why(&world, 1));
}

#[test]
fn a_place_in_line_that_is_given_up_lets_the_next_go() {
    let alone = with(builder_with_tag("alone", "x"), &[("db", Exclusive)]);
    let builders = vec![alone, with(builder("count"), &[("db", Counting)]), builder_with_tag("other", "x")];
    let start = || {
        let mut world = World::new(config(vec![lock("db", 2, LockScope::Host)], builders.clone()));
        world.connect("w1", 1);
        world.connect("w2", 9);
        forced(&mut world, "other");
        assert_eq!(forced(&mut world, "alone"), NOTHING);
        assert_eq!(forced(&mut world, "count"), NOTHING);
        world
    };
    let (request, reason, reply) = (RequestId(2), "ann: a typo".to_owned(), ReplyTo(0));
    let cancel = Input::RequestCancelAsked { request, reason, reply };
    assert_eq!(started(&start().tell(cancel)), ["count/1 on w2"]);
    assert_eq!(started(&start().tell(Input::WorkerLeaves { worker: "w1".into() })), ["count/1 on w2"]);
    assert_eq!(started(&start().leave("w1", false)), ["count/1 on w2"]);
    let mut fewer = config(vec![lock("db", 2, LockScope::Host)], builders.clone());
    fewer.builders[0].locks.clear();
    assert_eq!(started(&start().reload(fewer)), ["count/1 on w2"]);
}

#[test]
fn all_locks_of_a_build_are_taken_at_once() {
    let builders = vec![
        with(builder("a"), &[("one", Exclusive), ("two", Exclusive)]),
        with(builder("b"), &[("two", Exclusive), ("one", Exclusive)]),
        with(builder("c"), &[("two", Exclusive)]),
    ];
    let locks = vec![lock("one", 1, LockScope::Host), lock("two", 1, LockScope::Host)];
    let mut world = World::new(config(locks, builders));
    world.connect("w1", 9);
    forced(&mut world, "c");
    for builder in ["a", "b", "a", "b"] {
        assert_eq!(forced(&mut world, builder), NOTHING);
    }
    let order: Vec<_> = (1..=5).flat_map(|build| finish(&mut world, build)).collect();
    assert_eq!(order, ["a/1 on w1", "b/1 on w1", "a/2 on w1", "b/2 on w1"]);
}

#[test]
fn a_lock_is_had_while_the_worker_is_away_and_when_the_host_starts_anew() {
    let builders = ["a", "b"].map(|name| with(builder(name), &[("db", Exclusive)]));
    let mut world = World::new(config(vec![lock("db", 1, LockScope::Host)], builders.to_vec()));
    world.connect("w1", 1);
    forced(&mut world, "a");
    world.accept(1);
    world.leave("w1", false);
    world.connect("w2", 1);
    assert_eq!(forced(&mut world, "b"), NOTHING);
    world.restart();
    assert_eq!(started(&world.connect("w2", 1)), NOTHING);
    assert_eq!(why(&world, 2), "waits for lock `db`, which build 1 of builder `a` has");
    let lost = world.pass(120);
    assert_eq!(started(&lost), ["a/2 on w2"], "the older one is tried again, now that its build is given up");
}

#[test]
fn a_cancelled_build_has_its_locks_until_its_worker_says_that_it_has_ended() {
    let builders = ["a", "b"].map(|name| with(builder(name), &[("db", Exclusive)]));
    let mut world = World::new(config(vec![lock("db", 1, LockScope::Host)], builders.to_vec()));
    world.connect("w1", 2);
    forced(&mut world, "a");
    forced(&mut world, "b");
    let reason = "ann: enough".to_owned();
    let outputs = world.tell(Input::BuildCancelAsked { build: BuildId(1), reason, reply: ReplyTo(0) });
    assert_eq!(started(&outputs), NOTHING);
    assert_eq!(started(&world.finish(1, Outcome::Cancelled)), ["b/1 on w1"]);
}

#[test]
fn a_lower_count_ends_nothing_and_lets_nobody_in_before_it_holds() {
    let builders = ["a", "b", "c"].map(|name| with(builder(name), &[("db", Counting)])).to_vec();
    let counting = |count| config(vec![lock("db", count, LockScope::Host)], builders.clone());
    let mut world = World::new(counting(3));
    world.connect("w1", 9);
    for builder in ["a", "b", "c"] {
        assert_eq!(forced(&mut world, builder).len(), 1);
    }
    world.reload(counting(1));
    world.restart();
    world.connect_with("w1", 9, &[1, 2, 3]);
    assert!((1..=3).all(|build| world.build(build).state == BuildState::Dispatched));
    assert_eq!(forced(&mut world, "a"), NOTHING);
    assert_eq!(finish(&mut world, 1), NOTHING);
    assert_eq!(finish(&mut world, 2), NOTHING);
    assert_eq!(started(&world.reload(counting(2))), ["a/2 on w1"], "one more is allowed again");
    // What a build has does not change with the builder.
    world.reload(config(Vec::new(), vec![builder("a"), builder("b"), builder("c")]));
    assert_eq!(world.build(3).locks.len(), 1);
    world.reload(counting(1));
    assert_eq!(finish(&mut world, 3), NOTHING);
    assert_eq!(forced(&mut world, "b"), NOTHING);
}

#[test]
fn requests_that_share_a_build_take_its_locks_once() {
    let mut linux = with(builder("linux"), &[("db", Counting)]);
    linux.merge = Merge::Alike;
    let mut world = World::new(config(vec![lock("db", 1, LockScope::Host)], vec![linux]));
    world.connect("w1", 9);
    for _ in 0..3 {
        world.force(force("linux"));
    }
    assert_eq!(finish(&mut world, 1), ["linux/2 on w1"]);
    assert_eq!(world.build(2).merged.len(), 1);
    assert_eq!(world.build(2).locks.len(), 1);
}

/// Builders with all sorts of locks on workers that come and go, people who force and cancel. The engine checks itself after each input: that
/// no lock is had by too many, and that nobody waits who could start.
#[test]
fn whatever_happens_locks_are_never_over_held_and_everybody_gets_their_turn() {
    let locks =
        vec![lock("db", 2, LockScope::Host), lock("disk", 2, LockScope::Worker), lock("key", 1, LockScope::Host)];
    let builders = vec![
        with(builder("a"), &[("db", Exclusive)]),
        with(builder("b"), &[("db", Counting), ("disk", Exclusive)]),
        with(builder_with_tag("c", "x"), &[("db", Counting), ("key", Exclusive)]),
        with(Builder { max_builds: Some(1), ..builder("d") }, &[("disk", Counting)]),
        builder("e"),
    ];
    let fewer =
        vec![lock("db", 1, LockScope::Host), lock("disk", 1, LockScope::Worker), lock("key", 1, LockScope::Host)];
    let (many, few) = (config(locks, builders.clone()), config(fewer, builders));
    for seed in 0..12_u64 {
        let mut state = seed;
        let mut roll = |sides: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % sides
        };
        let mut world = World::new(many.clone());
        for _ in 0..300 {
            let worker = if roll(2) == 0 { "w1" } else { "w2" };
            let open: Vec<_> = open_builds(&world);
            match roll(16) {
                0..6 => {
                    drop(world.force(Force { priority: Some(0), ..force(["a", "b", "c", "d", "e"][roll(5) as usize]) }))
                }
                6..11 if !open.is_empty() => {
                    drop(world.finish(open[roll(open.len() as u64) as usize], Outcome::Success))
                }
                11 => drop(world.connect_with(worker, 3, &on(&world, worker))),
                12 => drop(world.leave(worker, roll(3) == 0)),
                13 => {
                    let request = RequestId(roll(world.store.requests.len() as u64 + 1) + 1);
                    let reason = "a person".to_owned();
                    world.tell(Input::RequestCancelAsked { request, reason, reply: ReplyTo(0) });
                }
                14 if roll(4) == 0 => drop(world.restart()),
                15 if roll(3) == 0 => drop(world.reload(if roll(2) == 0 { few.clone() } else { many.clone() })),
                _ => drop(world.pass(1)),
            }
        }
        for worker in ["w1", "w2"] {
            world.connect_with(worker, 3, &on(&world, worker));
        }
        while let Some(build) = open_builds(&world).first() {
            world.finish(*build, Outcome::Success);
        }
        let waiting = world.engine.queue();
        assert!(
            waiting.is_empty(),
            "seed {seed}: {:?}",
            waiting.iter().map(|it| why(&world, it.id.0)).collect::<Vec<_>>()
        );
    }
}

fn open_builds(world: &World) -> Vec<u64> {
    let open = world.store.builds.values().filter(|build| !matches!(build.state, BuildState::Finished { .. }));
    open.map(|build| build.id.0).collect()
}

fn on(world: &World, worker: &str) -> Vec<u64> {
    open_builds(world).into_iter().filter(|build| world.build(*build).worker.as_str() == worker).collect()
}

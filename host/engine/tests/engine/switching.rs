//! Schedulers that people disable and enable while the host runs.

use stampmill_engine::calendar::Calendar;
use stampmill_engine::config::{Scheduler, SchedulerKind};
use stampmill_engine::input::Force;
use stampmill_engine::output::SchedulerNow;
use stampmill_engine::{Answer, Config, Input, Output, ReplyTo};
use stampmill_model::{BuildId, ChangeId, Halt, Milliseconds, Outcome, Verdict, Wall};

use crate::setup::{force, on_force, on_main, on_quiet_main, scheduler, seen, small};
use crate::world::{World, answer, refusal};

fn disable(world: &mut World, name: &str, reason: &str) -> Vec<Output> {
    let (by, reason) = ("ann".to_owned(), reason.to_owned());
    world.tell(Input::SchedulerDisabled { scheduler: name.into(), by, reason, reply: ReplyTo(0) })
}

fn enable(world: &mut World, name: &str) -> Vec<Output> {
    world.tell(Input::SchedulerEnabled { scheduler: name.into(), reply: ReplyTo(0) })
}

fn with(schedulers: Vec<Scheduler>) -> World {
    World::new(Config { schedulers, ..small() })
}

/// The schedulers of the buildsets, with the revision that each builds.
fn made(world: &World) -> Vec<String> {
    let sets = world.store.buildsets.values();
    let revision = |set: &stampmill_model::Buildset| set.stamps[0].revision.clone().unwrap_or("latest".to_owned());
    sets.map(|set| format!("{} {}", set.scheduler.as_ref().map_or("nobody", |name| name.as_str()), revision(set)))
        .collect()
}

/// The seconds since the start at which buildsets were made.
fn times(world: &World, start: Wall) -> Vec<u64> {
    world.store.buildsets.values().map(|set| (set.submitted_at.0 - start.0) / 1000).collect()
}

fn now(world: &World, name: &str) -> SchedulerNow {
    let all = world.engine.schedulers(world.now);
    all.into_iter().find(|it| it.name.as_str() == name).expect("a configured scheduler")
}

#[test]
fn a_disabled_scheduler_ignores_changes_and_says_who_wants_it_so_across_restart_and_reload() {
    let mut world = World::new(small());
    assert_eq!(answer(&disable(&mut world, "quick", "the compiler is broken")), Answer::Done);
    world.push(vec![seen("bob", "r1")]);
    assert_eq!(world.decisions(1)[0], "quick: ignored, disabled by ann: the compiler is broken");
    world.restart();
    world.push(vec![seen("bob", "r2")]);
    world.reload(small());
    world.push(vec![seen("bob", "r3")]);
    assert_eq!(made(&world), [""; 0]);
    let halt = Halt { by: "ann".to_owned(), reason: "the compiler is broken".to_owned(), at: Wall(1_000_000) };
    assert_eq!(now(&world, "quick").disabled, Some(halt));
    disable(&mut world, "quick", "");
    world.push(vec![seen("bob", "r4")]);
    assert_eq!(world.decisions(4)[0], "quick: ignored, disabled by ann", "the last word holds");

    assert_eq!(answer(&enable(&mut world, "quick")), Answer::Done);
    assert_eq!(made(&world), [""; 0], "what was ignored stays so");
    world.push(vec![seen("bob", "r5")]);
    assert_eq!(made(&world), ["quick r5"]);
    world.restart();
    assert_eq!(now(&world, "quick").disabled, None);
}

#[test]
fn what_is_enabled_already_stays_as_it_is_and_an_unknown_one_is_refused() {
    let mut world = with(vec![on_quiet_main("quick", 60, &["linux"])]);
    world.push(vec![seen("bob", "r1")]);
    let outputs = enable(&mut world, "quick");
    assert_eq!((answer(&outputs), outputs.len()), (Answer::Done, 1), "nothing is written");
    for outputs in [disable(&mut world, "quikc", ""), enable(&mut world, "quikc")] {
        assert_eq!(refusal(&outputs), "there is no scheduler `quikc`");
        assert_eq!(outputs.len(), 1);
    }
}

#[test]
fn changes_that_wait_hold_and_are_built_when_the_scheduler_is_enabled() {
    let mut world = with(vec![on_quiet_main("quick", 60, &["linux"])]);
    world.push(vec![seen("bob", "r1")]);
    disable(&mut world, "quick", "");
    let state = now(&world, "quick");
    assert_eq!((state.waiting, state.next_at), (1, None));
    world.restart();
    world.reload(Config { schedulers: vec![on_quiet_main("quick", 60, &["linux"])], ..small() });
    world.pass(600);
    world.push(vec![seen("bob", "r2")]);
    assert_eq!(made(&world), [""; 0]);
    enable(&mut world, "quick");
    assert_eq!(made(&world), ["quick r1"], "the tree was quiet for long enough");

    world.push(vec![seen("bob", "r3")]);
    disable(&mut world, "quick", "");
    world.pass(10);
    enable(&mut world, "quick");
    assert_eq!(now(&world, "quick").next_at, Some(world.now.wall + Milliseconds::from_seconds(50)));
    world.pass(49);
    assert_eq!(made(&world), ["quick r1"], "it was not yet");
    world.pass(1);
    assert_eq!(made(&world), ["quick r1", "quick r3"]);
}

#[test]
fn a_change_that_its_filters_were_judging_is_ignored_and_their_answer_comes_too_late() {
    let mut world = with(vec![Scheduler { filters: 1, ..on_main("quick", &["linux"]) }]);
    world.push(vec![seen("bob", "r1")]);
    disable(&mut world, "quick", "");
    assert_eq!(world.decisions(1), ["quick: ignored, disabled by ann"]);
    assert!(world.change(1).decided);
    enable(&mut world, "quick");
    let result = Ok(vec![(Verdict::Important, String::new())]);
    world.tell(Input::Judged { scheduler: "quick".into(), change: ChangeId(1), result });
    assert_eq!(made(&world), [""; 0]);
}

#[test]
fn intervals_that_pass_while_a_periodic_scheduler_is_disabled_are_not_made_up_for() {
    let every = Milliseconds::from_seconds(300);
    let mut world = with(vec![scheduler("hourly", SchedulerKind::Periodic { every }, &["linux"])]);
    let start = world.now.wall;
    world.pass(310);
    assert_eq!(times(&world, start), [0, 300]);
    disable(&mut world, "hourly", "");
    world.pass(1_000);
    world.restart();
    assert_eq!(times(&world, start), [0, 300]);
    enable(&mut world, "hourly");
    world.pass(189);
    assert_eq!(times(&world, start), [0, 300], "the next of its rhythm is at 1500");
    world.pass(1);
    assert_eq!(times(&world, start), [0, 300, 1_500]);
    world.pass(300);
    assert_eq!(times(&world, start), [0, 300, 1_500, 1_800]);
}

#[test]
fn nights_that_pass_while_a_nightly_scheduler_is_disabled_are_not_made_up_for() {
    let at = Calendar::new("0 3 * * *", "UTC").expect("a calendar");
    let mut world = with(vec![scheduler("night", SchedulerKind::Nightly { at, only_if_changed: None }, &["linux"])]);
    disable(&mut world, "night", "");
    world.pass(2 * 86_400);
    world.restart();
    assert_eq!(made(&world), [""; 0]);
    enable(&mut world, "night");
    world.restart();
    assert_eq!(made(&world), [""; 0]);
    let state = now(&world, "night");
    assert_eq!(state.next_at, Some(Wall((2 * 24 + 3) * 3_600_000)));
    world.pass(86_400);
    assert_eq!(made(&world), ["night latest"]);
}

#[test]
fn a_disabled_follower_does_not_follow() {
    let after = scheduler("full", SchedulerKind::Dependent { upstream: "quick".into() }, &["linux"]);
    let mut world = with(vec![on_main("quick", &["linux"]), after]);
    world.connect("w1", 9);
    disable(&mut world, "full", "");
    world.push(vec![seen("bob", "r1")]);
    world.finish(1, Outcome::Success);
    assert_eq!(made(&world), ["quick r1"]);
    enable(&mut world, "full");
    assert_eq!(made(&world), ["quick r1"]);
    world.push(vec![seen("bob", "r2")]);
    assert!(world.store.builds.contains_key(&BuildId(2)));
    world.finish(2, Outcome::Success);
    assert_eq!(made(&world), ["quick r1", "quick r2", "full r2"]);
}

#[test]
fn a_force_through_a_disabled_scheduler_is_refused_with_the_mend_unless_another_one_lists_the_builder() {
    let mut world = with(vec![on_force("by-hand", &["linux"]), on_force("spare", &["linux"])]);
    disable(&mut world, "by-hand", "feature freeze");
    let named = || Force { scheduler: Some("by-hand".into()), ..force("linux") };
    let refused =
        "scheduler `by-hand` is disabled by ann: feature freeze; enable it with `stampmill scheduler enable by-hand`";
    assert_eq!(refusal(&world.force(named())), refused);
    world.force(force("linux"));
    assert_eq!(made(&world), ["spare latest"]);
    disable(&mut world, "spare", "");
    assert_eq!(refusal(&world.force(force("linux"))), refused, "the first that lists it stands for all");
    enable(&mut world, "by-hand");
    world.force(named());
    assert_eq!(made(&world), ["spare latest", "by-hand latest"]);
}

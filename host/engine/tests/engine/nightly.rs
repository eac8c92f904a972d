use stampmill_engine::calendar::Calendar;
use stampmill_engine::config::{OnlyIfChanged, Scheduler, SchedulerKind};
use stampmill_engine::{Config, Input};
use stampmill_model::{ChangeId, PropertySource, Steady, Verdict, Wall};

use crate::setup::{on_quiet_main, property, scheduler, seen, seen_on, small};
use crate::world::World;

/// Worlds begin at a quarter past midnight, 1970.
const START: u64 = 1_000_000;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

fn at(crontab: &str) -> Calendar {
    Calendar::new(crontab, "UTC").expect("a calendar")
}

fn nightly(crontab: &str) -> Scheduler {
    scheduler("night", SchedulerKind::Nightly { at: at(crontab), only_if_changed: None }, &["linux"])
}

fn if_changed(crontab: &str, force_at: Option<&str>) -> Scheduler {
    let changed = OnlyIfChanged { branch: Some("main".to_owned()), force_at: force_at.map(at) };
    scheduler("night", SchedulerKind::Nightly { at: at(crontab), only_if_changed: Some(changed) }, &["linux"])
}

fn config(scheduler: Scheduler) -> Config {
    Config { schedulers: vec![scheduler], ..small() }
}

fn world(scheduler: Scheduler) -> World {
    World::new(config(scheduler))
}

/// The hours since the start of 1970 at which buildsets were made.
fn hours(world: &World) -> Vec<u64> {
    world.store.buildsets.values().map(|set| set.submitted_at.0 / 1000 / HOUR).collect()
}

fn revisions(world: &World) -> Vec<&str> {
    let sets = world.store.buildsets.values();
    sets.map(|set| set.stamps[0].revision.as_deref().unwrap_or("latest")).collect()
}

/// The clock on the wall jumps, and the engine hears of it within the minute in which it looks.
fn set_clock(world: &mut World, seconds: u64) {
    world.now.wall = Wall(seconds * 1000);
    world.tell(Input::Tick);
}

#[test]
fn a5_08_a_nightly_scheduler_builds_its_defaults_at_its_times() {
    let properties = property("is_nightly", true, PropertySource::Scheduler);
    let mut world = world(Scheduler { properties, ..nightly("0 3,15 * * *") });
    world.push(vec![seen("ann", "r1")]);
    assert_eq!(world.decisions(1), ["night: ignored, builds at set times, not on changes"]);
    world.pass(2 * DAY);
    assert_eq!(hours(&world), [3, 15, 27, 39]);
    assert_eq!(revisions(&world), ["latest"; 4]);
    assert_eq!(world.buildset(1).properties["is_nightly"].value, true);
}

#[test]
fn a_night_that_passed_while_the_host_was_down_is_made_up_for_once() {
    let mut world = world(nightly("0 3 * * *"));
    world.pass(4 * HOUR);
    assert_eq!(hours(&world), [3]);
    world.restart();
    assert_eq!(hours(&world), [3], "not again");
    world.now.wall.0 += 3 * DAY * 1000;
    world.restart();
    assert_eq!(hours(&world), [3, 76]);
    world.pass(DAY);
    assert_eq!(hours(&world), [3, 76, 99]);
}

#[test]
fn a_clock_that_is_put_forward_is_noticed_within_a_minute() {
    let mut world = world(nightly("0 3 * * *"));
    world.now.wall.0 += 5 * HOUR * 1000;
    assert_eq!(world.engine.next_deadline(), Some(Steady(60_000)));
    world.pass(60);
    assert_eq!(hours(&world), [5]);
}

#[test]
fn a_clock_that_is_put_back_brings_no_night_twice_and_one_that_was_far_ahead_holds_none_back() {
    let mut world = world(nightly("0 3 * * *"));
    world.pass(3 * HOUR);
    assert_eq!(hours(&world), [3]);
    set_clock(&mut world, 2 * HOUR);
    world.pass(2 * HOUR);
    assert_eq!(hours(&world), [3], "the same night");
    world.pass(DAY);
    assert_eq!(hours(&world), [3, 27]);
    set_clock(&mut world, 1000 * DAY);
    assert_eq!(hours(&world), [3, 27, 24_000]);
    set_clock(&mut world, 2 * DAY);
    world.pass(DAY);
    assert_eq!(hours(&world), [3, 27, 24_000, 51]);
    set_clock(&mut world, 1000 * DAY);
    world.now.wall = Wall(4 * DAY * 1000);
    world.restart();
    world.pass(4 * HOUR);
    assert_eq!(hours(&world)[5..], [99], "the same at a start");
    set_clock(&mut world, 7 * DAY);
    for hours in [20, 40, 60] {
        set_clock(&mut world, 7 * DAY - hours * HOUR);
    }
    world.pass(2 * DAY);
    assert_eq!(hours(&world)[6..], [168, 147], "put back in steps of less than a day");
}

#[test]
fn another_calendar_counts_from_the_reload_on() {
    let mut world = world(nightly("0 3 * * *"));
    world.pass(6 * HOUR);
    world.reload(config(nightly("0 5 * * *")));
    assert_eq!(hours(&world), [3]);
    world.restart();
    assert_eq!(hours(&world), [3], "five o'clock was not missed: nobody wanted it then");
    world.pass(DAY);
    assert_eq!(hours(&world), [3, 29]);
    world.reload(config(nightly("0 5 * * *")));
    world.reload(Config { schedulers: Vec::new(), ..small() });
    world.pass(2 * DAY);
    assert_eq!(hours(&world), [3, 29], "what is gone does not fire");
}

#[test]
fn only_if_changed_builds_what_has_come_since_the_last_time_and_else_nothing() {
    let mut world = world(if_changed("0 3 * * *", None));
    world.pass(DAY);
    assert_eq!(hours(&world), [0; 0], "nothing has changed");
    world.push(vec![seen("ann", "r1"), seen("bob", "r2"), seen_on("dev", "cy", "r3")]);
    assert_eq!(world.decisions(3), ["night: ignored, branch `dev` is not `main`"]);
    world.restart();
    world.pass(DAY);
    assert_eq!(hours(&world), [27]);
    assert_eq!(revisions(&world), ["r2"]);
    assert_eq!(world.buildset(1).blamelist, ["ann", "bob"]);
    assert_eq!(world.buildset(1).stamps[0].changes, [ChangeId(1), ChangeId(2)]);
    world.pass(DAY);
    assert_eq!(hours(&world), [27], "what is built is not built again");
}

#[test]
fn changes_that_a_filter_calls_unimportant_wait_for_an_important_one() {
    let mut world = world(Scheduler { filters: 1, ..if_changed("0 3 * * *", None) });
    let judge = |world: &mut World, change, verdict| {
        let result = Ok(vec![(verdict, String::new())]);
        world.tell(Input::Judged { scheduler: "night".into(), change: ChangeId(change), result });
    };
    world.push(vec![seen("ann", "r1")]);
    judge(&mut world, 1, Verdict::Unimportant);
    world.pass(DAY);
    assert_eq!(hours(&world), [0; 0]);
    world.push(vec![seen("bob", "r2")]);
    judge(&mut world, 2, Verdict::Important);
    world.pass(DAY);
    assert_eq!((hours(&world), revisions(&world)), (vec![27], vec!["r2"]));
    assert_eq!(world.buildset(1).blamelist, ["ann", "bob"]);
}

#[test]
fn force_at_builds_in_any_case() {
    let mut world = world(if_changed("0 3 * * *", Some("0 4 4 * *")));
    world.pass(3 * DAY + 12 * HOUR);
    assert_eq!((hours(&world), revisions(&world)), (vec![76], vec!["latest"]));
    assert_eq!(START / 1000 / HOUR, 0);
}

#[test]
fn changes_that_waited_for_the_night_are_built_when_the_scheduler_becomes_another_kind() {
    let mut world = world(if_changed("0 3 * * *", None));
    world.push(vec![seen("ann", "r1")]);
    world.reload(config(Scheduler { name: "night".into(), ..on_quiet_main("quick", 5, &["linux"]) }));
    world.pass(4);
    assert_eq!(hours(&world), [0; 0]);
    world.pass(1);
    assert_eq!(revisions(&world), ["r1"]);
    world.push(vec![seen("ann", "r2")]);
    world.reload(config(if_changed("0 3 * * *", None)));
    world.pass(10);
    assert_eq!(revisions(&world), ["r1"]);
    world.pass(3 * HOUR);
    assert_eq!(revisions(&world), ["r1", "r2"]);
}

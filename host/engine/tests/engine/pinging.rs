use stampmill_engine::config::{Builder, Project, Scheduler, SchedulerKind};
use stampmill_engine::output::SchedulerNow;
use stampmill_engine::{Config, Input, ReplyTo};
use stampmill_model::{BuildsetId, Now, Outcome, Parent, Steady, Wall};

use crate::setup::{builder, force, on_force, on_main, scheduler, seen, small};
use crate::world::{World, started, warnings};

fn of(project: &str) -> Builder {
    Builder { project: project.to_owned(), ..builder(project) }
}

fn project(name: &str, depends_on: &[&str]) -> Project {
    let depends_on = depends_on.iter().map(|name| (*name).to_owned()).collect();
    Project { name: name.to_owned(), shares: None, max_builds: None, depends_on }
}

fn pinged(project: &str) -> Scheduler {
    scheduler(&format!("after-{project}"), SchedulerKind::Pinged { project: project.to_owned() }, &[project])
}

fn pinging(scheduler: Scheduler, project: &str) -> Scheduler {
    Scheduler { pings: Some(project.to_owned()), ..scheduler }
}

/// `a` and `b` depend on `lib`, `app` on both and on `lib`, and `site` on `app`.
fn config() -> Config {
    Config {
        schedulers: vec![
            pinging(on_main("quick", &["lib"]), "lib"),
            on_force("by-hand", &["lib", "app"]),
            pinged("site"),
            pinged("app"),
            pinged("a"),
            pinged("b"),
        ],
        projects: vec![
            project("site", &["app"]),
            project("app", &["a", "b", "lib"]),
            project("a", &["lib"]),
            project("b", &["lib"]),
        ],
        builders: ["lib", "a", "b", "app", "site"].map(of).to_vec(),
        ..small()
    }
}

fn world() -> World {
    let mut world = World::new(config());
    world.connect("w1", 9);
    world
}

/// The schedulers of all buildsets, in the order in which these were made.
fn made(world: &World) -> Vec<String> {
    let name = |set: &stampmill_model::Buildset| set.scheduler.as_ref().map(ToString::to_string).unwrap_or_default();
    world.store.buildsets.values().map(|set| name(set)).collect()
}

fn now(world: &World, name: &str) -> SchedulerNow {
    let all = world.engine.schedulers(Now { steady: Steady(0), wall: Wall(0) });
    all.into_iter().find(|it| it.name.as_str() == name).unwrap()
}

#[test]
fn a15_04_what_depends_on_a_project_is_built_after_it_in_order_and_once() {
    let mut world = world();
    world.push(vec![seen("ann", "r1")]);
    assert_eq!(
        world.decisions(1)[2],
        "after-site: ignored, builds when what project `site` depends on has passed, not on changes"
    );
    let outputs = world.finish(1, Outcome::Success);
    assert_eq!(started(&outputs), ["a/1 on w1", "b/1 on w1"]);
    assert_eq!(now(&world, "after-app").waits_for, ["a", "b"]);
    assert_eq!(world.buildset(2).parent, Some(Parent::Pinged(BuildsetId(1))));
    assert_eq!(world.buildset(2).blamelist, ["ann"], "whoever changed the library is told");
    assert!(world.buildset(2).stamps[0].changes.is_empty(), "its own sources");
    assert_eq!(started(&world.finish(2, Outcome::Success)), [""; 0], "`app` waits for `b`");
    assert_eq!(now(&world, "after-app").waits_for, ["b"]);
    assert_eq!(started(&world.finish(3, Outcome::Warnings)), ["app/1 on w1"]);
    assert_eq!(world.buildset(4).parent, Some(Parent::Pinged(BuildsetId(3))), "the last that it waited for");
    assert_eq!(started(&world.finish(4, Outcome::Success)), ["site/1 on w1"]);
    assert_eq!(started(&world.finish(5, Outcome::Success)), [""; 0]);
    assert_eq!(made(&world), ["quick", "after-a", "after-b", "after-app", "after-site"]);
}

#[test]
fn a_failure_leaves_out_all_that_waits_for_it_and_says_so() {
    let mut world = world();
    world.push(vec![seen("ann", "r1")]);
    world.finish(1, Outcome::Success);
    let told = warnings(&world.finish(2, Outcome::Failure));
    assert_eq!(
        told,
        ["project `a` has not passed after buildset 1: buildset 2 ended with failure; not built: `app`, `site`"]
    );
    let why = "not built after buildset 1: project `a` has not passed: buildset 2 ended with failure";
    assert_eq!(now(&world, "after-site").left_out.as_deref(), Some(why));
    assert_eq!(started(&world.finish(3, Outcome::Success)), [""; 0], "`b` has nobody left who waits for it");
    world.push(vec![seen("ann", "r2")]);
    for build in 4..=7 {
        world.finish(build, Outcome::Success);
    }
    assert_eq!(now(&world, "after-app").left_out, None, "it was built with the next");
    assert_eq!(made(&world).len(), 3 + 5);
}

#[test]
fn only_what_passes_as_it_is_begins_a_wave_and_only_where_its_scheduler_pings() {
    for outcome in [Outcome::Failure, Outcome::Exception, Outcome::Cancelled, Outcome::Skipped] {
        let mut world = world();
        world.push(vec![seen("ann", "r1")]);
        world.finish(1, outcome);
        assert_eq!(made(&world), ["quick"], "{outcome}");
    }
    let mut world = world();
    world.force(force("lib"));
    world.finish(1, Outcome::Success);
    assert_eq!(made(&world), ["by-hand"]);
}

#[test]
fn a_wave_goes_on_where_it_was_when_the_host_was_killed() {
    let mut world = world();
    world.push(vec![seen("ann", "r1")]);
    world.finish(1, Outcome::Success);
    world.restart();
    world.connect_with("w1", 9, &[2, 3]);
    world.finish(2, Outcome::Success);
    world.restart();
    world.connect_with("w1", 9, &[3]);
    assert_eq!(now(&world, "after-app").waits_for, ["b"]);
    assert_eq!(started(&world.finish(3, Outcome::Success)), ["app/1 on w1"]);
    world.restart();
    world.connect_with("w1", 9, &[4]);
    assert_eq!(started(&world.finish(4, Outcome::Success)), ["site/1 on w1"]);
    assert_eq!(made(&world).len(), 5);
}

#[test]
fn what_waits_in_a_wave_waits_in_a_newer_one_of_the_same_project_instead() {
    let mut world = world();
    world.push(vec![seen("ann", "r1")]);
    world.finish(1, Outcome::Success);
    world.finish(2, Outcome::Success);
    world.push(vec![seen("ann", "r2")]);
    assert_eq!(started(&world.finish(4, Outcome::Success)), ["a/2 on w1", "b/2 on w1"]);
    assert_eq!(started(&world.finish(3, Outcome::Success)), [""; 0], "`b` of the older wave");
    assert_eq!(started(&world.finish(5, Outcome::Success)), [""; 0]);
    assert_eq!(started(&world.finish(6, Outcome::Success)), ["app/1 on w1"], "once, after both of the newer");
}

#[test]
fn a_disabled_scheduler_stops_a_wave() {
    let mut world = world();
    let (by, reason) = ("ann".to_owned(), "a freeze".to_owned());
    world.tell(Input::SchedulerDisabled { scheduler: "after-a".into(), by, reason, reply: ReplyTo(0) });
    world.push(vec![seen("ann", "r1")]);
    let outputs = world.finish(1, Outcome::Success);
    assert_eq!(started(&outputs), ["b/1 on w1"]);
    assert!(warnings(&outputs)[0].contains("scheduler `after-a` is disabled"), "{:?}", warnings(&outputs));
    assert_eq!(started(&world.finish(2, Outcome::Success)), [""; 0]);
}

#[test]
fn a_dependency_that_leaves_the_configuration_is_not_waited_for() {
    let mut world = world();
    world.push(vec![seen("ann", "r1")]);
    world.finish(1, Outcome::Success);
    world.finish(2, Outcome::Success);
    let mut config = config();
    config.projects[1].depends_on.retain(|name| name != "b");
    assert_eq!(started(&world.reload(config.clone())), ["app/1 on w1"]);
    config.schedulers.retain(|scheduler| scheduler.name.as_str() != "after-site");
    world.reload(config);
    assert_eq!(started(&world.finish(4, Outcome::Success)), [""; 0]);
}

#[test]
fn two_projects_that_have_news_at_once_are_two_waves() {
    let mut config = config();
    config.builders.push(of("core"));
    config.projects.push(project("core", &[]));
    config.projects[1].depends_on = vec!["a".to_owned(), "core".to_owned()];
    config.schedulers.push(pinging(on_force("core", &["core"]), "core"));
    let mut world = World::new(config);
    world.connect("w1", 9);
    world.push(vec![seen("ann", "r1")]);
    world.finish(1, Outcome::Success);
    world.force(force("core"));
    assert_eq!(started(&world.finish(4, Outcome::Success)), ["app/1 on w1"], "it does not wait for the other wave");
    assert_eq!(now(&world, "after-app").waits_for, ["a"]);
    assert_eq!(started(&world.finish(2, Outcome::Success)), ["app/2 on w1"]);
}

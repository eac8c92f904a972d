//! Fair shares of projects, and how many builds a project may have.

use std::collections::BTreeMap;

use stampmill_engine::Config;
use stampmill_engine::config::{Builder, Project};
use stampmill_model::{Outcome, RequestId};

use crate::setup::{apart, builder, builder_with_tag, force, on_force, worker, worker_with_tag};
use crate::world::{World, orders, started};

const NOTHING: [String; 0] = [];

fn project(name: &str, shares: Option<u32>, max_builds: Option<u32>) -> Project {
    Project { name: name.to_owned(), shares, max_builds, depends_on: Vec::new() }
}

fn of(project: &str) -> Builder {
    apart(Builder { project: project.to_owned(), ..builder(project) })
}

/// Projects with a builder each of their name, on a worker `w1`.
fn config(projects: Vec<Project>) -> Config {
    let names: Vec<_> = projects.iter().map(|project| project.name.clone()).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    Config {
        schedulers: vec![on_force("by-hand", &names)],
        builders: names.iter().map(|name| of(name)).collect(),
        workers: vec![worker("w1")],
        projects,
        ..Config::default()
    }
}

fn queue(world: &mut World, project: &str, count: usize) {
    for _ in 0..count {
        world.force(force(project));
    }
}

fn why(world: &World, request: u64) -> String {
    world.engine.explain_request(RequestId(request)).expect("it is open").summary
}

/// Runs builds to their ends, each after as many seconds as its project's take; answers the builds' seconds by project, up to this end.
fn run(world: &mut World, begun: Vec<u64>, lengths: &BTreeMap<&str, u64>, end: u64) -> BTreeMap<String, u64> {
    let length = |world: &World, build: u64| lengths[world.build(build).project.as_str()];
    let mut now = 0;
    let mut running: Vec<_> = begun.iter().map(|build| (length(world, *build), 0, *build)).collect();
    let mut had = BTreeMap::new();
    while let Some(next) = running.iter().min().copied().filter(|(at, _, _)| *at <= end) {
        let (at, since, build) = next;
        running.retain(|it| *it != next);
        world.pass(at - now);
        now = at;
        *had.entry(world.build(build).project.clone()).or_insert(0) += at - since;
        let begun = orders(&world.finish(build, Outcome::Success));
        running.extend(begun.iter().map(|order| (now + length(world, order.build.id.0), now, order.build.id.0)));
    }
    for (_, since, build) in running {
        *had.entry(world.build(build).project.clone()).or_insert(0) += end - since;
    }
    had
}

#[test]
fn without_shares_the_order_is_that_of_turns() {
    let mut world = World::new(config(vec![project("app", None, None), project("lib", None, None)]));
    queue(&mut world, "app", 3);
    queue(&mut world, "lib", 1);
    assert_eq!(started(&world.connect("w1", 1)), ["app/1 on w1"]);
    world.pass(100);
    assert_eq!(started(&world.finish(1, Outcome::Success)), ["app/2 on w1"]);
    assert!(!why(&world, 4).contains("share"), "{}", why(&world, 4));
}

#[test]
fn builds_that_start_at_one_moment_are_spread_by_shares() {
    let mut world = World::new(config(vec![project("app", Some(3), None), project("lib", None, None)]));
    queue(&mut world, "app", 10);
    queue(&mut world, "lib", 10);
    let begun = started(&world.connect("w1", 8));
    let of_app = begun.iter().filter(|build| build.starts_with("app/")).count();
    assert_eq!((begun.len(), of_app), (8, 6), "{begun:?}");
}

/// The bound of decision 16, for projects that always want every slot.
#[test]
fn each_project_gets_the_time_that_its_shares_give_however_long_its_builds_are() {
    let shares = [("app", 1_u32, 20_u64), ("doc", 2, 60), ("lib", 5, 600)];
    let mut world = World::new(config(shares.map(|(name, shares, _)| project(name, Some(shares), None)).to_vec()));
    let (slots, all, seconds) = (3, 8, 12_000);
    let fair = |shares: u32| u64::from(shares * slots) * seconds / all;
    for (name, shares, length) in shares {
        // More than it gets, so that somebody always waits; who wants most is the first in line.
        queue(&mut world, name, usize::try_from(fair(shares) * 4 / 3 / length).expect("a number"));
    }
    let begun: Vec<_> = orders(&world.connect("w1", slots)).iter().map(|order| order.build.id.0).collect();
    let lengths = shares.iter().map(|(name, _, seconds)| (*name, *seconds)).collect();
    let had = run(&mut world, begun, &lengths, seconds);
    let longest = u64::from(slots) * 600 + 1;
    for (name, shares, length) in shares {
        let (starts, fair) = (had[name].div_ceil(length), fair(shares));
        let bound = fair.saturating_sub(u64::from(shares) * 2 * 3 * longest / all + longest);
        assert!(had[name] + starts >= bound, "{name} has had {} s, and at least {bound} s are its own", had[name]);
        assert!(had[name].abs_diff(fair) * 10 < fair * 2, "{name} has had {} s, and {fair} s would be fair", had[name]);
    }
}

#[test]
fn who_has_asked_for_nothing_does_not_get_everything_afterwards() {
    let mut world = World::new(config(vec![project("app", Some(1), None), project("lib", Some(1), None)]));
    queue(&mut world, "app", 100);
    let begun: Vec<_> = orders(&world.connect("w1", 1)).iter().map(|order| order.build.id.0).collect();
    let lengths = [("app", 10), ("lib", 10)].into();
    run(&mut world, begun, &lengths, 500);
    // What runs now is app's; from here on both want the worker.
    queue(&mut world, "lib", 30);
    let mut builds = Vec::new();
    for _ in 0..20 {
        let last = *world.store.builds.keys().next_back().expect("a build");
        world.pass(10);
        builds.extend(started(&world.finish(last.0, Outcome::Success)));
    }
    let of_app = builds.iter().filter(|build| build.starts_with("app/")).count();
    assert!((9..=11).contains(&of_app), "{builds:?}");
}

#[test]
fn a_request_says_when_the_shares_decide() {
    let mut world = World::new(config(vec![project("app", Some(3), None), project("lib", None, None)]));
    world.connect("w1", 1);
    queue(&mut world, "app", 2);
    world.pass(60);
    queue(&mut world, "lib", 1);
    let busy = "every worker for builder";
    assert_eq!(
        why(&world, 2),
        format!(
            "{busy} `app` is busy; project `app` has 3 of the 4 shares that wait and comes after project `lib`, which has had less for each of its own"
        )
    );
    assert_eq!(
        why(&world, 3),
        format!("{busy} `lib` is busy; project `lib` has 1 of the 4 shares that wait and is next")
    );
    assert_eq!(started(&world.finish(1, Outcome::Success)), ["lib/1 on w1"]);
}

#[test]
fn shares_that_change_change_nothing_that_was_had() {
    let projects = |app| vec![project("app", Some(app), None), project("lib", Some(1), None)];
    let mut world = World::new(config(projects(1)));
    queue(&mut world, "app", 100);
    queue(&mut world, "lib", 100);
    let begun: Vec<_> = orders(&world.connect("w1", 1)).iter().map(|order| order.build.id.0).collect();
    run(&mut world, begun, &[("app", 10), ("lib", 10)].into(), 400);
    world.reload(config(projects(3)));
    let mut builds = Vec::new();
    for _ in 0..16 {
        let last = *world.store.builds.keys().next_back().expect("a build");
        world.pass(10);
        builds.extend(started(&world.finish(last.0, Outcome::Success)));
    }
    let of_app = builds.iter().filter(|build| build.starts_with("app/")).count();
    assert!((11..=13).contains(&of_app), "{builds:?}");
}

#[test]
fn a_project_has_no_more_builds_than_it_may_on_whichever_builders() {
    let mut config = config(vec![project("app", None, Some(2))]);
    config.builders = vec![of("app"), Builder { project: "app".to_owned(), ..of("app-2") }, of("lib")];
    config.schedulers = vec![on_force("by-hand", &["app", "app-2", "lib"])];
    let mut world = World::new(config);
    world.connect("w1", 9);
    assert_eq!(started(&world.force(force("app"))), ["app/1 on w1"]);
    assert_eq!(started(&world.force(force("app-2"))), ["app-2/1 on w1"]);
    assert_eq!(started(&world.force(force("app-2"))), NOTHING);
    assert_eq!(started(&world.force(force("app"))), NOTHING);
    assert_eq!(started(&world.force(force("lib"))), ["lib/1 on w1"]);
    assert_eq!(why(&world, 3), "project `app` has 2 builds, as many as it may");
    let explained = world.engine.explain_request(RequestId(3)).expect("it is open").workers;
    assert_eq!(explained[0].1, "is free, but the project has as many builds as it may");
    assert_eq!(started(&world.finish(1, Outcome::Success)), ["app-2/2 on w1"], "by turn");
}

#[test]
fn a_limit_that_is_lifted_lets_those_go_who_waited_for_it() {
    let limited = |most| config(vec![project("app", None, most)]);
    let mut world = World::new(limited(Some(1)));
    world.connect("w1", 9);
    queue(&mut world, "app", 3);
    assert_eq!(started(&world.reload(limited(None))), ["app/2 on w1", "app/3 on w1"]);
    world.reload(limited(Some(1)));
    world.finish(1, Outcome::Success);
    world.finish(2, Outcome::Success);
    assert_eq!(started(&world.force(force("app"))), NOTHING);
    assert_eq!(started(&world.finish(3, Outcome::Success)), ["app/4 on w1"]);
}

/// A project that is busy on workers that nobody else wants pays for it where others do want them.
#[test]
fn what_a_project_has_had_counts_on_every_worker() {
    let mut config = config(vec![project("app", Some(1), None), project("lib", Some(1), None)]);
    config.workers = vec![worker_with_tag("big", "big"), worker("w1")];
    config.builders.push(apart(Builder { project: "app".to_owned(), ..builder_with_tag("app-big", "big") }));
    config.builders[0].workers.names = vec!["w1".into()];
    config.builders[1].workers.names = vec!["w1".into()];
    config.schedulers = vec![on_force("by-hand", &["app", "lib", "app-big"])];
    let mut world = World::new(config);
    world.connect("big", 1);
    queue(&mut world, "app-big", 1);
    world.pass(1_000);
    queue(&mut world, "app", 1);
    queue(&mut world, "lib", 1);
    assert_eq!(started(&world.connect("w1", 1)), ["lib/1 on w1"]);
}

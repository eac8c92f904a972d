use stampmill_engine::config::{Scheduler, SchedulerKind};
use stampmill_engine::input::Rebuild;
use stampmill_engine::{Config, Input, ReplyTo};
use stampmill_model::{BuildId, BuildsetId, ChangeId, Outcome, Parent, RequestState};

use crate::setup::{builder, force, hook, on_force, on_main, property, scheduler, seen, small};
use crate::world::{World, started};

fn after(name: &str, upstream: &str, builders: &[&str]) -> Scheduler {
    scheduler(name, SchedulerKind::Dependent { upstream: upstream.into() }, builders)
}

/// `quick` builds changes, `full` follows it on two builders, `pack` follows `full`.
fn config() -> Config {
    let schedulers = vec![
        after("pack", "full", &["rpm"]),
        on_main("quick", &["linux"]),
        on_force("by-hand", &["linux"]),
        after("full", "quick", &["mac", "bsd"]),
    ];
    Config { schedulers, builders: ["linux", "mac", "bsd", "rpm"].map(builder).to_vec(), ..small() }
}

fn world() -> World {
    let mut world = World::new(config());
    world.connect("w1", 9);
    world
}

fn made(world: &World) -> Vec<String> {
    let name =
        |set: &stampmill_model::Buildset| set.scheduler.as_ref().map_or("nobody", |name| name.as_str()).to_owned();
    world.store.buildsets.values().map(|set| name(set)).collect()
}

#[test]
fn a5_03_a5_06_a_dependent_scheduler_builds_the_same_sources_once_its_upstream_has_passed() {
    let mut world = world();
    world.push(vec![seen("ann", "r1")]);
    assert_eq!(world.decisions(1)[3], "full: ignored, builds when `quick` has passed, not on changes");
    assert_eq!(made(&world), ["quick"]);
    let outputs = world.finish(1, Outcome::Success);
    assert_eq!(started(&outputs), ["mac/1 on w1", "bsd/1 on w1"]);
    assert_eq!(made(&world), ["quick", "full"]);
    let (quick, full) = (world.buildset(1), world.buildset(2));
    assert_eq!((full.parent, &full.stamps), (Some(Parent::Dependent(BuildsetId(1))), &quick.stamps));
    assert_eq!((full.reason.as_str(), &full.blamelist), ("scheduler `full`", &vec!["ann".to_owned()]));
    assert_eq!(world.change(1).buildsets, [BuildsetId(1), BuildsetId(2)]);
    world.finish(2, Outcome::Warnings);
    assert_eq!(made(&world), ["quick", "full"], "one builder of two");
    world.finish(3, Outcome::Success);
    assert_eq!(made(&world), ["quick", "full", "pack"]);
    assert_eq!(world.buildset(3).stamps[0].changes, [ChangeId(1)]);
}

#[test]
fn what_has_not_passed_has_no_followers() {
    for outcome in [Outcome::Failure, Outcome::Exception, Outcome::Cancelled, Outcome::Skipped] {
        let mut world = world();
        world.push(vec![seen("ann", "r1")]);
        world.finish(1, outcome);
        assert_eq!(made(&world), ["quick"], "{outcome}");
    }
}

#[test]
fn another_scheduler_and_a_rebuild_have_no_followers() {
    let mut world = world();
    world.force(force("linux"));
    world.finish(1, Outcome::Success);
    let stamps = world.buildset(1).stamps.clone();
    let rebuild = Rebuild {
        build: BuildId(1),
        builder: "linux".into(),
        stamps,
        properties: property("a", 1, stampmill_model::PropertySource::Force),
        blamelist: Vec::new(),
        owner: "ann".to_owned(),
    };
    world.tell(Input::RebuildAsked { rebuild, reply: ReplyTo(0) });
    world.finish(2, Outcome::Success);
    assert_eq!(made(&world), ["by-hand", "nobody"]);
    assert_eq!(world.buildset(2).parent, Some(Parent::Rebuild(BuildId(1))));
}

#[test]
fn of_sets_that_shared_a_build_the_one_whose_sources_were_built_is_followed() {
    let mut world = World::new(config());
    world.connect("w1", 1);
    for revision in ["r1", "r2", "r3"] {
        world.push(vec![seen("ann", revision)]);
    }
    world.finish(1, Outcome::Success);
    assert_eq!(world.build(2).builder.as_str(), "linux", "older than what follows r1");
    world.restart();
    world.connect_with("w1", 1, &[2]);
    world.finish(2, Outcome::Success);
    assert_eq!(made(&world), ["quick", "quick", "quick", "full", "full"]);
    let sources = [1, 2, 3].map(|set| world.buildset(set)).map(|set| (set.superseded, set.stamps[0].revision.clone()));
    assert_eq!(sources.map(|(superseded, _)| superseded), [false, true, false], "r2 was not built");
    let followed = [4, 5].map(|set| (world.buildset(set).parent, world.buildset(set).stamps[0].revision.as_deref()));
    let wanted =
        [(BuildsetId(1), "r1"), (BuildsetId(3), "r3")].map(|(set, it)| (Some(Parent::Dependent(set)), Some(it)));
    assert_eq!(followed, wanted);
}

#[test]
fn a_set_is_followed_once_however_often_the_host_ends() {
    let mut world = world();
    world.push(vec![seen("ann", "r1")]);
    world.restart();
    world.connect_with("w1", 9, &[1]);
    world.finish(1, Outcome::Success);
    world.restart();
    world.restart();
    assert_eq!(made(&world), ["quick", "full"]);
}

#[test]
fn a_follower_that_asks_for_approval_of_untrusted_sources_waits_for_it() {
    let mut config = config();
    config.change_sources = vec![stampmill_engine::config::ChangeSource { trusted: false, ..hook("forge") }];
    config.schedulers[3].approve_untrusted = true;
    let mut world = World::new(config);
    world.connect("w1", 9);
    world.push(vec![seen("mallory", "r1")]);
    world.finish(1, Outcome::Success);
    assert_eq!([world.request(2), world.request(3)].map(|it| &it.state), [&RequestState::AwaitingApproval; 2]);
}

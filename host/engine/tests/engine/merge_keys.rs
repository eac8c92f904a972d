//! Merge plugins: what they say of requests, and what follows from it.

use stampmill_engine::config::{Builder, Merge};
use stampmill_engine::input::{Submission, Trouble};
use stampmill_engine::{Config, Effect, Input, Output, ReplyTo};
use stampmill_model::{BuildId, MergeKey, Outcome, Properties, RequestId, RequestState, SourceStamp};

use crate::setup::{builder, force, refused, seen, small, trouble, worker};
use crate::world::{World, effects, started, warnings};

/// A builder with a merge plugin, whose only worker is busy with build 1, which somebody has forced.
fn busy() -> World {
    let linux = Builder { merge: Merge::ByPlugin, ..builder("linux") };
    let mut world = World::new(Config { builders: vec![linux], ..small() });
    world.connect("w1", 1);
    world.force(force("linux"));
    found(&mut world, 1, Ok(None));
    assert_eq!(world.build(1).merged, []);
    world
}

fn found(world: &mut World, request: u64, result: Result<Option<&str>, Trouble>) -> Vec<Output> {
    let result = result.map(|key| key.map(str::to_owned));
    world.tell(Input::MergeKeyFound { request: RequestId(request), result })
}

/// The requests that the plugin is asked about.
fn asked(outputs: &[Output]) -> Vec<u64> {
    let effects = effects(outputs).into_iter();
    let asked = effects.filter_map(|effect| match effect {
        Effect::AskMergeKey { request, set } => {
            assert_eq!((request.buildset, request.merge_key.clone()), (set.id, MergeKey::Awaited));
            Some(request.id.0)
        }
        _ => None,
    });
    asked.collect()
}

fn requests(world: &World, build: u64) -> Vec<u64> {
    world.build(build).requests().map(|request| request.0).collect()
}

fn says(world: &World, request: u64) -> String {
    world.engine.explain_request(RequestId(request)).map(|it| it.summary).unwrap_or_default()
}

#[test]
fn a7_07_requests_to_which_the_plugin_gives_different_keys_are_two_builds() {
    let mut world = busy();
    for (number, key) in (2..).zip(["fast", "slow", "fast"]) {
        let outputs = world.push(vec![seen("ann", &format!("r{number}"))]);
        assert_eq!(asked(&outputs), [number]);
        assert_eq!(found(&mut world, number, Ok(Some(key))).len(), 1, "it is stored, and that is all");
    }
    world.finish(1, Outcome::Success);
    assert_eq!(requests(&world, 2), [2, 4]);
    assert_eq!(world.request(2).merge_key, MergeKey::Given("fast".to_owned()));
    assert!(says(&world, 3).ends_with("is busy; by its merge plugin it merges only with requests of merge key `slow`"));
    assert!(says(&world, 4).contains("merged with request 2; by its merge plugin it merges only"));
    world.finish(2, Outcome::Success);
    assert_eq!(requests(&world, 3), [3]);
}

#[test]
fn a_key_lets_nothing_share_that_the_rule_keeps_apart() {
    let mut world = busy();
    world.push(vec![seen("ann", "r1")]);
    found(&mut world, 2, Ok(Some("a")));
    world.force(force("linux"));
    found(&mut world, 3, Ok(Some("a")));
    world.finish(1, Outcome::Success);
    assert_eq!(requests(&world, 2), [2]);
}

#[test]
fn a_request_waits_for_the_plugin_and_says_so_though_a_worker_is_free() {
    let linux = Builder { merge: Merge::ByPlugin, ..builder("linux") };
    let mut world = World::new(Config { builders: vec![linux], ..small() });
    world.connect("w1", 1);
    let outputs = world.push(vec![seen("ann", "r1")]);
    assert_eq!((asked(&outputs), started(&outputs)), (vec![1], Vec::new()));
    assert_eq!(says(&world, 1), "the merge plugin of builder `linux` has not answered yet");
    assert_eq!(started(&found(&mut world, 1, Ok(Some("a")))), ["linux/1 on w1"]);
    assert_eq!(found(&mut world, 1, Ok(Some("b"))), [], "only the first answer counts");
    assert_eq!(world.request(1).merge_key, MergeKey::Given("a".to_owned()));
}

#[test]
fn a_plugin_that_fails_or_takes_too_long_costs_the_merging_and_nothing_else() {
    let mut world = busy();
    for number in 2..=5 {
        world.push(vec![seen("ann", &format!("r{number}"))]);
    }
    let outputs = found(&mut world, 2, Err(refused("plugin `x` trapped")));
    assert_eq!(warnings(&outputs), ["request 2 of builder `linux` is not merged: plugin `x` trapped"]);
    assert_eq!(warnings(&found(&mut world, 3, Err(trouble("busy")))).len(), 1, "nobody asks a second time");
    assert_eq!(started(&world.pass(59)), Vec::<String>::new());
    assert_eq!(world.request(4).merge_key, MergeKey::Awaited);
    assert_eq!(warnings(&world.pass(1)).len(), 2);
    let late = MergeKey::Failed("its merge plugin has not answered within 60 s".to_owned());
    assert_eq!((&world.request(4).merge_key, &world.request(5).merge_key), (&late, &late));
    assert_eq!(found(&mut world, 4, Ok(Some("a"))), [], "an answer that comes too late is dropped");
    assert!(says(&world, 2).ends_with("; it is not merged: plugin `x` trapped"), "{}", says(&world, 2));
    for build in 1..=4 {
        world.finish(build, Outcome::Success);
        assert_eq!(requests(&world, build + 1), [build + 1]);
    }
}

#[test]
fn what_the_plugin_said_survives_a_restart_and_what_it_did_not_say_is_asked_again() {
    let mut world = busy();
    for number in 2..=5 {
        world.push(vec![seen("ann", &format!("r{number}"))]);
    }
    found(&mut world, 2, Ok(Some("a")));
    found(&mut world, 3, Ok(None));
    assert_eq!(asked(&world.restart()), [4, 5]);
    found(&mut world, 4, Ok(Some("a")));
    found(&mut world, 5, Ok(Some("b")));
    world.connect_with("w1", 1, &[1]);
    world.finish(1, Outcome::Success);
    assert_eq!(requests(&world, 2), [2, 4]);
    assert_eq!(world.request(3).merge_key, MergeKey::Alone);
}

#[test]
fn a_lost_build_is_not_shown_to_the_plugin_again() {
    let mut world = busy();
    world.push(vec![seen("ann", "r2")]);
    found(&mut world, 2, Ok(Some("a")));
    world.finish(1, Outcome::Success);
    let outputs = world.finish(2, Outcome::Retry);
    assert_eq!(asked(&outputs), Vec::<u64>::new());
    assert_eq!(world.request(2).state, RequestState::Building(BuildId(3)));
}

#[test]
fn what_is_never_merged_is_not_shown_to_the_plugin() {
    let linux = Builder { merge: Merge::ByPlugin, ..builder("linux") };
    let mut world = World::new(Config { builders: vec![linux], ..small() });
    world.connect("w1", 1);
    let stamp = SourceStamp { revision: Some("r1".to_owned()), ..SourceStamp::default() };
    let submission = Submission {
        builders: vec!["linux".into()],
        stamps: vec![stamp],
        reason: String::new(),
        owner: "ann".to_owned(),
        properties: Properties::new(),
        priority: 0,
        external_id: None,
    };
    let outputs = world.tell(Input::Submitted { submission, reply: ReplyTo(0) });
    assert_eq!((asked(&outputs), started(&outputs).len()), (Vec::new(), 1));
    assert_eq!(world.request(1).merge_key, MergeKey::Unasked);
}

#[test]
fn a_request_that_is_cancelled_is_not_waited_for() {
    let mut world = busy();
    world.push(vec![seen("ann", "r2")]);
    let reason = "ann: enough".to_owned();
    world.tell(Input::RequestCancelAsked { request: RequestId(2), reason, reply: ReplyTo(0) });
    assert_eq!(world.outcome(2), Some(Outcome::Cancelled));
    assert_eq!(world.engine.next_deadline(), None);
    assert_eq!(found(&mut world, 2, Ok(Some("a"))), []);
}

#[test]
fn a_reload_that_takes_the_plugin_away_lets_go_who_waits_for_it_and_keeps_what_it_said() {
    let mut world = busy();
    for number in 2..=5 {
        world.push(vec![seen("ann", &format!("r{number}"))]);
    }
    found(&mut world, 2, Ok(Some("a")));
    let outputs = world.reload(Config { workers: vec![worker("w1")], ..small() });
    assert_eq!(asked(&outputs), Vec::<u64>::new());
    world.finish(1, Outcome::Success);
    assert_eq!(requests(&world, 2), [2], "who has a key shares with that key alone");
    world.finish(2, Outcome::Success);
    assert_eq!(requests(&world, 3), [3, 4, 5]);
}

#[test]
fn what_waited_before_there_was_a_plugin_is_merged_with_nobody() {
    let mut world = World::new(small());
    for number in 1..=2 {
        world.push(vec![seen("ann", &format!("r{number}"))]);
    }
    let linux = Builder { merge: Merge::ByPlugin, ..builder("linux") };
    let outputs = world.reload(Config { builders: vec![linux], ..small() });
    assert_eq!(asked(&outputs), Vec::<u64>::new());
    world.connect("w1", 2);
    assert_eq!((requests(&world, 1), requests(&world, 2)), (vec![1], vec![2]));
}

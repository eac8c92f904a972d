//! What a newer buildset of the same branches cancels, and what it leaves alone.

use std::collections::BTreeMap;

use stampmill_engine::config::{Scheduler, SchedulerKind};
use stampmill_engine::input::{Force, SourceChoice};
use stampmill_engine::{Config, Effect, Input, OccasionKind, Output, ReplyTo};
use stampmill_model::{
    BuildId, BuildState, BuildsetState, ChangeId, Outcome, RequestId, RequestState, SeenChange, Verdict,
};

use crate::setup::{
    apart, builder, force, on_force, on_main, reporter, scheduler, seen, seen_on, small, with_codebases, worker,
};
use crate::world::{World, effects, started};

fn superseding(scheduler: Scheduler) -> Scheduler {
    Scheduler { cancel_superseded: true, ..scheduler }
}

/// `quick` on two builders, and on one of them what people force.
fn config() -> Config {
    Config {
        schedulers: vec![superseding(on_main("quick", &["linux", "mac"])), on_force("by-hand", &["linux"])],
        builders: vec![apart(builder("linux")), apart(builder("mac"))],
        workers: vec![worker("w1")],
        ..small()
    }
}

/// Who or what cancelled a request.
fn reason(world: &World, request: u64) -> String {
    match &world.request(request).state {
        RequestState::Complete { outcome: Outcome::Cancelled, build: None, reason, .. } => reason.clone(),
        other => panic!("request {request} is {other:?}"),
    }
}

/// The builds that workers are told to end, and why.
fn ended(outputs: &[Output]) -> Vec<(BuildId, String)> {
    let told = effects(outputs).into_iter().filter_map(|effect| match effect {
        Effect::CancelBuild { build, reason, .. } => Some((build, reason)),
        _ => None,
    });
    told.collect()
}

fn send(world: &mut World, change: SeenChange, trusted: bool) -> Vec<Output> {
    world.tell(Input::ChangeSent { change, codebase: None, trusted, reply: ReplyTo(0) })
}

fn judged(world: &mut World, change: u64) -> Vec<Output> {
    let result = Ok(vec![(Verdict::Important, String::new())]);
    world.tell(Input::Judged { scheduler: "quick".into(), change: ChangeId(change), result })
}

#[test]
fn a_newer_buildset_cancels_the_older_one_where_it_waits_and_where_it_runs() {
    let told = reporter("chat", &[OccasionKind::FirstFailure, OccasionKind::BuildsetFinished]);
    let mut world = World::new(Config { reporters: vec![told], ..config() });
    world.connect("w1", 1);
    world.push(vec![seen("ann", "r1")]);
    world.accept(1);
    let outputs = world.push(vec![seen("bob", "r2")]);
    let why = "superseded by buildset 2";
    assert_eq!(ended(&outputs), [(BuildId(1), why.to_owned())]);
    assert_eq!(world.build(1).state, BuildState::Cancelling { reason: why.to_owned() });
    assert_eq!(reason(&world, 2), why);
    assert_eq!(world.outcome(1), None, "it is complete when its worker has ended it");
    // A third commit says nothing twice.
    assert_eq!(ended(&world.push(vec![seen("cid", "r3")])), []);
    assert_eq!((reason(&world, 3), reason(&world, 4)), (why.replace('2', "3"), why.replace('2', "3")));
    assert_eq!(started(&world.finish(1, Outcome::Cancelled)), ["linux/2 on w1"]);
    assert_eq!(world.build(2).stamps[0].revision.as_deref(), Some("r3"));
    assert_eq!(world.buildset(1).state, BuildsetState::Finished { outcome: Outcome::Cancelled, at: world.now.wall });
    for occasion in [OccasionKind::FirstFailure, OccasionKind::BuildsetFinished] {
        let told = world.store.notices.values().filter(|notice| notice.occasion == occasion);
        assert_eq!(told.count(), 2, "{occasion:?} of each of the two, once");
    }
}

#[test]
fn without_the_option_nothing_is_cancelled() {
    let mut world = World::new(Config { schedulers: vec![on_main("quick", &["linux", "mac"])], ..config() });
    world.connect("w1", 1);
    world.push(vec![seen("ann", "r1")]);
    assert_eq!(ended(&world.push(vec![seen("bob", "r2")])), []);
    assert!((2..=4).all(|request| world.waits(request)));
}

#[test]
fn other_branches_and_schedulers_and_what_people_ask_for_go_on() {
    let any = scheduler("quick", SchedulerKind::AnyBranch { branches: None, stable_for: None }, &["linux"]);
    let slow = on_main("slow", &["mac"]);
    let schedulers = vec![superseding(any), slow, on_force("by-hand", &["linux"])];
    let mut world = World::new(Config { schedulers, ..config() });
    world.push(vec![seen_on("dev", "ann", "d1")]);
    world.push(vec![seen("ann", "r1")]);
    let main = SourceChoice { branch: Some("main".to_owned()), ..SourceChoice::default() };
    world.force(Force { stamps: BTreeMap::from([(String::new(), main)]), ..force("linux") });
    let mut fork = seen("eve", "r2");
    "https://git.example/fork.git".clone_into(&mut fork.repository);
    world.push(vec![fork]);
    world.push(vec![seen("bob", "r3")]);
    // 1 is of `dev`, 3 of `slow`, 4 was forced, 5 and 6 are of another repository; 2 is of `main`.
    let waiting: Vec<_> = (1..=8).filter(|request| world.waits(*request)).collect();
    assert_eq!(waiting, [1, 3, 4, 5, 6, 7, 8]);
    assert_eq!(reason(&world, 2), "superseded by buildset 7");
}

#[test]
fn a_build_that_answers_a_set_which_is_not_superseded_goes_on_for_that() {
    let quick = superseding(Scheduler { filters: 1, ..on_main("quick", &["linux"]) });
    let by_hand = on_force("by-hand", &["linux"]);
    let mut world = World::new(Config { schedulers: vec![quick, by_hand], ..small() });
    world.push(vec![seen("ann", "r1"), seen("ann", "r2"), seen("ann", "r3")]);
    // The filter answers about the newest first, and about the one between when both others share a build.
    judged(&mut world, 3);
    judged(&mut world, 1);
    assert_eq!(started(&world.connect("w1", 1)), ["linux/1 on w1"]);
    assert_eq!(world.build(1).requests().collect::<Vec<_>>(), [RequestId(1), RequestId(2)]);
    assert_eq!(ended(&judged(&mut world, 2)), []);
    assert_eq!(reason(&world, 2), "superseded by buildset 3");
    assert_eq!(world.build(1).requests().collect::<Vec<_>>(), [RequestId(1)]);
    // When nobody is left that wants it, it ends.
    world.push(vec![seen("ann", "r4")]);
    assert_eq!(ended(&judged(&mut world, 4)), [(BuildId(1), "superseded by buildset 4".to_owned())]);
}

#[test]
fn an_untrusted_change_ends_no_trusted_build_and_what_awaits_approval_ends_nothing() {
    let quick = Scheduler { approve_untrusted: true, ..superseding(on_main("quick", &["linux"])) };
    let mut world = World::new(Config { schedulers: vec![quick], ..config() });
    send(&mut world, seen("ann", "r1"), true);
    send(&mut world, seen("eve", "r2"), false);
    send(&mut world, seen("eve", "r3"), false);
    let approve = |world: &mut World, request: u64| {
        let (request, by) = (RequestId(request), "ann".to_owned());
        world.tell(Input::ApprovalGiven { request, approved: true, by, reply: ReplyTo(0) })
    };
    assert!(world.waits(1));
    assert_eq!(world.request(2).state, RequestState::AwaitingApproval);
    approve(&mut world, 2);
    assert!(world.waits(1) && world.waits(2));
    approve(&mut world, 3);
    assert!(world.waits(1), "a stranger's change ended a build of the house's own");
    assert_eq!(reason(&world, 2), "superseded by buildset 3");
    send(&mut world, seen("ann", "r4"), true);
    assert_eq!(
        (reason(&world, 1), reason(&world, 3)),
        ("superseded by buildset 4".to_owned(), "superseded by buildset 4".to_owned())
    );
}

#[test]
fn a_set_that_does_not_build_all_that_the_older_one_does_leaves_it() {
    let quick = superseding(with_codebases(on_main("quick", &["linux"]), &["app", "lib"]));
    let mut quick = Scheduler { kind: SchedulerKind::AnyBranch { branches: None, stable_for: None }, ..quick };
    quick.codebases[0].revision = Some("v1".to_owned());
    let mut world = World::new(Config { schedulers: vec![quick], ..config() });
    let push = |world: &mut World, codebase: &str, revision: &str| {
        let repository = format!("https://git.example/{codebase}.git");
        let change = SeenChange { repository, ..seen_on("stable", "ann", revision) };
        let codebase = Some(codebase.to_owned());
        world.tell(Input::ChangeSent { change, codebase, trusted: true, reply: ReplyTo(0) });
    };
    push(&mut world, "app", "a2");
    push(&mut world, "lib", "l2");
    assert!(world.waits(1), "the second has `v1` of app, and not the change");
    push(&mut world, "app", "a3");
    assert_eq!(reason(&world, 1), "superseded by buildset 3");
    assert_eq!(reason(&world, 2), "superseded by buildset 3", "the third has the newest lib");
}

#[test]
fn after_a_restart_the_older_set_is_known_still() {
    let mut world = World::new(config());
    world.connect("w1", 1);
    world.push(vec![seen("ann", "r1")]);
    world.accept(1);
    world.restart();
    world.push(vec![seen("bob", "r2")]);
    assert_eq!(world.build(1).state, BuildState::Cancelling { reason: "superseded by buildset 2".to_owned() });
    assert_eq!(reason(&world, 2), "superseded by buildset 2");
    // The worker is told when it comes back with it.
    let outputs = world.connect_with("w1", 1, &[1]);
    assert_eq!(ended(&outputs), [(BuildId(1), "superseded by buildset 2".to_owned())]);
}

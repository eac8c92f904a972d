use stampmill_engine::config::{ChangeSource, Scheduler};
use stampmill_engine::input::Rebuild;
use stampmill_engine::{Answer, Config, Effect, Input, OccasionKind, Output, ReplyTo};
use stampmill_model::{BuildId, BuildsetId, BuildsetState, Outcome, Parent, PropertySource, RequestId, RequestState};

use crate::setup::{builder, hook, on_main, property, reporter, seen, small, worker};
use crate::world::{World, answer, effects, refusal, started};

/// One change that is built by three builders on a worker with room for all.
fn of_three() -> World {
    let config = Config {
        schedulers: vec![on_main("quick", &["a", "b", "c"])],
        builders: ["a", "b", "c"].map(builder).to_vec(),
        workers: vec![worker("w1")],
        reporters: vec![reporter("mail", &[OccasionKind::FirstFailure, OccasionKind::BuildsetFinished])],
        ..small()
    };
    let mut world = World::new(config);
    world.connect("w1", 3);
    world.push(vec![seen("ann", "r1")]);
    world
}

fn occasions(outputs: &[Output]) -> Vec<OccasionKind> {
    let notices = effects(outputs).into_iter().filter_map(|effect| match effect {
        Effect::Report { notice } => Some(notice.occasion),
        _ => None,
    });
    notices.collect()
}

#[test]
fn a6_01_a6_04_a_buildset_is_finished_once_when_the_last_request_is_complete() {
    let mut world = of_three();
    assert_eq!(occasions(&world.finish(1, Outcome::Success)), []);
    assert_eq!(occasions(&world.finish(3, Outcome::Warnings)), []);
    assert_eq!(world.buildset(1).state, BuildsetState::Open { will_fail: false });
    assert_eq!(occasions(&world.finish(2, Outcome::Success)), [OccasionKind::BuildsetFinished]);
    let at = world.now.wall;
    assert_eq!(world.buildset(1).state, BuildsetState::Finished { outcome: Outcome::Warnings, at });
}

#[test]
fn a6_02_a6_03_the_first_failure_is_told_once_as_soon_as_it_is_known() {
    let mut world = of_three();
    assert_eq!(occasions(&world.finish(2, Outcome::Failure)), [OccasionKind::FirstFailure]);
    assert_eq!(world.buildset(1).state, BuildsetState::Open { will_fail: true });
    world.restart();
    world.connect_with("w1", 3, &[1, 3]);
    assert_eq!(occasions(&world.finish(1, Outcome::Exception)), []);
    assert_eq!(occasions(&world.finish(3, Outcome::Success)), [OccasionKind::BuildsetFinished]);
    let at = world.now.wall;
    assert_eq!(world.buildset(1).state, BuildsetState::Finished { outcome: Outcome::Exception, at });
}

/// As [`of_three`], with room for two builds and a scheduler that cancels on failure.
fn cancelling() -> World {
    let mut world = of_three();
    let quick = Scheduler { cancel_on_failure: true, ..on_main("quick", &["a", "b", "c"]) };
    world.reload(Config { schedulers: vec![quick], ..(*world.config).clone() });
    world
}

fn ended(outputs: &[Output]) -> Vec<(BuildId, String)> {
    let told = effects(outputs).into_iter().filter_map(|effect| match effect {
        Effect::CancelBuild { build, reason, .. } => Some((build, reason)),
        _ => None,
    });
    told.collect()
}

#[test]
fn a_set_that_fails_cancels_what_runs_and_what_waits_and_has_failed() {
    let mut world = cancelling();
    world.connect("w1", 2);
    world.push(vec![seen("ann", "r2")]);
    // Of the second set nothing has started yet; the first has its three builds.
    let outputs = world.finish(2, Outcome::Failure);
    let why = "builder `b` ended with failure in this buildset";
    assert_eq!(occasions(&outputs), [OccasionKind::FirstFailure]);
    assert_eq!(ended(&outputs), [(BuildId(1), why.to_owned()), (BuildId(3), why.to_owned())]);
    assert_eq!(occasions(&world.finish(1, Outcome::Cancelled)), []);
    // One that ended before it heard of it counts as it ended.
    let outputs = world.finish(3, Outcome::Success);
    assert_eq!(occasions(&outputs), [OccasionKind::BuildsetFinished]);
    let at = world.now.wall;
    assert_eq!(world.buildset(1).state, BuildsetState::Finished { outcome: Outcome::Failure, at });

    assert_eq!(started(&outputs), ["b/2 on w1"], "of the second set two run now, and one waits");
    let outputs = world.finish(4, Outcome::Exception);
    assert_eq!(ended(&outputs), [(BuildId(5), "builder `a` ended with exception in this buildset".to_owned())]);
    let RequestState::Complete { outcome, build, reason, .. } = &world.request(6).state else { panic!("it waits") };
    assert_eq!((*outcome, *build), (Outcome::Cancelled, None));
    assert_eq!(reason, "builder `a` ended with exception in this buildset");
    assert_eq!(occasions(&world.finish(5, Outcome::Cancelled)), [OccasionKind::BuildsetFinished]);
    assert_eq!(world.buildset(2).state, BuildsetState::Finished { outcome: Outcome::Exception, at });
}

#[test]
fn without_the_option_and_for_what_is_cancelled_or_tried_again_a_set_goes_on() {
    let mut world = of_three();
    assert_eq!(ended(&world.finish(1, Outcome::Failure)), []);
    let mut world = cancelling();
    let reason = "cancelled by ann".to_owned();
    world.tell(Input::RequestCancelAsked { request: RequestId(1), reason, reply: ReplyTo(0) });
    assert_eq!(ended(&world.finish(1, Outcome::Cancelled)), []);
    assert_eq!(ended(&world.finish(2, Outcome::Retry)), []);
    assert_eq!(world.buildset(1).state, BuildsetState::Open { will_fail: true });
    // It is known to fail since the first was cancelled; what fails now ends the rest all the same.
    assert_eq!(ended(&world.finish(3, Outcome::Failure)).len(), 1);
}

#[test]
fn a_build_that_another_set_shares_goes_on_when_one_of_them_fails() {
    let fast = Scheduler { cancel_on_failure: true, ..on_main("quick", &["linux", "mac"]) };
    let builders = vec![builder("linux"), builder("mac")];
    let mut world = World::new(Config { schedulers: vec![fast], builders, ..small() });
    world.push(vec![seen("ann", "r1")]);
    world.push(vec![seen("ann", "r2")]);
    // `linux` builds both sets at once; of `mac` one request was taken out, so that the sets fail one by one.
    world.connect("w1", 1);
    assert_eq!(world.build(1).requests().count(), 2);
    let reason = "cancelled by ann".to_owned();
    world.tell(Input::RequestCancelAsked { request: RequestId(2), reason, reply: ReplyTo(0) });
    world.connect_with("w1", 2, &[1]);
    assert_eq!(ended(&world.finish(2, Outcome::Failure)), []);
    assert_eq!(world.build(1).requests().collect::<Vec<_>>(), [RequestId(1)]);
    assert_eq!(world.buildset(2).state, BuildsetState::Finished { outcome: Outcome::Failure, at: world.now.wall });
    world.finish(1, Outcome::Success);
    assert_eq!(world.outcome(1), Some(Outcome::Success));
}

#[test]
fn a_build_that_is_lost_is_no_failure_of_its_buildset() {
    let mut world = of_three();
    assert_eq!(occasions(&world.leave("w1", true)), []);
    assert_eq!(world.buildset(1).state, BuildsetState::Open { will_fail: false });
}

#[test]
fn a9_09_the_blamelist_has_each_author_once_and_then_the_owner() {
    let rebuild = Rebuild {
        build: BuildId(1),
        builder: "linux".into(),
        stamps: Vec::new(),
        blamelist: vec!["ann".to_owned(), "bob".to_owned(), "ann".to_owned(), String::new()],
        properties: property("k", "v", PropertySource::Scheduler),
        owner: "cid".to_owned(),
    };
    let mut world = World::new(small());
    let outputs = world.tell(Input::RebuildAsked { rebuild: rebuild.clone(), reply: ReplyTo(0) });
    assert_eq!(answer(&outputs), Answer::Buildset { id: BuildsetId(1), requests: vec![RequestId(1)] });
    let set = world.buildset(1);
    assert_eq!(set.blamelist, ["ann", "bob", "cid"]);
    assert_eq!(
        (set.parent, &set.scheduler, &*set.reason),
        (Some(Parent::Rebuild(BuildId(1))), &None, "rebuild of build 1")
    );
    assert_eq!(set.properties, rebuild.properties);

    let gone = Rebuild { builder: "gone".into(), ..rebuild };
    assert_eq!(
        refusal(&world.tell(Input::RebuildAsked { rebuild: gone, reply: ReplyTo(0) })),
        "there is no builder `gone`"
    );
}

fn with_approval() -> World {
    let untrusted = ChangeSource { trusted: false, ..hook("forge") };
    let quick = Scheduler { approve_untrusted: true, ..on_main("quick", &["linux"]) };
    let mut world = World::new(Config { change_sources: vec![untrusted], schedulers: vec![quick], ..small() });
    world.connect("w1", 1);
    world
}

fn approve(world: &mut World, request: u64, approved: bool) -> Vec<Output> {
    let by = "ann".to_owned();
    world.tell(Input::ApprovalGiven { request: RequestId(request), approved, by, reply: ReplyTo(0) })
}

#[test]
fn untrusted_sources_wait_for_approval_where_the_operator_wants_it() {
    let mut world = with_approval();
    assert_eq!(started(&world.push(vec![seen("eve", "r1"), seen("eve", "r2")])), [""; 0]);
    assert_eq!(world.request(1).state, RequestState::AwaitingApproval);
    assert!(!world.buildset(1).stamps[0].trusted);
    world.restart();
    world.connect("w1", 1);
    assert_eq!(started(&approve(&mut world, 1, true)), ["linux/1 on w1"]);
    assert_eq!(answer(&approve(&mut world, 2, false)), Answer::Done);
    assert_eq!(world.outcome(2), Some(Outcome::Cancelled));
    assert_eq!(refusal(&approve(&mut world, 1, true)), "request 1 does not await approval");
    assert_eq!(refusal(&approve(&mut world, 2, true)), "request 2 is complete");
    assert_eq!(refusal(&approve(&mut world, 3, true)), "there is no request 3");
}

#[test]
fn one_untrusted_change_makes_the_stamp_untrusted() {
    let config = Config {
        change_sources: vec![hook("forge"), ChangeSource { trusted: false, ..hook("mirror") }],
        schedulers: vec![crate::setup::on_quiet_main("quick", 5, &["linux"])],
        ..small()
    };
    let mut world = World::new(config);
    world.push(vec![seen("ann", "r1")]);
    let changes = vec![seen("eve", "r2")];
    world.tell(Input::Received { source: "mirror".into(), delivery: None, changes, reply: ReplyTo(0) });
    world.push(vec![seen("ann", "r3")]);
    world.pass(5);
    assert!(!world.buildset(1).stamps[0].trusted);
    assert!(world.waits(1), "without the operator's wish nobody is asked");
}

#[test]
fn changes_of_finished_work_leave_the_engine() {
    let mut world = of_three();
    for build in 1..=3 {
        world.finish(build, Outcome::Success);
    }
    let snapshot = world.store.snapshot();
    assert_eq!((snapshot.changes.len(), snapshot.requests.len(), snapshot.buildsets.len()), (0, 0, 0));
    assert_eq!(world.change(1).buildsets, [BuildsetId(1)]);
}

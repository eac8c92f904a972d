//! Builds that are tried again: for which causes, how often, and what is told of each.

use stampmill_engine::config::{Builder, Retry, RetryCause, Scheduler};
use stampmill_engine::{Config, OccasionKind};
use stampmill_model::{BuildEvent, BuildId, BuildState, BuildsetState, Outcome, ProgramEnd, RequestState};

use crate::setup::{builder, on_main, reporter, seen, small};
use crate::world::{World, started, warnings};

const TEMPORARY: Option<ProgramEnd> = Some(ProgramEnd::Exited(75));

fn retrying(on: &[RetryCause], attempts: Option<u32>) -> Builder {
    Builder { retry: Retry { on: on.to_vec(), attempts }, ..builder("linux") }
}

/// One change that is built, by a builder that tries again for these causes.
fn built(on: &[RetryCause], attempts: Option<u32>) -> World {
    let told = reporter("chat", &[OccasionKind::BuildFinished, OccasionKind::FirstFailure]);
    let quick = Scheduler { cancel_on_failure: true, ..on_main("quick", &["linux"]) };
    let builders = vec![retrying(on, attempts)];
    let mut world = World::new(Config { builders, schedulers: vec![quick], reporters: vec![told], ..small() });
    world.connect("w1", 1);
    world.push(vec![seen("ann", "r1")]);
    world.accept(1);
    world
}

fn ended(world: &World, build: u64) -> (Outcome, &str) {
    match &world.build(build).state {
        BuildState::Finished { outcome, summary, .. } => (*outcome, summary),
        other => panic!("build {build} is {other:?}"),
    }
}

#[test]
fn a_build_that_fails_with_a_listed_exit_code_is_tried_again_until_its_tries_are_used_up() {
    let mut world = built(&[RetryCause::ExitCode(75)], Some(3));
    assert_eq!(started(&world.finish_with(1, Outcome::Failure, TEMPORARY)), ["linux/2 on w1"]);
    assert_eq!(ended(&world, 1), (Outcome::Retry, "tried again for exit code 75, 1 of 3 tries are used up"));
    assert_eq!(world.buildset(1).state, BuildsetState::Open { will_fail: false }, "nothing has failed yet");
    assert_eq!((world.build(2).attempt, world.request(1).losses), (2, 1));
    world.restart();
    world.connect_with("w1", 1, &[2]);
    assert_eq!(started(&world.finish_with(2, Outcome::Exception, TEMPORARY)), ["linux/3 on w1"]);
    assert_eq!(ended(&world, 2).1, "tried again for exit code 75, 2 of 3 tries are used up");
    assert_eq!(started(&world.finish_with(3, Outcome::Failure, TEMPORARY)), [""; 0]);
    let says = "given up: exit code 75, and all 3 tries are used up";
    assert_eq!(ended(&world, 3), (Outcome::Failure, says));
    assert_eq!(world.outcome(1), Some(Outcome::Failure));
    let told = |occasion| world.store.notices.values().filter(|it| it.occasion == occasion).count();
    assert_eq!((told(OccasionKind::BuildFinished), told(OccasionKind::FirstFailure)), (3, 1));
}

#[test]
fn a_try_that_passes_is_the_end_of_it() {
    let mut world = built(&[RetryCause::ExitCode(75)], None);
    world.finish_with(1, Outcome::Failure, TEMPORARY);
    world.finish_with(2, Outcome::Success, Some(ProgramEnd::Exited(0)));
    assert_eq!(world.outcome(1), Some(Outcome::Success));
}

#[test]
fn what_is_not_listed_or_has_passed_or_was_cancelled_is_not_tried_again() {
    let on = [RetryCause::ExitCode(75), RetryCause::Signal(Some(9))];
    for (outcome, program) in [
        (Outcome::Failure, Some(ProgramEnd::Exited(1))),
        (Outcome::Failure, Some(ProgramEnd::Signalled(15))),
        (Outcome::Failure, None),
        (Outcome::Warnings, TEMPORARY),
        (Outcome::Success, TEMPORARY),
    ] {
        let mut world = built(&on, None);
        world.finish_with(1, outcome, program);
        assert_eq!((world.outcome(1), ended(&world, 1)), (Some(outcome), (outcome, "")), "{program:?}");
    }
    let mut world = built(&on, None);
    let reason = "cancelled by ann".to_owned();
    let reply = stampmill_engine::ReplyTo(0);
    world.tell(stampmill_engine::Input::BuildCancelAsked { build: BuildId(1), reason, reply });
    world.finish_with(1, Outcome::Failure, TEMPORARY);
    assert_eq!(world.outcome(1), Some(Outcome::Failure), "who cancelled it wants no other try");
}

#[test]
fn a_signal_counts_by_its_number_or_whichever_it_is() {
    for (cause, says) in [(RetryCause::Signal(None), "signal 11"), (RetryCause::Signal(Some(11)), "signal 11")] {
        let mut world = built(&[cause], None);
        let outputs = world.finish_with(1, Outcome::Failure, Some(ProgramEnd::Signalled(11)));
        assert_eq!(started(&outputs), ["linux/2 on w1"]);
        assert!(ended(&world, 1).1.contains(says), "{:?}", ended(&world, 1));
    }
}

#[test]
fn a_lost_build_is_tried_again_unless_its_builder_leaves_that_out() {
    let mut world = built(&[RetryCause::WorkerLost], Some(2));
    world.leave("w1", true);
    assert!(world.waits(1));
    world.connect("w1", 1);
    assert_eq!(warnings(&world.leave("w1", true)), ["request 1 is given up: 2 builds of it were lost"]);
    assert_eq!(world.outcome(1), Some(Outcome::Exception));

    let why = "request 1 is given up: its build was lost with its worker, and `retry` of builder `linux` does not list \
        `worker-lost`";
    let mut world = built(&[], None);
    assert_eq!(warnings(&world.leave("w1", true)), [why]);
    assert_eq!((world.outcome(1), world.buildset(1).state.clone()).0, Some(Outcome::Exception));
    // A worker that is stopped in order takes its builds with it as well.
    let mut world = built(&[], None);
    world.tell(stampmill_engine::Input::WorkerLeaves { worker: "w1".into() });
    assert_eq!(warnings(&world.finish(1, Outcome::Retry)), [why]);
    // Where a step asks for another try, no worker was lost.
    let mut world = built(&[], None);
    let at = world.now.wall;
    world.event(1, BuildEvent::StepFinished { step: 0, outcome: Outcome::Retry, summary: String::new(), at });
    assert_eq!(started(&world.finish(1, Outcome::Retry)), ["linux/2 on w1"]);
}

#[test]
fn of_requests_that_share_a_build_each_has_its_own_tries() {
    let mut world = built(&[RetryCause::ExitCode(75)], Some(2));
    world.finish_with(1, Outcome::Failure, TEMPORARY);
    // The second try of the first request waits for the worker, and another request joins it.
    world.leave("w1", false);
    world.connect_with("w1", 1, &[2]);
    world.push(vec![seen("bob", "r2")]);
    assert_eq!(world.build(2).requests().count(), 1);
    let outputs = world.finish_with(2, Outcome::Failure, TEMPORARY);
    assert_eq!(world.outcome(1), Some(Outcome::Failure));
    assert_eq!(started(&outputs), ["linux/3 on w1"]);
    assert_eq!(world.request(2).state, RequestState::Building(BuildId(3)));

    let mut world = built(&[RetryCause::ExitCode(75)], Some(2));
    world.push(vec![seen("bob", "r2")]);
    let outputs = world.finish_with(1, Outcome::Failure, TEMPORARY);
    assert_eq!(started(&outputs), ["linux/2 on w1"]);
    assert_eq!(world.build(2).requests().count(), 2);
    let outputs = world.finish_with(2, Outcome::Failure, TEMPORARY);
    // The first has used up its tries, the second has one left; the build says that it is tried again.
    assert_eq!(ended(&world, 2), (Outcome::Retry, "tried again for exit code 75, 1 of 2 tries are used up"));
    assert_eq!((world.outcome(1), world.outcome(2)), (Some(Outcome::Failure), None));
    assert_eq!(started(&outputs), ["linux/3 on w1"]);
}

#[test]
fn a_builder_that_is_gone_says_nothing_of_tries() {
    let mut world = built(&[RetryCause::ExitCode(75)], None);
    world.reload(Config { builders: vec![builder("mac")], schedulers: vec![], ..small() });
    world.finish_with(1, Outcome::Failure, TEMPORARY);
    assert_eq!(world.outcome(1), Some(Outcome::Failure));
}

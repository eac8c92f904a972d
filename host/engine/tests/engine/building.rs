use stampmill_engine::config::Limits;
use stampmill_engine::{Answer, Config, Effect, Input, Output, ReplyTo, Write};
use stampmill_model::{
    BuildEvent, BuildId, BuildState, Network, NetworkAttempt, NetworkEnd, NetworkProtocol, Outcome, Property,
    PropertySource, RequestId, StepState, Wall,
};

use crate::setup::{builder, force, on_force, small, worker};
use crate::world::{World, answer, effects, orders, refusal, started, warnings};

/// One build, given to `w1`, and `w2` configured but away.
fn dispatched() -> World {
    let config = Config {
        schedulers: vec![on_force("by-hand", &["linux"])],
        builders: vec![builder("linux")],
        workers: vec![worker("w1"), worker("w2")],
        ..small()
    };
    let mut world = World::new(config);
    world.connect("w1", 1);
    world.force(force("linux"));
    world
}

fn running() -> World {
    let mut world = dispatched();
    world.accept(1);
    world
}

fn acknowledge(sequence: u64) -> Effect {
    Effect::Acknowledge { worker: "w1".into(), build: BuildId(1), sequence }
}

fn told(sequence: u64, event: BuildEvent) -> Input {
    Input::BuildTold { worker: "w1".into(), build: BuildId(1), sequence, previous: sequence - 1, event }
}

fn summary(text: &str) -> BuildEvent {
    BuildEvent::StepSummary { step: 0, summary: text.to_owned() }
}

fn cancel(world: &mut World, build: u64) -> Vec<Output> {
    world.tell(Input::BuildCancelAsked { build: BuildId(build), reason: "ann: enough".to_owned(), reply: ReplyTo(0) })
}

fn cancel_request(world: &mut World, request: u64) -> Vec<Output> {
    let reason = "ann: enough".to_owned();
    world.tell(Input::RequestCancelAsked { request: RequestId(request), reason, reply: ReplyTo(0) })
}

fn ended(world: &World, build: u64) -> (Outcome, &str) {
    match &world.build(build).state {
        BuildState::Finished { outcome, summary, .. } => (*outcome, summary),
        other => panic!("build {build} is {other:?}"),
    }
}

#[test]
fn each_event_is_written_with_its_number_and_then_acknowledged() {
    let mut world = dispatched();
    let outputs = world.accept(1);
    assert_eq!(world.build(1).state, BuildState::Running);
    assert_eq!(
        outputs,
        [
            Output::Write(Write::Build(world.store.builds[&BuildId(1)].clone())),
            Output::Write(Write::BuildSequence(BuildId(1), 1)),
            Output::Effect(acknowledge(1)),
        ]
    );
}

#[test]
fn a_build_follows_its_steps() {
    let mut world = running();
    world.event(1, BuildEvent::StepStarted { step: 0, at: Wall(10) });
    world.event(1, BuildEvent::LogOpened { step: 0, log: "stdio".to_owned() });
    world.event(1, summary("compiling"));
    let value = serde_json::json!({"a": [1, 2.5, "x", {"b": null, "c": true}]});
    world.event(1, BuildEvent::PropertySet { name: "got".to_owned(), value: value.clone(), step: 0 });
    world.event(
        1,
        BuildEvent::StepFinished {
            step: 0,
            outcome: Outcome::Warnings,
            summary: "3 warnings".to_owned(),
            at: Wall(20),
        },
    );
    let build = world.build(1);
    let step = &build.steps[0];
    let ended = StepState::Finished { started_at: Wall(10), at: Wall(20), outcome: Outcome::Warnings };
    assert_eq!((&step.state, &*step.summary, &*step.logs), (&ended, "3 warnings", &["stdio".to_owned()][..]));
    assert_eq!(build.steps[1].state, StepState::Waiting);
    let source = PropertySource::Step("compile".to_owned());
    assert_eq!(build.properties["got"], Property { value, source }, "checklist A11.03");
}

#[test]
fn the_end_of_a_build_completes_its_request_and_its_buildset() {
    let mut world = running();
    world.event(1, BuildEvent::StepStarted { step: 0, at: Wall(10) });
    let outputs = world.finish(1, Outcome::Failure);
    assert_eq!(
        outputs,
        [
            Output::Write(Write::Buildset(world.store.buildsets.values().next().expect("one").clone())),
            Output::Write(Write::Request(world.store.requests[&RequestId(1)].clone())),
            Output::Write(Write::Build(world.store.builds[&BuildId(1)].clone())),
            Output::Effect(acknowledge(3)),
        ]
    );
    assert_eq!((ended(&world, 1).0, world.outcome(1)), (Outcome::Failure, Some(Outcome::Failure)));
    let at = world.now.wall;
    let steps: Vec<_> = world.build(1).steps.iter().map(|step| step.state.clone()).collect();
    assert_eq!(
        steps,
        [
            StepState::Finished { started_at: Wall(10), at, outcome: Outcome::Failure },
            StepState::Finished { started_at: at, at, outcome: Outcome::Skipped },
        ]
    );
}

#[test]
fn a_doubled_event_changes_nothing_and_is_acknowledged_again() {
    let mut world = running();
    world.tell(told(2, summary("one")));
    assert_eq!(world.tell(told(2, summary("two"))), [Output::Effect(acknowledge(2))]);
    assert_eq!(world.tell(told(1, BuildEvent::Accepted)), [Output::Effect(acknowledge(2))]);
    assert_eq!(world.build(1).steps[0].summary, "one");
}

#[test]
fn an_event_after_a_gap_is_dropped_and_the_operator_told_once() {
    let mut world = running();
    let outputs = world.tell(told(3, summary("three")));
    assert_eq!(
        warnings(&outputs),
        ["worker `w1` tells 3 of build 1 after 2, and 1 is the last that is stored: dropped"]
    );
    assert_eq!(outputs.len(), 1);
    assert_eq!(world.tell(told(4, summary("four"))), []);
    world.tell(told(2, summary("two")));
    world.tell(told(3, summary("three")));
    assert_eq!(world.build(1).steps[0].summary, "three");
}

#[test]
fn numbers_that_went_to_logs_are_no_gap() {
    let mut world = running();
    let event = summary("after two log messages");
    world.tell(Input::BuildTold { worker: "w1".into(), build: BuildId(1), sequence: 4, previous: 1, event });
    assert_eq!(world.build(1).steps[0].summary, "after two log messages");
}

#[test]
fn a_late_event_of_a_build_that_is_over_is_dropped_and_the_worker_told_to_forget() {
    let mut world = running();
    world.finish(1, Outcome::Success);
    let reason = "the build is over, or not this worker's".to_owned();
    let forget = Effect::CancelBuild { worker: "w1".into(), build: BuildId(1), reason };
    let expected = [Output::Effect(acknowledge(2)), Output::Effect(forget)];
    let finished =
        BuildEvent::Finished { outcome: Outcome::Success, summary: String::new(), at: Wall(0), program: None };
    assert_eq!(world.tell(told(2, finished)), expected);
}

#[test]
fn an_event_from_another_worker_is_dropped() {
    let mut world = running();
    let input =
        Input::BuildTold { worker: "w2".into(), build: BuildId(1), sequence: 2, previous: 1, event: summary("forged") };
    let outputs = world.tell(input);
    assert!(outputs.iter().all(|output| matches!(output, Output::Effect(_))));
    assert_eq!(world.build(1).steps[0].summary, "");
    world.tell(told(2, summary("true")));
    assert_eq!(world.build(1).steps[0].summary, "true");
}

fn tried(target: &str, count: u64) -> NetworkAttempt {
    NetworkAttempt {
        protocol: NetworkProtocol::Connect,
        target: target.to_owned(),
        address: None,
        end: NetworkEnd::Refused,
        why: "not granted".to_owned(),
        count,
    }
}

#[test]
fn what_a_step_tried_to_reach_is_kept_as_it_was_told_last() {
    let mut world = running();
    world.event(1, BuildEvent::StepStarted { step: 0, at: Wall(10) });
    let first = Network { attempts: vec![tried("a:1", 1)], unlisted: 0 };
    world.event(1, BuildEvent::NetworkTried { step: 0, network: first });
    let last = Network { attempts: vec![tried("a:1", 1_000_000), tried("b:2", 1)], unlisted: 5 };
    world.event(1, BuildEvent::NetworkTried { step: 0, network: last.clone() });
    assert_eq!(world.build(1).steps[0].network, last);
    assert_eq!(world.build(1).steps[1].network, Network::default());
    world.finish(1, Outcome::Failure);
    assert_eq!(world.store.builds[&BuildId(1)].steps[0].network, last, "it stays with the build that has ended");
}

#[test]
fn what_a_worker_must_not_tell_hurts_nobody() {
    let mut world = running();
    let mut odd = |event| warnings(&world.event(1, event)).join("");
    assert_eq!(odd(BuildEvent::StepStarted { step: 9, at: Wall(0) }), "worker `w1`, build 1: there is no step 9");
    let end = || BuildEvent::StepFinished { step: 0, outcome: Outcome::Success, summary: String::new(), at: Wall(1) };
    assert_eq!(odd(end()), "");
    assert_eq!(odd(end()), "worker `w1`, build 1: step 0 has ended already");
    assert_eq!(odd(BuildEvent::StepStarted { step: 0, at: Wall(2) }), "worker `w1`, build 1: step 0 has ended already");
    let late = Network { attempts: vec![tried("a:1", 1)], unlisted: 0 };
    let late = odd(BuildEvent::NetworkTried { step: 0, network: late });
    assert_eq!(late, "worker `w1`, build 1: step 0 has ended already");
    let many = Network { attempts: (0..65).map(|number| tried(&format!("a:{number}"), 1)).collect(), unlisted: 0 };
    let many = odd(BuildEvent::NetworkTried { step: 1, network: many });
    assert_eq!(many, "worker `w1`, build 1: step 1 lists more than 64 network attempts");
    for log in 0..256 {
        assert_eq!(odd(BuildEvent::LogOpened { step: 1, log: log.to_string() }), "");
    }
    let one_more = odd(BuildEvent::LogOpened { step: 1, log: "one more".to_owned() });
    assert_eq!(one_more, "worker `w1`, build 1: step 1 has opened more than 256 logs");
    assert_eq!(odd(BuildEvent::LogOpened { step: 1, log: "7".to_owned() }), "");
    assert_eq!(world.build(1).steps[1].logs.len(), 256);
}

#[test]
fn a8_08_a_lost_worker_returns_its_request_to_the_queue() {
    let mut world = running();
    world.connect("w2", 1);
    world.leave("w1", false);
    assert_eq!(started(&world.pass(119)), [""; 0]);
    assert_eq!(started(&world.pass(1)), ["linux/2 on w2"]);
    assert_eq!(ended(&world, 1), (Outcome::Retry, "worker `w1` was lost"));
    let at = world.now.wall;
    for step in &world.build(1).steps {
        assert_eq!(step.state, StepState::Finished { started_at: at, at, outcome: Outcome::Retry });
    }
    assert_eq!(world.build(2).attempt, 2);
    assert_eq!(world.build(2).request, RequestId(1));
}

#[test]
fn a_worker_that_leaves_twice_gets_no_more_time() {
    let mut world = running();
    world.connect("w2", 1);
    world.leave("w1", false);
    world.pass(60);
    world.leave("w1", false);
    assert_eq!(started(&world.pass(60)), ["linux/2 on w2"]);
}

#[test]
fn a_worker_that_says_goodbye_is_lost_at_once() {
    let mut world = running();
    world.connect("w2", 1);
    assert_eq!(started(&world.leave("w1", true)), ["linux/2 on w2"]);
}

#[test]
fn a_worker_that_leaves_gets_no_more_builds_until_it_is_back() {
    let mut world = running();
    world.tell(Input::WorkerLeaves { worker: "w1".into() });
    assert_eq!(started(&world.finish(1, Outcome::Retry)), [""; 0], "not the next one, and not the same again");
    world.leave("w1", true);
    assert_eq!(started(&world.pass(60)), [""; 0]);
    assert_eq!(started(&world.connect("w1", 1)), ["linux/2 on w1"]);
}

#[test]
fn a_build_may_be_stopped_with_its_worker_as_often_as_it_takes() {
    let mut world = running();
    for build in 1..=5 {
        world.tell(Input::WorkerLeaves { worker: "w1".into() });
        world.finish(build, Outcome::Retry);
        world.leave("w1", true);
        assert_eq!(world.outcome(1), None, "the request waits");
        assert_eq!(started(&world.connect("w1", 1)), [format!("linux/{} on w1", build + 1)]);
        world.accept(build + 1);
    }
    // Only what is lost counts.
    for build in 6..=7 {
        world.leave("w1", true);
        assert_eq!(world.outcome(1), None, "the request waits");
        world.connect("w1", 1);
        world.accept(build + 1);
    }
    assert_eq!((world.request(1).attempts, world.request(1).losses), (8, 2));
    // A lower limit holds from the next loss on: what ends in order is no reason to count.
    let limits = Limits { attempts: 1, ..Limits::default() };
    world.reload(Config { limits, ..(*world.config).clone() });
    world.tell(Input::WorkerLeaves { worker: "w1".into() });
    world.finish(8, Outcome::Retry);
    world.leave("w1", true);
    assert_eq!(world.outcome(1), None, "the request waits");
    world.connect("w1", 1);
    world.accept(9);
    world.finish(9, Outcome::Success);
    assert_eq!(world.outcome(1), Some(Outcome::Success));
}

#[test]
fn a_running_build_survives_a_cut() {
    let mut world = running();
    world.connect("w2", 1);
    world.leave("w1", false);
    world.pass(100);
    assert_eq!(effects(&world.connect_with("w1", 1, &[1])), []);
    assert_eq!(started(&world.pass(1_000)), [""; 0]);
    world.finish(1, Outcome::Success);
    assert_eq!(world.outcome(1), Some(Outcome::Success));
}

#[test]
fn a_worker_that_comes_back_without_its_build_has_lost_it() {
    let mut world = running();
    world.connect("w2", 1);
    world.leave("w1", false);
    let outputs = world.connect("w1", 1);
    assert_eq!(ended(&world, 1), (Outcome::Retry, "worker `w1` came back without it"));
    assert_eq!(started(&outputs), ["linux/2 on w1"], "the first of equal workers");
}

#[test]
fn an_order_that_did_not_arrive_goes_out_again_as_the_same_build() {
    let mut world = dispatched();
    world.leave("w1", false);
    let again = orders(&world.connect("w1", 1));
    assert_eq!((again.len(), again[0].build.id, again[0].build.attempt), (1, BuildId(1), 1));
    world.leave("w1", false);
    assert_eq!(orders(&world.connect_with("w1", 1, &[1])), [], "one that did arrive does not");
}

#[test]
fn a_worker_that_drives_a_build_that_was_given_to_another_is_told_to_forget_it() {
    let mut world = running();
    world.connect("w2", 1);
    world.leave("w1", false);
    world.pass(120);
    let outputs = world.connect_with("w1", 1, &[1]);
    let reason = "the build is over, or not this worker's".to_owned();
    assert_eq!(effects(&outputs), [Effect::CancelBuild { worker: "w1".into(), build: BuildId(1), reason }]);
}

#[test]
fn a_request_whose_workers_are_lost_again_and_again_is_given_up() {
    let mut world = dispatched();
    for build in 1..=3 {
        world.accept(build);
        let outputs = world.leave("w1", true);
        let given_up = warnings(&outputs);
        assert_eq!(given_up.len(), usize::from(build == 3), "{given_up:?}");
        world.connect("w1", 1);
    }
    assert_eq!(world.outcome(1), Some(Outcome::Exception));
    assert_eq!(world.store.builds.len(), 3);
    assert!(world.store.builds.values().map(|build| build.attempt).eq([1, 2, 3]));
}

#[test]
fn a_build_that_the_worker_throws_away_is_tried_again() {
    let mut world = running();
    assert_eq!(started(&world.finish(1, Outcome::Retry)), ["linux/2 on w1"]);
    assert_eq!(world.request(1).attempts, 2);
}

#[test]
fn a_cancelled_build_ends_when_its_worker_says_so() {
    let mut world = running();
    let outputs = cancel(&mut world, 1);
    let reason = "ann: enough".to_owned();
    assert_eq!(world.build(1).state, BuildState::Cancelling { reason: reason.clone() });
    assert_eq!(
        effects(&outputs),
        [
            Effect::CancelBuild { worker: "w1".into(), build: BuildId(1), reason },
            Effect::Answer { reply: ReplyTo(0), answer: Answer::Done },
        ]
    );
    assert_eq!(effects(&cancel(&mut world, 1)).len(), 1, "asked twice, told once");
    world.finish(1, Outcome::Cancelled);
    assert_eq!(world.outcome(1), Some(Outcome::Cancelled));
    assert_eq!(refusal(&cancel(&mut world, 1)), "build 1 has ended");
    assert_eq!(refusal(&cancel(&mut world, 2)), "there is no build 2");
}

#[test]
fn a_cancelled_build_is_not_tried_again_whatever_becomes_of_its_worker() {
    for goodbye in [true, false] {
        let mut world = running();
        cancel(&mut world, 1);
        world.leave("w1", goodbye);
        world.pass(120);
        assert_eq!(ended(&world, 1), (Outcome::Cancelled, "ann: enough"));
        assert_eq!(world.outcome(1), Some(Outcome::Cancelled));
    }
    let mut world = running();
    cancel(&mut world, 1);
    world.finish(1, Outcome::Retry);
    assert_eq!(world.outcome(1), Some(Outcome::Cancelled));
    let mut world = dispatched();
    cancel(&mut world, 1);
    world.event(1, BuildEvent::Declined { reason: "no disk".to_owned() });
    assert_eq!(world.outcome(1), Some(Outcome::Cancelled));
}

#[test]
fn a_cancellation_goes_out_again_when_the_worker_comes_back() {
    let mut world = running();
    world.leave("w1", false);
    cancel(&mut world, 1);
    let outputs = world.connect_with("w1", 1, &[1]);
    let reason = "ann: enough".to_owned();
    assert_eq!(effects(&outputs), [Effect::CancelBuild { worker: "w1".into(), build: BuildId(1), reason }]);
    world.leave("w1", false);
    world.connect("w1", 1);
    assert_eq!(world.outcome(1), Some(Outcome::Cancelled), "and without the build it is over");
}

#[test]
fn a_request_can_be_cancelled_before_and_while_it_is_built() {
    let mut world = running();
    world.force(force("linux"));
    assert_eq!(answer(&cancel_request(&mut world, 2)), Answer::Done);
    assert_eq!(world.outcome(2), Some(Outcome::Cancelled));
    assert_eq!(answer(&cancel_request(&mut world, 1)), Answer::Done);
    assert!(matches!(world.build(1).state, BuildState::Cancelling { .. }));
    world.finish(1, Outcome::Cancelled);
    assert_eq!(world.outcome(1), Some(Outcome::Cancelled));
    assert_eq!(refusal(&cancel_request(&mut world, 1)), "request 1 is complete");
    assert_eq!(refusal(&cancel_request(&mut world, 3)), "there is no request 3");
    assert_eq!(world.store.builds.len(), 1);
}

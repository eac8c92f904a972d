use stampmill_engine::config::Scheduler;
use stampmill_engine::{Config, Effect, Input, Output};
use stampmill_model::{BuildEvent, BuildId, BuildState, ChangeId, Outcome};

use crate::setup::{force, on_main, polled, poller, seen, small, trouble};
use crate::world::{World, effects, orders, started, warnings};

#[test]
fn an_engine_without_open_work_starts_silently() {
    let mut world = World::new(small());
    assert_eq!(world.restart(), []);
    assert_eq!(world.engine.next_deadline(), None);
}

#[test]
fn a_poller_goes_on_at_its_cursor_with_a_newer_attempt() {
    let mut world = World::new(Config { change_sources: vec![poller("app", 30)], ..small() });
    world.tell(Input::Polled { source: "app".into(), attempt: 1, result: Ok(polled(Vec::new(), "r1")) });
    world.pass(30);
    let poll = |attempt| Effect::Poll { source: "app".into(), cursor: Some("r1".to_owned()), attempt };
    world.pass(5);
    assert_eq!(world.restart(), [Output::Effect(poll(35_000))]);
    let late =
        Input::Polled { source: "app".into(), attempt: 30_000, result: Ok(polled(vec![seen("ann", "r2")], "r2")) };
    assert_eq!(world.tell(late), [], "an answer to the engine before is dropped");
}

#[test]
fn undecided_changes_are_asked_about_again() {
    let quick = Scheduler { filters: 1, ..on_main("quick", &["linux"]) };
    let mut world = World::new(Config { codebase_generator: true, schedulers: vec![quick], ..small() });
    world.push(vec![seen("ann", "r1"), seen("ann", "r2")]);
    world.tell(Input::CodebaseFound { change: ChangeId(1), result: Ok(Some(String::new())) });
    world.tell(Input::CodebaseFound { change: ChangeId(2), result: Err(trouble("busy")) });
    let of = |id: u64| world.store.changes[&ChangeId(id)].clone();
    let expected =
        [Effect::AskFilters { scheduler: "quick".into(), change: of(1) }, Effect::AskCodebase { change: of(2) }];
    assert_eq!(effects(&world.restart()), expected);
}

#[test]
fn a7_09_the_queue_survives_a_restart_in_its_order() {
    let mut world = World::new(small());
    for priority in [0, 3, 0, 1] {
        world.force(stampmill_engine::input::Force { priority: Some(priority), ..force("linux") });
    }
    let before: Vec<_> = world.engine.queue().iter().map(|request| request.id.0).collect();
    assert_eq!(before, [2, 4, 1, 3]);
    assert_eq!(world.restart(), []);
    assert_eq!(world.engine.queue().iter().map(|request| request.id.0).collect::<Vec<_>>(), before);
}

#[test]
fn a_running_build_survives_the_host_and_no_message_of_it_is_taken_twice() {
    let mut world = World::new(small());
    world.connect("w1", 1);
    world.force(force("linux"));
    world.accept(1);
    let summary = |text: &str| BuildEvent::StepSummary { step: 0, summary: text.to_owned() };
    world.event(1, summary("one"));
    world.restart();
    assert_eq!(effects(&world.connect_with("w1", 1, &[1])), []);
    let again = Input::BuildTold {
        worker: "w1".into(),
        build: BuildId(1),
        sequence: 2,
        previous: 1,
        event: summary("doubled"),
    };
    assert_eq!(effects(&world.tell(again)).len(), 1, "it is acknowledged");
    assert_eq!(world.build(1).steps[0].summary, "one");
    world.finish(1, Outcome::Success);
    assert_eq!(world.outcome(1), Some(Outcome::Success));
}

#[test]
fn an_order_is_given_again_once_its_worker_is_back() {
    let mut world = World::new(small());
    world.connect("w1", 1);
    let first = orders(&world.force(force("linux")));
    assert_eq!(world.restart(), []);
    assert_eq!(orders(&world.connect("w1", 1)), first);
}

#[test]
fn a_cancellation_is_told_again_once_the_worker_is_back() {
    let mut world = World::new(small());
    world.connect("w1", 1);
    world.force(force("linux"));
    world.accept(1);
    let reason = "ann".to_owned();
    let reply = stampmill_engine::ReplyTo(0);
    world.tell(Input::BuildCancelAsked { build: BuildId(1), reason: reason.clone(), reply });
    world.restart();
    let cancel = Effect::CancelBuild { worker: "w1".into(), build: BuildId(1), reason };
    assert_eq!(effects(&world.connect_with("w1", 1, &[1])), [cancel]);
}

#[test]
fn workers_get_time_to_come_back_after_a_restart() {
    let mut world = World::new(small());
    world.connect("w1", 1);
    world.force(force("linux"));
    world.accept(1);
    world.now.steady.0 += 3_600_000;
    world.restart();
    world.pass(119);
    assert_eq!(world.build(1).state, BuildState::Running);
    world.pass(1);
    assert!(world.waits(1));
}

#[test]
fn a_tree_timer_of_a_scheduler_that_is_gone_waits_for_its_return() {
    let quick = || crate::setup::on_quiet_main("quick", 5, &["linux"]);
    let config = || Config { schedulers: vec![quick()], ..small() };
    let mut world = World::new(config());
    world.push(vec![seen("ann", "r1")]);
    world.reload(Config { schedulers: Vec::new(), ..small() });
    world.pass(100);
    assert!(world.store.buildsets.is_empty());
    world.restart();
    world.reload(config());
    assert_eq!(world.store.buildsets.len(), 1);
}

#[test]
fn a_request_whose_build_is_missing_is_built_again() {
    let mut world = World::new(small());
    world.connect("w1", 1);
    world.force(force("linux"));
    world.store.builds.clear();
    let outputs = world.restart();
    assert_eq!(warnings(&outputs), ["build 1 of request 1 is missing in the store: it is built again"]);
    assert_eq!(started(&world.connect("w1", 1)).len(), 1);
}

//! Workers that people pause and resume while the host runs.

use stampmill_engine::{Answer, Config, Input, Output, ReplyTo, WorkerView};
use stampmill_model::{BuildId, Halt, Outcome, RequestId, Wall};

use crate::setup::{builder, force, small, worker};
use crate::world::{World, answer, orders, refusal, started};

fn pause(world: &mut World, name: &str, reason: &str) -> Vec<Output> {
    let (by, reason) = ("ann".to_owned(), reason.to_owned());
    world.tell(Input::WorkerPaused { worker: name.into(), by, reason, reply: ReplyTo(0) })
}

fn resume(world: &mut World, name: &str) -> Vec<Output> {
    world.tell(Input::WorkerResumed { worker: name.into(), reply: ReplyTo(0) })
}

fn view(world: &World, name: &str) -> WorkerView {
    world.engine.workers().into_iter().find(|view| view.name.as_str() == name).expect("a configured worker")
}

fn why(world: &World, request: u64) -> (String, Vec<String>) {
    let why = world.engine.explain_request(RequestId(request)).expect("the request is open");
    (why.summary, why.workers.into_iter().map(|(name, why)| format!("{name} {why}")).collect())
}

#[test]
fn a_paused_worker_finishes_what_it_has_and_gets_no_more_until_it_is_resumed() {
    let mut world = World::new(small());
    world.connect("w1", 2);
    assert_eq!(started(&world.force(force("linux"))), ["linux/1 on w1"]);
    assert_eq!(answer(&pause(&mut world, "w1", "a new disk")), Answer::Done);
    assert_eq!(started(&world.force(force("linux"))), [""; 0]);
    assert_eq!(view(&world, "w1").builds, [BuildId(1)]);
    let halt = Halt { by: "ann".to_owned(), reason: "a new disk".to_owned(), at: Wall(1_000_000) };
    assert_eq!(view(&world, "w1").paused, Some(halt));
    assert_eq!(started(&world.finish(1, Outcome::Success)), [""; 0]);
    assert_eq!(world.outcome(1), Some(Outcome::Success));
    assert!(world.waits(2) && view(&world, "w1").builds.is_empty());
    let says = "paused by ann: a new disk";
    assert_eq!(why(&world, 2), (format!("worker `w1` is {says}"), vec![format!("w1 is {says}")]));
    pause(&mut world, "w1", "");
    assert_eq!(why(&world, 2).0, "worker `w1` is paused by ann", "the last word holds");

    assert_eq!(started(&resume(&mut world, "w1")), ["linux/2 on w1"]);
    assert_eq!(view(&world, "w1").paused, None);
}

#[test]
fn a_pause_survives_host_and_worker_and_reload() {
    let mut world = World::new(small());
    pause(&mut world, "w1", "");
    world.force(force("linux"));
    world.restart();
    assert_eq!(started(&world.connect("w1", 1)), [""; 0]);
    world.reload(small());
    world.leave("w1", true);
    assert_eq!(started(&world.connect("w1", 1)), [""; 0]);
    assert_eq!(why(&world, 1).0, "worker `w1` is paused by ann");
    resume(&mut world, "w1");
    world.restart();
    assert_eq!(view(&world, "w1").paused, None);
    assert_eq!(orders(&world.connect("w1", 1)).len(), 1);
}

#[test]
fn a_build_whose_order_was_lost_is_given_again_to_its_paused_worker() {
    let mut world = World::new(small());
    world.connect("w1", 1);
    world.force(force("linux"));
    world.leave("w1", false);
    pause(&mut world, "w1", "");
    assert_eq!(started(&world.connect("w1", 1)), ["linux/1 on w1"], "it was given before the pause");
}

#[test]
fn others_get_what_a_paused_worker_would_have_got_and_who_is_nearest_to_it_explains() {
    let linux = builder("linux");
    let config = Config { builders: vec![linux], workers: vec![worker("w1"), worker("w2"), worker("w3")], ..small() };
    let mut world = World::new(config);
    world.connect("w1", 9);
    pause(&mut world, "w1", "");
    world.force(force("linux"));
    assert_eq!(why(&world, 1).0, "worker `w1` is paused by ann");
    pause(&mut world, "w3", "");
    assert_eq!(why(&world, 1).1, ["w1 is paused by ann", "w2 is not connected", "w3 is paused by ann"]);
    assert_eq!(started(&world.connect("w2", 1)), ["linux/1 on w2"]);
    world.force(force("linux"));
    assert_eq!(why(&world, 2).0, "every worker for builder `linux` is busy", "it starts when w2 is free");
}

#[test]
fn what_was_not_paused_stays_as_it_is_and_an_unknown_one_is_refused() {
    let mut world = World::new(small());
    let outputs = resume(&mut world, "w1");
    assert_eq!((answer(&outputs), outputs.len()), (Answer::Done, 1), "nothing is written");
    for outputs in [pause(&mut world, "w9", ""), resume(&mut world, "w9")] {
        assert_eq!(refusal(&outputs), "there is no worker `w9`");
        assert_eq!(outputs.len(), 1);
    }
}

use stampmill_engine::config::{Builder, ChangeSource, Scheduler};
use stampmill_engine::input::Force;
use stampmill_engine::{Config, Explanation, Input};
use stampmill_model::{BuildEvent, Outcome, RequestId, Tier, WorkerInfo};

use crate::setup::{
    builder, builder_with_tag, force, hook, info, on_force, on_main, seen, small, worker, worker_with_tag,
};
use crate::world::World;

fn why(world: &World, request: u64) -> Explanation {
    world.engine.explain_request(RequestId(request)).expect("the request is open")
}

fn summary(world: &World, request: u64) -> String {
    why(world, request).summary
}

#[test]
fn a7_01_a_request_says_that_its_workers_are_busy_and_where_it_stands() {
    let mut world = World::new(small());
    world.connect("w1", 1);
    for priority in [0, 0, 0, 9] {
        world.force(Force { priority: Some(priority), ..force("linux") });
    }
    assert_eq!(
        why(&world, 3),
        Explanation {
            summary: "every worker for builder `linux` is busy".to_owned(),
            position: Some(3),
            workers: vec![("w1".into(), "is busy with 1 of 1 builds".to_owned())],
        }
    );
    assert_eq!(why(&world, 4).position, Some(1));
}

#[test]
fn a8_07_a_request_says_which_tag_nobody_has() {
    let config = Config { builders: vec![builder_with_tag("linux", "os=macos")], ..small() };
    let mut world = World::new(config);
    world.connect("w1", 1);
    world.force(force("linux"));
    let why = why(&world, 1);
    assert_eq!(why.summary, "no configured worker has tag `os=macos`, which builder `linux` wants");
    assert_eq!(why.workers, [("w1".into(), "has no tag `os=macos`".to_owned())]);
}

#[test]
fn each_worker_has_its_reason() {
    let mut linux = builder_with_tag("linux", "x");
    linux.workers.names = ["w1", "w2", "w3", "w4", "w5"].map(Into::into).to_vec();
    let config = Config {
        builders: vec![linux],
        workers: vec![
            worker("w1"),
            worker_with_tag("w2", "x"),
            worker_with_tag("w3", "x"),
            worker_with_tag("w4", "x"),
            worker_with_tag("w5", "x"),
            worker_with_tag("w6", "x"),
        ],
        ..small()
    };
    let mut world = World::new(config);
    let weak = WorkerInfo { tier: Tier::WasmOnly, ..info(1) };
    world.tell(Input::WorkerConnected { worker: "w3".into(), info: weak, builds: Vec::new() });
    world.connect("w4", 1);
    world.force(force("linux"));
    world.event(1, BuildEvent::Declined { reason: "no disk".to_owned() });
    world.pass(10);
    world.connect("w5", 1);
    world.force(force("linux"));
    let why = why(&world, 1);
    assert!(world.store.builds.len() == 3, "w5 took the first and w4 the second");
    assert_eq!(why.position, None);
    assert_eq!(why.summary, "build 2 was given to worker `w5`, which has not answered yet");
    world.force(force("linux"));
    let reasons: Vec<_> = self::why(&world, 3).workers.into_iter().map(|(name, why)| format!("{name} {why}")).collect();
    assert_eq!(
        reasons,
        [
            "w1 has no tag `x`",
            "w2 is not connected",
            "w3 its isolation is wasm-only, the builder wants sandboxed",
            "w4 is busy with 1 of 1 builds",
            "w5 is busy with 1 of 1 builds",
            "w6 the builder does not name it",
        ]
    );
}

#[test]
fn a_request_that_was_declined_says_so() {
    let mut world = World::new(small());
    world.connect("w1", 1);
    world.force(force("linux"));
    world.event(1, BuildEvent::Declined { reason: "no disk".to_owned() });
    world.pass(10);
    let why = why(&world, 1);
    assert_eq!(why.summary, "every worker for builder `linux` that is there has declined it for now");
    assert_eq!(why.workers, [("w1".into(), "declined it (no disk) and is asked again later".to_owned())]);
}

#[test]
fn a_request_says_that_nobody_is_there_or_fenced_well_enough() {
    let mut world = World::new(small());
    world.force(force("linux"));
    assert_eq!(summary(&world, 1), "no worker for builder `linux` is connected");
    let info = WorkerInfo { tier: Tier::Degraded, ..info(1) };
    world.tell(Input::WorkerConnected { worker: "w1".into(), info, builds: Vec::new() });
    assert_eq!(
        summary(&world, 1),
        "no worker that is there is fenced well enough: its isolation is degraded, the builder wants sandboxed"
    );
}

#[test]
fn a_request_says_that_its_builder_or_its_one_worker_has_no_room() {
    let one = Builder { max_builds: Some(1), ..builder("linux") };
    let config = Config { builders: vec![one], workers: vec![worker("w1"), worker("w2")], ..small() };
    let mut world = World::new(config);
    world.connect("w1", 4);
    world.force(force("linux"));
    world.force(force("linux"));
    assert_eq!(summary(&world, 2), "builder `linux` has 1 builds, as many as it may");
    assert_eq!(why(&world, 2).workers[0].1, "is free, but the builder has as many builds as it may");
    world.force(Force { worker: Some("w2".into()), ..force("linux") });
    assert_eq!(why(&world, 3).workers[0].1, "the request is only for worker `w2`");
}

#[test]
fn a_request_that_is_built_says_how_far_its_build_is() {
    let mut world = World::new(small());
    world.connect("w1", 1);
    world.force(force("linux"));
    world.accept(1);
    assert_eq!(summary(&world, 1), "build 1 runs on worker `w1`");
    world.leave("w1", false);
    world.pass(20);
    assert_eq!(summary(&world, 1), "build 1 is on worker `w1`, which is away and given up after 120 s");
    world.connect_with("w1", 1, &[1]);
    let reply = stampmill_engine::ReplyTo(0);
    world.tell(Input::BuildCancelAsked { build: stampmill_model::BuildId(1), reason: "ann: enough".to_owned(), reply });
    assert_eq!(summary(&world, 1), "build 1 is being cancelled on worker `w1`: ann: enough");
    world.finish(1, Outcome::Cancelled);
    assert_eq!(world.engine.explain_request(RequestId(1)), None);
}

#[test]
fn a_request_that_awaits_approval_says_so() {
    let quick = Scheduler { approve_untrusted: true, ..on_main("quick", &["linux"]) };
    let forge = ChangeSource { trusted: false, ..hook("forge") };
    let config = Config { change_sources: vec![forge], schedulers: vec![quick, on_force("f", &["linux"])], ..small() };
    let mut world = World::new(config);
    world.push(vec![seen("eve", "r1")]);
    assert_eq!(summary(&world, 1), "awaits approval: its sources are not trusted");
}

use std::sync::Arc;

use stampmill_engine::config::{Builder, Worker};
use stampmill_engine::input::Force;
use stampmill_engine::{Config, Effect, Input, Output, Write};
use stampmill_model::{
    Build, BuildEvent, BuildId, BuildOrder, BuildState, BuildsetId, LockState, Network, Outcome, Properties, Property,
    PropertySource, RequestId, RequestState, SeenChange, Step, StepState, Tier, WorkerInfo,
};

use crate::setup::{
    apart, builder, builder_with_tag, force, info, on_force, on_main, property, seen, small, worker, worker_with_tag,
};
use crate::world::{World, effects, orders, started};

fn forcing(builders: Vec<Builder>, workers: Vec<Worker>) -> World {
    let names: Vec<_> = builders.iter().map(|builder| builder.name.as_str().to_owned()).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let schedulers = vec![on_force("by-hand", &names)];
    World::new(Config { change_sources: Vec::new(), schedulers, builders, workers, ..Config::default() })
}

fn urgent(builder: &str, priority: i32) -> Force {
    Force { priority: Some(priority), ..force(builder) }
}

#[test]
fn a_request_is_given_to_a_worker_that_connects() {
    let mut world = forcing(vec![builder("linux")], vec![worker("w1")]);
    world.force(force("linux"));
    let outputs = world.connect("w1", 2);
    let step = |number: u32, name: &str| Step {
        number,
        name: name.to_owned(),
        summary: String::new(),
        logs: Vec::new(),
        network: Network::default(),
        locks: Vec::new(),
        lock_state: LockState::Idle,
        state: StepState::Waiting,
    };
    let of_build = |value: serde_json::Value| Property { value, source: PropertySource::Build };
    let properties: Properties = [
        ("buildername", of_build("linux".into())),
        ("buildnumber", of_build(1.into())),
        ("codebase", of_build("".into())),
        ("owner", of_build("ann".into())),
        ("owners", of_build(vec!["ann"].into())),
        ("project", of_build("".into())),
        ("reason", of_build("scheduler `by-hand`".into())),
        ("repository", of_build("https://git.example/app.git".into())),
        ("scheduler", of_build("by-hand".into())),
        ("workername", of_build("w1".into())),
    ]
    .into_iter()
    .map(|(name, property)| (name.to_owned(), property))
    .collect();
    let build = Build {
        id: BuildId(1),
        number: 1,
        builder: "linux".into(),
        project: "app".to_owned(),
        request: RequestId(1),
        buildset: BuildsetId(1),
        merged: Vec::new(),
        attempt: 1,
        worker: "w1".into(),
        reason: "scheduler `by-hand`".to_owned(),
        owner: Some("ann".to_owned()),
        stamps: world.buildset(1).stamps.clone(),
        blamelist: vec!["ann".to_owned()],
        properties,
        steps: vec![step(0, "compile"), step(1, "test")],
        locks: Vec::new(),
        triggers: Vec::new(),
        started_at: world.now.wall,
        state: BuildState::Dispatched,
    };
    let mut request = world.request(1).clone();
    (request.attempts, request.state) = (1, RequestState::Building(BuildId(1)));
    let job = Arc::clone(&world.config.builders[0].job);
    let order = Box::new(BuildOrder { build: build.clone(), changes: Vec::new(), job });
    assert_eq!(
        outputs,
        [
            Output::Write(Write::Request(Arc::new(request))),
            Output::Write(Write::Build(Arc::new(build))),
            Output::Effect(Effect::Dispatch { worker: "w1".into(), order }),
        ]
    );
}

#[test]
fn the_order_carries_the_changes_of_its_stamps() {
    let mut world = World::new(small());
    world.connect("w1", 1);
    let order = orders(&world.push(vec![seen("ann", "r1")])).remove(0);
    assert_eq!(order.changes.iter().map(|change| change.id.0).collect::<Vec<_>>(), [1]);
    let build = order.build;
    let value = |name: &str| build.properties.get(name).map(|property| property.value.clone());
    assert_eq!(value("branch"), Some("main".into()));
    assert_eq!(value("revision"), Some("r1".into()));
    assert_eq!(value("project"), Some("app".into()));
}

#[test]
fn a11_10_a_later_source_of_a_property_overrides_an_earlier_one() {
    let sourced = |source: PropertySource| {
        let mut properties = property("who", source.to_string(), PropertySource::Step("forged".to_owned()));
        properties.extend(property(&format!("of-{source}"), 1, PropertySource::Build));
        properties
    };
    let mut config = small();
    config.properties = sourced(PropertySource::Global);
    config.workers[0].properties = sourced(PropertySource::Worker);
    config.builders[0].properties = sourced(PropertySource::Builder);
    config.builders[0].properties.extend(property("buildername", "forged", PropertySource::Builder));
    config.schedulers[0].properties = sourced(PropertySource::Scheduler);
    let change = SeenChange {
        properties: vec![("who".to_owned(), "Change".into()), ("workername".to_owned(), "forged".into())],
        ..seen("ann", "r1")
    };
    let mut world = World::new(config);
    world.connect("w1", 1);
    world.push(vec![change]);
    let properties = &world.build(1).properties;
    let get = |name: &str| (properties[name].value.clone(), properties[name].source.clone());
    assert_eq!(get("who"), ("Scheduler".into(), PropertySource::Scheduler));
    assert_eq!(get("of-Global"), (1.into(), PropertySource::Global));
    assert_eq!(get("of-Worker"), (1.into(), PropertySource::Worker));
    assert_eq!(get("of-Builder"), (1.into(), PropertySource::Builder));
    assert_eq!(get("of-Scheduler"), (1.into(), PropertySource::Scheduler));
    assert_eq!(get("buildername"), ("linux".into(), PropertySource::Build));
    assert_eq!(get("workername"), ("w1".into(), PropertySource::Build));
}

#[test]
fn what_a_builder_gives_to_its_job_is_overridden_by_nobody_who_asks_for_a_build() {
    let with = property("target", "staging", PropertySource::Builder);
    let asked = property("target", "production", PropertySource::Force);
    let of_builder =
        Builder { properties: property("target", "none", PropertySource::Builder), with, ..builder("linux") };
    let mut world = forcing(vec![of_builder], vec![worker("w1")]);
    world.connect("w1", 1);
    world.force(Force { properties: asked, ..force("linux") });
    let target = &world.build(1).properties["target"];
    assert_eq!((target.value.clone(), target.source.clone()), ("staging".into(), PropertySource::Job));
}

#[test]
fn a11_10_what_a_person_forces_overrides_scheduler_and_change() {
    let mut world = forcing(vec![builder("linux")], vec![worker("w1")]);
    world.connect("w1", 1);
    world.force(Force { properties: property("scheduler", "mine", PropertySource::Force), ..force("linux") });
    assert_eq!(world.build(1).properties["scheduler"].source, PropertySource::Build, "but not the build's own");
    assert_eq!(world.buildset(1).properties["scheduler"].source, PropertySource::Force);
}

#[test]
fn a7_02_requests_start_by_priority_then_by_age_over_all_builders() {
    let mut world = forcing(["a", "b", "c"].map(|name| apart(builder(name))).to_vec(), vec![worker("w1")]);
    world.connect("w1", 1);
    let mut order = started(&world.force(force("a")));
    for (builder, priority) in [("c", 0), ("a", 0), ("b", 5), ("b", 0), ("a", 5), ("c", -1)] {
        assert_eq!(started(&world.force(urgent(builder, priority))), [""; 0]);
    }
    let queue: Vec<_> = world.engine.queue().iter().map(|request| request.id.0).collect();
    assert_eq!(queue, [4, 6, 2, 3, 5, 7]);
    for build in 1..=7 {
        order.extend(started(&world.finish(build, Outcome::Success)));
    }
    assert_eq!(order, ["a/1 on w1", "b/1 on w1", "a/2 on w1", "c/1 on w1", "a/3 on w1", "b/2 on w1", "c/2 on w1"]);
}

#[test]
fn a8_07_only_workers_with_the_tags_run_a_builder() {
    let builders = vec![builder_with_tag("mac", "macos"), builder("any")];
    let mut world = forcing(builders, vec![worker("w1"), worker_with_tag("w2", "macos")]);
    world.connect("w1", 5);
    assert_eq!(started(&world.force(force("mac"))), [""; 0]);
    assert_eq!(started(&world.force(force("any"))), ["any/1 on w1"], "what can't run does not hold up what can");
    assert_eq!(started(&world.connect("w2", 1)), ["mac/1 on w2"]);
}

#[test]
fn only_workers_that_are_named_run_a_builder() {
    let mut named = builder("linux");
    named.workers.names = vec!["w2".into()];
    let mut world = forcing(vec![named], vec![worker("w1"), worker("w2")]);
    world.connect("w1", 1);
    assert_eq!(started(&world.force(force("linux"))), [""; 0]);
    assert_eq!(started(&world.connect("w2", 1)), ["linux/1 on w2"]);
}

#[test]
fn a_worker_whose_fence_is_too_weak_gets_nothing() {
    let mut weak = builder("weak");
    weak.tier = Tier::Degraded;
    let mut world = forcing(vec![builder("strict"), weak], vec![worker("w1")]);
    let info = WorkerInfo { tier: Tier::Degraded, ..info(5) };
    world.tell(Input::WorkerConnected { worker: "w1".into(), info, builds: Vec::new() });
    assert_eq!(started(&world.force(force("strict"))), [""; 0]);
    assert_eq!(started(&world.force(force("weak"))), ["weak/1 on w1"]);
}

#[test]
fn a8_09_a_builder_runs_on_several_workers_at_once_and_the_emptiest_goes_first() {
    let mut world = forcing(vec![builder("linux")], vec![worker("w1"), worker("w2")]);
    world.connect("w1", 2);
    world.connect("w2", 3);
    let builds: Vec<_> = (0..6).flat_map(|_| started(&world.force(force("linux")))).collect();
    assert_eq!(builds, ["linux/1 on w2", "linux/2 on w1", "linux/3 on w2", "linux/4 on w1", "linux/5 on w2"]);
    assert!(world.waits(6), "the smaller of both limits holds, and nobody gets more than that");
}

#[test]
fn the_smaller_limit_of_worker_and_configuration_holds() {
    let w1 = Worker { max_builds: Some(1), ..worker("w1") };
    let mut world = forcing(vec![builder("linux")], vec![w1]);
    world.connect("w1", 8);
    assert_eq!(started(&world.force(force("linux"))).len(), 1);
    assert_eq!(started(&world.force(force("linux"))).len(), 0);
}

#[test]
fn a_builder_runs_no_more_builds_than_it_may() {
    let one = Builder { max_builds: Some(1), ..builder("one") };
    let mut world = forcing(vec![one, builder("many")], vec![worker("w1")]);
    world.connect("w1", 8);
    assert_eq!(started(&world.force(force("one"))), ["one/1 on w1"]);
    assert_eq!(started(&world.force(force("one"))), [""; 0]);
    assert_eq!(started(&world.force(force("many"))), ["many/1 on w1"]);
    assert_eq!(started(&world.finish(1, Outcome::Success)), ["one/2 on w1"]);
}

#[test]
fn a_request_for_one_worker_waits_for_it_and_holds_up_nobody() {
    let mut world = forcing(vec![builder("linux")], vec![worker("w1"), worker("w2")]);
    world.connect("w1", 1);
    world.force(Force { worker: Some("w2".into()), ..force("linux") });
    assert_eq!(started(&world.force(force("linux"))), ["linux/1 on w1"]);
    assert_eq!(started(&world.connect("w2", 1)), ["linux/2 on w2"]);
}

#[test]
fn a14_06_a_worker_that_declines_is_not_asked_again_for_a_while_and_another_one_is() {
    let mut world = forcing(vec![builder("linux")], vec![worker("w1"), worker("w2")]);
    world.connect("w1", 1);
    world.force(force("linux"));
    let declined = || BuildEvent::Declined { reason: "no disk".to_owned() };
    assert_eq!(started(&world.event(1, declined())), [""; 0]);
    let build = world.build(1);
    let BuildState::Finished { outcome, summary, .. } = &build.state else { panic!("{:?}", build.state) };
    assert_eq!((*outcome, &**summary), (Outcome::Retry, "worker declined: no disk"));
    assert_eq!((world.request(1).attempts, world.waits(1)), (0, true), "that was no try");
    assert_eq!(started(&world.pass(29)), [""; 0]);
    assert_eq!(started(&world.pass(1)), ["linux/2 on w1"]);
    world.event(2, declined());
    assert_eq!(started(&world.pass(59)), [""; 0], "the second time it is left alone for twice as long");
    assert_eq!(started(&world.connect("w2", 1)), ["linux/3 on w2"]);
    assert_eq!(world.build(3).attempt, 1);
    assert_eq!(started(&world.force(force("linux"))), ["linux/4 on w1"], "another request is another matter");
}

#[test]
fn a_request_that_was_declined_does_not_pull_younger_ones_of_its_builder_ahead() {
    let mut world = forcing(["a", "b", "c"].map(builder).to_vec(), vec![worker("w1")]);
    world.connect("w1", 1);
    world.force(force("a"));
    world.event(1, BuildEvent::Declined { reason: "no disk".to_owned() });
    for name in ["c", "b", "a"] {
        world.force(force(name));
    }
    assert_eq!(started(&world.finish(2, Outcome::Success)), ["b/1 on w1"]);
    assert_eq!(started(&world.finish(3, Outcome::Success)), ["a/2 on w1"]);
    assert_eq!(world.build(4).request, RequestId(4));
}

#[test]
fn who_is_not_configured_gets_nothing() {
    let mut world = forcing(vec![builder("linux")], vec![worker("w1")]);
    let outputs = world.connect_with("w9", 4, &[5]);
    let reason = "the build is over, or not this worker's".to_owned();
    assert_eq!(
        effects(&outputs),
        [
            Effect::CancelBuild { worker: "w9".into(), build: BuildId(5), reason },
            Effect::Warn { message: "worker `w9` has connected, but is not configured".to_owned() },
        ]
    );
    assert_eq!(started(&world.force(force("linux"))), [""; 0]);
    assert_eq!(world.engine.workers().len(), 1);
    let mut config = (*world.config).clone();
    config.workers.push(worker("w9"));
    let outputs = world.reload(config);
    assert_eq!(started(&outputs), ["linux/1 on w9"], "it was there already, and does not connect anew");
}

#[test]
fn workers_show_what_they_are_and_have() {
    let mut world = forcing(vec![builder("linux")], vec![worker("w1"), worker("w2")]);
    world.connect("w1", 1);
    world.force(force("linux"));
    let views = world.engine.workers();
    assert_eq!(
        (views[0].connected, &*views[0].builds, views[0].info.clone()),
        (true, &[BuildId(1)][..], Some(info(1)))
    );
    assert_eq!((views[1].connected, views[1].last_seen, &views[1].info), (false, None, &None));
    world.leave("w1", false);
    let views = world.engine.workers();
    assert_eq!((views[0].connected, views[0].builds.len()), (false, 1));
    assert_eq!(views[0].info, Some(info(1)), "what it said is still known");
}

#[test]
fn numbers_of_builds_count_for_each_builder_and_go_on_after_a_restart() {
    let mut world = forcing(vec![builder("a"), builder("b")], vec![worker("w1")]);
    world.connect("w1", 1);
    world.force(force("a"));
    world.finish(1, Outcome::Success);
    world.restart();
    world.connect("w1", 2);
    assert_eq!(started(&world.force(force("b"))), ["b/1 on w1"]);
    assert_eq!(started(&world.force(force("a"))), ["a/2 on w1"]);
}

#[test]
fn a_long_queue_is_not_touched_by_what_happens_to_one_build() {
    let mut world = World::new(Config {
        schedulers: vec![on_main("quick", &["linux"])],
        builders: vec![apart(builder("linux"))],
        ..small()
    });
    world.connect("w1", 1);
    world.push((0..500).map(|n| seen("ann", &format!("r{n}"))).collect());
    assert_eq!(world.engine.queue().len(), 499);
    assert_eq!(world.accept(1).len(), 3, "the build, its number, the acknowledgement");
    let outputs = world.finish(1, Outcome::Success);
    let writes = outputs.iter().filter(|output| matches!(output, Output::Write(_)));
    assert_eq!(writes.count(), 5, "one buildset and two requests and builds");
    assert_eq!(started(&outputs), ["linux/2 on w1"]);
}

use stampmill_engine::config::{Limits, Scheduler, SchedulerKind};
use stampmill_engine::{Config, Effect, Input};
use stampmill_model::{ChangeId, Milliseconds, Outcome, Verdict};

use crate::setup::{
    builder, force, job, on_force, on_main, on_quiet_main, polled, poller, scheduler, seen, seen_on, small, worker,
};
use crate::world::{World, effects, orders, started};

#[test]
fn a2_01_a_poller_that_is_new_is_asked_and_one_that_is_gone_is_not_but_keeps_its_cursor() {
    let with = |names: &[&str]| Config { change_sources: names.iter().map(|it| poller(it, 30)).collect(), ..small() };
    let mut world = World::new(with(&["app"]));
    world.tell(Input::Polled { source: "app".into(), attempt: 1, result: Ok(polled(Vec::new(), "r1")) });
    let outputs = world.reload(with(&["core"]));
    assert_eq!(effects(&outputs), [Effect::Poll { source: "core".into(), cursor: None, attempt: 1 }]);
    assert_eq!(world.pass(100), []);
    let outputs = world.reload(with(&["app", "core"]));
    let again = Effect::Poll { source: "app".into(), cursor: Some("r1".to_owned()), attempt: 100_000 };
    assert_eq!(effects(&outputs), [again]);
}

#[test]
fn an_answer_that_comes_after_its_poller_has_left_is_dropped() {
    let mut world = World::new(Config { change_sources: vec![poller("app", 30)], ..small() });
    world.reload(small());
    let result = Ok(polled(vec![seen("ann", "r1")], "r1"));
    assert_eq!(world.tell(Input::Polled { source: "app".into(), attempt: 1, result }), []);
}

#[test]
fn a_shorter_interval_holds_at_once() {
    let every = |seconds| Config { change_sources: vec![poller("app", seconds)], ..small() };
    let mut world = World::new(every(3_600));
    world.tell(Input::Polled { source: "app".into(), attempt: 1, result: Ok(polled(Vec::new(), "r1")) });
    world.reload(every(10));
    assert_eq!(effects(&world.pass(10)).len(), 1);
}

#[test]
fn a8_01_a_builder_that_is_gone_keeps_its_build_and_its_queue_waits() {
    let mut world = World::new(small());
    world.connect("w1", 1);
    world.force(force("linux"));
    world.force(force("linux"));
    world.accept(1);
    let without = Config { builders: Vec::new(), schedulers: vec![on_force("by-hand", &[])], ..small() };
    assert_eq!(effects(&world.reload(without)), []);
    world.finish(1, Outcome::Success);
    assert_eq!(world.outcome(1), Some(Outcome::Success));
    assert!(world.waits(2));
    let why = world.engine.explain_request(stampmill_model::RequestId(2)).expect("it is open");
    assert_eq!(why.summary, "builder `linux` is no longer configured; configure it again or cancel the request");
    assert_eq!(started(&world.reload(small())), ["linux/2 on w1"]);
}

#[test]
fn an_order_that_did_not_arrive_is_taken_back_when_the_builder_is_gone() {
    let mut world = World::new(small());
    world.connect("w1", 1);
    world.force(force("linux"));
    world.leave("w1", false);
    world.reload(Config { builders: Vec::new(), schedulers: Vec::new(), ..small() });
    assert_eq!(orders(&world.connect("w1", 1)), []);
    assert_eq!((world.waits(1), world.request(1).attempts), (true, 0));
}

#[test]
fn an_order_that_did_not_arrive_goes_out_with_the_job_as_it_is_now() {
    let mut world = World::new(small());
    world.connect("w1", 1);
    world.force(force("linux"));
    world.leave("w1", false);
    let mut changed = small();
    changed.builders[0].job = job(&["all"]);
    world.reload(changed);
    let order = orders(&world.connect("w1", 1)).remove(0);
    assert_eq!(order.build.steps.len(), order.job.steps.len());
    assert_eq!(world.build(1).steps[0].name, "all");
}

#[test]
fn a_worker_that_is_new_in_the_configuration_gets_what_waits() {
    let mut world = World::new(small());
    world.force(force("linux"));
    world.reload(Config { workers: vec![worker("w1"), worker("w2")], ..small() });
    assert_eq!(started(&world.connect("w2", 1)), ["linux/1 on w2"]);
}

#[test]
fn a_worker_that_is_gone_from_the_configuration_keeps_its_build_and_gets_no_other() {
    let mut world = World::new(small());
    world.connect("w1", 2);
    world.force(force("linux"));
    world.reload(Config { workers: Vec::new(), ..small() });
    assert_eq!(started(&world.force(force("linux"))), [""; 0]);
    assert_eq!(world.engine.workers().len(), 1, "it is shown as long as it has builds");
    world.finish(1, Outcome::Success);
    assert_eq!(world.outcome(1), Some(Outcome::Success));
    assert!(world.waits(2));
}

#[test]
fn more_room_in_the_configuration_is_used_at_once() {
    let mut narrow = small();
    narrow.workers[0].max_builds = Some(1);
    let mut world = World::new(narrow);
    world.connect("w1", 2);
    world.force(force("linux"));
    world.force(force("linux"));
    assert_eq!(started(&world.reload(small())), ["linux/2 on w1"]);
}

#[test]
fn a_tree_timer_goes_on_through_a_reload() {
    let config = || Config { schedulers: vec![on_quiet_main("quick", 5, &["linux"])], ..small() };
    let mut world = World::new(config());
    world.push(vec![seen("ann", "r1")]);
    world.pass(3);
    world.reload(config());
    world.pass(1);
    assert!(world.store.buildsets.is_empty());
    world.pass(1);
    assert_eq!(world.store.buildsets.len(), 1);
}

#[test]
fn changes_that_wait_are_sorted_anew_when_a_scheduler_changes_its_kind() {
    let stable_for = Some(Milliseconds::from_seconds(5));
    let any = scheduler("quick", SchedulerKind::AnyBranch { branches: None, stable_for }, &["linux"]);
    let mut world = World::new(Config { schedulers: vec![any.clone()], ..small() });
    world.push(vec![seen_on("a", "ann", "a1"), seen_on("b", "ann", "b1"), seen_on("a", "ann", "a2")]);
    world.reload(Config { schedulers: vec![on_quiet_main("quick", 5, &["linux"])], ..small() });
    assert_eq!(world.store.schedulers[&"quick".into()].batches.len(), 1);
    world.reload(Config { schedulers: vec![any], ..small() });
    let branches: Vec<_> = world.store.schedulers[&"quick".into()].batches.iter().map(|it| it.branch.clone()).collect();
    assert_eq!(branches, [Some("a".to_owned()), Some("b".to_owned())]);
    world.pass(5);
    assert_eq!(world.store.buildsets.len(), 2);
}

#[test]
fn a_change_under_judgement_is_decided_by_the_new_schedulers() {
    let filtered = |name: &str, filters| Scheduler { filters, ..on_main(name, &["linux"]) };
    let with = |schedulers| Config { schedulers, ..small() };
    let mut world = World::new(with(vec![filtered("gone", 1), filtered("quick", 1), filtered("slow", 1)]));
    world.push(vec![seen("ann", "r1")]);
    let outputs = world.reload(with(vec![filtered("quick", 2), filtered("new", 0), filtered("slow", 0)]));
    assert_eq!(effects(&outputs), [], "what is asked is not asked again");
    assert_eq!(world.decisions(1), ["new: important, important", "slow: important, important"]);
    let judge = |count: usize| Input::Judged {
        scheduler: "quick".into(),
        change: ChangeId(1),
        result: Ok(vec![(Verdict::Important, String::new()); count]),
    };
    let outputs = world.tell(judge(1));
    assert!(matches!(effects(&outputs)[..], [Effect::AskFilters { .. }]), "the answer is of the filters before");
    world.tell(judge(2));
    assert_eq!(world.decisions(1).len(), 3);
    assert_eq!(world.decisions(1)[0], "quick: important, important", "in the order of the configuration");
    assert!(world.change(1).decided);
}

#[test]
fn a5_12_a_periodic_scheduler_that_is_new_fires_and_one_that_is_gone_does_not() {
    let every = Milliseconds::from_seconds(10);
    let hourly = scheduler("hourly", SchedulerKind::Periodic { every }, &["linux"]);
    let with = Config { schedulers: vec![hourly], ..small() };
    let mut world = World::new(small());
    world.reload(with.clone());
    assert_eq!(world.store.buildsets.len(), 1);
    world.reload(small());
    world.pass(100);
    assert_eq!(world.store.buildsets.len(), 1);
    world.reload(with);
    assert_eq!(world.store.buildsets.len(), 2, "it is late, so it fires at once");
    world.pass(10);
    assert_eq!(world.store.buildsets.len(), 3);
}

#[test]
fn limits_that_are_changed_hold_from_then_on() {
    let mut world = World::new(small());
    world.connect("w1", 1);
    world.force(force("linux"));
    world.accept(1);
    let limits = Limits { worker_lost_after: Milliseconds::from_seconds(5), ..Limits::default() };
    world.reload(Config { limits, ..small() });
    world.leave("w1", false);
    world.pass(5);
    assert!(world.waits(1));
}

#[test]
fn without_its_generator_a_change_that_waits_for_it_has_no_codebase_to_wait_for() {
    let mut world = World::new(Config { codebase_generator: true, builders: vec![builder("linux")], ..small() });
    world.push(vec![seen("ann", "r1")]);
    world.reload(small());
    assert_eq!(world.change(1).codebase.as_deref(), Some(""));
    assert!(world.change(1).decided);
    assert_eq!(world.store.buildsets.len(), 1);
}

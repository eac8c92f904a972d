//! Triggers: what a step of a build asks of a triggerable scheduler, and what becomes of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use stampmill_engine::config::{Builder, Lock, LockUse, Scheduler, SchedulerKind};
use stampmill_engine::output::Output;
use stampmill_engine::{Config, Effect, Input, ReplyTo};
use stampmill_model::{
    BuildEvent, BuildId, BuildState, BuildsetId, Job, LockAccess, LockScope, Outcome, Parent, PropertySource,
    RequestId, StampChoice, Trigger, TriggerState, TriggerWish,
};

use crate::setup::{builder, force, on_force, on_main, property, scheduler, seen, small, with_codebases, worker};
use crate::world::{World, effects, refusal, started, warnings};

fn triggerable(name: &str, builders: &[&str]) -> Scheduler {
    scheduler(name, SchedulerKind::Triggerable, builders)
}

/// A builder whose first step may trigger these schedulers.
fn granted(mut builder: Builder, schedulers: &[&str]) -> Builder {
    let mut job: Job = (*builder.job).clone();
    job.steps[0].grant.trigger = schedulers.iter().map(|name| (*name).to_owned()).collect();
    builder.job = Arc::new(job);
    builder
}

/// `linux` builds changes and may trigger `deploy`, which builds `site`, and `docs`, which builds `html` and may trigger itself.
fn config() -> Config {
    Config {
        schedulers: vec![
            on_main("quick", &["linux"]),
            on_force("by-hand", &["linux"]),
            triggerable("deploy", &["site"]),
            triggerable("docs", &["html"]),
        ],
        builders: vec![
            granted(builder("linux"), &["deploy", "docs", "quick", "nobody"]),
            builder("site"),
            granted(builder("html"), &["docs"]),
        ],
        workers: vec![worker("w1"), worker("w2")],
        ..small()
    }
}

fn world() -> World {
    building(config())
}

/// Build 1 of `linux` runs.
fn building(config: Config) -> World {
    let mut world = World::new(config);
    world.connect("w1", 9);
    world.push(vec![seen("ann", "r1")]);
    world.accept(1);
    world
}

fn wish(number: u32, scheduler: &str) -> TriggerWish {
    TriggerWish {
        number,
        scheduler: scheduler.into(),
        latest: false,
        versions: BTreeMap::new(),
        properties: BTreeMap::new(),
        detached: false,
    }
}

fn trigger(world: &mut World, build: u64, wish: TriggerWish) -> Vec<Output> {
    world.event(build, BuildEvent::Triggered { step: 0, wish: Box::new(wish) })
}

/// What a worker is told, as `build/number on worker: state`.
fn told(outputs: &[Output]) -> Vec<String> {
    let told = effects(outputs).into_iter().filter_map(|effect| match effect {
        Effect::TellTrigger { worker, build, number, state } => {
            let state = match state {
                TriggerState::Refused { reason } => format!("refused, {reason}"),
                TriggerState::Open { buildset } => format!("set {buildset}"),
                TriggerState::Finished { buildset, outcome } => format!("set {buildset} {outcome}"),
            };
            Some(format!("{build}/{number} on {worker}: {state}"))
        }
        _ => None,
    });
    told.collect()
}

fn refused(world: &mut World, build: u64, wish: TriggerWish) -> String {
    let sets = world.store.buildsets.len();
    let told = told(&trigger(world, build, wish));
    assert_eq!(world.store.buildsets.len(), sets, "nothing is made");
    told[0].split_once("refused, ").unwrap_or_else(|| panic!("{told:?}")).1.to_owned()
}

#[test]
fn a5_09_a_step_triggers_a_scheduler_with_the_sources_of_its_build_and_hears_of_the_end() {
    let mut world = world();
    let wish = TriggerWish { properties: [("target".to_owned(), "staging".into())].into(), ..wish(0, "deploy") };
    let outputs = trigger(&mut world, 1, wish);
    assert_eq!(told(&outputs), ["1/0 on w1: set 2"]);
    assert_eq!(started(&outputs), ["site/1 on w1"]);
    let (first, set) = (world.buildset(1), world.buildset(2));
    assert_eq!((set.parent, &set.stamps, set.depth), (Some(Parent::Triggered(BuildId(1))), &first.stamps, 1));
    assert_eq!(set.reason, "triggered by build 1 of builder `linux`");
    assert_eq!(set.properties["target"].source, PropertySource::Trigger);
    assert_eq!(world.build(2).properties["target"].value, "staging");
    assert_eq!(world.change(1).buildsets, [BuildsetId(1), BuildsetId(2)]);
    let outputs = world.finish(2, Outcome::Warnings);
    assert_eq!(told(&outputs), ["1/0 on w1: set 2 warnings"]);
    let state = TriggerState::Finished { buildset: BuildsetId(2), outcome: Outcome::Warnings };
    let kept = Trigger { step: 0, scheduler: "deploy".into(), detached: false, state };
    assert_eq!(world.build(1).triggers, [kept]);
}

#[test]
fn a_worker_that_comes_back_hears_again_what_became_of_its_triggers() {
    let mut world = world();
    trigger(&mut world, 1, wish(0, "deploy"));
    trigger(&mut world, 1, wish(1, "quick"));
    world.leave("w1", false);
    world.connect_with("w2", 9, &[]);
    world.restart();
    let outputs = world.connect_with("w1", 9, &[1, 2]);
    assert_eq!(
        told(&outputs),
        ["1/0 on w1: set 2", "1/1 on w1: refused, scheduler `quick` is not of kind `triggerable`"]
    );
    assert_eq!(world.store.buildsets.len(), 2, "nothing is made twice");
}

#[test]
fn what_a_build_has_triggered_ends_with_it_unless_it_is_detached() {
    for outcome in [Outcome::Success, Outcome::Failure, Outcome::Retry] {
        let mut world = world();
        trigger(&mut world, 1, wish(0, "deploy"));
        trigger(&mut world, 1, TriggerWish { detached: true, ..wish(1, "docs") });
        world.accept(2);
        world.accept(3);
        let outputs = world.finish(1, outcome);
        let reason = "build 1, which triggered it, has ended".to_owned();
        assert!(effects(&outputs).contains(&Effect::CancelBuild { worker: "w1".into(), build: BuildId(2), reason }));
        assert!(matches!(world.build(2).state, BuildState::Cancelling { .. }));
        assert_eq!(world.build(3).state, BuildState::Running, "detached");
        world.finish(2, Outcome::Cancelled);
        world.finish(3, Outcome::Success);
        let left = world.engine.queue().len();
        assert_eq!((world.outcome(2), world.outcome(3), left), (Some(Outcome::Cancelled), Some(Outcome::Success), 0));
    }
}

#[test]
fn a_set_that_waits_ends_with_the_build_that_triggered_it() {
    let mut world = world();
    world.tell(Input::WorkerPaused {
        worker: "w1".into(),
        by: String::new(),
        reason: String::new(),
        reply: ReplyTo(0),
    });
    trigger(&mut world, 1, wish(0, "deploy"));
    assert!(world.waits(2));
    world.finish(1, Outcome::Success);
    assert_eq!(world.outcome(2), Some(Outcome::Cancelled));
}

#[test]
fn what_must_not_be_triggered_is_refused_with_the_reason_and_nothing_is_made() {
    let mut world = world();
    assert_eq!(refused(&mut world, 1, wish(0, "nobody")), "there is no scheduler `nobody`");
    assert_eq!(refused(&mut world, 1, wish(1, "quick")), "scheduler `quick` is not of kind `triggerable`");
    let versions = [("core".to_owned(), StampChoice::default())].into();
    let other = TriggerWish { versions, ..wish(2, "deploy") };
    assert_eq!(refused(&mut world, 1, other), "scheduler `deploy` has no codebase `core`");
    let (by, reason) = ("ann".to_owned(), "a move".to_owned());
    world.tell(Input::SchedulerDisabled { scheduler: "deploy".into(), by, reason, reply: ReplyTo(0) });
    let says = refused(&mut world, 1, wish(3, "deploy"));
    assert!(says.starts_with("scheduler `deploy` is disabled by ann"), "{says}");
    assert_eq!(world.build(1).triggers.len(), 4, "each is kept with the build");
}

#[test]
fn a_step_that_is_not_granted_a_scheduler_cannot_trigger_it_whatever_its_worker_says() {
    let mut world = world();
    let ungranted = BuildEvent::Triggered { step: 1, wish: Box::new(wish(0, "deploy")) };
    let outputs = world.event(1, ungranted);
    let says = "1/0 on w1: refused, step `test` of builder `linux` is not granted `trigger = [\"deploy\"]`";
    assert_eq!(told(&outputs), [says]);
    let none = BuildEvent::Triggered { step: 9, wish: Box::new(wish(1, "deploy")) };
    assert!(told(&world.event(1, none))[0].contains("is not granted"), "a step that is not there has no grant");
    assert_eq!(world.store.buildsets.len(), 1);
    let mut without = config();
    without.builders[0] = builder("linux");
    world.reload(without);
    assert!(refused(&mut world, 1, wish(2, "deploy")).contains("is not granted"), "the grant was taken back");
}

#[test]
fn triggers_that_lead_to_each_other_end_at_a_depth() {
    let mut config = config();
    config.limits.trigger_depth = 3;
    config.builders[0] = granted(builder("linux"), &["docs"]);
    let mut world = building(config);
    trigger(&mut world, 1, TriggerWish { detached: true, ..wish(0, "docs") });
    for build in [2, 3] {
        world.accept(build);
        let outputs = trigger(&mut world, build, TriggerWish { detached: true, ..wish(0, "docs") });
        assert_eq!(started(&outputs).len(), 1);
        world.finish(build, Outcome::Success);
    }
    let says = refused(&mut world, 4, TriggerWish { detached: true, ..wish(0, "docs") });
    assert_eq!(
        says,
        "scheduler `docs` would be triggered by build 3 of builder `html` at depth 4, one build from the other, and `limits.trigger-depth` is 3: do they trigger each other?"
    );
}

#[test]
fn a_scheduler_that_follows_a_triggered_set_is_as_deep_as_it() {
    let mut config = config();
    config.schedulers.push(scheduler("after", SchedulerKind::Dependent { upstream: "deploy".into() }, &["html"]));
    let mut world = building(config);
    trigger(&mut world, 1, wish(0, "deploy"));
    world.finish(2, Outcome::Success);
    assert_eq!((world.buildset(3).parent, world.buildset(3).depth), (Some(Parent::Dependent(BuildsetId(2))), 1));
}

#[test]
fn what_an_untrusted_build_triggers_is_untrusted() {
    let mut config = config();
    config.change_sources[0].trusted = false;
    config.schedulers[2].approve_untrusted = true;
    let mut world = building(config);
    trigger(&mut world, 1, TriggerWish { latest: true, ..wish(0, "deploy") });
    let stamp = &world.buildset(2).stamps[0];
    assert_eq!((stamp.trusted, stamp.changes.len()), (false, 0), "the default's version, chosen by an untrusted build");
    let explained = world.engine.explain_request(RequestId(2)).expect("it is open").summary;
    assert!(explained.contains("approv"), "{explained}");
}

#[test]
fn a_step_may_choose_versions_and_the_rest_is_what_the_build_has_checked_out() {
    let mut config = config();
    config.schedulers[1] = with_codebases(on_force("by-hand", &["linux"]), &["app", "core"]);
    config.schedulers[2] = with_codebases(triggerable("deploy", &["site"]), &["app", "core", "data"]);
    let mut world = World::new(config);
    world.connect("w1", 9);
    world.force(force("linux"));
    let got = serde_json::json!({"app": "a1", "core": "c1"});
    world.event(1, BuildEvent::PropertySet { name: "got_revision".to_owned(), value: got, step: 0 });
    let choice = StampChoice { branch: Some("next".to_owned()), revision: None };
    let chosen = TriggerWish { versions: [("core".to_owned(), choice)].into(), ..wish(0, "deploy") };
    trigger(&mut world, 1, chosen);
    trigger(&mut world, 1, TriggerWish { latest: true, ..wish(1, "deploy") });
    let versions = |set: u64| {
        let stamps = world.buildset(set).stamps.iter();
        let shown = stamps.map(|stamp| {
            let (branch, revision) = (stamp.branch.as_deref(), stamp.revision.as_deref());
            format!("{} {} {}", stamp.codebase, branch.unwrap_or("-"), revision.unwrap_or("-"))
        });
        shown.collect::<Vec<_>>()
    };
    assert_eq!(versions(2), ["app stable a1", "core next -", "data stable -"]);
    assert_eq!(versions(3), ["app stable -", "core stable -", "data stable -"]);
}

#[test]
fn who_has_a_lock_waits_for_no_set() {
    let mut config = config();
    config.locks = vec![Lock { name: "a".into(), count: 5, scope: LockScope::Host }];
    config.builders[0].locks = vec![LockUse { name: "a".into(), access: LockAccess::Counting }];
    let mut world = building(config);
    let says = refused(&mut world, 1, wish(0, "docs"));
    assert!(says.starts_with("lock `a` is held until scheduler `docs` is through"), "{says}");
    let detached = TriggerWish { detached: true, ..wish(1, "docs") };
    assert_eq!(told(&trigger(&mut world, 1, detached)), ["1/1 on w1: set 2"], "nobody waits for it");
}

#[test]
fn a_wish_out_of_turn_is_dropped_and_a_person_cannot_force_what_is_triggered() {
    let mut world = world();
    let outputs = trigger(&mut world, 1, wish(1, "deploy"));
    assert_eq!(warnings(&outputs), ["worker `w1`, build 1: its trigger 1 is out of turn"]);
    assert_eq!((world.store.buildsets.len(), world.build(1).triggers.len()), (1, 0));
    let asked = stampmill_engine::input::Force { scheduler: Some("deploy".into()), ..force("site") };
    assert_eq!(refusal(&world.force(asked)), "scheduler `deploy` is not of kind `force`");
}

#[test]
fn the_property_of_a_trigger_goes_over_the_schedulers_and_under_the_builds_own() {
    let mut config = config();
    config.schedulers[2].properties = property("target", "production", PropertySource::Scheduler);
    let mut world = building(config);
    let properties = [("target".to_owned(), "staging".into()), ("buildnumber".to_owned(), 99.into())].into();
    trigger(&mut world, 1, TriggerWish { properties, ..wish(0, "deploy") });
    let properties = &world.build(2).properties;
    assert_eq!((&properties["target"].value, &properties["buildnumber"].value), (&"staging".into(), &1.into()));
}

#[test]
fn a_build_that_waits_leaves_its_slot_to_what_it_has_triggered() {
    let mut config = config();
    config.builders[0].max_builds = Some(1);
    let mut world = World::new(config);
    world.connect("w1", 1);
    world.push(vec![seen("ann", "r1")]);
    world.push(vec![seen("ann", "r2")]);
    world.push(vec![seen("ann", "r3")]);
    assert_eq!(started(&trigger(&mut world, 1, wish(0, "deploy"))), ["linux/2 on w1"], "whose turn is earlier");
    world.restart();
    world.connect_with("w1", 1, &[1, 2]);
    assert!(world.waits(4), "there is one slot");
    assert_eq!(started(&world.finish(2, Outcome::Success)), ["site/1 on w1"]);
    assert_eq!(started(&world.finish(3, Outcome::Success)), [""; 0], "the first build has its slot again");
    world.finish(1, Outcome::Success);
    assert_eq!(world.engine.queue().len(), 0);
}

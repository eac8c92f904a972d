use stampmill_engine::config::{Scheduler, SchedulerKind};
use stampmill_engine::input::Try;
use stampmill_engine::{Config, Input, Output, ReplyTo};
use stampmill_model::{Outcome, Patch, Properties, PropertySource, RequestState};

use crate::setup::{builder, on_main, property, scheduler, seen, small, with_codebases};
use crate::world::{World, refusal, started};

fn on_try(name: &str, trusted: bool, builders: &[&str]) -> Scheduler {
    scheduler(name, SchedulerKind::Try { trusted }, builders)
}

fn world(schedulers: Vec<Scheduler>) -> World {
    let builders = ["linux", "mac", "bsd"].map(builder).to_vec();
    let mut world = World::new(Config { schedulers, builders, ..small() });
    world.connect("w1", 9);
    world
}

fn patch() -> Patch {
    Patch {
        level: 1,
        body: b"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n".to_vec(),
        subdirectory: String::new(),
        author: "somebody else".to_owned(),
        comment: "b is better".to_owned(),
    }
}

fn wish() -> Try {
    Try {
        scheduler: None,
        builders: Vec::new(),
        codebase: None,
        branch: Some("topic".to_owned()),
        revision: Some("r1".to_owned()),
        patch: patch(),
        reason: String::new(),
        owner: "cy".to_owned(),
        properties: Properties::new(),
    }
}

fn tell(world: &mut World, tried: Try) -> Vec<Output> {
    world.tell(Input::Tried { tried, reply: ReplyTo(0) })
}

#[test]
fn a6_09_a9_10_a_patch_is_built_on_its_revision_and_its_author_is_on_the_blamelist() {
    let properties = property("tests", "all", PropertySource::Scheduler);
    let mut world =
        world(vec![on_main("quick", &["linux"]), Scheduler { properties, ..on_try("try", false, &["linux", "mac"]) }]);
    world.push(vec![seen("ann", "r0")]);
    assert_eq!(world.decisions(1)[1], "try: ignored, builds patches, not changes");
    world.finish(1, Outcome::Success);
    let outputs = tell(
        &mut world,
        Try { properties: property("tests", "quick", PropertySource::Step("x".to_owned())), ..wish() },
    );
    assert_eq!(started(&outputs), ["linux/2 on w1", "mac/1 on w1"]);
    let set = world.buildset(2);
    let stamp = &set.stamps[0];
    assert_eq!((stamp.branch.as_deref(), stamp.revision.as_deref()), (Some("topic"), Some("r1")));
    assert_eq!(stamp.patch, Some(Patch { author: "cy".to_owned(), ..patch() }), "the author is who asks");
    assert!(!stamp.trusted && stamp.changes.is_empty());
    assert_eq!(
        (set.blamelist.as_slice(), set.owner.as_deref(), &*set.reason),
        (&["cy".to_owned()][..], Some("cy"), "scheduler `try`")
    );
    assert_eq!(set.properties["tests"].value, "quick");
    assert_eq!(set.properties["tests"].source, PropertySource::Force);
}

#[test]
fn patched_sources_are_trusted_only_where_the_configuration_says_so() {
    let mut world = world(vec![on_try("open", false, &["linux"]), on_try("house", true, &["linux"])]);
    tell(&mut world, wish());
    tell(&mut world, Try { scheduler: Some("house".into()), ..wish() });
    assert_eq!([1, 2].map(|set| world.buildset(set).stamps[0].trusted), [false, true]);
}

#[test]
fn a_patch_waits_for_approval_where_the_scheduler_asks_for_it() {
    let mut world = world(vec![Scheduler { approve_untrusted: true, ..on_try("try", false, &["linux"]) }]);
    let outputs = tell(&mut world, wish());
    assert_eq!((started(&outputs).len(), &world.request(1).state), (0, &RequestState::AwaitingApproval));
}

#[test]
fn one_codebase_is_patched_and_the_others_take_their_defaults() {
    let mut world = world(vec![with_codebases(on_try("try", false, &["linux"]), &["app", "core"])]);
    assert_eq!(
        refusal(&tell(&mut world, wish())),
        "name the codebase that is patched; scheduler `try` has `app`, `core`"
    );
    let text = refusal(&tell(&mut world, Try { codebase: Some("cor".to_owned()), ..wish() }));
    assert_eq!(text, "scheduler `try` has no codebase `cor`; it has `app`, `core`");
    tell(&mut world, Try { codebase: Some("core".to_owned()), branch: None, revision: None, ..wish() });
    let [app, core] = world.buildset(1).stamps.as_slice() else { panic!("one for each codebase") };
    assert_eq!((&app.patch, app.branch.as_deref(), app.trusted), (&None, Some("stable"), true));
    assert_eq!((core.patch.is_some(), core.branch.as_deref(), core.trusted), (true, Some("stable"), false));
}

#[test]
fn builders_are_some_of_the_schedulers_own() {
    let mut world = world(vec![
        on_main("quick", &["bsd"]),
        on_try("try", false, &["linux"]),
        on_try("more", false, &["linux", "mac"]),
    ]);
    let builders = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
    let outputs = tell(&mut world, Try { builders: builders(&["mac"]), ..wish() });
    assert_eq!(started(&outputs), ["mac/1 on w1"], "the first scheduler that lists them all");
    let text = refusal(&tell(&mut world, Try { builders: builders(&["mac", "bsd"]), ..wish() }));
    assert_eq!(text, "scheduler `try` does not list builder `mac`; add it to the scheduler's `builders`");
    let text = refusal(&tell(&mut world, Try { scheduler: Some("quick".into()), ..wish() }));
    assert_eq!(text, "there is no scheduler `quick` of kind `try`");
    let mut without = self::world(vec![on_main("quick", &["linux"])]);
    assert_eq!(refusal(&tell(&mut without, wish())), "no scheduler of kind `try` is configured; add one");
    assert!(without.store.buildsets.is_empty());
}

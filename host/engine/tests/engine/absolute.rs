//! Absolute stamps: what no change touches is built at the last revision seen.

use stampmill_engine::calendar::Calendar;
use stampmill_engine::config::{ChangeSource, OnlyIfChanged, Scheduler, SchedulerKind};
use stampmill_engine::{Config, Input};
use stampmill_model::{ChangeId, SeenChange, SourceStamp, Verdict};

use crate::setup::{hook, on_main, on_quiet_main, scheduler, seen, seen_on, small, with_codebases};
use crate::world::World;

fn absolute(scheduler: Scheduler) -> Scheduler {
    Scheduler { absolute_stamps: true, ..with_codebases(scheduler, &["app", "core"]) }
}

fn config(scheduler: Scheduler) -> Config {
    Config { codebase_generator: true, schedulers: vec![scheduler], ..small() }
}

/// A change whose codebase is known; answers its number.
fn push(world: &mut World, codebase: &str, change: SeenChange) -> u64 {
    world.push(vec![change]);
    let id = *world.store.changes.keys().next_back().expect("a change");
    world.tell(Input::CodebaseFound { change: id, result: Ok(Some(codebase.to_owned())) });
    id.0
}

/// The stamps of the last buildset, as `codebase branch revision`.
fn stamps(world: &World) -> Vec<String> {
    let set = world.store.buildsets.values().next_back().expect("a buildset");
    let shown = |stamp: &SourceStamp| {
        let (branch, revision) = (stamp.branch.as_deref(), stamp.revision.as_deref());
        format!("{} {} {}", stamp.codebase, branch.unwrap_or("default"), revision.unwrap_or("latest"))
    };
    set.stamps.iter().map(shown).collect()
}

#[test]
fn a13_09_what_nothing_touches_is_built_at_the_last_revision_seen_and_after_a_restart_too() {
    let mut world = World::new(config(absolute(on_main("quick", &["linux"]))));
    push(&mut world, "app", seen("ann", "a1"));
    assert_eq!(stamps(&world), ["app main a1", "core stable latest"], "nothing seen yet: the default holds");
    push(&mut world, "core", seen("bob", "c1"));
    assert_eq!(stamps(&world), ["app main a1", "core main c1"]);
    world.restart();
    push(&mut world, "core", seen("bob", "c2"));
    assert_eq!(stamps(&world), ["app main a1", "core main c2"]);
    let set = world.store.buildsets.values().next_back().expect("a buildset");
    assert_eq!(set.stamps[0].repository, "https://git.example/app.git");
    assert_eq!(
        (&*set.stamps[0].changes, &*set.blamelist),
        (&[][..], &["bob".to_owned()][..]),
        "ann's was built before"
    );
}

#[test]
fn without_the_option_the_default_holds_and_switched_off_and_on_again_it_begins_anew() {
    let quick = absolute(on_main("quick", &["linux"]));
    let off = Scheduler { absolute_stamps: false, ..quick.clone() };
    let mut world = World::new(config(quick.clone()));
    push(&mut world, "core", seen("bob", "c1"));
    world.reload(config(off));
    push(&mut world, "app", seen("ann", "a1"));
    assert_eq!(stamps(&world), ["app main a1", "core stable latest"]);
    world.reload(config(quick));
    push(&mut world, "app", seen("ann", "a2"));
    assert_eq!(stamps(&world), ["app main a2", "core stable latest"], "c1 may be old by now");
}

#[test]
fn a_scheduler_that_goes_to_another_branch_forgets_the_revisions_of_the_old_one() {
    let mut world = World::new(config(absolute(on_main("quick", &["linux"]))));
    push(&mut world, "core", seen("bob", "c1"));
    let on_dev = SchedulerKind::SingleBranch { branch: Some("dev".to_owned()), stable_for: None };
    world.reload(config(absolute(scheduler("quick", on_dev, &["linux"]))));
    push(&mut world, "app", seen_on("dev", "ann", "a1"));
    assert_eq!(stamps(&world), ["app dev a1", "core stable latest"]);
}

#[test]
fn what_is_ignored_was_not_seen_and_what_is_unimportant_was() {
    let mut world = World::new(config(Scheduler { filters: 1, ..absolute(on_main("quick", &["linux"])) }));
    let judged = |world: &mut World, codebase: &str, revision: &str, verdict: Verdict| {
        let change = ChangeId(push(world, codebase, seen("ann", revision)));
        let result = Ok(vec![(verdict, String::new())]);
        world.tell(Input::Judged { scheduler: "quick".into(), change, result });
    };
    judged(&mut world, "core", "c1", Verdict::Unimportant);
    judged(&mut world, "app", "a1", Verdict::Important);
    judged(&mut world, "core", "c2", Verdict::Ignored);
    judged(&mut world, "app", "a2", Verdict::Important);
    assert_eq!(stamps(&world), ["app main a2", "core main c1"]);
}

#[test]
fn the_last_change_counts_in_whatever_order_they_are_judged() {
    let mut world = World::new(config(Scheduler { filters: 1, ..absolute(on_quiet_main("quick", 5, &["linux"])) }));
    for revision in ["c1", "c2"] {
        push(&mut world, "core", seen("ann", revision));
    }
    for change in [2, 1] {
        let result = Ok(vec![(Verdict::Important, String::new())]);
        world.tell(Input::Judged { scheduler: "quick".into(), change: ChangeId(change), result });
    }
    world.pass(5);
    let change = ChangeId(push(&mut world, "app", seen("ann", "a1")));
    let result = Ok(vec![(Verdict::Important, String::new())]);
    world.tell(Input::Judged { scheduler: "quick".into(), change, result });
    world.pass(5);
    assert_eq!(stamps(&world), ["app main a1", "core main c2"]);
}

#[test]
fn the_code_of_strangers_has_no_secrets_in_the_builds_after_its_own() {
    let strange = ChangeSource { trusted: false, ..hook("forge") };
    let quick = absolute(on_main("quick", &["linux"]));
    let mut world = World::new(Config { change_sources: vec![strange], ..config(quick.clone()) });
    push(&mut world, "core", seen("eve", "c1"));
    world.reload(config(quick));
    push(&mut world, "app", seen("ann", "a1"));
    let set = world.store.buildsets.values().next_back().expect("a buildset");
    let trusted: Vec<_> = set.stamps.iter().map(|stamp| (&*stamp.codebase, stamp.trusted)).collect();
    assert_eq!(trusted, [("app", true), ("core", false)]);
}

#[test]
fn a_night_in_any_case_builds_what_was_seen_last() {
    let at = |crontab: &str| Calendar::new(crontab, "UTC").expect("a calendar");
    let changed = OnlyIfChanged { branch: Some("main".to_owned()), force_at: Some(at("0 6 * * *")) };
    let kind = SchedulerKind::Nightly { at: at("0 3 * * *"), only_if_changed: Some(changed) };
    let mut world = World::new(config(absolute(scheduler("night", kind, &["linux"]))));
    push(&mut world, "core", seen("bob", "c1"));
    world.pass(4 * 3600);
    assert_eq!(
        (world.store.buildsets.len(), stamps(&world)),
        (1, vec!["app stable latest".into(), "core main c1".into()])
    );
    world.pass(3 * 3600);
    assert_eq!(
        (world.store.buildsets.len(), stamps(&world)),
        (2, vec!["app stable latest".into(), "core main c1".into()])
    );
}

#[test]
fn a_scheduler_without_a_branch_of_its_own_keeps_nothing_that_a_start_would_throw_away() {
    let kind = SchedulerKind::AnyBranch { branches: None, stable_for: None };
    let mut world = World::new(config(absolute(scheduler("any", kind, &["linux"]))));
    push(&mut world, "app", seen("ann", "a1"));
    assert!(world.store.schedulers.values().all(|state| state.last_seen.is_empty()));
    assert_eq!(world.restart(), []);
}

use stampmill_engine::config::{CodebaseDefault, Scheduler, SchedulerKind};
use stampmill_engine::input::{Force, SourceChoice, Submission};
use stampmill_engine::{Answer, Config, Effect, Input, ReplyTo};
use stampmill_model::{
    BuildsetId, ChangeId, Milliseconds, PropertySource, RequestId, SeenChange, SourceStamp, Verdict, Wall,
};

use crate::setup::{
    builder, force, on_force, on_main, on_quiet_main, property, refused, scheduler, seen, seen_on, small, trouble,
    with_codebases, worker,
};
use crate::world::{World, answer, effects, refusal};

fn with(schedulers: Vec<Scheduler>) -> World {
    World::new(Config { schedulers, builders: ["linux", "mac", "bsd"].map(builder).to_vec(), ..small() })
}

/// The revisions that buildsets have, in order.
fn revisions(world: &World) -> Vec<&str> {
    let sets = world.store.buildsets.values();
    sets.map(|set| set.stamps[0].revision.as_deref().unwrap_or("latest")).collect()
}

fn filtered(scheduler: Scheduler, filters: usize) -> Scheduler {
    Scheduler { filters, ..scheduler }
}

fn judge(world: &mut World, change: u64, judgements: &[(Verdict, &str)]) {
    let judgements = judgements.iter().map(|(verdict, reason)| (*verdict, (*reason).to_owned())).collect();
    world.tell(Input::Judged { scheduler: "quick".into(), change: ChangeId(change), result: Ok(judgements) });
}

#[test]
fn a2_27_every_scheduler_decides_on_every_change_and_says_why() {
    let any = SchedulerKind::AnyBranch { branches: Some(vec!["a".to_owned(), "b".to_owned()]), stable_for: None };
    let every = Milliseconds::from_seconds(3600);
    let mut world = with(vec![
        on_main("quick", &["linux"]),
        scheduler("trunk", SchedulerKind::SingleBranch { branch: None, stable_for: None }, &["linux"]),
        scheduler("some", any, &["linux"]),
        with_codebases(on_main("core", &["linux"]), &["core"]),
        scheduler("hourly", SchedulerKind::Periodic { every }, &["linux"]),
        on_force("by-hand", &["linux"]),
    ]);
    world.push(vec![seen("ann", "r1"), seen_on("dev", "ann", "r2"), SeenChange { branch: None, ..seen("ann", "r3") }]);
    assert_eq!(
        world.decisions(1),
        [
            "quick: important, important",
            "trunk: ignored, branch `main` is not the default branch",
            "some: ignored, branch `main` is not one of `a`, `b`",
            "core: ignored, not my codebase ``",
            "hourly: ignored, builds at intervals, not on changes",
            "by-hand: ignored, builds when a person asks, not on changes",
        ]
    );
    assert_eq!(world.decisions(2)[0], "quick: ignored, branch `dev` is not `main`");
    assert_eq!(
        world.decisions(3)[..3],
        [
            "quick: ignored, the default branch is not `main`",
            "trunk: important, important",
            "some: ignored, the default branch is not one of `a`, `b`",
        ]
    );
    assert!((1..=3).all(|id| world.change(id).decided));
}

#[test]
fn a3_01_a_burst_is_built_once_with_all_its_authors() {
    let mut world = with(vec![on_quiet_main("quick", 5, &["linux"])]);
    world.push((0..10).map(|n| seen(["ann", "bob"][n % 2], &format!("r{n}"))).collect());
    assert_eq!(revisions(&world), [""; 0]);
    world.pass(5);
    assert_eq!(revisions(&world), ["r9"]);
    assert_eq!(world.buildset(1).blamelist, ["ann", "bob"]);
    assert_eq!(world.buildset(1).stamps[0].changes, (1..=10).map(ChangeId).collect::<Vec<_>>());
}

#[test]
fn a3_02_the_timer_restarts_with_each_change() {
    let mut world = with(vec![on_quiet_main("quick", 5, &["linux"])]);
    for revision in ["r0", "r3", "r6"] {
        world.push(vec![seen("ann", revision)]);
        world.pass(3);
    }
    assert_eq!(world.now.steady.0, 9_000);
    world.pass(1);
    assert_eq!(revisions(&world), [""; 0]);
    world.pass(1);
    assert_eq!(revisions(&world), ["r6"], "11 seconds after the first and 5 after the last");
}

#[test]
fn a3_03_without_a_timer_every_change_is_built() {
    let mut world = with(vec![on_main("quick", &["linux"])]);
    world.push(vec![seen("ann", "r1"), seen("ann", "r2")]);
    assert_eq!(revisions(&world), ["r1", "r2"]);
}

#[test]
fn a3_05_a_timer_that_runs_survives_a_restart_and_fires_once() {
    let mut world = with(vec![on_quiet_main("quick", 5, &["linux"])]);
    world.push(vec![seen("ann", "r1")]);
    world.pass(3);
    world.restart();
    world.pass(1);
    assert_eq!(revisions(&world), [""; 0]);
    world.pass(1);
    assert_eq!(revisions(&world), ["r1"]);
    world.restart();
    world.pass(100);
    assert_eq!(revisions(&world), ["r1"]);
}

#[test]
fn a_timer_that_came_due_while_the_host_was_away_fires_at_start() {
    let mut world = with(vec![on_quiet_main("quick", 5, &["linux"])]);
    world.push(vec![seen("ann", "r1")]);
    world.now.steady.0 += 60_000;
    world.restart();
    assert_eq!(revisions(&world), ["r1"]);
}

#[test]
fn each_branch_has_a_timer_of_its_own() {
    let stable_for = Some(Milliseconds::from_seconds(5));
    let kind = SchedulerKind::AnyBranch { branches: None, stable_for };
    let mut world = with(vec![scheduler("quick", kind, &["linux"])]);
    world.push(vec![seen_on("a", "ann", "a1"), seen_on("b", "ann", "b1")]);
    world.pass(4);
    world.push(vec![seen_on("a", "ann", "a2")]);
    world.pass(1);
    assert_eq!(revisions(&world), ["b1"]);
    world.pass(4);
    assert_eq!(revisions(&world), ["b1", "a2"]);
}

#[test]
fn a2_11_a_filter_keeps_a_change_from_being_built() {
    let mut world = with(vec![filtered(on_main("quick", &["linux"]), 1)]);
    let outputs = world.push(vec![seen("ann", "r1")]);
    let change = world.store.changes[&ChangeId(1)].clone();
    assert_eq!(effects(&outputs)[0], Effect::AskFilters { scheduler: "quick".into(), change });
    assert!(!world.change(1).decided);
    judge(&mut world, 1, &[(Verdict::Ignored, "no C files")]);
    assert_eq!(world.decisions(1), ["quick: ignored, no C files"]);
    assert_eq!(revisions(&world), [""; 0]);
}

#[test]
fn filters_are_asked_only_about_changes_that_may_be_built() {
    let mut world = with(vec![filtered(on_main("quick", &["linux"]), 1)]);
    let outputs = world.push(vec![seen_on("dev", "ann", "r1")]);
    assert!(!effects(&outputs).iter().any(|effect| matches!(effect, Effect::AskFilters { .. })));
}

#[test]
fn of_several_filters_the_strictest_wins() {
    let mut world = with(vec![filtered(on_main("quick", &["linux"]), 3)]);
    world.push(vec![seen("ann", "r1")]);
    judge(&mut world, 1, &[(Verdict::Important, ""), (Verdict::Ignored, "first"), (Verdict::Ignored, "second")]);
    assert_eq!(world.decisions(1), ["quick: ignored, first"]);
}

#[test]
fn a_filter_that_fails_or_judges_too_little_fails_closed() {
    let mut world = with(vec![filtered(on_main("quick", &["linux"]), 2)]);
    world.push(vec![seen("ann", "r1"), seen("ann", "r2")]);
    judge(&mut world, 1, &[(Verdict::Important, "")]);
    assert_eq!(world.decisions(1), ["quick: failed, 1 judgements came from 2 filters"]);
    let result = Err(refused("trap: unreachable"));
    world.tell(Input::Judged { scheduler: "quick".into(), change: ChangeId(2), result });
    assert_eq!(world.decisions(2), ["quick: failed, trap: unreachable"]);
    assert_eq!(revisions(&world), [""; 0]);
    judge(&mut world, 2, &[(Verdict::Important, ""), (Verdict::Important, "")]);
    assert_eq!(world.decisions(2), ["quick: failed, trap: unreachable"], "a later answer changes nothing");
}

#[test]
fn a_filter_that_may_come_back_is_asked_again() {
    let mut world = with(vec![filtered(on_main("quick", &["linux"]), 1)]);
    world.push(vec![seen("ann", "r1")]);
    world.tell(Input::Judged { scheduler: "quick".into(), change: ChangeId(1), result: Err(trouble("busy")) });
    assert!(matches!(effects(&world.pass(1))[..], [Effect::AskFilters { .. }]));
    judge(&mut world, 1, &[(Verdict::Important, "has C files")]);
    assert_eq!(world.decisions(1), ["quick: important, has C files"]);
    assert_eq!(revisions(&world), ["r1"]);
}

#[test]
fn unimportant_changes_start_no_timer_and_go_along_with_the_next_important_one() {
    let mut world = with(vec![filtered(on_quiet_main("quick", 5, &["linux"]), 1)]);
    world.push(vec![seen("ann", "r1"), seen("bob", "r2"), seen("cid", "r3")]);
    judge(&mut world, 1, &[(Verdict::Unimportant, "only docs")]);
    world.pass(100);
    world.restart();
    assert_eq!(revisions(&world), [""; 0]);
    judge(&mut world, 2, &[(Verdict::Important, "")]);
    world.pass(4);
    judge(&mut world, 3, &[(Verdict::Unimportant, "only docs")]);
    world.pass(4);
    assert_eq!(revisions(&world), [""; 0], "any change starts a running timer anew");
    world.pass(1);
    assert_eq!(revisions(&world), ["r3"]);
    assert_eq!(world.buildset(1).blamelist, ["ann", "bob", "cid"]);
}

#[test]
fn without_a_timer_an_important_change_takes_along_the_unimportant_ones_that_waited() {
    let mut world = with(vec![filtered(on_main("quick", &["linux"]), 1)]);
    world.push(vec![seen("ann", "r1"), seen("bob", "r2")]);
    judge(&mut world, 1, &[(Verdict::Unimportant, "")]);
    assert_eq!(revisions(&world), [""; 0]);
    judge(&mut world, 2, &[(Verdict::Important, "")]);
    assert_eq!(world.buildset(1).stamps[0].changes, [ChangeId(1), ChangeId(2)]);
    assert_eq!(world.change(1).buildsets, [BuildsetId(1)]);
}

#[test]
fn without_a_timer_each_important_change_is_built_at_its_own_revision_in_whatever_order_they_are_judged() {
    let mut world = with(vec![filtered(on_main("quick", &["linux"]), 1)]);
    world.push(vec![seen("ann", "r1"), seen("bob", "r2"), seen("cid", "r3"), seen("dan", "r4")]);
    judge(&mut world, 3, &[(Verdict::Unimportant, "only docs")]);
    judge(&mut world, 1, &[(Verdict::Important, "")]);
    judge(&mut world, 2, &[(Verdict::Important, "")]);
    assert_eq!(revisions(&world), ["r1", "r2"], "r3 has the code of both");
    world.restart();
    judge(&mut world, 4, &[(Verdict::Important, "")]);
    assert_eq!(revisions(&world), ["r1", "r2", "r4"]);
    let changes: Vec<_> = (1..=3).map(|set| world.buildset(set).stamps[0].changes.clone()).collect();
    assert_eq!(changes, [vec![ChangeId(1)], vec![ChangeId(2)], vec![ChangeId(3), ChangeId(4)]]);
}

#[test]
fn a5_11_a_change_makes_one_buildset_with_a_request_for_each_builder() {
    let mut world = with(vec![on_main("quick", &["linux", "mac", "bsd"])]);
    world.push(vec![seen("ann", "r1")]);
    assert_eq!(world.store.buildsets.len(), 1);
    assert_eq!(world.buildset(1).requests, [1, 2, 3].map(RequestId));
    let builders: Vec<_> = world.store.requests.values().map(|request| request.builder.as_str()).collect();
    assert_eq!(builders, ["linux", "mac", "bsd"]);
}

#[test]
fn a13_01_a13_04_changes_of_several_codebases_are_combined_and_the_untouched_one_takes_its_default() {
    let quick = with_codebases(on_quiet_main("quick", 5, &["linux"]), &["app", "core", "data"]);
    let mut world = World::new(Config { codebase_generator: true, schedulers: vec![quick], ..small() });
    world.push(vec![seen("ann", "a1"), seen("bob", "c1"), seen("ann", "a2")]);
    for (change, codebase) in [(1, "app"), (2, "core"), (3, "app")] {
        let result = Ok(Some(codebase.to_owned()));
        world.tell(Input::CodebaseFound { change: ChangeId(change), result });
    }
    world.pass(5);
    let of_change = |codebase: &str, revision: &str, changes: &[u64]| SourceStamp {
        codebase: codebase.to_owned(),
        repository: "https://git.example/app.git".to_owned(),
        project: "app".to_owned(),
        branch: Some("main".to_owned()),
        revision: Some(revision.to_owned()),
        trusted: true,
        changes: changes.iter().map(|id| ChangeId(*id)).collect(),
        ..SourceStamp::default()
    };
    let untouched = SourceStamp {
        codebase: "data".to_owned(),
        repository: "https://git.example/data.git".to_owned(),
        branch: Some("stable".to_owned()),
        trusted: true,
        ..SourceStamp::default()
    };
    assert_eq!(world.buildset(1).stamps, [of_change("app", "a2", &[1, 3]), of_change("core", "c1", &[2]), untouched]);
}

#[test]
fn a13_05_a_change_of_another_codebase_is_ignored() {
    let quick = with_codebases(on_main("quick", &["linux"]), &["app"]);
    let mut world = World::new(Config { codebase_generator: true, schedulers: vec![quick], ..small() });
    world.push(vec![seen("ann", "r1")]);
    world.tell(Input::CodebaseFound { change: ChangeId(1), result: Ok(Some("docs".to_owned())) });
    assert_eq!(world.decisions(1), ["quick: ignored, not my codebase `docs`"]);
}

#[test]
fn a5_07_periodic_fires_at_once_then_at_each_interval_and_not_twice_after_a_restart() {
    let every = Milliseconds::from_seconds(10);
    let mut world = with(vec![scheduler("hourly", SchedulerKind::Periodic { every }, &["linux"])]);
    assert_eq!(revisions(&world), ["latest"]);
    world.pass(25);
    assert_eq!(revisions(&world).len(), 3, "at 0, 10 and 20 seconds");
    world.restart();
    assert_eq!(revisions(&world).len(), 3);
    world.pass(5);
    assert_eq!(revisions(&world).len(), 4, "at 30 seconds");
    world.now.steady.0 += 45_000;
    world.restart();
    assert_eq!(revisions(&world).len(), 5, "missed firings are not made up for");
    world.pass(9);
    assert_eq!(revisions(&world).len(), 5);
    world.pass(1);
    assert_eq!(revisions(&world).len(), 6);
}

#[test]
fn a_periodic_scheduler_that_fires_late_keeps_its_rhythm() {
    let every = Milliseconds::from_seconds(10);
    let mut world = with(vec![scheduler("hourly", SchedulerKind::Periodic { every }, &["linux"])]);
    world.now.steady.0 += 13_000;
    world.tell(Input::Tick);
    assert_eq!(revisions(&world).len(), 2);
    world.pass(7);
    assert_eq!(revisions(&world).len(), 3, "at 20 seconds, not at 23");
}

#[test]
fn a6_07_a_force_without_words_builds_the_defaults() {
    let mut world = with(vec![on_force("by-hand", &["linux", "mac"])]);
    let outputs = world.force(force("mac"));
    assert_eq!(answer(&outputs), Answer::Buildset { id: BuildsetId(1), requests: vec![RequestId(1)] });
    let set = world.buildset(1);
    assert_eq!((set.stamps[0].branch.as_deref(), set.stamps[0].revision.as_deref()), (None, None));
    assert!(set.stamps[0].trusted);
    assert_eq!((set.owner.as_deref(), &*set.reason), (Some("ann"), "scheduler `by-hand`"));
    assert_eq!(set.blamelist, ["ann"]);
}

#[test]
fn a5_10_a_force_may_say_scheduler_revision_priority_properties_and_worker() {
    let pinned = CodebaseDefault { revision: Some("r0".to_owned()), ..CodebaseDefault::default() };
    let by_hand = Scheduler { codebases: vec![pinned], ..on_force("by-hand", &["linux", "mac"]) };
    let mut world = with(vec![by_hand]);
    let choice = |branch: Option<&str>, revision: Option<&str>| SourceChoice {
        branch: branch.map(str::to_owned),
        revision: revision.map(str::to_owned),
        ..SourceChoice::default()
    };
    world.force(Force {
        scheduler: Some("by-hand".into()),
        reason: "trying".to_owned(),
        owner: "ann".to_owned(),
        stamps: [(String::new(), choice(Some("dev"), None))].into(),
        properties: property("deep", true, PropertySource::Build),
        priority: Some(7),
        worker: Some("w1".into()),
        ..Force::default()
    });
    let set = world.buildset(1);
    let stamp = &set.stamps[0];
    assert_eq!((stamp.branch.as_deref(), stamp.revision.as_deref()), (Some("dev"), None));
    assert_eq!(set.properties, property("deep", true, PropertySource::Force), "nobody chooses what to override");
    assert_eq!(&*set.reason, "trying");
    for request in [world.request(1), world.request(2)] {
        assert_eq!((request.priority, request.only_worker.as_ref()), (7, Some(&"w1".into())));
    }
    let stamps = [(String::new(), choice(None, Some("r5")))].into();
    world.force(Force { stamps, ..force("linux") });
    assert_eq!(world.buildset(2).stamps[0].revision.as_deref(), Some("r5"));
}

#[test]
fn a_force_that_can_not_be_is_refused_with_the_mend() {
    let config = Config {
        schedulers: vec![on_main("quick", &["linux"]), on_force("by-hand", &["linux"])],
        builders: vec![crate::setup::builder_with_tag("linux", "linux"), builder("mac")],
        ..small()
    };
    let mut world = World::new(config);
    let mut refused = |force: Force| refusal(&world.force(force));
    assert_eq!(refused(force("bsd")), "there is no builder `bsd`");
    assert_eq!(
        refused(force("mac")),
        "no scheduler of kind `force` lists builder `mac`; add one, or add the builder to its `builders`"
    );
    assert_eq!(
        refused(Force { scheduler: Some("by-hand".into()), ..force("mac") }),
        "scheduler `by-hand` does not list builder `mac`; add it to the scheduler's `builders`"
    );
    assert_eq!(
        refused(Force { scheduler: Some("quick".into()), ..force("linux") }),
        "scheduler `quick` is not of kind `force`"
    );
    assert_eq!(refused(Force { scheduler: Some("x".into()), ..force("linux") }), "there is no scheduler `x`");
    assert_eq!(refused(Force::default()), "a force needs a builder or a scheduler of kind `force`");
    let stamps = [("core".to_owned(), SourceChoice::default())].into();
    assert_eq!(refused(Force { stamps, ..force("linux") }), "scheduler `by-hand` has no codebase `core`; it has ``");
    assert_eq!(refused(Force { worker: Some("w9".into()), ..force("linux") }), "there is no worker `w9`");
    assert_eq!(
        refused(Force { worker: Some("w1".into()), ..force("linux") }),
        "builder `linux` is not for worker `w1`"
    );
    assert!(world.store.buildsets.is_empty());
}

fn submission(key: &str) -> Input {
    let submission = Submission {
        builders: vec!["linux".into(), "mac".into()],
        stamps: vec![SourceStamp { revision: Some("r1".to_owned()), ..SourceStamp::default() }],
        reason: "suggested".to_owned(),
        owner: "robot".to_owned(),
        properties: property("k", "v", PropertySource::Global),
        priority: 2,
        external_id: Some(key.to_owned()),
    };
    Input::Submitted { submission, reply: ReplyTo(0) }
}

#[test]
fn a1_07_source_stamps_alone_are_enough_to_build_and_the_same_key_is_taken_once() {
    let mut world = with(Vec::new());
    let first = answer(&world.tell(submission("k1")));
    assert_eq!(first, Answer::Buildset { id: BuildsetId(1), requests: vec![RequestId(1), RequestId(2)] });
    assert_eq!(answer(&world.tell(submission("k1"))), first);
    world.restart();
    assert_eq!(answer(&world.tell(submission("k1"))), first);
    assert_eq!(world.store.buildsets.len(), 1);
    let set = world.buildset(1);
    assert_eq!((&set.scheduler, set.properties["k"].source.clone()), (&None, PropertySource::Force));
    assert_eq!(
        answer(&world.tell(submission("k2"))),
        Answer::Buildset { id: BuildsetId(2), requests: vec![RequestId(3), RequestId(4)] }
    );
}

#[test]
fn a_submission_that_can_not_be_is_refused() {
    let mut world = with(Vec::new());
    let mut refused = |change: fn(&mut Submission)| {
        let Input::Submitted { mut submission, reply } = submission("k") else { unreachable!() };
        change(&mut submission);
        refusal(&world.tell(Input::Submitted { submission, reply }))
    };
    let too_little = "a submission needs at least one builder and one source stamp";
    assert_eq!(refused(|it| it.builders.clear()), too_little);
    assert_eq!(refused(|it| it.stamps.clear()), too_little);
    assert_eq!(refused(|it| it.builders.push("x".into())), "there is no builder `x`");
    let twice = "codebase `` has two source stamps; send one";
    assert_eq!(refused(|it| it.stamps.push(SourceStamp::default())), twice);
    // The next change would be taken for it.
    assert_eq!(refused(|it| it.stamps[0].changes.push(ChangeId(1))), "there is no change 1");
    assert_eq!(refused(|it| it.stamps[0].changes.push(ChangeId(0))), "there is no change 0");
    assert!(world.store.buildsets.is_empty());
}

#[test]
fn on_every_worker_makes_a_request_for_each_that_fits() {
    let by_hand = Scheduler { on_every_worker: true, ..on_force("by-hand", &["linux"]) };
    let config = Config {
        schedulers: vec![by_hand],
        builders: vec![crate::setup::builder_with_tag("linux", "linux")],
        workers: vec![
            crate::setup::worker_with_tag("w1", "linux"),
            worker("w2"),
            crate::setup::worker_with_tag("w3", "linux"),
        ],
        ..small()
    };
    let mut world = World::new(config);
    world.force(force("linux"));
    let wanted: Vec<_> = world.store.requests.values().filter_map(|request| request.only_worker.clone()).collect();
    assert_eq!(wanted, ["w1".into(), "w3".into()]);
}

fn waits(world: &World, change: u64) -> Vec<(String, Option<u64>)> {
    let waits = world.engine.explain_change(ChangeId(change)).into_iter();
    let until = |at: Wall| (at.0 - world.now.wall.0) / 1000;
    waits.map(|wait| (format!("{}: {}", wait.scheduler, wait.reason), wait.until.map(until))).collect()
}

#[test]
fn a_change_says_what_it_waits_for_at_each_scheduler_and_until_when() {
    let stable_for = Some(Milliseconds::from_seconds(60));
    let slow =
        scheduler("slow", SchedulerKind::SingleBranch { branch: Some("main".to_owned()), stable_for }, &["linux"]);
    let mut world = with(vec![filtered(on_main("quick", &["linux"]), 1), slow]);
    world.push(vec![seen("ann", "r1")]);
    world.pass(10);
    let quiet = "slow: it is built when nothing more comes until then";
    assert_eq!(
        waits(&world, 1),
        [("quick: its filters are being asked".to_owned(), None), (quiet.to_owned(), Some(50))]
    );
    judge(&mut world, 1, &[(Verdict::Unimportant, "docs")]);
    assert_eq!(waits(&world, 1)[0], ("quick: it waits for an important change".to_owned(), None));
    world.push(vec![seen("ann", "r2")]);
    assert_eq!(waits(&world, 1)[1].0, "slow: it is built with 1 more when nothing else comes until then");
    assert_eq!(waits(&world, 2)[1].1, Some(60), "the timer began anew");
    world.tell(Input::SchedulerDisabled {
        scheduler: "slow".into(),
        by: "ann".to_owned(),
        reason: "the compiler".to_owned(),
        reply: ReplyTo(1),
    });
    assert!(waits(&world, 1)[1].0.starts_with("slow: the scheduler is disabled by ann"), "{:?}", waits(&world, 1));
    world.tell(Input::SchedulerEnabled { scheduler: "slow".into(), reply: ReplyTo(2) });
    world.pass(60);
    assert_eq!(waits(&world, 2), [("quick: its filters are being asked".to_owned(), None)]);
    assert_eq!(waits(&world, 99), []);
}

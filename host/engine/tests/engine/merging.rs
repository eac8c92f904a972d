//! Requests that share a build: which do, what such a build is made of, and what becomes of each.

use std::collections::BTreeMap;

use stampmill_engine::config::{Builder, ChangeSource, Scheduler};
use stampmill_engine::input::{Force, Rebuild, SourceChoice, Submission};
use stampmill_engine::{Answer, Config, Input, OccasionKind, ReplyTo};
use stampmill_model::{
    BuildEvent, BuildId, BuildState, ChangeId, Outcome, Patch, PropertySource, RequestId, RequestState, SeenChange,
    SourceStamp, Verdict,
};

use crate::setup::{
    apart, builder, force, hook, on_force, on_main, on_quiet_main, property, reporter, seen, seen_on, small,
    with_codebases, worker,
};
use crate::world::{World, answer, orders, started};

/// A world whose only worker is busy with build 1, which nobody asks about.
fn busy(config: Config) -> World {
    let mut world = World::new(config);
    world.connect("w1", 1);
    world.force(Force { stamps: choice("busy", None), ..force("linux") });
    assert_eq!(world.build(1).merged, []);
    world
}

/// The worker has room again: what it starts.
fn free(world: &mut World) -> Vec<String> {
    started(&world.finish(1, Outcome::Success))
}

fn choice(branch: &str, revision: Option<&str>) -> BTreeMap<String, SourceChoice> {
    let choice = SourceChoice {
        branch: Some(branch.to_owned()),
        revision: revision.map(str::to_owned),
        ..SourceChoice::default()
    };
    [(String::new(), choice)].into()
}

fn latest(branch: &str) -> Force {
    Force { stamps: choice(branch, None), ..force("linux") }
}

fn requests(world: &World, build: u64) -> Vec<u64> {
    world.build(build).requests().map(|request| request.0).collect()
}

fn cancel(world: &mut World, request: u64) -> Answer {
    let reason = "ann: enough".to_owned();
    answer(&world.tell(Input::RequestCancelAsked { request: RequestId(request), reason, reply: ReplyTo(0) }))
}

#[test]
fn a7_04_five_commits_while_the_worker_is_busy_become_one_build_that_completes_them_all() {
    let mut world = busy(Config { reporters: vec![reporter("chat", &[OccasionKind::BuildsetFinished])], ..small() });
    for (author, revision) in [("ann", "r1"), ("bob", "r2"), ("ann", "r3"), ("cid", "r4"), ("bob", "r5")] {
        world.push(vec![seen(author, revision)]);
    }
    assert_eq!(world.engine.queue().len(), 5);
    let outputs = world.finish(1, Outcome::Success);
    assert_eq!(started(&outputs), ["linux/2 on w1"]);
    let order = orders(&outputs).remove(0);
    assert_eq!(order.changes.iter().map(|change| change.id.0).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    let build = world.build(2);
    assert_eq!(order.build, *build);
    assert_eq!(requests(&world, 2), [2, 3, 4, 5, 6]);
    assert_eq!(build.merged[0].buildset, world.request(3).buildset);
    assert_eq!(build.stamps[0].revision.as_deref(), Some("r5"));
    assert_eq!(build.properties["revision"].value, "r5");
    assert_eq!(build.stamps[0].changes.iter().map(|change| change.0).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(build.blamelist, ["ann", "bob", "cid"]);
    assert_eq!(build.reason, "scheduler `quick`");
    for request in 2..=6 {
        assert_eq!(world.request(request).state, RequestState::Building(BuildId(2)));
        assert_eq!(world.request(request).attempts, 1);
    }
    world.finish(2, Outcome::Failure);
    for request in 2..=6 {
        let RequestState::Complete { outcome, build, .. } = world.request(request).state else { panic!("is open") };
        assert_eq!((outcome, build), (Outcome::Failure, Some(BuildId(2))));
        assert_eq!(world.buildset(request).state, world.buildset(2).state);
    }
    let told = world.store.notices.values().filter(|notice| notice.occasion == OccasionKind::BuildsetFinished);
    assert_eq!(told.count(), 6, "each set is finished once");
}

#[test]
fn a7_04_the_newest_change_says_which_version_is_built() {
    let quick = Scheduler { filters: 1, ..on_main("quick", &["linux"]) };
    let mut world = busy(Config { schedulers: vec![quick, on_force("by-hand", &["linux"])], ..small() });
    let judged = |world: &mut World, change: u64| {
        let result = Ok(vec![(Verdict::Important, String::new())]);
        world.tell(Input::Judged { scheduler: "quick".into(), change: ChangeId(change), result });
    };
    world.push(vec![seen("ann", "r1"), seen("ann", "r2")]);
    // The set of the older change is made last.
    judged(&mut world, 2);
    judged(&mut world, 1);
    free(&mut world);
    assert_eq!(requests(&world, 2), [2, 3]);
    assert_eq!(world.build(2).stamps[0].revision.as_deref(), Some("r2"));
    assert_eq!(world.build(2).stamps[0].changes, [ChangeId(1), ChangeId(2)]);
    // The first attempt is lost; another commit comes before the next.
    world.push(vec![seen("ann", "r3")]);
    judged(&mut world, 3);
    world.leave("w1", true);
    assert_eq!(started(&world.connect("w1", 1)), ["linux/3 on w1"]);
    assert_eq!(requests(&world, 3), [2, 3, 4]);
    assert_eq!(world.build(3).stamps[0].revision.as_deref(), Some("r3"));
}

#[test]
fn a7_05_two_forced_with_a_revision_are_two_builds_and_two_of_the_latest_are_one() {
    let mut world = busy(small());
    for _ in 0..2 {
        world.force(Force { stamps: choice("main", Some("r7")), ..force("linux") });
    }
    world.force(Force { reason: "a release".to_owned(), ..latest("main") });
    world.force(Force { reason: "a look".to_owned(), owner: "bob".to_owned(), ..latest("main") });
    world.force(latest("stable"));
    free(&mut world);
    (2..5).for_each(|build| drop(world.finish(build, Outcome::Success)));
    assert_eq!([2, 3, 4, 5].map(|build| requests(&world, build)), [vec![2], vec![3], vec![4, 5], vec![6]]);
    let build = world.build(4);
    assert_eq!(
        (build.reason.as_str(), &*build.blamelist),
        ("a release, a look", &["ann".to_owned(), "bob".to_owned()][..])
    );
    assert_eq!(build.properties["owners"].value, serde_json::json!(["ann", "bob"]));
    assert_eq!(build.properties["reason"].value, "a release, a look");
}

#[test]
fn a7_05_what_a_person_asked_for_never_shares_with_what_a_change_caused() {
    let mut world = busy(small());
    world.push(vec![seen("ann", "r1")]);
    world.force(latest("main"));
    let stamp = world.buildset(2).stamps[0].clone();
    let submission = Submission {
        builders: vec!["linux".into()],
        stamps: vec![stamp],
        reason: "by a program".to_owned(),
        owner: "bob".to_owned(),
        properties: [].into(),
        priority: 0,
        external_id: None,
    };
    for _ in 0..2 {
        world.tell(Input::Submitted { submission: submission.clone(), reply: ReplyTo(0) });
    }
    world.push(vec![seen("ann", "r2")]);
    free(&mut world);
    (2..5).for_each(|build| drop(world.finish(build, Outcome::Success)));
    let built = [2, 3, 4, 5].map(|build| requests(&world, build));
    assert_eq!(built, [vec![2, 6], vec![3], vec![4], vec![5]], "who names changes wants a build of just those");
}

#[test]
fn a7_06_other_branches_repositories_projects_and_patches_are_never_merged() {
    let any = stampmill_engine::config::SchedulerKind::AnyBranch { branches: None, stable_for: None };
    let any = crate::setup::scheduler("any", any, &["linux"]);
    let mut world = busy(Config { schedulers: vec![any, on_force("by-hand", &["linux"])], ..small() });
    let elsewhere = SeenChange { repository: "https://git.example/fork.git".to_owned(), ..seen("ann", "r3") };
    let other_project = SeenChange { project: "other".to_owned(), ..seen("ann", "r4") };
    for change in [seen("ann", "r1"), seen_on("dev", "ann", "r2"), elsewhere, other_project, seen("ann", "r5")] {
        world.push(vec![change]);
    }
    let patch = Patch {
        level: 1,
        body: b"--- a".to_vec(),
        subdirectory: String::new(),
        author: "eve".to_owned(),
        comment: String::new(),
    };
    for _ in 0..2 {
        let stamps = vec![SourceStamp { patch: Some(patch.clone()), ..SourceStamp::default() }];
        let submission = Submission {
            builders: vec!["linux".into()],
            stamps,
            reason: "try".to_owned(),
            owner: "eve".to_owned(),
            properties: [].into(),
            priority: 0,
            external_id: None,
        };
        world.tell(Input::Submitted { submission, reply: ReplyTo(0) });
    }
    free(&mut world);
    (2..7).for_each(|build| drop(world.finish(build, Outcome::Success)));
    let built: Vec<_> = (2..=7).map(|build| requests(&world, build)).collect();
    assert_eq!(built, [vec![2, 6], vec![3], vec![4], vec![5], vec![7], vec![8]]);
}

#[test]
fn a7_06_it_goes_by_codebase() {
    let mut world = busy(Config {
        codebase_generator: true,
        schedulers: vec![
            with_codebases(on_main("quick", &["linux"]), &["app", "core"]),
            on_force("by-hand", &["linux"]),
        ],
        ..small()
    });
    for (change, codebase) in [(1, "app"), (2, "core"), (3, "app"), (4, "core")] {
        world.push(vec![seen("ann", &format!("r{change}"))]);
        let result = Ok(Some(codebase.to_owned()));
        world.tell(Input::CodebaseFound { change: ChangeId(change), result });
    }
    free(&mut world);
    world.finish(2, Outcome::Success);
    assert_eq!([2, 3].map(|build| requests(&world, build)), [vec![2, 4], vec![3, 5]]);
    let versions = |build: u64| -> Vec<_> {
        world.build(build).stamps.iter().map(|stamp| (stamp.codebase.as_str(), stamp.revision.as_deref())).collect()
    };
    assert_eq!(versions(2), [("app", Some("r3")), ("core", None)]);
    assert_eq!(versions(3), [("app", None), ("core", Some("r4"))]);
}

#[test]
fn untrusted_sources_other_workers_other_schedulers_and_other_properties_do_not_merge() {
    let mut config = small();
    config.change_sources.push(ChangeSource { trusted: false, ..hook("forks") });
    config.schedulers.push(on_force("nightly", &["linux"]));
    config.workers.push(worker("w2"));
    let mut world = busy(config);
    world.push(vec![seen("ann", "r1")]);
    let from = |world: &mut World, source: &str, revision: &str| {
        let changes = vec![seen("eve", revision)];
        world.tell(Input::Received { source: source.into(), delivery: None, changes, reply: ReplyTo(0) });
    };
    from(&mut world, "forks", "r2");
    from(&mut world, "forge", "r3");
    for worker in [None, Some("w1"), Some("w2"), Some("w1")] {
        world.force(Force { worker: worker.map(Into::into), ..latest("main") });
    }
    for value in [1, 2, 1] {
        world.force(Force { properties: property("depth", value, PropertySource::Force), ..latest("main") });
    }
    world.force(Force { scheduler: Some("nightly".into()), ..latest("main") });
    free(&mut world);
    (2..9).for_each(|build| drop(world.finish(build, Outcome::Success)));
    let mut built: Vec<_> = (2..=8).map(|build| requests(&world, build)).collect();
    built.sort();
    assert_eq!(built, [vec![2, 4], vec![3], vec![5], vec![6, 8], vec![9, 11], vec![10], vec![12]]);
    assert!(world.waits(7), "it is only for a worker that is not there");
    let trusted = |build: u64| world.build(build).stamps[0].trusted;
    assert_eq!((trusted(2), trusted(3)), (true, false));
}

#[test]
fn properties_of_changes_do_not_part_requests_and_the_newest_wins() {
    let mut world = busy(small());
    for (revision, value) in [("r1", 1), ("r2", 2)] {
        world.push(vec![SeenChange { properties: vec![("pull".to_owned(), value.into())], ..seen("ann", revision) }]);
    }
    free(&mut world);
    assert_eq!(requests(&world, 2), [2, 3]);
    assert_eq!(world.build(2).properties["pull"].value, 2);
}

#[test]
fn a_rebuild_and_a_builder_that_does_not_merge_stay_by_themselves() {
    let mut config = small();
    config.builders.push(apart(builder("docs")));
    config.schedulers = vec![on_main("quick", &["linux", "docs"]), on_force("by-hand", &["linux", "docs"])];
    let mut world = busy(config);
    let rebuild = Rebuild {
        build: BuildId(1),
        builder: "linux".into(),
        stamps: vec![SourceStamp::default()],
        blamelist: Vec::new(),
        properties: [].into(),
        owner: "ann".to_owned(),
    };
    for _ in 0..2 {
        world.tell(Input::RebuildAsked { rebuild: rebuild.clone(), reply: ReplyTo(0) });
    }
    world.push(vec![seen("ann", "r1")]);
    world.push(vec![seen("ann", "r2")]);
    free(&mut world);
    (2..7).for_each(|build| drop(world.finish(build, Outcome::Success)));
    let built: Vec<_> = (2..=6).map(|build| (world.build(build).builder.as_str(), requests(&world, build))).collect();
    let expected =
        [("linux", vec![2]), ("linux", vec![3]), ("linux", vec![4, 6]), ("docs", vec![5]), ("docs", vec![7])];
    assert_eq!(built, expected);
}

#[test]
fn a_request_that_awaits_approval_joins_nothing_until_it_is_approved() {
    let mut config = small();
    config.change_sources[0].trusted = false;
    config.schedulers[0].approve_untrusted = true;
    let mut world = busy(config);
    for revision in ["r1", "r2", "r3"] {
        world.push(vec![seen("eve", revision)]);
    }
    for request in [2, 4] {
        let by = "ann".to_owned();
        world.tell(Input::ApprovalGiven { request: RequestId(request), approved: true, by, reply: ReplyTo(0) });
    }
    free(&mut world);
    assert_eq!(requests(&world, 2), [2, 4]);
    assert_eq!(world.request(3).state, RequestState::AwaitingApproval);
}

#[test]
fn a_lost_build_sends_all_of_its_requests_back_and_each_counts_its_own_losses() {
    let mut world = busy(small());
    world.push(vec![seen("ann", "r1")]);
    free(&mut world);
    world.leave("w1", true);
    world.push(vec![seen("ann", "r2")]);
    for build in 3..=4 {
        world.connect("w1", 1);
        assert_eq!(requests(&world, build), [2, 3]);
        world.leave("w1", true);
    }
    assert_eq!(world.outcome(2), Some(Outcome::Exception), "it was lost three times");
    let given_up = &world.request(2).state;
    assert!(matches!(given_up, RequestState::Complete { build: Some(BuildId(4)), .. }), "{given_up:?}");
    assert!(world.waits(3));
    assert_eq!((world.request(3).attempts, world.request(3).losses), (2, 2));
    world.connect("w1", 1);
    assert_eq!(requests(&world, 5), [3]);
    assert_eq!(world.build(5).attempt, 3);
}

#[test]
fn a_declined_build_bars_all_of_its_requests_from_that_worker() {
    let mut world = busy(Config { workers: vec![worker("w1"), worker("w2")], ..small() });
    world.push(vec![seen("ann", "r1")]);
    world.push(vec![seen("ann", "r2")]);
    free(&mut world);
    world.event(2, BuildEvent::Declined { reason: "no disk".to_owned() });
    assert!(world.waits(2) && world.waits(3));
    assert_eq!((world.request(2).attempts, world.request(3).attempts), (0, 0));
    world.push(vec![seen("ann", "r3")]);
    assert_eq!(requests(&world, 3), [4], "those that the worker declined do not come back to it by way of another");
    world.connect("w2", 1);
    assert_eq!(requests(&world, 4), [2, 3]);
}

#[test]
fn a_cancelled_request_leaves_the_build_which_goes_on_for_the_others() {
    let mut world = busy(small());
    for revision in ["r1", "r2", "r3"] {
        world.push(vec![seen("ann", revision)]);
    }
    let order = orders(&world.finish(1, Outcome::Success)).remove(0);
    assert_eq!(cancel(&mut world, 3), Answer::Done);
    assert_eq!((world.outcome(3), requests(&world, 2)), (Some(Outcome::Cancelled), vec![2, 4]));
    assert!(matches!(world.request(3).state, RequestState::Complete { build: None, .. }));
    assert_eq!(cancel(&mut world, 2), Answer::Done);
    let build = world.build(2);
    assert_eq!((build.request, build.buildset, build.attempt), (RequestId(4), world.request(4).buildset, 1));
    assert_eq!(build.state, BuildState::Dispatched);
    // The order that did not arrive goes out again as it was, although the sets of the first two are closed.
    world.leave("w1", false);
    world.restart();
    let again = orders(&world.connect("w1", 1)).remove(0);
    assert_eq!((again.changes, again.build.stamps), (order.changes, order.build.stamps));
    cancel(&mut world, 4);
    assert!(matches!(world.build(2).state, BuildState::Cancelling { .. }), "the last one takes the build with it");
    world.finish(2, Outcome::Cancelled);
    assert_eq!(world.outcome(4), Some(Outcome::Cancelled));
}

#[test]
fn a_cancelled_build_cancels_all_of_its_requests() {
    let mut world = busy(small());
    world.push(vec![seen("ann", "r1")]);
    world.push(vec![seen("ann", "r2")]);
    free(&mut world);
    let reason = "ann: a typo".to_owned();
    world.tell(Input::BuildCancelAsked { build: BuildId(2), reason, reply: ReplyTo(0) });
    world.finish(2, Outcome::Cancelled);
    assert_eq!((world.outcome(2), world.outcome(3)), (Some(Outcome::Cancelled), Some(Outcome::Cancelled)));
}

#[test]
fn a_shared_build_survives_the_host() {
    let mut world = busy(small());
    world.push(vec![seen("ann", "r1")]);
    world.push(vec![seen("ann", "r2")]);
    free(&mut world);
    world.accept(2);
    world.restart();
    world.connect_with("w1", 1, &[2]);
    world.finish(2, Outcome::Warnings);
    assert_eq!((world.outcome(2), world.outcome(3)), (Some(Outcome::Warnings), Some(Outcome::Warnings)));
}

#[test]
fn a_build_answers_no_more_requests_and_changes_than_fit() {
    let mut world = busy(small());
    for push in 0..450 {
        world.push(vec![seen("ann", &format!("r{push}"))]);
    }
    free(&mut world);
    (2..4).for_each(|build| drop(world.finish(build, Outcome::Success)));
    assert_eq!([2, 3, 4].map(|build| requests(&world, build).len()), [200, 200, 50]);

    let quiet = on_quiet_main("quick", 5, &["linux"]);
    let mut world = busy(Config { schedulers: vec![quiet, on_force("by-hand", &["linux"])], ..small() });
    for changes in [6_000, 5_000, 4_000] {
        world.push((0..changes).map(|_| seen("ann", "r")).collect());
        world.pass(5);
    }
    free(&mut world);
    world.finish(2, Outcome::Success);
    assert_eq!([2, 3].map(|build| world.build(build).stamps[0].changes.len()), [6_000, 9_000]);
}

#[test]
fn many_reasons_are_counted() {
    let mut world = busy(small());
    for n in 0..12 {
        world.force(Force { reason: format!("{n}"), ..latest("main") });
    }
    free(&mut world);
    assert_eq!(world.build(2).reason, "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more");
}

#[test]
fn a_request_that_is_more_urgent_brings_its_kin_with_it() {
    let mut world = busy(Config { builders: vec![Builder { max_builds: Some(1), ..builder("linux") }], ..small() });
    world.force(latest("main"));
    world.force(latest("dev"));
    world.force(Force { priority: Some(5), ..latest("dev") });
    free(&mut world);
    assert_eq!(requests(&world, 2), [4, 3]);
    assert_eq!(world.build(2).request, RequestId(4));
}

#[test]
fn a7_04_a_request_says_with_which_it_was_merged() {
    let mut world = busy(small());
    (1..=3).for_each(|n| drop(world.push(vec![seen("ann", &format!("r{n}"))])));
    free(&mut world);
    let summary = |world: &World, request: u64| world.engine.explain_request(RequestId(request)).unwrap().summary;
    let given = "build 2 was given to worker `w1`, which has not answered yet";
    assert_eq!(summary(&world, 2), format!("{given}; 2 other requests were merged with this one"));
    assert_eq!(summary(&world, 3), format!("{given}; the request was merged with request 2"));
    cancel(&mut world, 4);
    assert_eq!(summary(&world, 2), format!("{given}; request 3 was merged with this one"));
}

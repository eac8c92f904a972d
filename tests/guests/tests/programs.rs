//! The well-behaved: each kind is started and answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use stampmill_runtime::{
    BuildFacts, BuildsetFacts, Change, HookRequest, Kind, Occasion, Outcome, PluginErrorKind, SeenChange, SourceStamp,
    StepFacts, Use, Verdict,
};

use crate::fakes::{Around, load, run, runtime, started, usage};

/// A build to look at.
pub(crate) fn build() -> BuildFacts {
    BuildFacts {
        id: 7,
        number: 3,
        builder: "linux".to_owned(),
        blamelist: vec!["A <a@example>".to_owned()],
        trusted: true,
        properties: BTreeMap::from([("flag".to_owned(), json!({ "on": true }))]),
        stamps: vec![SourceStamp {
            codebase: "app".to_owned(),
            revision: Some("abc".to_owned()),
            ..SourceStamp::default()
        }],
        outcome: Some(Outcome::Failure),
        url: "http://host/builds/7".to_owned(),
        steps: vec![StepFacts {
            name: "compile".to_owned(),
            outcome: Some(Outcome::Warnings),
            log_tails: BTreeMap::from([("stdio".to_owned(), b"one\ntwo\nthree\n".to_vec())]),
            ..StepFacts::default()
        }],
        ..BuildFacts::default()
    }
}

fn seen(repository: &str, files: &[&str]) -> SeenChange {
    SeenChange {
        repository: repository.to_owned(),
        files: files.iter().map(|file| (*file).to_owned()).collect(),
        ..SeenChange::default()
    }
}

fn change(files: &[&str]) -> Change {
    Change { id: 1, codebase: "app".to_owned(), arrived_at: 5, seen: seen("r", files) }
}

#[tokio::test]
async fn a_poller_gives_changes_with_everything_in_them_and_its_next_cursor() {
    let plugin = load(stampmill_guests::POLLER, "change-poller", &[]).await;
    let mut poller = plugin.start(Use::new("app", json!("poll:changes|2"))).await.unwrap();
    let polled = poller.poll(Some("a")).await.unwrap();
    assert_eq!(polled.cursor, "a+");
    assert_eq!(polled.changes.len(), 2);
    let second = &polled.changes[1];
    assert_eq!(second.comments, "change 1");
    assert_eq!(second.committed_at, Some(1_000));
    assert_eq!(second.properties[0].value, json!(1));
    assert_eq!(poller.poll(None).await.unwrap().cursor, "+", "an instance may be asked again");
}

#[tokio::test]
async fn a_fault_says_whose_it_is_and_when_to_come_back() {
    let plugin = load(stampmill_guests::POLLER, "change-poller", &[]).await;
    let mut poller = plugin.start(Use::new("app", json!("poll:later"))).await.unwrap();
    let error = poller.poll(None).await.unwrap_err();
    let expected = stampmill_runtime::Fault::Unavailable {
        reason: "the repository is asleep".to_owned(),
        retry_after: Some(std::time::Duration::from_millis(1_500)),
    };
    assert_eq!(error.fault(), Some(&expected));
    assert_eq!(
        error.to_string(),
        "plugin `test-change-poller`, used as `app`, failed in `poll`: unavailable: the repository is asleep"
    );
    assert!(!poller.is_dead());
}

#[tokio::test]
async fn a_hook_gets_the_whole_request_and_answers() {
    let plugin = load(stampmill_guests::HOOK, "change-hook", &[]).await;
    let mut hook = plugin.start(Use::new("forge", json!(""))).await.unwrap();
    let request = HookRequest {
        method: "POST".to_owned(),
        path: "/push".to_owned(),
        query: "a=b".to_owned(),
        headers: vec![("x-delivery".to_owned(), "d-1".to_owned())],
        body: b"{}".to_vec(),
    };
    let reply = hook.receive(request).await.unwrap();
    assert_eq!((reply.status, reply.body.as_str()), (202, "POST /push?a=b {}"));
    assert_eq!(reply.delivery.as_deref(), Some("d-1"));
}

#[tokio::test]
async fn a_generator_names_the_codebase() {
    let plugin = load(stampmill_guests::GENERATOR, "codebase-generator", &[]).await;
    let mut generator = plugin.start(Use::new("map", Value::Null)).await.unwrap();
    assert_eq!(generator.codebase_of(&seen("https://x/app.git", &[])).await.unwrap().as_deref(), Some("app"));
    assert_eq!(generator.codebase_of(&seen("https://x/other", &[])).await.unwrap(), None);
}

#[tokio::test]
async fn a_filter_judges_in_order_and_keeps_its_memory_between_calls() {
    let plugin = runtime().load(stampmill_guests::FILTER).await.unwrap();
    assert_eq!(plugin.manifest().id, "c-files", "the manifest is inside the core module");
    let mut filter = plugin.start(Use::new("c", json!(""))).await.unwrap();
    let judgements = filter.judge(&[change(&["a.c"]), change(&["a.md"]), change(&[])]).await.unwrap();
    let verdicts: Vec<_> = judgements.iter().map(|judgement| judgement.verdict).collect();
    assert_eq!(verdicts, [Verdict::Important, Verdict::Unimportant, Verdict::Ignore]);
    assert_eq!(filter.judge(&[change(&[])]).await.unwrap()[0].reason, "call 2");
    assert_eq!(filter.judge(&[]).await.unwrap(), []);
}

#[tokio::test]
async fn a_reporter_looks_at_the_builds_of_each_occasion() {
    let around = Arc::new(Around::default());
    let plugin = load(stampmill_guests::REPORTER, "reporter", &["state"]).await;
    let mut reporter = plugin.start(usage(&around, "")).await.unwrap();
    let set = || BuildsetFacts {
        id: 9,
        outcome: Some(Outcome::Failure),
        builds: vec![build(), build()],
        ..BuildsetFacts::default()
    };
    let occasions = [
        Occasion::BuildStarted(build()),
        Occasion::BuildFinished(build()),
        Occasion::FirstFailure(set()),
        Occasion::BuildsetFinished(set()),
        Occasion::Other(json!({ "kind": "new" })),
    ];
    for (attempt, occasion) in occasions.into_iter().enumerate() {
        reporter.report("r1", attempt as u32, occasion).await.unwrap();
    }
    let one = "linux Some(Outcome::Failure) at http://host/builds/7";
    assert_eq!(
        around.said(),
        [
            format!("r1#0 started {one}"),
            format!("r1#1 finished {one}"),
            format!("r1#2 failing 9 Some(Outcome::Failure) [{one}, {one}]"),
            format!("r1#3 done 9 Some(Outcome::Failure) [{one}, {one}]"),
            "r1#4 other {\"kind\":\"new\"}".to_owned(),
        ]
    );
}

#[tokio::test]
async fn a_step_looks_at_its_build_and_tells_how_far_it_is() {
    let around = Arc::new(Around::default());
    assert_eq!(run(&around, "run:facts").await.unwrap(), Outcome::Success);
    let said = around.said();
    assert_eq!(said[0], r#"build 3 of linux by ["A <a@example>"]: true Some("{\"on\":true}") Some(Some("abc"))"#);
    assert_eq!(said[1], "step compile Some(Outcome::Warnings): two\nthree\n");
    run(&around, "run:progress").await.unwrap();
    assert_eq!(*around.summaries.lock().unwrap(), ["half"], "a summary is one line");
    assert_eq!(*around.progress.lock().unwrap(), [(1, Some(2))]);
}

#[tokio::test]
async fn a_call_that_the_kind_does_not_have_is_an_error_and_no_more() {
    let around = Arc::new(Around::default());
    let mut step = started(usage(&around, "")).await.unwrap();
    let error = step.poll(None).await.unwrap_err();
    assert!(matches!(*error.kind, PluginErrorKind::WrongCall { kind: Kind::Step }));
    assert_eq!(step.run().await.unwrap(), Outcome::Success);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_instances_run_side_by_side_on_many_threads() {
    let mut running = tokio::task::JoinSet::new();
    for index in 0..50 {
        running.spawn(async move {
            let around = Arc::new(Around::default());
            run(&around, &format!("run:logs|{index}")).await.unwrap();
            assert_eq!(around.said().len(), index);
        });
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
}

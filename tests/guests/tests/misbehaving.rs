//! The hostile: each is ended by a limit that is named in the error, and the rest goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use stampmill_runtime::{
    Change, Clock, Fault, HookRequest, LogLevel, Outcome, PluginError, PluginErrorKind, SeenChange, Use, limits,
};

use crate::fakes::{Around, Play, load, run, run_use, runtime, started, usage};

const SOON: Duration = Duration::from_millis(200);

async fn poll(script: &str) -> Result<stampmill_runtime::Polled, PluginError> {
    poll_with(script, None).await
}

async fn poll_with(script: &str, memory_bytes: Option<u64>) -> Result<stampmill_runtime::Polled, PluginError> {
    let plugin = load(stampmill_guests::POLLER, "change-poller", &[]).await;
    let mut usage = Use::new("app", json!(script));
    usage.limits.memory_bytes = memory_bytes;
    plugin.start(usage).await?.poll(None).await
}

fn one_change() -> [Change; 1] {
    [Change { id: 1, codebase: String::new(), arrived_at: 0, seen: SeenChange::default() }]
}

#[tokio::test]
async fn an_endless_loop_ends_at_its_computing_limit_and_other_tasks_go_on_meanwhile() {
    let around = Arc::new(Around::default());
    let mut usage = usage(&around, "run:loop");
    usage.limits.compute = Some(SOON);
    let mut step = started(usage).await.unwrap();
    // The runtime of this test has one thread.
    let ticks = Arc::new(AtomicU32::new(0));
    let counter = ticks.clone();
    let ticking = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    let error = step.run().await.unwrap_err();
    ticking.abort();
    assert!(matches!(*error.kind, PluginErrorKind::Deadline { what: Clock::Compute, limit: SOON }), "{error}");
    assert!(
        error.to_string().contains("plugin `test-step`, used as `a-use`, failed in `run`: its computing took longer"),
        "{error}"
    );
    assert!(ticks.load(Ordering::Relaxed) >= 3, "the loop let others run");
    assert!(step.is_dead());
    assert!(matches!(*step.run().await.unwrap_err().kind, PluginErrorKind::Dead));
    assert_eq!(run(&around, "").await.unwrap(), Outcome::Success, "the plugin itself is as it was");
}

#[tokio::test]
async fn an_endless_loop_in_configure_ends_the_start() {
    let around = Arc::new(Around::default());
    let mut usage = usage(&around, "configure:loop");
    usage.limits.compute = Some(SOON);
    let error = started(usage).await.unwrap_err();
    assert_eq!(error.call, "configure");
    assert!(matches!(*error.kind, PluginErrorKind::Deadline { what: Clock::Compute, .. }), "{error}");
}

#[tokio::test]
async fn a_decision_that_takes_too_long_ends_at_the_limit_of_its_call() {
    let plugin = runtime().load(stampmill_guests::FILTER).await.unwrap();
    let mut usage = Use::new("c", json!("judge:loop"));
    usage.limits.call = Some(SOON);
    let mut filter = plugin.start(usage).await.unwrap();
    let began = Instant::now();
    let error = filter.judge(&one_change()).await.unwrap_err();
    assert!(matches!(*error.kind, PluginErrorKind::Deadline { what: Clock::Call, limit: SOON }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(filter.is_dead());
}

#[tokio::test]
async fn four_gibibytes_at_once_and_memory_without_end_are_refused_with_the_limit() {
    let around = Arc::new(Around::default());
    for script in ["run:allocate", "run:eat", "configure:eat"] {
        let error = run(&around, script).await.unwrap_err();
        let PluginErrorKind::Memory { limit, asked } = *error.kind else { panic!("{script}: {error}") };
        assert_eq!(limit, limits::MEMORY_BYTES);
        assert!(asked > limit);
    }
    let mut more = usage(&around, "run:allocate");
    more.limits.memory_bytes = Some(8 << 20);
    let error = run_use(more).await.unwrap_err();
    assert!(matches!(*error.kind, PluginErrorKind::Memory { limit: 8_388_608, .. }), "{error}");
}

#[tokio::test]
async fn deep_recursion_is_a_trap_with_the_names_of_functions() {
    let error = run(&Arc::new(Around::default()), "run:recurse").await.unwrap_err();
    let PluginErrorKind::Trap { message, backtrace, .. } = error.kind.as_ref() else { panic!("{error}") };
    assert!(message.contains("call stack exhausted"), "{message}");
    assert!(backtrace.iter().any(|name| name.contains("recurse")), "{backtrace:?}");
}

#[tokio::test]
async fn a_panic_is_a_trap_with_the_guests_last_words() {
    let around = Arc::new(Around::default());
    let mut step = started(usage(&around, "run:panic")).await.unwrap();
    let error = step.run().await.unwrap_err();
    let PluginErrorKind::Trap { message, last_words, .. } = error.kind.as_ref() else { panic!("{error}") };
    assert!(message.contains("unreachable"), "{message}");
    assert!(last_words.as_ref().is_some_and(|words| words.contains("the guest's own words")), "{last_words:?}");
    assert!(error.to_string().contains("the guest's own words"), "{error}");
    assert!(around.log.lock().unwrap().iter().any(|(level, _)| *level == LogLevel::Error));
    assert!(matches!(*step.run().await.unwrap_err().kind, PluginErrorKind::Dead));
}

#[tokio::test]
async fn an_instance_that_panics_in_its_second_call_answered_the_first() {
    let plugin = runtime().load(stampmill_guests::FILTER).await.unwrap();
    let mut filter = plugin.start(Use::new("c", json!("judge:panic-second"))).await.unwrap();
    assert_eq!(filter.judge(&one_change()).await.unwrap().len(), 1);
    assert!(!filter.is_dead());
    assert!(matches!(*filter.judge(&one_change()).await.unwrap_err().kind, PluginErrorKind::Trap { .. }));
    assert!(matches!(*filter.judge(&one_change()).await.unwrap_err().kind, PluginErrorKind::Dead));
}

#[tokio::test]
async fn a_dropped_call_kills_its_program_and_leaves_the_instance_dead() {
    let around = Arc::new(Around::default());
    *around.play.lock().unwrap() = Play::NeverEnds;
    let mut step = started(usage(&around, "run:command|tool")).await.unwrap();
    assert!(tokio::time::timeout(SOON, step.run()).await.is_err());
    assert_eq!(around.spawned.lock().unwrap().len(), 1);
    assert!(around.killed.load(Ordering::SeqCst), "the program went with the call");
    assert!(step.is_dead());
    assert!(matches!(*step.run().await.unwrap_err().kind, PluginErrorKind::Dead));
}

#[tokio::test]
async fn a_host_call_that_sleeps_is_answered_at_its_limit() {
    let around = Arc::new(Around::default());
    *around.play.lock().unwrap() = Play::NeverStarts;
    let mut usage = usage(&around, "run:command|tool");
    usage.limits.host_call = Some(SOON);
    let error = run_use(usage).await.unwrap_err();
    let Some(Fault::Unavailable { reason, .. }) = error.fault() else { panic!("{error}") };
    assert!(reason.contains("`command.spawn` took longer than its limit of 200ms"), "{reason}");
}

#[tokio::test]
async fn a_program_that_outlives_its_limit_unstopped_is_killed() {
    let around = Arc::new(Around::default());
    *around.play.lock().unwrap() = Play::NeverEnds;
    let mut usage = usage(&around, "run:limited|100");
    usage.limits.host_call = Some(SOON);
    let error = run_use(usage).await.unwrap_err();
    let Some(Fault::Unavailable { reason, .. }) = error.fault() else { panic!("{error}") };
    assert!(reason.contains("outlived its limit"), "{reason}");
    assert!(around.killed.load(Ordering::SeqCst));
}

#[tokio::test]
async fn waiting_for_a_program_is_not_computing() {
    let around = Arc::new(Around::default());
    *around.play.lock().unwrap() = Play::NeverEnds;
    let mut usage = usage(&around, "run:command|tool");
    usage.limits.compute = Some(Duration::from_millis(50));
    let mut step = started(usage).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(300), step.run()).await.is_err(), "it waits on");
}

#[tokio::test]
async fn listening_to_a_program_that_often_says_a_little_is_not_computing() {
    let around = Arc::new(Around::default());
    *around.play.lock().unwrap() = Play::Chats(200);
    let mut usage = usage(&around, "run:spawn|tool");
    usage.limits.compute = Some(Duration::from_millis(300));
    run_use(usage).await.unwrap();
    assert_eq!(around.said().len(), 201);
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused_with_the_limit() {
    assert_eq!(poll("poll:changes|10000").await.unwrap().changes.len(), limits::CHANGES_MAX);
    for (script, memory, what) in [
        ("poll:changes|10001", None, "changes in one answer"),
        ("poll:fat|17", None, "bytes of changes in one answer"),
        ("poll:fat|70", Some(512 << 20), "bytes in one call"),
        ("poll:cursor|2000000", None, "bytes of the cursor"),
    ] {
        let error = poll_with(script, memory).await.unwrap_err();
        assert!(
            matches!(*error.kind, PluginErrorKind::TooMuch { what: found, .. } if found == what),
            "{script}: {error}"
        );
    }
    let error = poll("poll:fat|70").await.unwrap_err();
    assert!(matches!(*error.kind, PluginErrorKind::Memory { .. }), "{error}");
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_the_plugins_fault() {
    let error = poll("poll:property|{oops").await.unwrap_err();
    assert!(matches!(&*error.kind, PluginErrorKind::Malformed(what) if what.contains("`odd` is not JSON")), "{error}");

    let plugin = runtime().load(stampmill_guests::FILTER).await.unwrap();
    let mut filter = plugin.start(Use::new("c", json!("judge:short"))).await.unwrap();
    let error = filter.judge(&one_change()).await.unwrap_err();
    assert!(error.to_string().contains("0 judgements for 1 changes"), "{error}");

    let plugin = load(stampmill_guests::HOOK, "change-hook", &[]).await;
    for script in ["receive:status|99", "receive:status|600", "receive:body|70000"] {
        let mut hook = plugin.start(Use::new("forge", json!(script))).await.unwrap();
        let error = hook.receive(HookRequest::default()).await.unwrap_err();
        assert!(
            matches!(*error.kind, PluginErrorKind::Malformed(_) | PluginErrorKind::TooMuch { .. }),
            "{script}: {error}"
        );
    }
}

#[tokio::test]
async fn a_megabyte_of_fault_is_cut_to_a_sentence() {
    let error = poll("poll:long-fault").await.unwrap_err();
    let Some(Fault::Broken(text)) = error.fault() else { panic!("{error}") };
    assert!(text.len() <= limits::TEXT_BYTES_MAX && text.starts_with('é'));
}

#[tokio::test]
async fn a_flood_of_log_messages_is_a_thousand_and_one_line_about_the_rest() {
    let around = Arc::new(Around::default());
    run(&around, "run:logs|100000").await.unwrap();
    let said = around.said();
    assert_eq!(said.len() as u64, limits::LOG_MESSAGES_MAX + 1);
    assert_eq!(said[999], "line 999");
    assert!(said[1000].starts_with("99000 messages of this plugin were dropped"), "{}", said[1000]);

    let around = Arc::new(Around::default());
    run(&around, "run:long-log|1000000").await.unwrap();
    assert_eq!(around.said()[0].len(), limits::LOG_MESSAGE_BYTES_MAX);
}

#[tokio::test]
async fn handles_and_what_stands_behind_them_are_bounded() {
    let around = Arc::new(Around::default());
    let error = run(&around, "run:hold-lines|10001").await.unwrap_err();
    assert!(matches!(*error.kind, PluginErrorKind::TooMuch { what: "handles held at once", .. }), "{error}");
    let error = run(&around, "run:hold-bodies|9").await.unwrap_err();
    assert!(matches!(*error.kind, PluginErrorKind::TooMuch { what: "bytes behind handles", .. }), "{error}");
    let mut step = started(usage(&around, "run:hold-bodies|7")).await.unwrap();
    for _ in 0..3 {
        step.run().await.unwrap();
    }
}

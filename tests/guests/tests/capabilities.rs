//! Each capability: granted, not granted, granted for another target. Undeclared is refused at loading, which `loading` holds for each.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use stampmill_runtime::{
    CommandSpec, Fault, Grant, Outcome, Permission, PluginErrorKind, ProcessEvent, Refusal, Sink, StopWith,
    TriggerSpec, TriggerVersion, Use, limits,
};

use crate::fakes::{Around, Play, finished, load, refusal, run, run_use, started, step, usage};

#[tokio::test]
async fn what_is_asked_for_and_not_granted_is_said_with_the_line_that_grants_it() {
    let around = Arc::new(Around::default());
    type Take = fn(&mut Grant);
    let cases: [(Permission, &str, Take); 3] = [
        (Permission::Command, "grant = { command = [\"PROGRAM\"] }", |grant| grant.command.clear()),
        (Permission::Http, "grant = { http = [\"https://HOST\"] }", |grant| grant.http.clear()),
        (Permission::Secret, "grant = { secret = [\"NAME\"] }", |grant| grant.secret.clear()),
    ];
    for (permission, line, take) in cases {
        let mut usage = usage(&around, "");
        take(&mut usage.grant);
        let refusal = step().await.check(&usage).unwrap_err();
        assert!(matches!(refusal, Refusal::NotGranted { permission: found, .. } if found == permission), "{refusal}");
        assert!(refusal.to_string().contains(line), "{refusal}");
        let error = started(usage).await.unwrap_err();
        assert!(matches!(*error.kind, PluginErrorKind::Refused(Refusal::NotGranted { .. })), "{error}");
    }
    let mut wrong = usage(&around, "");
    wrong.grant.http = vec!["api.example".to_owned()];
    let refusal = step().await.check(&wrong).unwrap_err();
    assert!(refusal.to_string().contains("`api.example` under `http`"), "{refusal}");
}

#[tokio::test]
async fn what_the_surroundings_do_not_offer_is_said_at_the_start() {
    let around = Arc::new(Around::default());
    let mut usage = usage(&around, "");
    usage.surroundings.workspace = None;
    assert!(step().await.check(&usage).is_ok(), "a host may check what only a worker can run");
    let error = started(usage).await.unwrap_err();
    assert!(error.to_string().contains("needs `workspace`, which is not offered here"), "{error}");
    let mut usage = crate::fakes::usage(&around, "");
    usage.surroundings.running_build = None;
    assert!(started(usage).await.unwrap_err().to_string().contains("`running-build`"));
}

#[tokio::test]
async fn a_granted_program_starts_with_exactly_what_was_said_and_granted() {
    let around = Arc::new(Around::default());
    let mut usage = usage(&around, "run:everything");
    usage.grant.net = vec!["git.example:443".to_owned()];
    usage.grant.read = vec![PathBuf::from("/srv/git")];
    usage.grant.write = vec![PathBuf::from("/srv/cache")];
    assert_eq!(run_use(usage).await.unwrap(), Outcome::Success);
    assert_eq!(around.said(), ["exited 0: out"]);
    let expected = CommandSpec {
        argv: vec!["tool".to_owned(), "--flag".to_owned(), "a b".to_owned()],
        directory: Some("sub/dir".to_owned()),
        environment: vec![("A".to_owned(), "2".to_owned())],
        secret_environment: vec![("KEY".to_owned(), "deploy-key".to_owned())],
        secret_files: vec![("deploy-key".to_owned(), "/run/secrets/deploy-key".to_owned())],
        stdin: b"in".to_vec(),
        keep_stdin_open: false,
        stdout: Sink::LogAndCapture("out".to_owned(), 100),
        stderr: Sink::Discard,
        events: false,
        wall_limit: Duration::from_secs(5),
        silence_limit: Some(Duration::from_secs(1)),
        stop: StopWith { signal: 2, grace: Duration::from_secs(3) },
        terminal: Some((80, 25)),
        net: vec!["git.example:443".to_owned()],
        read: vec![PathBuf::from("/srv/git")],
        write: vec![PathBuf::from("/srv/cache")],
    };
    assert_eq!(*around.spawned.lock().unwrap(), [expected]);
    assert!(around.revealed.lock().unwrap().is_empty(), "the runtime itself never looks at a command's secrets");
}

#[tokio::test]
async fn another_program_is_refused_by_name_whatever_its_spelling() {
    let around = Arc::new(Around::default());
    for program in ["rm", "./tool", "/usr/bin/tool", "tool ", "sub/../tool", ""] {
        let text = refusal(run(&around, &format!("run:command|{program}")).await);
        let named = text.contains(&format!(
            "program `{program}` is not granted; the grant `command = [{program:?}]` would allow it"
        ));
        assert!(named || program.is_empty(), "{text}");
    }
    refusal(run(&around, "run:spawn|rm").await);
    assert!(around.spawned.lock().unwrap().is_empty());
    let mut any = usage(&around, "run:command|./configure");
    any.grant.command = vec!["*".to_owned()];
    run_use(any).await.unwrap();
}

#[tokio::test]
async fn a_command_line_that_reaches_out_or_is_too_large_is_refused_when_it_starts() {
    let around = Arc::new(Around::default());
    for (script, says) in [
        ("run:directory|../x", "no path below the work directory"),
        ("run:directory|/etc", "no path below the work directory"),
        ("run:capture|99999999999", "bytes to capture"),
        ("run:stuff-environment|2000000", "bytes of arguments and environment"),
        ("run:secret-environment|A=B|deploy-key", "no name of an environment variable"),
        ("run:secret-file|../shadow", "no name of a secret"),
        ("run:secret-file|other-key", "secret `other-key` is not granted"),
        ("run:secret-environment|KEY|other-key", "secret `other-key` is not granted"),
    ] {
        let text = refusal(run(&around, script).await);
        assert!(text.contains(says), "{script}: {text}");
    }
    assert!(around.spawned.lock().unwrap().is_empty());
    run(&around, "run:secret-file|deploy-key").await.unwrap();
    assert!(around.said().contains(&"/run/secrets/deploy-key".to_owned()));
}

#[tokio::test]
async fn a_spawned_program_is_heard_piece_by_piece_and_stopped() {
    let around = Arc::new(Around::default());
    let events = vec![
        ProcessEvent::Stdout(b"one".to_vec()),
        ProcessEvent::Stderr(b"two".to_vec()),
        ProcessEvent::Quiet,
        ProcessEvent::Finished(finished(b"")),
    ];
    *around.play.lock().unwrap() = Play::Events(events);
    run(&around, "run:spawn|tool").await.unwrap();
    assert_eq!(around.said(), ["stdout one", "stderr two", "quiet", "finished End::Exited(0) after 12 ms"]);
    let spawned = around.spawned.lock().unwrap();
    assert!(spawned[0].events && spawned[0].keep_stdin_open);
    assert_eq!(*around.given.lock().unwrap(), b"more<end>");
}

#[tokio::test]
async fn a_secret_is_revealed_only_by_its_granted_name() {
    let around = Arc::new(Around::default());
    run(&around, "run:reveal|deploy-key").await.unwrap();
    assert_eq!(around.said(), ["s3cret"]);
    let text = refusal(run(&around, "run:reveal|other-key").await);
    assert_eq!(text, "secret `other-key` is not granted; the grant `secret = [\"other-key\"]` would allow it");
    assert_eq!(*around.revealed.lock().unwrap(), ["deploy-key"], "nobody was asked for the other");
}

#[tokio::test]
async fn a_credential_is_no_secret_to_reveal_or_to_give_to_a_program() {
    let around = Arc::new(Around::default());
    for script in ["run:reveal|token", "run:secret-environment|T|token", "run:secret-file|token"] {
        let mut usage = usage(&around, script);
        usage.grant.credential.insert("token".to_owned(), vec!["http://127.0.0.1:1".to_owned()]);
        assert!(refusal(run_use(usage).await).contains("secret `token` is not granted"));
    }
}

#[tokio::test]
async fn the_state_keeps_what_it_was_given_within_its_quota() {
    let around = Arc::new(Around::default());
    let plugin = load(stampmill_guests::REPORTER, "reporter", &["state"]).await;
    let report = async |script: &str| {
        let mut reporter = plugin.start(usage(&around, script)).await.unwrap();
        reporter.report("r", 1, stampmill_runtime::Occasion::Other(json!(1))).await
    };
    report("report:set|last|17").await.unwrap();
    report("report:get|last").await.unwrap();
    assert_eq!(around.said().last().unwrap(), "17");
    report("report:delete|last").await.unwrap();
    report("report:get|last").await.unwrap();
    assert_eq!(around.said().last().unwrap(), "absent");

    let key = "k".repeat(limits::STATE_KEY_BYTES_MAX + 1);
    let long_key = format!("report:set|{key}|1");
    for (script, says) in [
        (long_key.as_str(), "a key of the state has 1 to 256 bytes"),
        ("report:set||1", "a key of the state"),
        ("report:set-large|65537", "bytes of one value of the state"),
        ("report:fill|1025|1", "entries of the state"),
        ("report:fill|65|65536", "bytes of the state"),
    ] {
        around.state.lock().unwrap().clear();
        let error = report(script).await.unwrap_err();
        let Some(Fault::Refused(text)) = error.fault() else { panic!("{script}: {error}") };
        assert!(text.contains(says), "{script}: {text}");
    }
    assert!(around.state.lock().unwrap().len() <= 64);
    // What is replaced counts once.
    around.state.lock().unwrap().clear();
    report("report:fill|63|65536").await.unwrap();
    report("report:fill|63|65536").await.unwrap();
}

#[tokio::test]
async fn properties_are_json_and_bounded() {
    let around = Arc::new(Around::default());
    run(&around, "run:set-property|got_revision|[1,2]").await.unwrap();
    assert_eq!(around.properties.lock().unwrap()["got_revision"], json!([1, 2]));
    run(&around, "run:get-property|got_revision").await.unwrap();
    run(&around, "run:get-property|other").await.unwrap();
    assert_eq!(around.said(), ["[1,2]", "absent"]);
    let error = run(&around, "run:set-property|a|{oops").await.unwrap_err();
    assert!(matches!(error.fault(), Some(Fault::Broken(text)) if text.contains("`a` is not JSON")), "{error}");
    refusal(run(&around, "run:set-property||1").await);
    let long = format!("run:set-property|a|{}", "1".repeat(limits::PROPERTY_BYTES_MAX + 1));
    assert!(refusal(run(&around, &long).await).contains("bytes of one property"));
}

#[tokio::test]
async fn a_scheduler_is_triggered_where_it_is_granted_with_what_was_said() {
    let around = Arc::new(Around::default());
    let plugin = load(stampmill_guests::TRIGGER, "step", &["trigger"]).await;
    let run = async |script: &str| plugin.start(usage(&around, script)).await?.run().await;
    run("run:trigger|deploy|target|[1]").await.unwrap();
    assert_eq!(around.said(), ["7 Outcome::Failure"]);
    let version = TriggerVersion { branch: Some("next".to_owned()), revision: None };
    let expected = TriggerSpec {
        scheduler: "deploy".to_owned(),
        latest: false,
        versions: [("core".to_owned(), version)].into(),
        properties: [("target".to_owned(), json!([1]))].into(),
        detached: true,
    };
    assert_eq!(*around.triggered.lock().unwrap(), [expected]);
    for (script, says) in [
        ("run:trigger|other|a|1", "scheduler `other` is not granted; the grant `trigger = [\"other\"]` would allow it"),
        ("run:trigger|DEPLOY|a|1", "scheduler `DEPLOY` is not granted"),
        ("run:trigger-much|deploy|101", "properties of a triggered buildset: 101 are more than the limit of 100"),
        ("run:trigger|deploy||1", "the name of a property"),
    ] {
        let text = refusal(run(script).await);
        assert!(text.contains(says), "{script}: {text}");
    }
    let error = run("run:trigger|deploy|a|{oops").await.unwrap_err();
    assert!(matches!(error.fault(), Some(Fault::Broken(text)) if text.contains("`a` is not JSON")), "{error}");
    assert_eq!(around.triggered.lock().unwrap().len(), 1, "none of these was");
    let mut ungranted = usage(&around, "run:trigger|deploy|a|1");
    ungranted.grant.trigger.clear();
    let refusal = plugin.check(&ungranted).unwrap_err();
    assert!(refusal.to_string().contains("grant = { trigger = [\"SCHEDULER\"] }"), "{refusal}");
}

#[tokio::test]
async fn a_steps_logs_are_opened_written_and_closed_and_links_are_links() {
    let around = Arc::new(Around::default());
    run(&around, "run:write-log|report|<b>").await.unwrap();
    let expected = [("report", "<b>"), ("report", "closed")].map(|(name, text)| (name.to_owned(), text.to_owned()));
    assert_eq!(*around.written.lock().unwrap(), expected);
    for name in ["../x", "a/b", "", ".hidden"] {
        assert!(refusal(run(&around, &format!("run:write-log|{name}|x")).await).contains("the name of a log"));
    }
    run(&around, "run:link|docs|https://docs.example/x").await.unwrap();
    for url in ["javascript:alert(1)", "data:text/html,x", "//host", ""] {
        assert!(
            refusal(run(&around, &format!("run:link|docs|{url}")).await).contains("an http or https URL is expected")
        );
    }
    assert_eq!(around.links.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_plugin_without_capabilities_needs_nothing_around_it() {
    let plugin = load(stampmill_guests::GENERATOR, "codebase-generator", &[]).await;
    assert!(plugin.start(Use::new("map", json!({}))).await.is_ok());
}

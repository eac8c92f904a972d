//! The step `shell`.

use crate::around::Place;
use serde_json::{Value, json};
use stampmill_runtime::{Outcome, PluginErrorKind};
use std::time::{Duration, Instant};

async fn run(place: &Place, config: Value) -> Outcome {
    let grant = json!({"command": ["*"], "secret": ["token"]});
    let mut step = place.start("shell", config, grant).await.expect("the step starts");
    step.run().await.unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test]
async fn arguments_reach_the_program_as_they_are() {
    let place = Place::new();
    let outcome =
        run(&place, json!({"command": ["printf", "<%s>", "a b", "$(touch planted)", "`id`", "-x", "é"]})).await;
    assert_eq!(outcome, Outcome::Success);
    assert_eq!(place.log("stdio"), "<a b><$(touch planted)><`id`><-x><é>");
    assert!(!place.work().join("planted").exists());
}

#[tokio::test]
async fn the_exit_code_is_the_result_and_stands_in_the_summary() {
    let place = Place::new();
    assert_eq!(run(&place, json!({"command": ["true"]})).await, Outcome::Success);
    assert_eq!(place.summary(), "true");
    assert_eq!(run(&place, json!({"command": ["sh", "-c", "exit 2"]})).await, Outcome::Failure);
    assert_eq!(place.summary(), "sh -c exit 2: exit 2");
    assert_eq!(run(&place, json!({"command": ["sh", "-c", "exit 2"], "warnings-on": [2]})).await, Outcome::Warnings);
    assert_eq!(
        run(&place, json!({"command": ["sh", "-c", "exit 77"], "decode": {"77": "skipped"}})).await,
        Outcome::Skipped
    );
    assert_eq!(run(&place, json!({"command": ["sh", "-c", "kill -SEGV $$"]})).await, Outcome::Failure);
    assert_eq!(place.summary(), "sh -c kill -SEGV $$: killed by signal 11 (SEGV)");
}

#[tokio::test]
async fn a_script_stops_at_the_first_line_that_fails() {
    let place = Place::new();
    let outcome = run(&place, json!({"script": "# two lines\necho one\nfalse\necho two\n"})).await;
    assert_eq!(outcome, Outcome::Failure);
    assert_eq!(place.log("stdio"), "one\n");
    assert_eq!(place.summary(), "echo one: exit 1");
}

#[tokio::test]
async fn the_environment_is_what_was_written_and_no_more() {
    let place = Place::new();
    place.set_secret("token", "s3cret");
    let config =
        json!({"command": ["env"], "environment": {"A": "x y; $(id)"}, "secret-environment": {"TOKEN": "token"}});
    assert_eq!(run(&place, config).await, Outcome::Success);
    let log = place.log("stdio");
    let mut lines: Vec<_> = log.lines().filter(|line| !line.starts_with("PATH=")).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["A=x y; $(id)", "TOKEN=s3cret"]);
}

#[tokio::test]
async fn a_secret_that_is_not_granted_is_refused_by_name() {
    let place = Place::new();
    let config = json!({"command": ["env"], "secret-environment": {"TOKEN": "token"}});
    let mut step = place.start("shell", config, json!({"command": ["*"]})).await.expect("the step starts");
    let error = step.run().await.expect_err("nothing is granted");
    assert!(matches!(&*error.kind, PluginErrorKind::Fault(_)), "{error}");
    assert!(error.to_string().contains("`token`"), "{error}");
    assert!(place.started().is_empty());
}

#[tokio::test]
async fn a_secret_as_a_file_is_asked_for_by_name_and_refused_without_a_grant() {
    let place = Place::new();
    place.set_secret("token", "s3cret");
    let config = json!({"command": ["cat"], "secret-files": {"KEY": "token"}});
    for (grant, words, reaches_the_start) in [
        (json!({"command": ["*"]}), "secret `token` is not granted", false),
        (json!({"command": ["*"], "secret": ["other"]}), "secret `token` is not granted", false),
        // Granted, it reaches those who start programs; here there is no sandbox.
        (json!({"command": ["*"], "secret": ["token"]}), "only a sandbox can show a file", true),
    ] {
        let mut step = place.start("shell", config.clone(), grant.clone()).await.expect("the step starts");
        let error = step.run().await.expect_err("there is no such file").to_string();
        assert!(error.contains(words), "{grant}: {error}");
        assert_eq!(!place.started().is_empty(), reaches_the_start, "{grant}");
    }
}

#[tokio::test]
async fn the_schema_names_the_secrets_of_a_command_and_the_plugin_can_read_none() {
    let bytes = stampmill_bundle::plugin("shell").expect("it is bundled").bytes;
    let inspection = stampmill_runtime::inspect(bytes).expect("a component");
    for table in ["secret-environment", "secret-files"] {
        let names =
            &inspection.manifest.config_schema["properties"][table]["additionalProperties"]["x-stampmill-names"];
        assert_eq!(names, "secret", "{table}");
    }
    assert!(!inspection.imports.iter().any(|import| import.contains("/secret")), "{:?}", inspection.imports);
}

#[tokio::test]
async fn silence_and_length_have_limits_and_the_whole_tree_ends() {
    let place = Place::new();
    let began = Instant::now();
    let silent = json!({"script": "echo begun; sleep 600", "silence-timeout": "300ms", "grace": "100ms"});
    assert_eq!(run(&place, silent).await, Outcome::Failure);
    assert_eq!(place.summary(), "echo begun; sleep 600: killed: no output for 0.3 s");
    assert_eq!(place.log("stdio"), "begun\n");
    let long = json!({"script": "while :; do echo tick; sleep 0.05; done", "wall-timeout": "400ms", "grace": "100ms"});
    assert_eq!(run(&place, long).await, Outcome::Failure);
    assert!(place.summary().contains("killed: it ran for 0.4 s"), "{}", place.summary());
    let deaf =
        json!({"script": "trap '' TERM; sleep 600 & wait; sleep 600", "wall-timeout": "200ms", "grace": "200ms"});
    assert_eq!(run(&place, deaf).await, Outcome::Failure);
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn output_goes_to_the_log_that_was_named_from_the_directory_that_was_named() {
    let place = Place::new();
    std::fs::create_dir(place.work().join("sub")).expect("a directory");
    let outcome = run(&place, json!({"script": "pwd; echo wrong >&2", "directory": "sub", "log": "build.log"})).await;
    assert_eq!(outcome, Outcome::Success);
    let log = place.log("build.log");
    assert!(log.contains("/work/sub\n") && log.contains("wrong\n"), "{log}");
    assert_eq!(place.log("stdio"), "");
}

#[tokio::test]
async fn a_program_that_is_not_granted_does_not_start() {
    let place = Place::new();
    let mut step =
        place.start("shell", json!({"command": ["make"]}), json!({"command": ["git"]})).await.expect("the step starts");
    let error = step.run().await.expect_err("make is not granted").to_string();
    assert!(error.contains("`make`"), "{error}");
    assert!(place.started().is_empty());
}

#[tokio::test]
async fn a_property_can_be_any_json() {
    let place = Place::new();
    let value = json!({"a": [1, 2.5, "x", {"b": null, "c": true}]});
    let config = json!({"property": "shape", "value": value});
    let mut step = place.start("set-property", config, json!({})).await.expect("the step starts");
    assert_eq!(step.run().await.expect("a result"), Outcome::Success);
    assert_eq!(place.property("shape"), Some(value));
    assert_eq!(place.summary(), r#"shape = {"a":[1,2.5,"x",{"b":null,"c":true}]}"#);
}

//! What can be typed.

use clap::{CommandFactory as _, Parser as _};
use serde_json::json;

use crate::cli::arguments::{Cli, Command, ForceArgs, Subject};
use crate::cli::asking::force_body;
use crate::cli::explaining;

fn parse(line: &str) -> Result<Command, clap::Error> {
    Cli::try_parse_from(std::iter::once("stampmill").chain(line.split_whitespace())).map(|cli| cli.command)
}

fn force(line: &str) -> ForceArgs {
    match parse(line) {
        Ok(Command::Force(args)) => args,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_of_the_design_is_there_and_has_help() {
    let command = Cli::command();
    for name in [
        "demo",
        "init",
        "up",
        "host",
        "worker",
        "check",
        "plugin",
        "change",
        "force",
        "builds",
        "log",
        "approve",
        "cancel",
        "rebuild",
        "explain",
        "reload",
        "user",
        "person",
        "token",
        "worker-token",
        "completions",
    ] {
        let found = command.find_subcommand(name).unwrap_or_else(|| panic!("no command {name}"));
        assert!(found.get_about().is_some(), "{name} says nothing about itself");
    }
    let mut command = command;
    let help = command.render_long_help().to_string();
    assert!(help.contains("Exit codes:") && help.contains("Examples:"), "{help}");
}

#[test]
fn lines_as_people_type_them_are_taken() {
    for line in [
        "demo --once",
        "init",
        "init /srv/app --branch topic",
        "up --config a.toml --data d --listen 127.0.0.1:0",
        "host",
        "worker --config w.toml",
        "check --locked",
        "plugin inspect ./x.wasm --json",
        "plugin list",
        "change --who ada --repository /r --property x:=1 a.c b.c",
        "force linux --wait --priority -5",
        "builds linux -n 5 --state open --json",
        "log linux/12 compile --follow",
        "log 12 --tail 100",
        "person show irc:ann_",
        "person update 7 --add user:ann --remove svn:aexample --name Ann",
        "person merge ann@home.example ann@example.org",
        "approve 4",
        "approve 4 --refuse",
        "cancel 12 -m no",
        "cancel --request 4",
        "rebuild linux/12 --wait",
        "explain change 7",
        "explain 7 --host http://h:1",
        "scheduler list --json",
        "scheduler disable nightly -m why",
        "scheduler enable nightly --host http://h:1",
        "pause w1 -m why",
        "drain w1 --wait",
        "resume w1",
        "reload --data d",
        "user add ada --role admin",
        "user password ada",
        "user role ada viewer",
        "token create deploy --days 30",
        "token revoke 12ab",
        "worker-token w1",
        "completions bash",
    ] {
        if let Err(error) = parse(line) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn lines_that_make_no_sense_end_with_2() {
    for line in [
        "frobnicate",
        "force",
        "cancel",
        "cancel 1 --request 2",
        "log 1 --follow --tail 5",
        "log 1 --tail 0",
        "builds -n 0",
        "builds --state half",
        "force linux --property novalue",
        "force linux --property x:={",
        "user add ada --role king",
        "token create t --days 0",
        "explain",
        "scheduler",
        "scheduler disable",
        "pause",
        "pause w1 --wait",
    ] {
        let error = parse(line).map(|command| format!("{command:?}")).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn a_forced_build_sends_what_was_said_and_nothing_else() {
    assert_eq!(force_body(&force("force linux")), json!({}));
    let line = "force linux --branch b --revision r -p version=1.10 -p jobs:=4 --priority 3 --worker w -m why";
    assert_eq!(
        force_body(&force(line)),
        json!({ "reason": "why", "priority": 3, "worker": "w", "properties": { "jobs": 4, "version": "1.10" }, "branch": "b", "revision": "r" })
    );
    assert_eq!(
        force_body(&force("force linux --codebase app --branch b")),
        json!({ "codebases": { "app": { "branch": "b", "revision": null } } })
    );
}

#[test]
fn a_token_is_not_shown_in_the_help() {
    let mut command = Cli::command();
    let force = command.find_subcommand_mut("force").unwrap();
    let help = force.render_long_help().to_string();
    assert!(help.contains("STAMPMILL_TOKEN") && !help.contains("STAMPMILL_TOKEN="), "{help}");
}

#[test]
fn what_to_explain_is_a_kind_and_an_id_or_the_id_of_a_request() {
    let subject = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        explaining::subject(&words).map(|(subject, id)| (subject, id.to_owned())).map_err(|error| error.to_string())
    };
    assert_eq!(subject(&["7"]), Ok((Subject::Request, "7".to_owned())));
    assert_eq!(subject(&["change", "7"]), Ok((Subject::Change, "7".to_owned())));
    assert_eq!(subject(&["linux/7"]), Ok((Subject::Build, "linux/7".to_owned())));
    assert!(subject(&["chagne", "7"]).unwrap_err().contains("chagne"));
    assert!(subject(&["x"]).unwrap_err().contains("explain change 7"));
}

//! What can't be done as it was typed, and how the command line teaches.

use nix::sys::signal::Signal;
use stampmill_e2e::Place;
use stampmill_e2e::command::typed;

use super::{fine, refused, stored, up};

/// What can't be done: the arguments, the exit code, and words of the sentence.
const REFUSED: &[(&[&str], i32, &[&str])] = &[
    (&["force", "linus"], 2, &["no builder `linus`", "did you mean `linux`"]),
    (&["force", "linux", "--worker", "locl"], 2, &["no worker `locl`", "`local`"]),
    (&["force", "linux", "--scheduler", "quick"], 2, &["no force scheduler `quick`", "by-hand"]),
    (&["force", "linux", "--codebase", "lib", "--branch", "main"], 2, &["lib"]),
    (&["force", "linux", "--property", "level"], 2, &["NAME=VALUE"]),
    (&["force", "linux", "--property", "level:={"], 2, &["no JSON"]),
    (&["force"], 2, &["<BUILDER>"]),
    (&["force", "--scheduler", "release"], 2, &["error: parameter `version` is missing; give one line", "`v[0-9]+`"]),
    (
        &["force", "--scheduler", "releas", "-p", "version=v1"],
        2,
        &["no force scheduler `releas`", "did you mean `release`?"],
    ),
    (
        &["force", "linux", "--scheduler", "release", "-p", "version=1.0", "-p", "upload.tries=ten", "-p", "levl=deep"],
        2,
        &[
            "3 answers can't be taken:\n",
            "  parameter `version` is `1.0`, and one line",
            "  parameter `upload.tries` is `ten`, and a whole number from 1 to 9 is expected\n",
            "  there is no parameter `levl`; there are `level`, `version`, `notes`, `upload.tries`, `upload.to`",
        ],
    ),
    (
        &["force", "--scheduler", "release", "-p", "version=v1", "-b", "topic"],
        2,
        &["the branch of codebase `app` is fixed", "`topic`"],
    ),
    (
        &["force", "--scheduler", "release", "-p", "version=v1", "-p", "upload.to:=[\"c\"]"],
        2,
        &["has `c`, and some of `a`, `b`"],
    ),
    (&["force", "linux", "--file", "notes"], 2, &["NAME=PATH"]),
    (&["force", "linux", "--file", "notes=/nowhere/x"], 2, &["`/nowhere/x` for property `notes` can't be read"]),
    (&["force", "linux", "--file", "notes=/dev/zero"], 2, &["more than 65536 bytes", "shorten it"]),
    (&["rebuild", "99"], 2, &["99"]),
    (&["rebuild", "linux/99"], 2, &["99"]),
    (&["rebuild", "linux"], 2, &["`linux` is no build", "BUILDER/NUMBER"]),
    (&["cancel", "linux/99"], 2, &["99"]),
    (&["cancel", "--request", "99"], 2, &["99"]),
    (&["cancel"], 2, &["<BUILD|--request <ID>>"]),
    (&["approve", "99"], 2, &["no request 99"]),
    (&["approve", "linux/1"], 2, &["linux/1"]),
    (&["log", "99"], 2, &["99"]),
    (&["log", "linus/1"], 2, &["linus"]),
    (&["builds", "linus"], 2, &["no builder `linus`", "did you mean `linux`"]),
    (&["builds", "--result", "great"], 2, &["great"]),
    (&["builds", "--limit", "0"], 2, &["1..=1000"]),
    (&["explain", "99"], 2, &["99"]),
    (&["explain", "change", "99"], 2, &["99"]),
    (&["explain", "weather", "1"], 2, &["`weather` can't be explained", "`change`"]),
    (&["change", "--author", "x"], 2, &["--repository"]),
    (&["change", "--author", " ", "--repository", "y"], 2, &["`author` is missing"]),
    (&["change", "--author", "x", "--repository", "y", "--branch", "a\u{7}b"], 2, &["branch", "control characters"]),
    (&["change", "--author", "x", "--repository", "y", "--property", "a\u{7}b=1"], 2, &["property name"]),
    (&["person", "show", "ann"], 2, &["nobody is known as `ann`", "stampmill person list"]),
    (&["person", "add", "Ann", "ann"], 2, &["has no kind", "email:ann@example.org"]),
    (&["person", "add", "Ann", "email:ann"], 2, &["no address"]),
    (&["person", "add", " "], 2, &["the name \" \" of a person"]),
    (&["person", "update", "7"], 2, &["--name, --add or --remove"]),
    (&["worker-token", "nobody"], 2, &["nobody"]),
    (&["builds", "--host", "ftp://ci.example"], 2, &["ftp://ci.example", "https://ci.example"]),
    (&["builds", "--host", "http://127.0.0.1:1"], 3, &["http://127.0.0.1:1", "can't be reached"]),
    (&["build"], 2, &["unrecognized subcommand", "builds"]),
];

#[tokio::test]
async fn what_can_not_be_done_ends_with_a_sentence_and_changes_nothing() -> anyhow::Result<()> {
    let place = Place::new()?;
    let (_repository, host) = up(&place).await?;
    let before = stored(&host).await?;
    for (arguments, code, words) in REFUSED {
        refused(arguments, &host.typed(arguments).await?, *code, words);
    }
    assert_eq!(stored(&host).await?, before, "something that was refused was done all the same");
    fine(&host, &["force", "linux", "--wait"]).await?;
    for (arguments, words) in [
        (&["log", "linux/1", "compile"][..], &["no step `compile`", "checkout, run"][..]),
        (&["log", "linux/1", "run", "--log", "errors"], &["no log `errors`", "stdio"]),
        (&["cancel", "linux/1"], &["1"]),
    ] {
        refused(arguments, &host.typed(arguments).await?, 2, words);
    }
    host.end(Signal::SIGTERM).await?;

    let commands: [&[&str]; 4] = [&["builds"], &["force", "linux"], &["log", "1"], &["reload"]];
    for arguments in commands {
        let said = typed(place.path(), arguments).await?;
        refused(arguments, &said, 3, &["no host answers at", "admin.sock", "stampmill up", "--host URL"]);
    }
    let elsewhere = Place::new()?;
    for arguments in [&["up"][..], &["host"], &["check"], &["worker"]] {
        let said = typed(elsewhere.path(), arguments).await?;
        assert!(said.code == 2 || said.code == 3, "{arguments:?}: {said:?}");
        assert!(said.err.contains(".toml"), "{arguments:?} does not name its file: {said:?}");
    }
    Ok(())
}

/// Every command, and a word that its help has.
const HELP: &[(&[&str], &str)] = &[
    (&[], "Exit codes:"),
    (&["demo"], "stampmill demo --once"),
    (&["init"], "stampmill init ~/src/app"),
    (&["up"], "listening on http://ADDR:PORT"),
    (&["host"], "SIGHUP"),
    (&["worker"], "--config"),
    (&["check"], "stampmill.lock"),
    (&["run"], "--dir"),
    (&["plugin"], "inspect"),
    (&["plugin", "inspect"], "stampmill plugin inspect git"),
    (&["plugin", "list"], "As JSON"),
    (&["change"], "--property urgent:=true"),
    (&["force"], "stampmill force linux --wait"),
    (&["builds"], "--state open"),
    (&["log"], "BUILDER/NUMBER"),
    (&["approve"], "stampmill approve 40 --refuse"),
    (&["cancel"], "stampmill cancel --request 40"),
    (&["rebuild"], "stampmill rebuild linux/12 --wait"),
    (&["explain"], "why request 40 waits"),
    (&["scheduler"], "enable"),
    (&["scheduler", "disable"], "stampmill scheduler disable nightly"),
    (&["pause"], "stampmill pause w1"),
    (&["drain"], "stampmill drain w1 --wait"),
    (&["resume"], "Which host:"),
    (&["reload"], "Which host:"),
    (&["user"], "password"),
    (&["user", "add"], "--role admin"),
    (&["try"], "diff -u old.c new.c | stampmill try --diff -"),
    (&["person"], "merge"),
    (&["person", "add"], "email:ann@example.org irc:ann_"),
    (&["person", "merge"], "ann@home.example"),
    (&["token"], "revoke"),
    (&["token", "create"], "STAMPMILL_TOKEN=$(stampmill token create"),
    (&["worker-token"], "> w1.token"),
    (&["completions"], "bash-completion"),
];

#[tokio::test]
async fn every_command_says_what_it_is_for_and_shells_complete_them() -> anyhow::Result<()> {
    let place = Place::new()?;
    for (command, word) in HELP {
        let arguments: Vec<&str> = command.iter().copied().chain(["--help"]).collect();
        let said = typed(place.path(), &arguments).await?;
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.out.contains(word), "{arguments:?} does not say `{word}`: {}", said.out);
    }
    // A command that is new is to be in the list above.
    let top = typed(place.path(), &["--help"]).await?.out;
    let listed = top.split("Commands:").nth(1).and_then(|rest| rest.split("\nOptions:").next()).unwrap_or_default();
    // What is indented further goes on with the line before.
    let names: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '))?.split_whitespace().next())
        .collect();
    assert!(names.len() > 15, "{names:?}");
    for name in names.iter().filter(|name| **name != "help") {
        assert!(HELP.iter().any(|(command, _)| command.first() == Some(name)), "`{name}` has no line in HELP");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = typed(place.path(), &["completions", shell]).await?;
        assert_eq!(script.code, 0, "{script:?}");
        for name in &names {
            assert!(script.out.contains(name), "{shell} does not know `{name}`");
        }
    }
    let script = typed(place.path(), &["completions", "bash"]).await?.out;
    let file = place.path().join("completions.bash");
    std::fs::write(&file, script)?;
    // A shell completes with it, as at a prompt.
    let ask = format!(
        ". {}; COMP_WORDS=(stampmill rel); COMP_CWORD=1; _stampmill stampmill rel stampmill; echo \"${{COMPREPLY[@]}}\"",
        file.display()
    );
    let completed = tokio::process::Command::new("bash").args(["--norc", "-c", &ask]).output().await?;
    assert_eq!(String::from_utf8_lossy(&completed.stdout).trim(), "reload", "{completed:?}");
    let said = typed(place.path(), &["completions", "tcsh"]).await?;
    refused(&["completions", "tcsh"], &said, 2, &["bash", "zsh"]);
    Ok(())
}

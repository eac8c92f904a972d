//! Components of strangers in a whole host: what is wrong with them is refused or ended with their name in the error, and the rest goes on.

use std::path::Path;
use std::process::{Output, Stdio};

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use stampmill_e2e::host::run;
use stampmill_e2e::{Host, Place, stampmill, stranger};
use tokio::process::{Child, Command};

/// What the guest program `step` imports.
const STEP_ASKS: [&str; 6] = ["command", "http", "secret", "workspace", "properties", "logs"];

/// What grants all of it.
const STEP_GRANT: &str = "{ command = [\"true\"], http = [\"http://127.0.0.1:1\"], secret = [\"canary\"] }";

fn items(list: &Value) -> &Vec<Value> {
    list["items"].as_array().expect("a list has items")
}

fn step() -> Vec<u8> {
    stranger(stampmill_guests::STEP, "stranger-step", "step", &STEP_ASKS)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A builder whose only step is the plugin `stranger` with this script and these limits.
fn builder(name: &str, script: &str, limits: &str, worker: &str) -> String {
    format!(
        r#"
[[job]]
name = "{name}"
[[job.step]]
name = "{name}"
plugin = "stranger"
config = "{script}"
limits = {{ {limits} }}
grant = {STEP_GRANT}
[[builder]]
name = "{name}"
job = "{name}"
workers = {{ names = ["{worker}"] }}
"#
    )
}

/// A configuration with a step of a stranger in `stranger.wasm`, and a secret that it may ask for.
fn with_step(grant: &str) -> String {
    format!(
        r#"
[plugin.stranger]
file = "stranger.wasm"
[secret.canary]
file = "canary"
[[job]]
name = "job"
[[job.step]]
plugin = "stranger"
config = "run:nothing"
grant = {grant}
[[builder]]
name = "linux"
job = "job"
[[scheduler]]
name = "by-hand"
kind = "force"
builders = ["linux"]
[[worker]]
name = "local"
"#
    )
}

async fn check(place: &Path) -> anyhow::Result<Output> {
    run(place, &["check", "--config", "stampmill.toml"]).await
}

/// What is wrong, the component, its grant, the place in the configuration, and words of what is said.
type Refused<'a> = (&'a str, &'a [u8], &'a str, &'a str, &'a [&'a str]);

#[tokio::test]
async fn a_component_that_can_not_be_used_is_refused_by_check_start_and_reload_with_its_name() -> anyhow::Result<()> {
    let place = Place::new()?;
    std::fs::write(place.path().join("canary"), "a secret")?;
    let write = |bytes: &[u8]| std::fs::write(place.path().join("stranger.wasm"), bytes);
    let reporter = stranger(stampmill_guests::REPORTER, "stranger-reporter", "reporter", &["state"]);
    let liar = stranger(stampmill_guests::REPORTER, "stranger-liar", "step", &["logs"]);
    let undeclared = stranger(stampmill_guests::STEP, "stranger-step", "step", &STEP_ASKS[1..]);
    let cases: [Refused<'_>; 6] = [
        ("no component", b"#!/bin/sh\ntouch x\n", STEP_GRANT, ":3:8", &["`stranger`", "not a WebAssembly component"]),
        ("wrong kind", &reporter, STEP_GRANT, ":9:10", &["`stranger`", "is a reporter, and a step is expected"]),
        ("another kind than it says", &liar, STEP_GRANT, ":3:8", &["`stranger`", "those of reporter"]),
        ("undeclared import", &undeclared, STEP_GRANT, ":3:8", &["`stranger`", "command"]),
        (
            "import not granted",
            &step(),
            "{ command = [\"true\"], secret = [\"canary\"] }",
            ":11:9",
            &["`stranger`", "`http`"],
        ),
        ("nothing granted", &step(), "{}", ":11:9", &["`stranger`", "`command`", "`http`", "`secret`"]),
    ];
    for (what, bytes, grant, at, words) in &cases {
        write(bytes)?;
        std::fs::write(place.path().join("stampmill.toml"), with_step(grant))?;
        let up = ["up", "--config", "stampmill.toml", "--data", "data", "--listen", "127.0.0.1:0"];
        for output in [check(place.path()).await?, run(place.path(), &up).await?] {
            let said = said(&output);
            assert_eq!(output.status.code(), Some(2), "{what}: {said}");
            assert!(said.contains(&format!("stampmill.toml{at}")), "{what}: {said}");
            for word in *words {
                assert!(said.contains(word), "{what}: {word}: {said}");
            }
        }
        assert!(!place.path().join("data").exists() && !place.path().join("stampmill.lock").exists(), "{what}");
    }

    write(&step())?;
    let host = Host::up(place.path(), &with_step(STEP_GRANT)).await?;
    for (what, bytes, grant, at, words) in &cases {
        write(bytes)?;
        std::fs::write(place.path().join("stampmill.toml"), with_step(grant))?;
        let reload = host.cli(&["reload"]).await?;
        let said = said(&reload);
        assert_eq!(reload.status.code(), Some(2), "{what}: {said}");
        // Other bytes than the pinned ones are refused for that alone, where they can be read at all.
        let pinned = said.contains("is pinned to sha256") && said.contains("`stranger`");
        assert!(pinned || words.iter().all(|word| said.contains(word)), "{what}: {said}");
        assert!(pinned || said.contains(at.trim_start_matches(':')), "{what}: {said}");
    }
    let forced = host.cli(&["force", "linux", "--wait"]).await?;
    assert!(forced.status.success(), "the old configuration and its component go on: {forced:?}");
    assert!(host.end(Signal::SIGTERM).await?.success());
    Ok(())
}

/// Attacks 1 and 10: a name stands for the bytes that it was pinned to, whatever is put in their place.
#[tokio::test]
async fn other_bytes_at_a_pinned_plugins_path_are_never_run() -> anyhow::Result<()> {
    let place = Place::new()?;
    let file = place.path().join("stranger.wasm");
    std::fs::write(place.path().join("canary"), "a secret")?;
    std::fs::write(&file, step())?;
    let host = Host::up(place.path(), &with_step(STEP_GRANT)).await?;
    let digest = async |host: &Host| -> anyhow::Result<String> {
        let plugins = host.get("/api/v1/plugins").await?;
        let plugin = items(&plugins).iter().find(|plugin| plugin["name"] == "stranger").context("it is listed")?;
        Ok(plugin["digest"].as_str().unwrap_or_default().to_owned())
    };
    let pinned = digest(&host).await?;
    let lock = std::fs::read_to_string(place.path().join("stampmill.lock"))?;
    assert!(lock.contains(&pinned), "{lock}");

    // The same name, version, kind and permissions; other bytes.
    let mut moved = step();
    moved.extend([0, 5, 4, b'e', b'v', b'i', b'l']);
    std::fs::write(&file, &moved)?;
    let refused = |what: &str, output: &Output| {
        let said = said(output);
        assert_eq!(output.status.code(), Some(2), "{what}: {said}");
        assert!(said.contains("`stranger` is pinned to sha256") && said.contains(&pinned), "{what}: {said}");
        assert!(said.contains("remove [plugin.stranger] from"), "{what}: {said}");
    };
    refused("check", &check(place.path()).await?);
    refused("reload", &host.cli(&["reload"]).await?);
    assert_eq!(digest(&host).await?, pinned);
    let forced = host.cli(&["force", "linux", "--wait"]).await?;
    assert!(forced.status.success(), "the pinned bytes go on: {forced:?}");
    assert!(host.end(Signal::SIGTERM).await?.success());

    let up = ["up", "--config", "stampmill.toml", "--data", "data", "--listen", "127.0.0.1:0"];
    refused("up", &run(place.path(), &up).await?);
    // A trusted name for it gives it nothing either: `shell` is pinned to the bytes in the binary.
    let shell = with_step(STEP_GRANT).replace(
        "plugin = \"stranger\"\nconfig = \"run:nothing\"",
        "plugin = \"shell\"\nconfig = { command = [\"true\"] }",
    );
    std::fs::write(&file, step())?;
    let host = Host::up(
        place.path(),
        &shell
            .replace("[plugin.stranger]\nfile = \"stranger.wasm\"", "")
            .replace(STEP_GRANT, "{ command = [\"true\"] }"),
    )
    .await?;
    std::fs::write(place.path().join("stampmill.toml"), shell.replace("[plugin.stranger]", "[plugin.shell]"))?;
    let renamed = host.cli(&["reload"]).await?;
    assert_eq!(renamed.status.code(), Some(2), "{renamed:?}");
    assert!(said(&renamed).contains("`shell` is pinned to sha256"), "{renamed:?}");
    assert!(host.end(Signal::SIGTERM).await?.success());
    Ok(())
}

/// A scheduler whose filter does this while it is configured.
fn with_filter(verb: &str) -> String {
    let with = with_step(STEP_GRANT)
        .replace("[plugin.stranger]", "[plugin.filtering]\nfile = \"filtering.wasm\"\n[plugin.stranger]");
    format!(
        "[[scheduler]]\nname = \"quick\"\nkind = \"any-branch\"\nbuilders = [\"linux\"]\n\
         filter = [{{ plugin = \"filtering\", config = \"configure:{verb}\", limits = {{ compute = \"500ms\" }} }}]\n{with}"
    )
}

#[tokio::test]
async fn a_filter_that_misbehaves_while_it_is_configured_is_named_by_check_start_and_reload() -> anyhow::Result<()> {
    let place = Place::new()?;
    std::fs::write(place.path().join("canary"), "a secret")?;
    std::fs::write(place.path().join("stranger.wasm"), step())?;
    std::fs::write(place.path().join("filtering.wasm"), stampmill_guests::FILTER)?;
    let configure = |verb: &str| std::fs::write(place.path().join("stampmill.toml"), with_filter(verb));
    let named = |what: &str, verb: &str, words: &str, output: &Output| {
        let said = said(output);
        assert_eq!(output.status.code(), Some(2), "{what} {verb}: {said}");
        assert!(said.contains("stampmill.toml:5:22"), "the place of the filter: {what} {verb}: {said}");
        assert!(said.contains("`c-files`") || said.contains("`filtering`"), "{what} {verb}: {said}");
        assert!(said.contains(words), "{what} {verb}: {said}");
    };
    let up = ["up", "--config", "stampmill.toml", "--data", "data", "--listen", "127.0.0.1:0"];
    for (verb, words) in [("loop", "longer than"), ("panic", "the guest's own words"), ("recurse", "call stack")] {
        configure(verb)?;
        named("check", verb, words, &check(place.path()).await?);
        named("up", verb, words, &run(place.path(), &up).await?);
    }
    configure("nothing")?;
    let host = Host::start(place.path(), "up").await?;
    for (verb, words) in [("loop", "longer than"), ("panic", "the guest's own words"), ("eat", "memory")] {
        configure(verb)?;
        named("reload", verb, words, &host.cli(&["reload"]).await?);
    }
    let forced = host.cli(&["force", "linux", "--wait"]).await?;
    assert!(forced.status.success(), "the old configuration goes on: {forced:?}");
    assert!(host.end(Signal::SIGTERM).await?.success());
    Ok(())
}

/// A second worker, so that the builds of the others have one.
async fn spare_worker(host: &Host) -> anyhow::Result<Child> {
    let token = host.cli(&["worker-token", "spare"]).await?;
    ensure!(token.status.success(), "{token:?}");
    let config = format!(
        "name = \"spare\"\nhost = {:?}\ntoken = {:?}\nstate-dir = {:?}\n[allow]\ncommand = [\"*\"]\nhttp = [\"*\"]\nsecret = [\"*\"]\n",
        host.url,
        String::from_utf8(token.stdout)?.trim(),
        host.place.join("spare-state").display().to_string(),
    );
    std::fs::write(host.place.join("spare.toml"), config)?;
    let mut command = Command::new(stampmill());
    command.args(["worker", "--config", "spare.toml"]).current_dir(&host.place).stdin(Stdio::null());
    Ok(command.kill_on_drop(true).spawn()?)
}

/// Scripts that end by themselves or by a limit, and a part of what is said then.
const BAD: [(&str, &str, &str); 5] = [
    ("loop", "loop", "its computing took longer than"),
    ("allocate", "allocate", "memory"),
    ("eat", "eat", "memory"),
    ("panic", "panic", "the guest's own words"),
    ("recurse", "recurse", "call stack exhausted"),
];

fn hostile(port: u16) -> String {
    let mut text = String::from(
        r#"
[limits]
report-attempts = 1
[plugin.stranger]
file = "stranger.wasm"
[plugin.filtering]
file = "filtering.wasm"
[plugin.polling]
file = "polling.wasm"
[plugin.reporting]
file = "reporting.wasm"
[secret.canary]
file = "canary"
[[worker]]
name = "local"
[[worker]]
name = "spare"
[[job]]
name = "good"
[[job.step]]
plugin = "shell"
config = { command = ["true"] }
grant = { command = ["true"] }
[[builder]]
name = "good"
job = "good"
workers = { names = ["spare"] }
"#,
    );
    text += &format!(
        "[[reporter]]\nname = \"hang\"\nplugin = \"webhook\"\nconfig = {{ url = \"http://127.0.0.1:{port}/\" }}\ngrant = {{ http = [\"http://127.0.0.1:{port}\"] }}\nlimits = {{ host-call = \"1s\" }}\non = [\"build-finished\"]\nbuilders = [\"good\"]\n"
    );
    let mut builders = vec!["good".to_owned()];
    for (name, verb, _) in BAD {
        text += &builder(&format!("step-{name}"), &format!("run:{verb}"), "compute = \"500ms\"", "local");
        builders.push(format!("step-{name}"));
        text += &format!(
            "[[scheduler]]\nname = \"filter-{name}\"\nkind = \"any-branch\"\nbuilders = [\"good\"]\nfilter = [{{ plugin = \"filtering\", config = \"judge:{verb}\" }}]\n"
        );
        text += &format!(
            "[[change-source]]\nname = \"source-{name}\"\nplugin = \"polling\"\nevery = \"1h\"\nconfig = \"poll:{verb}\"\nlimits = {{ compute = \"500ms\" }}\n"
        );
        text += &format!(
            "[[reporter]]\nname = \"reporter-{name}\"\nplugin = \"reporting\"\nconfig = \"report:{verb}\"\nlimits = {{ compute = \"500ms\" }}\non = [\"build-finished\"]\nbuilders = [\"good\"]\n"
        );
    }
    let hang = format!("run:http|GET|http://127.0.0.1:{port}/");
    let grant = STEP_GRANT.replace(":1\"", &format!(":{port}\""));
    text += &builder("step-hang", &hang, "host-call = \"1s\"", "local").replace(STEP_GRANT, &grant);
    text += &builder("endless", "run:loop", "compute = \"10m\"", "local");
    builders.extend(["step-hang".to_owned(), "endless".to_owned()]);
    text += &format!("[[scheduler]]\nname = \"by-hand\"\nkind = \"force\"\nbuilders = {builders:?}\n");
    text
}

#[tokio::test]
async fn a_component_that_misbehaves_is_ended_with_its_name_while_others_go_on() -> anyhow::Result<()> {
    let place = Place::new()?;
    // It accepts, by the kernel, and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
    std::fs::write(place.path().join("canary"), "a secret")?;
    let reporting = stranger(stampmill_guests::REPORTER, "stranger-reporter", "reporter", &["state"]);
    let polling = stranger(stampmill_guests::POLLER, "stranger-poller", "change-poller", &[]);
    std::fs::write(place.path().join("stranger.wasm"), step())?;
    std::fs::write(place.path().join("reporting.wasm"), reporting)?;
    std::fs::write(place.path().join("polling.wasm"), polling)?;
    std::fs::write(place.path().join("filtering.wasm"), stampmill_guests::FILTER)?;
    let host = Host::up(place.path(), &hostile(silent.local_addr()?.port())).await?;
    let _spare = spare_worker(&host).await?;

    as_steps(&host).await?;
    others_go_on_meanwhile(&host).await?;
    as_change_sources(&host).await?;
    as_filters(&host).await?;
    as_reporters(&host).await?;
    let forced = host.cli(&["force", "good", "--wait"]).await?;
    assert!(forced.status.success(), "after all of it: {forced:?}");
    assert!(host.end(Signal::SIGTERM).await?.success());
    Ok(())
}

async fn as_steps(host: &Host) -> anyhow::Result<()> {
    for (name, _, words) in BAD.into_iter().chain([("hang", "", "took too long")]) {
        let forced = host.cli(&["force", &format!("step-{name}"), "--wait"]).await?;
        ensure!(forced.status.code() == Some(4), "{name}: {forced:?}");
        let builds = host.get(&format!("/api/v1/builds?builder=step-{name}")).await?;
        let build = &items(&builds)[0];
        ensure!(build["result"] == "exception", "{name}: {build:#}");
        let log = host.text(&format!("/api/v1/builds/{}/steps/0/logs/error", build["id"])).await?;
        ensure!(log.contains("stranger") && log.contains(words), "{name}: {log}");
        let summary = build["steps"][0]["summary"].as_str().unwrap_or_default();
        ensure!(summary.contains("stranger"), "{name}: {build:#}");
    }
    Ok(())
}

/// A loop that may go on for ten minutes holds its own worker only, and ends when it is cancelled.
async fn others_go_on_meanwhile(host: &Host) -> anyhow::Result<()> {
    let asked = host.cli(&["force", "endless"]).await?;
    ensure!(asked.status.success(), "{asked:?}");
    let endless = host
        .wait_for("/api/v1/builds?builder=endless", |builds| {
            items(builds).first().filter(|build| build["steps"][0]["state"] == "running").cloned()
        })
        .await?;
    for _ in 0..3 {
        let forced = host.cli(&["force", "good", "--wait"]).await?;
        ensure!(forced.status.success(), "{forced:?}");
    }
    let path = format!("/api/v1/builds/{}", endless["id"]);
    let still = host.get(&path).await?;
    ensure!(still["state"] == "running", "{still:#}");
    let cancelled = host.cli(&["cancel", "endless/1"]).await?;
    ensure!(cancelled.status.success(), "{cancelled:?}");
    host.wait_for(&path, |build| (build["result"] == "cancelled").then_some(())).await
}

async fn as_change_sources(host: &Host) -> anyhow::Result<()> {
    for (name, _, words) in BAD {
        // This guest says no last words.
        let words = if name == "panic" { "unreachable" } else { words };
        let trouble = host
            .wait_for("/api/v1/change-sources", |sources| {
                let source = items(sources).iter().find(|source| source["name"] == format!("source-{name}"))?;
                source["trouble"].as_str().map(str::to_owned)
            })
            .await?;
        ensure!(trouble.contains("`stranger-poller`") && trouble.contains(words), "{name}: {trouble}");
    }
    Ok(())
}

async fn as_filters(host: &Host) -> anyhow::Result<()> {
    let before = items(&host.get("/api/v1/buildsets?limit=200").await?).len();
    let sent = host.cli(&["change", "main.c", "--author", "Ann", "--repository", "/r", "--branch", "main"]).await?;
    ensure!(sent.status.success(), "{sent:?}");
    let change = host
        .wait_for("/api/v1/changes", |changes| {
            items(changes).first().filter(|change| change["decided"] == true).cloned()
        })
        .await?;
    for (name, _, words) in BAD {
        let words = if name == "loop" { "longer than" } else { words };
        let decisions = change["decisions"].as_array().context("it was decided")?;
        let decision = decisions.iter().find(|decision| decision["scheduler"] == format!("filter-{name}"));
        let decision = decision.context("each scheduler decides")?;
        ensure!(decision["verdict"] == "failed", "{name}: {decision:#}");
        let reason = decision["reason"].as_str().unwrap_or_default();
        ensure!(reason.contains("`c-files`") && reason.contains(words), "{name}: {reason}");
    }
    let after = items(&host.get("/api/v1/buildsets?limit=200").await?).len();
    ensure!(before == after, "nothing is built on the word of a filter that failed");
    Ok(())
}

async fn as_reporters(host: &Host) -> anyhow::Result<()> {
    let token = host.cli(&["token", "create", "reader", "--role", "operator"]).await?;
    ensure!(token.status.success(), "{token:?}");
    let token = String::from_utf8(token.stdout)?.trim().to_owned();
    let ask = async || -> anyhow::Result<Value> {
        let url = format!("{}/api/v1/notices?limit=200", host.url);
        let answer = host.client().get(url).bearer_auth(&token).send().await?.error_for_status()?;
        Ok(answer.json().await?)
    };
    for (name, _, words) in BAD.into_iter().chain([("hang", "", "took too long")]) {
        let words = if name == "panic" { "unreachable" } else { words };
        let (reporter, plugin) = match name {
            "hang" => (name.to_owned(), "`webhook`"),
            name => (format!("reporter-{name}"), "`stranger-reporter`"),
        };
        let mut found = None;
        // Every good build so far has told them; the last of the letters comes within the limits above.
        for _ in 0..2_000 {
            let notices = ask().await?;
            found = items(&notices).iter().find(|notice| notice["reporter"] == reporter.as_str()).cloned();
            if found.is_some() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let notice = found.with_context(|| format!("no dead letter of {reporter}"))?;
        let error = notice["error"].as_str().unwrap_or_default();
        ensure!(error.contains(plugin) && error.contains(words), "{name}: {error}");
    }
    Ok(())
}

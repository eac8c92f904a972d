//! What starts builds and what they do, as a configuration file says it: times, people, several builders and workers, conditions, properties.

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use stampmill_e2e::host::stampmill;
use stampmill_e2e::{Host, Listener, Place};
use tokio::process::{Child, Command};

/// One host for all of it. `GATE` is a directory whose file `open` lets the slow build end.
const CONFIG: &str = r#"
[[scheduler]]
name = "tick"
kind = "periodic"
every = "3s"
reason = "the clock says so"
properties = { is_nightly = true }
builders = ["nightly"]
[[scheduler]]
name = "changes"
kind = "single-branch"
branch = "main"
builders = ["nightly"]
[[scheduler]]
name = "everywhere"
kind = "force"
on-every-worker = true
builders = ["sized"]
[[scheduler]]
name = "pair"
kind = "force"
builders = ["red", "slow"]
[[scheduler]]
name = "by-hand"
kind = "force"
builders = ["ordered", "props", "other"]

[[job]]
name = "nightly"
[[job.step]]
name = "long-tests"
plugin = "set-property"
when = "has(props.is_nightly) && props.is_nightly == true"
config = { property = "tested", value = "long" }
[[job.step]]
name = "short-tests"
plugin = "set-property"
config = { property = "short", value = true }
[[builder]]
name = "nightly"
job = "nightly"
isolation = "wasm-only"

[[job]]
name = "sized"
[[job.step]]
name = "make"
plugin = "shell"
config = { command = ["echo", "make", "-j${{ props.cores }}", "on ${{ props.workername }}"] }
grant = { command = ["echo"] }
[[builder]]
name = "sized"
job = "sized"

[[job]]
name = "red"
[[job.step]]
plugin = "shell"
config = { command = ["false"] }
grant = { command = ["false"] }
[[builder]]
name = "red"
job = "red"
[[job]]
name = "slow"
[[job.step]]
plugin = "shell"
config = { script = "while ! test -e GATE/open; do sleep 0.1; done" }
grant = { command = ["/bin/sh"], read = ["GATE"] }
[[builder]]
name = "slow"
job = "slow"
[[reporter]]
name = "told"
plugin = "webhook"
config = { url = "ORIGIN/report" }
grant = { http = ["ORIGIN"] }
on = ["first-failure", "buildset-finished"]
builders = ["red", "slow"]

[[job]]
name = "ordered"
[[job.step]]
name = "wanted"
plugin = "shell"
when = "props.wanted == true"
config = { command = ["true"] }
grant = { command = ["true"] }
[[job.step]]
name = "soft"
plugin = "shell"
halt-on-failure = false
flunk-on-failure = false
config = { command = ["false"] }
grant = { command = ["false"] }
[[job.step]]
name = "goes-on"
plugin = "shell"
config = { command = ["true"] }
grant = { command = ["true"] }
[[job.step]]
name = "hard"
plugin = "shell"
when = "props.broken == true"
halt-on-failure = true
config = { command = ["false"] }
grant = { command = ["false"] }
[[job.step]]
name = "after"
plugin = "shell"
config = { command = ["true"] }
grant = { command = ["true"] }
[[job.step]]
name = "tidy-up"
plugin = "shell"
always-run = true
config = { command = ["echo", "tidied"] }
grant = { command = ["echo"] }
[[builder]]
name = "ordered"
job = "ordered"

[[job]]
name = "props"
[[job.step]]
name = "set"
plugin = "set-property"
config = { property = "x", value = 1 }
[[job.step]]
name = "copy"
plugin = "set-property"
config = { property = "copy", value = "${{ props.tree }}" }
[[job.step]]
name = "written"
plugin = "set-property"
config = { property = "written", value = { a = [1, 2.5, "x", { c = true }] } }
[[job.step]]
name = "see"
plugin = "shell"
config = { command = ["echo", "x is ${{ props.x }}, second is ${{ props.copy.a[1] }}"] }
grant = { command = ["echo"] }
[[builder]]
name = "props"
job = "props"
[[job]]
name = "other"
[[job.step]]
name = "see"
plugin = "shell"
config = { command = ["echo", "x is ${{ has(props.x) ? 'there' : 'nowhere' }}"] }
grant = { command = ["echo"] }
[[builder]]
name = "other"
job = "other"

[[worker]]
name = "local"
properties = { cores = 8 }
[[worker]]
name = "second"
properties = { cores = 2 }
"#;

fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

/// The second worker, as a process of its own.
async fn second_worker(host: &Host) -> anyhow::Result<Child> {
    let token = host.typed(&["worker-token", "second"]).await?;
    ensure!(token.code == 0, "{token:?}");
    let config = format!(
        "name = \"second\"\nhost = {:?}\ntoken = {:?}\nstate-dir = {:?}\n[allow]\ncommand = [\"*\"]\nread = [\"*\"]\n",
        host.url,
        token.line(),
        host.place.join("second-state").display().to_string(),
    );
    std::fs::write(host.place.join("second.toml"), config)?;
    let mut command = Command::new(stampmill());
    command.args(["worker", "--config", "second.toml"]).current_dir(&host.place).stdin(Stdio::null());
    let child = command.kill_on_drop(true).spawn()?;
    host.wait_for("/api/v1/workers", |workers| {
        items(workers).iter().all(|worker| worker["state"] == "connected").then_some(())
    })
    .await?;
    Ok(child)
}

/// Forces a builder with properties and waits; answers its newest build.
async fn forced(host: &Host, builder: &str, properties: &[&str], code: i32) -> anyhow::Result<Value> {
    let mut arguments = vec!["force", builder, "--wait"];
    for property in properties {
        arguments.extend(["--property", property]);
    }
    let said = host.typed(&arguments).await?;
    ensure!(said.code == code, "{arguments:?}: {said:?}");
    let builds = host.get(&format!("/api/v1/builds?builder={builder}&limit=1")).await?;
    items(&builds).first().cloned().context("it was built")
}

fn results(build: &Value) -> Vec<(&str, &str)> {
    let steps = build["steps"].as_array().map_or(&[][..], Vec::as_slice);
    steps.iter().map(|step| (step["name"].as_str().unwrap_or("?"), step["result"].as_str().unwrap_or("none"))).collect()
}

async fn log_of(host: &Host, build: &Value, step: u32) -> anyhow::Result<String> {
    host.text(&format!("/api/v1/builds/{}/steps/{step}/logs/stdio", build["id"])).await
}

#[tokio::test]
async fn a11_01_a11_02_a11_03_a11_04_a11_08_a11_09_builds_are_made_and_led_as_the_configuration_says()
-> anyhow::Result<()> {
    let place = Place::new()?;
    let gate = place.path().join("gate");
    std::fs::create_dir(&gate)?;
    let mut listener = Listener::start().await?;
    let config = CONFIG.replace("GATE", gate.to_str().context("a path is text")?);
    let config = config.replace("ORIGIN", listener.url.trim_end_matches("/report"));
    let host = Host::up(place.path(), &config).await?;
    let _second = second_worker(&host).await?;

    the_clock_builds(&host).await?;
    every_worker_builds(&host).await?;
    steps_are_led_by_conditions_and_failures(&host).await?;
    properties_go_through_unchanged(&host).await?;
    the_first_failure_is_told_at_once(&host, &mut listener, &gate).await?;
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

/// The periodic scheduler fires at once and again, with its property; a change builds the same without it.
async fn the_clock_builds(host: &Host) -> anyhow::Result<()> {
    let ticks = host
        .wait_for("/api/v1/builds?builder=nightly&state=finished", |builds| {
            let builds: Vec<Value> = items(builds).to_vec();
            (builds.len() >= 2).then_some(builds)
        })
        .await?;
    for build in &ticks {
        ensure!(results(build) == [("long-tests", "success"), ("short-tests", "success")], "{build:#}");
        ensure!(build["properties"]["is_nightly"] == json!({ "value": true, "source": "Scheduler" }), "{build:#}");
        let set = host.get(&format!("/api/v1/buildsets/{}", build["buildset"])).await?;
        ensure!(set["scheduler"] == "tick" && set["reason"] == "the clock says so", "{set:#}");
    }
    let sent = host
        .typed(&["change", "--author", "Ann", "--repository", "/r", "--branch", "main", "--revision", "abc123"])
        .await?;
    ensure!(sent.code == 0, "{sent:?}");
    let build = host.finished_build_of("abc123").await?;
    ensure!(results(&build) == [("long-tests", "skipped"), ("short-tests", "success")], "{build:#}");
    ensure!(build["properties"]["is_nightly"].is_null() && build["properties"]["tested"].is_null(), "{build:#}");
    ensure!(build["properties"]["short"]["value"] == true, "{build:#}");
    Ok(())
}

async fn every_worker_builds(host: &Host) -> anyhow::Result<()> {
    let said = host.typed(&["force", "sized", "--wait"]).await?;
    ensure!(said.code == 0, "{said:?}");
    let builds = host.get("/api/v1/builds?builder=sized").await?;
    ensure!(items(&builds).len() == 2, "one build on each worker: {builds:#}");
    let mut seen = Vec::new();
    for build in items(&builds) {
        let worker = build["worker"].as_str().unwrap_or_default();
        ensure!(build["properties"]["workername"] == json!({ "value": worker, "source": "Build" }), "{build:#}");
        ensure!(build["properties"]["cores"]["source"] == "Worker", "{build:#}");
        seen.push(log_of(host, build, 0).await?);
    }
    seen.sort_unstable();
    ensure!(seen == ["make -j2 on second\n", "make -j8 on local\n"], "{seen:?}");
    Ok(())
}

async fn steps_are_led_by_conditions_and_failures(host: &Host) -> anyhow::Result<()> {
    let build = forced(host, "ordered", &["wanted:=true", "broken:=false"], 0).await?;
    let all = [
        ("wanted", "success"),
        ("soft", "failure"),
        ("goes-on", "success"),
        ("hard", "skipped"),
        ("after", "success"),
        ("tidy-up", "success"),
    ];
    ensure!(results(&build) == all && build["result"] == "warnings", "{build:#}");
    let build = forced(host, "ordered", &["wanted:=false", "broken:=true"], 1).await?;
    let some = [
        ("wanted", "skipped"),
        ("soft", "failure"),
        ("goes-on", "success"),
        ("hard", "failure"),
        ("after", "skipped"),
        ("tidy-up", "success"),
    ];
    ensure!(results(&build) == some && build["result"] == "failure", "{build:#}");
    ensure!(build["steps"][4]["logs"] == json!([]), "it never ran: {build:#}");
    ensure!(log_of(host, &build, 5).await? == "tidied\n");
    Ok(())
}

async fn properties_go_through_unchanged(host: &Host) -> anyhow::Result<()> {
    let tree = json!({ "a": [1, 2.5, "x", { "b": null, "c": true }] });
    let build = forced(host, "props", &[&format!("tree:={tree}")], 0).await?;
    let properties = &build["properties"];
    ensure!(properties["tree"] == json!({ "value": tree, "source": "Force" }), "{properties:#}");
    ensure!(properties["copy"] == json!({ "value": tree, "source": "Step copy" }), "{properties:#}");
    let written = json!({ "a": [1, 2.5, "x", { "c": true }] });
    ensure!(properties["written"]["value"] == written, "{properties:#}");
    ensure!(properties["x"] == json!({ "value": 1, "source": "Step set" }), "{properties:#}");
    let text = host.text(&format!("/api/v1/builds/{}", build["id"])).await?;
    ensure!(text.contains("[1,2.5,\"x\",{\"b\":null,\"c\":true}]"), "to the letter: {text}");
    let log = log_of(host, &build, 3).await?;
    ensure!(log == "x is 1, second is 2.5\n", "{log}");
    let build = forced(host, "other", &[], 0).await?;
    ensure!(build["properties"]["x"].is_null(), "{build:#}");
    ensure!(log_of(host, &build, 0).await? == "x is nowhere\n");
    Ok(())
}

/// Of two builders one fails and the other can't end before the test has heard of it.
async fn the_first_failure_is_told_at_once(
    host: &Host,
    listener: &mut Listener,
    gate: &std::path::Path,
) -> anyhow::Result<()> {
    let token = host.token("forcing", "developer").await?;
    let url = format!("{}/api/v1/schedulers/pair/force", host.url);
    let made = host.client().post(url).bearer_auth(token).json(&json!({})).send().await?.error_for_status()?;
    let made: Value = made.json().await?;
    ensure!(made["requests"].as_array().map(Vec::len) == Some(2), "{made:#}");
    let first = listener.next().await?;
    ensure!(first["event"] == "first-failure", "{first:#}");
    let path = format!("/api/v1/buildsets/{}", made["buildset"]);
    let set = host.get(&path).await?;
    ensure!(set["state"] == "open" && set["will_fail"] == true, "{set:#}");
    std::fs::write(gate.join("open"), "")?;
    let last = listener.next().await?;
    ensure!(last["event"] == "buildset-finished" && last["buildset"]["result"] == "failure", "told once: {last:#}");
    let set = host.get(&path).await?;
    ensure!(set["state"] == "finished" && set["result"] == "failure", "{set:#}");
    let slow = host.get("/api/v1/builds?builder=slow").await?;
    ensure!(items(&slow)[0]["result"] == "success", "{slow:#}");
    Ok(())
}

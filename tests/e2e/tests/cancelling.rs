//! What rules cancel, and what they try again: the reason is told wherever one looks.

use std::path::Path;

use anyhow::ensure;
use nix::sys::signal::Signal;
use serde_json::Value;
use stampmill_e2e::{Host, Place};

fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

/// A worker with room for so many builds, and a builder for each script.
fn builders(max_builds: u32, gate: &Path, scripts: &[(&str, &str)]) -> String {
    let mut text = format!("[[worker]]\nname = \"local\"\nmax-builds = {max_builds}\n");
    for (name, script) in scripts {
        let (gate, script) = (gate.display(), script.replace("GATE", &gate.display().to_string()));
        text += &format!(
            r#"
[[job]]
name = "{name}"
[[job.step]]
name = "run"
plugin = "shell"
config = {{ script = "{script}" }}
grant = {{ command = ["/bin/sh"], read = ["{gate}"] }}
[[builder]]
name = "{name}"
job = "{name}"
"#
        );
    }
    text
}

async fn send(host: &Host, branch: &str, revision: &str) -> anyhow::Result<()> {
    let change = ["change", "--author", "Ann", "--repository", "/r", "--branch", branch, "--revision", revision];
    let said = host.typed(&change).await?;
    ensure!(said.code == 0, "{said:?}");
    Ok(())
}

#[tokio::test]
async fn a_newer_commit_of_the_branch_ends_what_is_built_of_the_older_and_says_so() -> anyhow::Result<()> {
    let place = Place::new()?;
    let gate = place.path().join("gate");
    std::fs::create_dir(&gate)?;
    let wait = "while ! test -e GATE/open; do sleep 0.1; done";
    let mut text = builders(1, &gate, &[("one", wait), ("two", wait)]);
    text += r#"
[[scheduler]]
name = "quick"
kind = "any-branch"
cancel-superseded = true
builders = ["one", "two"]
"#;
    let host = Host::up(place.path(), &text).await?;
    send(&host, "main", "r1").await?;
    let running = |builds: &Value| (items(builds).first()?["state"] == "running").then_some(());
    host.wait_for("/api/v1/builds?builder=one", running).await?;
    send(&host, "dev", "d1").await?;
    send(&host, "main", "r2").await?;

    let first = host.wait_for("/api/v1/buildsets/1", |set| (set["state"] == "finished").then(|| set.clone())).await?;
    ensure!(first["result"] == "cancelled", "{first:#}");
    let why = "superseded by buildset 3";
    let build = host.get("/api/v1/builds/1").await?;
    ensure!(
        build["result"] == "cancelled" && build["summary"].as_str().is_some_and(|it| it.contains(why)),
        "{build:#}"
    );
    let request = host.get("/api/v1/requests/2").await?;
    ensure!(request["result"] == "cancelled" && request["reason"] == why && request["build"].is_null(), "{request:#}");
    for request in ["1", "2"] {
        let said = host.typed(&["explain", "request", request]).await?;
        ensure!(said.code == 0 && said.out.contains(why), "{said:?}");
    }
    let page = host.text("/buildsets/1").await?;
    ensure!(page.contains("superseded by buildset 3"), "{page}");

    std::fs::write(gate.join("open"), "")?;
    for set in [2, 3] {
        let set = host
            .wait_for(&format!("/api/v1/buildsets/{set}"), |set| (set["state"] == "finished").then(|| set.clone()))
            .await?;
        ensure!(set["result"] == "success", "{set:#}");
    }
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

#[tokio::test]
async fn the_first_failure_of_a_buildset_ends_the_rest_of_it_where_the_scheduler_says_so() -> anyhow::Result<()> {
    let place = Place::new()?;
    let gate = place.path().join("gate");
    std::fs::create_dir(&gate)?;
    let wait = "while ! test -e GATE/open; do sleep 0.1; done";
    let scripts = [("quick", "exit 1"), ("slow", wait)];
    let mut text = builders(1, &gate, &scripts);
    for (scheduler, cancels) in [("all", true), ("each", false)] {
        text += &format!(
            "[[scheduler]]\nname = \"{scheduler}\"\nkind = \"single-branch\"\nbranch = \"{scheduler}\"\ncancel-on-failure = {cancels}\nbuilders = [\"quick\", \"slow\"]\n"
        );
    }
    let host = Host::up(place.path(), &text).await?;
    send(&host, "all", "r1").await?;
    let set = host.wait_for("/api/v1/buildsets/1", |set| (set["state"] == "finished").then(|| set.clone())).await?;
    ensure!(set["result"] == "failure", "{set:#}");
    let why = "builder `quick` ended with failure in this buildset";
    let slow = host.get("/api/v1/requests/2").await?;
    ensure!(slow["result"] == "cancelled" && slow["reason"] == why && slow["attempts"] == 0, "{slow:#}");
    let said = host.typed(&["explain", "request", "2"]).await?;
    ensure!(said.code == 0 && said.out.contains(why), "{said:?}");
    // Another scheduler wants to know of each.
    send(&host, "each", "r1").await?;
    std::fs::write(gate.join("open"), "")?;
    let finished = |set: &Value| (set["state"] == "finished").then_some(());
    host.wait_for("/api/v1/buildsets/2", finished).await?;
    let slow = host.get("/api/v1/requests/4").await?;
    ensure!(slow["result"] == "success", "{slow:#}");
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

#[tokio::test]
async fn a_build_is_tried_again_for_the_causes_that_its_builder_lists_and_each_try_says_its_own() -> anyhow::Result<()>
{
    let place = Place::new()?;
    let gate = place.path().join("gate");
    std::fs::create_dir(&gate)?;
    let scripts = [("busy", "exit 75"), ("killed", "kill -9 $$"), ("broken", "exit 1")];
    let mut text = builders(1, &gate, &scripts);
    text = text.replace("job = \"", "retry = { on = [\"exit-code 75\", \"signal\"], attempts = 2 }\njob = \"");
    text += "[[scheduler]]\nname = \"all\"\nkind = \"any-branch\"\nbuilders = [\"busy\", \"killed\", \"broken\"]\n";
    let host = Host::up(place.path(), &text).await?;
    send(&host, "main", "r1").await?;
    let set = host.wait_for("/api/v1/buildsets/1", |set| (set["state"] == "finished").then(|| set.clone())).await?;
    ensure!(set["result"] == "failure", "{set:#}");
    let first = |cause: &str| format!("tried again for {cause}, 1 of 2 tries are used up");
    let last = |cause: &str| format!("given up: {cause}, and all 2 tries are used up");
    for (builder, ends) in [
        ("busy", vec![("retry", first("exit code 75")), ("failure", last("exit code 75"))]),
        ("killed", vec![("retry", first("signal 9")), ("failure", last("signal 9"))]),
        ("broken", vec![("failure", "exit 1".to_owned())]),
    ] {
        let builds = host.get(&format!("/api/v1/builds?builder={builder}")).await?;
        let builds: Vec<_> = items(&builds).iter().rev().collect();
        ensure!(builds.len() == ends.len(), "{builds:#?}");
        for ((n, build), (result, says)) in (1..).zip(builds).zip(ends) {
            let holds = build["result"] == result && build["attempt"] == n;
            ensure!(holds && build["summary"].as_str().is_some_and(|it| it.contains(&says)), "{says}: {build:#}");
        }
    }
    let said = host.typed(&["explain", "request", "1"]).await?;
    ensure!(said.code == 0 && said.out.contains(&last("exit code 75")), "{said:?}");
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

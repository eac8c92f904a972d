//! Builds at times of the clock, and builds that follow others.

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use stampmill_e2e::{Clock, Host, Place};

/// `night` at half past two in Berlin, `full` on two builders after `quick`, `pack` after `full`.
const CONFIG: &str = r#"
[[scheduler]]
name = "night"
kind = "nightly"
at = "30 2 * * *"
time-zone = "Europe/Berlin"
properties = { is_nightly = true }
builders = ["night"]
[[scheduler]]
name = "quick"
kind = "single-branch"
branch = "main"
builders = ["quick"]
[[scheduler]]
name = "full"
kind = "dependent"
upstream = "quick"
builders = ["one", "two"]
[[scheduler]]
name = "pack"
kind = "dependent"
upstream = "full"
builders = ["pack"]

[[job]]
name = "test"
[[job.step]]
name = "test"
plugin = "shell"
config = { command = ["test", "${{ props.revision }}", "!=", "bad"] }
grant = { command = ["test"] }
[[job]]
name = "night"
[[job.step]]
name = "ask"
plugin = "set-property"
when = "props.is_nightly == true"
config = { property = "asked", value = true }
[[builder]]
name = "night"
job = "night"
isolation = "wasm-only"
[[builder]]
name = "quick"
job = "test"
[[builder]]
name = "one"
job = "test"
[[builder]]
name = "two"
job = "test"
[[builder]]
name = "pack"
job = "test"
[[worker]]
name = "local"
"#;

fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

/// The buildsets as `scheduler after parent: result`, oldest first.
async fn sets(host: &Host) -> anyhow::Result<Vec<String>> {
    let list = host.get("/api/v1/buildsets").await?;
    let line = |set: &Value| {
        let after = set["dependent_on"].as_u64().map_or(String::new(), |after| format!(" after {after}"));
        let word = |key: &str| set[key].as_str().unwrap_or("none").to_owned();
        format!("{}{after}: {}", word("scheduler"), word("result"))
    };
    Ok(items(&list).iter().rev().map(line).collect())
}

async fn send(host: &Host, revision: &str) -> anyhow::Result<()> {
    let change = ["change", "--author", "Ann", "--repository", "/r", "--branch", "main", "--revision", revision];
    let said = host.typed(&change).await?;
    ensure!(said.code == 0, "{said:?}");
    Ok(())
}

#[tokio::test]
async fn a5_06_what_has_passed_is_followed_with_the_same_revision_and_what_has_failed_is_not() -> anyhow::Result<()> {
    let place = Place::new()?;
    let host = Host::up(place.path(), CONFIG).await?;
    send(&host, "good").await?;
    host.wait_for("/api/v1/builds?builder=pack&state=finished", |builds| (items(builds).len() == 1).then_some(()))
        .await?;
    ensure!(sets(&host).await? == ["quick: success", "full after 1: success", "pack after 2: success"]);
    for builder in ["one", "two", "pack"] {
        let builds = host.get(&format!("/api/v1/builds?builder={builder}")).await?;
        ensure!(items(&builds)[0]["source_stamps"][0]["revision"] == "good", "{builds:#}");
        ensure!(items(&builds)[0]["blamelist"][0] == "Ann", "{builds:#}");
    }
    let pack = host.get("/api/v1/builds?builder=pack").await?;
    let said = host.typed(&["explain", "build", &items(&pack)[0]["id"].to_string()]).await?;
    ensure!(said.out.contains("scheduler `pack`, as buildset 2 had passed"), "{said:?}");
    send(&host, "bad").await?;
    host.wait_for("/api/v1/builds?builder=quick&state=finished", |builds| (items(builds).len() == 2).then_some(()))
        .await?;
    ensure!(sets(&host).await?[3..] == ["quick: failure"]);
    ensure!(host.end(Signal::SIGTERM).await?.success());
    Ok(())
}

#[tokio::test]
async fn a5_08_the_night_in_which_clocks_are_put_forward_has_its_build_too() -> anyhow::Result<()> {
    let place = Place::new()?;
    let Some(clock) = Clock::new(place.path())? else { return Ok(()) };
    std::fs::write(place.path().join("stampmill.toml"), CONFIG)?;
    let three_in_berlin = 1_806_195_600;
    clock.set(three_in_berlin - 3600)?;
    let host = Host::start_in(place.path(), ("up", "127.0.0.1:0"), &clock.environment()).await?;
    // A second ago it was two o'clock. The host hears of the clock with whatever happens next.
    clock.set(three_in_berlin)?;
    send(&host, "good").await?;
    let build =
        host.wait_for("/api/v1/builds?builder=night&state=finished", |builds| items(builds).first().cloned()).await?;
    ensure!(build["properties"]["is_nightly"]["value"] == true && build["properties"]["asked"]["value"] == true);
    let at = build["started_at"].as_str().context("it has started")?;
    ensure!(at.starts_with("2027-03-28T01:0"), "{at}");
    ensure!(host.end(Signal::SIGTERM).await?.success());
    Ok(())
}

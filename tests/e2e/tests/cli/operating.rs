//! What operators switch while a host runs.

use anyhow::Context as _;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use stampmill_e2e::command::typed;
use stampmill_e2e::{Host, Place};

use super::{fine, refused, stored, up};

/// One scheduler of the list.
async fn scheduler(host: &Host, name: &str) -> anyhow::Result<Value> {
    let list = fine(host, &["scheduler", "list", "--json"]).await?.json()?;
    let found = list["items"].as_array().into_iter().flatten().find(|it| it["name"] == name);
    found.cloned().with_context(|| format!("{name} is in {list:#}"))
}

#[tokio::test]
async fn a_scheduler_that_is_disabled_builds_nothing_across_a_restart_until_it_is_enabled() -> anyhow::Result<()> {
    let place = Place::new()?;
    let (repository, host) = up(&place).await?;
    let address = repository.bare.to_str().context("a path is text")?;
    let change = ["change", "--author", "cy", "--repository", address, "--branch", "main", "a.c"];
    let decided = |change: &Value| change["decided"].as_bool().filter(|decided| *decided);

    let elsewhere = Place::new()?;
    let developer = format!("--token={}", host.token("dev", "developer").await?);
    let disable = ["scheduler", "disable", "quick", "--reason", "the compiler is broken"];
    let from_afar = [&disable[..], &["--host", &host.url, &developer]].concat();
    let said = typed(elsewhere.path(), &from_afar).await?;
    refused(&disable, &said, 2, &["dev is a developer", "needs the role operator"]);
    assert_eq!(scheduler(&host, "quick").await?["disabled"], Value::Null);
    refused(&disable, &host.typed(&["scheduler", "disable", "quikc"]).await?, 2, &["did you mean `quick`?"]);

    fine(&host, &disable).await?;
    let list = fine(&host, &["scheduler", "list"]).await?;
    assert!(list.out.contains("disabled by administrator: the compiler is broken"), "{list:?}");
    fine(&host, &change).await?;
    host.wait_for("/api/v1/changes/1", decided).await?;
    let said = fine(&host, &["explain", "change", "1"]).await?;
    assert!(said.out.contains("disabled by administrator: the compiler is broken"), "{said:?}");
    fine(&host, &["scheduler", "disable", "by-hand"]).await?;
    let before = stored(&host).await?;
    let force = ["force", "linux", "--scheduler", "by-hand"];
    refused(&force, &host.typed(&force).await?, 2, &["`by-hand` is disabled", "stampmill scheduler enable by-hand"]);
    assert_eq!(stored(&host).await?, before);

    fine(&host, &["reload"]).await?;
    host.end(Signal::SIGKILL).await?;
    let host = Host::start(place.path(), "up").await?;
    let halt = scheduler(&host, "quick").await?["disabled"].clone();
    assert_eq!((&halt["by"], &halt["reason"]), (&json!("administrator"), &json!("the compiler is broken")));
    fine(&host, &change).await?;
    host.wait_for("/api/v1/changes/2", decided).await?;
    assert_eq!(host.get("/api/v1/buildsets").await?["items"], json!([]));

    for name in ["quick", "by-hand"] {
        fine(&host, &["scheduler", "enable", name]).await?;
    }
    assert_eq!(scheduler(&host, "quick").await?["disabled"], Value::Null);
    fine(&host, &change).await?;
    host.wait_for("/api/v1/buildsets", |sets| {
        (sets["items"][0]["scheduler"] == "quick" && sets["items"].as_array()?.len() == 1).then_some(())
    })
    .await?;
    assert_eq!(fine(&host, &["force", "linux", "--wait"]).await?.code, 0);
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

/// A worker of the host's list.
async fn worker(host: &Host, name: &str) -> anyhow::Result<Value> {
    let list = host.get("/api/v1/workers").await?;
    let found = list["items"].as_array().into_iter().flatten().find(|it| it["name"] == name);
    found.cloned().with_context(|| format!("{name} is in {list:#}"))
}

#[tokio::test]
async fn a_paused_worker_finishes_its_build_and_gets_no_other_across_a_restart_until_it_is_resumed()
-> anyhow::Result<()> {
    let place = Place::new()?;
    let (_repository, host) = up(&place).await?;
    fine(&host, &["force", "slow"]).await?;
    host.wait_for("/api/v1/builds/1", |build| (build["state"] == "running").then_some(())).await?;

    let elsewhere = Place::new()?;
    let developer = format!("--token={}", host.token("dev", "developer").await?);
    let pause = ["pause", "local", "--reason", "a new disk"];
    let said = typed(elsewhere.path(), &[&pause[..], &["--host", &host.url, &developer]].concat()).await?;
    refused(&pause, &said, 2, &["dev is a developer", "needs the role operator"]);
    refused(&pause, &host.typed(&["pause", "locla"]).await?, 2, &["did you mean `local`?"]);
    assert_eq!(worker(&host, "local").await?["paused"], Value::Null);

    let said = fine(&host, &pause).await?;
    assert_eq!(said.line(), "worker local is paused and finishes slow/1");
    fine(&host, &["force", "linux"]).await?;
    let said = fine(&host, &["explain", "2"]).await?;
    assert!(said.out.contains("worker `local` is paused by administrator: a new disk"), "{said:?}");
    let said = fine(&host, &["drain", "local", "--wait", "--reason", "a new disk"]).await?;
    assert!(said.out.ends_with("worker local is paused and empty: it can be ended\n"), "{said:?}");
    let build = host.get("/api/v1/builds/1").await?;
    assert_eq!((&build["state"], &build["result"]), (&json!("finished"), &json!("success")), "{build:#}");

    host.end(Signal::SIGKILL).await?;
    let host = Host::start(place.path(), "up").await?;
    host.wait_for("/api/v1/workers", |workers| (workers["items"][0]["state"] == "connected").then_some(())).await?;
    let halt = worker(&host, "local").await?["paused"].clone();
    assert_eq!((&halt["by"], &halt["reason"]), (&json!("administrator"), &json!("a new disk")));
    assert_eq!(host.get("/api/v1/requests/2").await?["state"], "pending");
    assert!(host.text("/workers").await?.contains("Paused by administrator: a new disk"));

    fine(&host, &["resume", "local"]).await?;
    host.wait_for("/api/v1/requests/2", |request| (request["result"] == "success").then_some(())).await?;
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

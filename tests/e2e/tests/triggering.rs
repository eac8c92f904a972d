//! Builds that start builds: a step triggers a scheduler, and waits for it or not.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use stampmill_e2e::{Host, Place, command};

/// `app` triggers `docs`, then `deploy`, for which it waits; `site` of that builds as long as the file `open` is not there.
fn config(gate: &Path) -> String {
    let gate = gate.display();
    format!(
        r#"
[[scheduler]]
name = "by-hand"
kind = "force"
builders = ["app", "lone"]
[[scheduler]]
name = "deploy"
kind = "triggerable"
builders = ["site"]
[[scheduler]]
name = "docs"
kind = "triggerable"
builders = ["html"]
[[job]]
name = "app"
[[job.step]]
name = "name"
plugin = "set-property"
config = {{ property = "tarball", value = "app-1.tar.gz" }}
[[job.step]]
name = "docs"
plugin = "trigger"
config = {{ schedulers = ["docs"] }}
grant = {{ trigger = ["docs"] }}
[[job.step]]
name = "deploy"
plugin = "trigger"
config = {{ schedulers = ["deploy"], wait = true, set = {{ target = "staging" }}, copy = ["tarball"] }}
grant = {{ trigger = ["deploy"] }}
[[job]]
name = "site"
[[job.step]]
name = "deploy"
plugin = "shell"
config = {{ environment = {{ WHAT = "${{{{ props.tarball }}}} to ${{{{ props.target }}}}" }}, script = '''
until test -e {gate}/open; do sleep 0.05; done
echo "$WHAT"
''' }}
grant = {{ command = ["/bin/sh"], read = ["{gate}"] }}
[[job]]
name = "html"
[[job.step]]
name = "say"
plugin = "set-property"
config = {{ property = "made", value = true }}
[[job]]
name = "lone"
[[job.step]]
name = "docs"
plugin = "trigger"
config = {{ schedulers = ["docs"] }}
grant = {{ trigger = ["docs"] }}
[[builder]]
name = "app"
job = "app"
[[builder]]
name = "site"
job = "site"
[[builder]]
name = "html"
job = "html"
[[builder]]
name = "lone"
job = "lone"
[[worker]]
name = "local"
"#
    )
}

fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

async fn started(place: &Place) -> anyhow::Result<(Host, PathBuf)> {
    let gate = place.path().join("gate");
    std::fs::create_dir(&gate)?;
    let host = Host::up(place.path(), &config(&gate)).await?;
    let said = host.typed(&["force", "app"]).await?;
    ensure!(said.code == 0, "{said:?}");
    Ok((host, gate))
}

/// The build of `site`, once its step runs.
async fn deploying(host: &Host) -> anyhow::Result<Value> {
    let running = |build: &&Value| build["steps"][0]["state"] == "running";
    host.wait_for("/api/v1/builds?builder=site", |builds| items(builds).first().filter(running).cloned()).await
}

async fn finished(host: &Host, builder: &str) -> anyhow::Result<Value> {
    let path = format!("/api/v1/builds?builder={builder}&state=finished");
    host.wait_for(&path, |builds| items(builds).first().cloned()).await
}

#[tokio::test]
async fn a5_09_a_step_triggers_a_scheduler_and_waits_for_it_across_a_host_that_is_killed() -> anyhow::Result<()> {
    let place = Place::new()?;
    let (host, gate) = started(&place).await?;
    deploying(&host).await?;
    host.end(Signal::SIGKILL).await?;
    let host = Host::start(place.path(), "up").await?;
    std::fs::write(gate.join("open"), "")?;
    let app = finished(&host, "app").await?;
    ensure!(app["result"] == "success", "{app:#}");
    let triggers = app["triggers"].as_array().context("a list")?;
    let shown = |trigger: &Value| {
        let word = |key: &str| trigger[key].as_str().unwrap_or("-").to_owned();
        format!("{} {} detached {}", word("scheduler"), word("result"), trigger["detached"])
    };
    ensure!(triggers.len() == 2 && shown(&triggers[1]) == "deploy success detached false", "{triggers:#?}");
    ensure!(triggers[0]["scheduler"] == "docs" && triggers[0]["detached"] == true, "{triggers:#?}");
    let summary = app["steps"][2]["summary"].as_str().context("a line")?;
    ensure!(summary.starts_with("deploy (buildset ") && summary.ends_with("): success"), "{summary}");

    let sets = host.get("/api/v1/buildsets").await?;
    ensure!(items(&sets).len() == 3, "each once: {sets:#}");
    let set = host.get(&format!("/api/v1/buildsets/{}", triggers[1]["buildset"])).await?;
    ensure!(set["triggered_by"] == app["id"] && set["scheduler"] == "deploy", "{set:#}");
    let site = finished(&host, "site").await?;
    let log = host.text(&format!("/api/v1/builds/{}/steps/0/logs/stdio", site["id"])).await?;
    ensure!(log == "app-1.tar.gz to staging\n", "{log}");
    ensure!(site["properties"]["target"]["source"] == "Trigger", "{site:#}");
    let page = host.text(&format!("/builds/{}", app["id"])).await?;
    ensure!(page.contains(&format!("href=\"/buildsets/{}\"", triggers[1]["buildset"])), "{page}");
    let page = host.text(&format!("/buildsets/{}", triggers[1]["buildset"])).await?;
    ensure!(page.contains("Triggered by") && page.contains(&format!("/builds/{}", app["id"])), "{page}");
    ensure!(host.end(Signal::SIGTERM).await?.success());
    Ok(())
}

#[tokio::test]
async fn what_a_cancelled_build_waits_for_is_cancelled_with_it_and_the_rest_goes_on() -> anyhow::Result<()> {
    let place = Place::new()?;
    let (host, _) = started(&place).await?;
    deploying(&host).await?;
    let said = host.typed(&["cancel", "1"]).await?;
    ensure!(said.code == 0, "{said:?}");
    let site = finished(&host, "site").await?;
    ensure!(site["result"] == "cancelled", "{site:#}");
    ensure!(finished(&host, "app").await?["result"] == "cancelled");
    ensure!(finished(&host, "html").await?["result"] == "success");
    ensure!(host.end(Signal::SIGTERM).await?.success());
    Ok(())
}

#[tokio::test]
async fn a_job_without_a_host_triggers_nothing_and_says_so() -> anyhow::Result<()> {
    let place = Place::new()?;
    std::fs::write(place.path().join("stampmill.toml"), config(place.path()))?;
    let said = command::typed(place.path(), &["run", "lone"]).await?;
    ensure!(said.code != 0, "{said:?}");
    let says = "there is no host here: scheduler `docs` can't be triggered";
    ensure!(said.out.contains(says) || said.err.contains(says), "{said:?}");
    Ok(())
}

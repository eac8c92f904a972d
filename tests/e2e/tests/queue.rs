//! Requests that wait: which of them share a build, and which wait for a lock.

use std::path::Path;

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use stampmill_e2e::{Host, Listener, Place, Repository, main_job};

fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

/// The main job on a worker that does one thing at a time, with a script that waits for the file `open` in a directory.
fn gated(repository: &Path, report_url: &str, gate: &Path) -> String {
    let gate = gate.display();
    main_job(repository, report_url, &format!("while ! test -e {gate}/open; do sleep 0.1; done; cat a"))
        .replace(r#"{ command = ["/bin/sh"] }"#, &format!(r#"{{ command = ["/bin/sh"], read = ["{gate}"] }}"#))
        .replace("name = \"local\"", "name = \"local\"\nmax-builds = 1")
}

#[tokio::test]
async fn a7_04_five_commits_while_the_worker_is_busy_become_one_build() -> anyhow::Result<()> {
    let place = Place::new()?;
    let gate = place.path().join("gate");
    std::fs::create_dir(&gate)?;
    let repository = Repository::make(place.path())?;
    let listener = Listener::start().await?;
    let host = Host::up(place.path(), &gated(&repository.bare, &listener.url, &gate)).await?;
    host.polled("app").await?;

    repository.commit("Keep the worker busy", &[("a", "0\n")], "Ann <ann@example.org>")?;
    host.wait_for("/api/v1/builds?state=open", |builds| (items(builds).first()?["state"] == "running").then_some(()))
        .await?;
    let mut newest = String::new();
    for (n, author) in ["Ann", "Bob", "Ann", "Cid", "Bob"].iter().enumerate() {
        let author = format!("{author} <{author}@example.org>");
        newest = repository.commit(&format!("Change {n}"), &[("a", &format!("{}\n", n + 1))], &author)?;
    }
    let waiting = host
        .wait_for("/api/v1/requests?open=true", |requests| {
            let waiting = items(requests).iter().filter(|request| request["state"] == "pending");
            let ids: Vec<_> = waiting.filter_map(|request| request["id"].as_u64()).collect();
            (ids.len() == 5).then_some(ids)
        })
        .await?;
    std::fs::write(gate.join("open"), "")?;

    let build = host.finished_build_of(&newest).await?;
    let id = &build["id"];
    ensure!(build["result"] == "success" && build["number"] == 2, "{build:#}");
    let merged = build["merged"].as_array().context("a list")?;
    let mut answered: Vec<_> = merged.iter().filter_map(|merged| merged["request"].as_u64()).collect();
    answered.extend(build["request"].as_u64());
    answered.sort_unstable_by(|a, b| b.cmp(a));
    ensure!(answered == waiting, "{build:#}");
    ensure!(build["source_stamps"][0]["changes"].as_array().map(Vec::len) == Some(5), "{build:#}");
    ensure!(build["blamelist"].as_array().map(Vec::len) == Some(3), "{build:#}");
    ensure!(host.text(&format!("/api/v1/builds/{id}/steps/1/logs/stdio")).await? == "5\n");
    for request in &waiting {
        let request = host.get(&format!("/api/v1/requests/{request}")).await?;
        ensure!(request["result"] == "success" && request["build"] == *id, "{request:#}");
        let set = host.get(&format!("/api/v1/buildsets/{}", request["buildset"])).await?;
        ensure!(set["state"] == "finished" && set["result"] == "success", "{set:#}");
        let builds = host.get(&format!("/api/v1/builds?request={}", request["id"])).await?;
        ensure!(items(&builds).len() == 1 && items(&builds)[0]["id"] == *id, "{builds:#}");
    }
    ensure!(items(&host.get("/api/v1/builds").await?).len() == 2, "one for the first commit, one for the others");

    let page = host.text(&format!("/builds/{id}")).await?;
    ensure!(page.contains("Merged with") && page.contains(&format!("request #{}", merged[3]["request"])), "{page}");
    let set = host.text(&format!("/buildsets/{}", merged[0]["buildset"])).await?;
    ensure!(set.contains(&format!("merged with request #{}", build["request"])), "{set}");
    let said = host.typed(&["explain", "request", &merged[0]["request"].to_string()]).await?;
    let expected =
        format!("it has ended: success with build 2 of builder `linux`, merged with request {}", build["request"]);
    ensure!(said.code == 0 && said.out.contains(&expected), "{said:?}");
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

/// Two builders with one lock; each build waits for its file in the gate.
fn locked(gate: &Path) -> String {
    let gate = gate.display();
    let mut text = "[[lock]]\nname = \"db\"\n[[worker]]\nname = \"local\"\nmax-builds = 4\n".to_owned();
    for name in ["first", "second"] {
        text += &format!(
            r#"
[[scheduler]]
name = "force-{name}"
kind = "force"
builders = ["{name}"]
[[job]]
name = "{name}"
[[job.step]]
plugin = "shell"
config = {{ script = "while ! test -e {gate}/{name}; do sleep 0.1; done" }}
grant = {{ command = ["/bin/sh"], read = ["{gate}"] }}
[[builder]]
name = "{name}"
job = "{name}"
locks = [{{ name = "db" }}]
"#
        );
    }
    text
}

#[tokio::test]
async fn a8_03_an_exclusive_lock_of_two_builders_lets_one_run_at_a_time() -> anyhow::Result<()> {
    let place = Place::new()?;
    let gate = place.path().join("gate");
    std::fs::create_dir(&gate)?;
    let host = Host::up(place.path(), &locked(&gate)).await?;
    let state = |builds: &Value, state: &str| items(builds).first().filter(|build| build["state"] == state).cloned();

    ensure!(host.typed(&["force", "first"]).await?.code == 0);
    let first = host.wait_for("/api/v1/builds?builder=first", |builds| state(builds, "running")).await?;
    let held = serde_json::json!([{ "name": "db", "scope": "host", "access": "exclusive" }]);
    ensure!(first["locks"] == held, "{first:#}");
    ensure!(host.typed(&["force", "second"]).await?.code == 0);
    let waits = "waits for lock `db`, which build 1 of builder `first` has";
    let said = host.typed(&["explain", "request", "2"]).await?;
    ensure!(said.code == 0 && said.out.contains(waits), "{said:?}");

    // The lock outlives the host.
    host.end(Signal::SIGKILL).await?;
    let host = Host::start(place.path(), "up").await?;
    host.wait_for("/api/v1/workers", |workers| (items(workers)[0]["state"] == "connected").then_some(())).await?;
    let said = host.typed(&["explain", "request", "2"]).await?;
    ensure!(said.code == 0 && said.out.contains(waits), "{said:?}");
    std::fs::write(gate.join("second"), "")?;
    std::fs::write(gate.join("first"), "")?;
    let second = host.wait_for("/api/v1/builds?builder=second", |builds| state(builds, "finished")).await?;
    let first = host.get(&format!("/api/v1/builds/{}", first["id"])).await?;
    ensure!(first["result"] == "success" && first["attempt"] == 1, "{first:#}");
    ensure!(second["started_at"].as_str() >= first["finished_at"].as_str(), "{first:#}, {second:#}");
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

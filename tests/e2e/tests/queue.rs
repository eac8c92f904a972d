//! Requests that wait: which of them share a build, by rule and by plugin, and which wait for a lock. Steps that wait for one.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use stampmill_e2e::{Host, Listener, Place, Repository, main_job, stampmill};
use tokio::process::{Child, Command};

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
    let held = json!([{ "name": "db", "scope": "host", "access": "exclusive" }]);
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

/// Builders whose second step wants one lock, and has it until its file is in the gate. Two workers, so that they run at once.
fn with_locked_steps(gate: &Path) -> String {
    let gate = gate.display();
    let mut text = "[[lock]]\nname = \"db\"\n[[worker]]\nname = \"local\"\n[[worker]]\nname = \"far\"\n".to_owned();
    for name in ["first", "second", "third"] {
        text += &format!(
            r#"
[[scheduler]]
name = "force-{name}"
kind = "force"
builders = ["{name}"]
[[job]]
name = "{name}"
[[job.step]]
name = "build"
plugin = "shell"
config = {{ command = ["true"] }}
grant = {{ command = ["true"] }}
[[job.step]]
name = "deploy"
plugin = "shell"
config = {{ script = "while ! test -e {gate}/{name}; do sleep 0.1; done" }}
grant = {{ command = ["/bin/sh"], read = ["{gate}"] }}
locks = [{{ name = "db" }}]
[[builder]]
name = "{name}"
job = "{name}"
"#
        );
    }
    text
}

/// A second worker, with room for two builds.
async fn second_worker(host: &Host) -> anyhow::Result<Child> {
    let token = host.typed(&["worker-token", "far"]).await?;
    ensure!(token.code == 0, "{token:?}");
    let text = format!(
        "name = \"far\"\nhost-file = \"address\"\ntoken = {:?}\nstate-dir = \"far\"\nmax-builds = 2\n[allow]\ncommand = [\"*\"]\nread = [{:?}]\n",
        token.line(),
        host.place.join("gate")
    );
    std::fs::write(host.place.join("worker.toml"), text)?;
    std::fs::write(host.place.join("address"), &host.url)?;
    let log = std::fs::File::create(host.place.join("worker.log"))?;
    let mut command = Command::new(stampmill());
    command.args(["worker", "--config", "worker.toml"]).current_dir(&host.place).stdin(Stdio::null()).stderr(log);
    Ok(command.kill_on_drop(true).spawn()?)
}

#[tokio::test]
async fn a8_03_a_step_waits_for_its_lock_while_its_build_runs_and_a_host_that_is_killed_forgets_nobody()
-> anyhow::Result<()> {
    let place = Place::new()?;
    let gate = place.path().join("gate");
    std::fs::create_dir(&gate)?;
    let host = Host::up(place.path(), &with_locked_steps(&gate)).await?;
    let worker = second_worker(&host).await?;
    let both = |workers: &Value| items(workers).iter().all(|it| it["state"] == "connected").then_some(());
    host.wait_for("/api/v1/workers", both).await?;
    let deploy = |builds: &Value, key: &str, value: &str| {
        let build = items(builds).first()?;
        (build["steps"][1][key] == value).then(|| build.clone())
    };

    ensure!(host.typed(&["force", "first"]).await?.code == 0);
    let first = host.wait_for("/api/v1/builds?builder=first", |builds| deploy(builds, "lock_state", "held")).await?;
    ensure!(first["steps"][1]["locks"] == json!([{ "name": "db", "scope": "host", "access": "exclusive" }]));
    for name in ["second", "third"] {
        ensure!(host.typed(&["force", name]).await?.code == 0);
        let waits = |builds: &Value| deploy(builds, "lock_state", "waiting");
        let build = host.wait_for(&format!("/api/v1/builds?builder={name}"), waits).await?;
        ensure!(build["state"] == "running" && build["steps"][0]["result"] == "success", "{build:#}");
        ensure!(build["steps"][1]["state"] == "waiting", "{build:#}");
    }
    let waits = "step `deploy`, waits for lock `db`, which build 1 of builder `first` has";
    let said = host.typed(&["explain", "request", "2"]).await?;
    ensure!(said.code == 0 && said.out.contains(waits), "{said:?}");
    let page = host.text("/builds/2").await?;
    ensure!(page.contains("waits for lock db"), "{page}");

    // Who waits can be cancelled.
    ensure!(host.typed(&["cancel", "third/1"]).await?.code == 0);
    let third = host.wait_for("/api/v1/builds?builder=third", |builds| deploy(builds, "result", "cancelled")).await?;
    ensure!(third["steps"][1]["lock_state"] == "idle", "{third:#}");

    host.end(Signal::SIGKILL).await?;
    let host = Host::start(place.path(), "up").await?;
    std::fs::write(host.place.join("address"), &host.url)?;
    host.wait_for("/api/v1/workers", both).await?;
    let said = host.typed(&["explain", "request", "2"]).await?;
    ensure!(said.code == 0 && said.out.contains(waits), "{said:?}");
    std::fs::write(gate.join("second"), "")?;
    std::fs::write(gate.join("first"), "")?;
    let second = host.wait_for("/api/v1/builds?builder=second", |builds| deploy(builds, "result", "success")).await?;
    let first = host.get(&format!("/api/v1/builds/{}", first["id"])).await?;
    ensure!(first["steps"][1]["result"] == "success" && first["attempt"] == 1, "{first:#}");
    let (begun, ended) = (&second["steps"][1]["started_at"], &first["steps"][1]["finished_at"]);
    ensure!(second["attempt"] == 1 && begun.as_str() >= ended.as_str(), "{first:#}, {second:#}");
    drop(worker);
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

/// A builder without sources to fetch, whose build waits for the file `open` in the gate, on a worker that does one thing at a time.
fn kept_apart(gate: &Path) -> String {
    let gate = gate.display();
    format!(
        r#"
[[scheduler]]
name = "quick"
kind = "single-branch"
branch = "main"
builders = ["linux"]
[[worker]]
name = "local"
max-builds = 1
[[job]]
name = "app"
[[job.step]]
plugin = "shell"
config = {{ script = "while ! test -e {gate}/open; do sleep 0.1; done" }}
grant = {{ command = ["/bin/sh"], read = ["{gate}"] }}
[[builder]]
name = "linux"
job = "app"
merge-by = {{ plugin = "merge-by-property", config = {{ properties = ["suite"] }} }}
"#
    )
}

#[tokio::test]
async fn a7_07_requests_whose_property_differs_are_two_builds_and_say_why() -> anyhow::Result<()> {
    let place = Place::new()?;
    let gate = place.path().join("gate");
    std::fs::create_dir(&gate)?;
    let host = Host::up(place.path(), &kept_apart(&gate)).await?;
    let token = host.token("sending", "operator").await?;
    let send = async |revision: &str, suite: &str| {
        let change = json!({
            "author": "Ann <ann@example.org>", "repository": "https://git.example/app.git", "branch": "main",
            "revision": revision, "properties": { "suite": suite },
        });
        let url = format!("{}/api/v1/changes", host.url);
        host.client().post(url).bearer_auth(&token).json(&change).send().await?.error_for_status()
    };
    send("r1", "busy").await?;
    host.wait_for("/api/v1/builds?state=open", |builds| (items(builds).first()?["state"] == "running").then_some(()))
        .await?;
    for (revision, suite) in [("r2", "fast"), ("r3", "slow"), ("r4", "fast")] {
        send(revision, suite).await?;
    }
    host.wait_for("/api/v1/requests?open=true", |requests| {
        let keyed = items(requests).iter().filter(|it| it["state"] == "pending" && it["merging"].is_string());
        (keyed.count() == 3).then_some(())
    })
    .await?;
    let said = host.typed(&["explain", "request", "3"]).await?;
    let expected = r#"is busy; by its merge plugin it merges only with requests of merge key `suite = "slow"`"#;
    ensure!(said.code == 0 && said.out.contains(expected), "{said:?}");
    std::fs::write(gate.join("open"), "")?;

    let builds = host
        .wait_for("/api/v1/builds", |builds| {
            let ended = items(builds).iter().filter(|build| build["result"] == "success");
            (ended.count() == 3).then(|| builds.clone())
        })
        .await?;
    let requests = |build: &Value| {
        let merged = build["merged"].as_array().into_iter().flatten().map(|merged| &merged["request"]);
        let mut requests: Vec<_> = merged.chain([&build["request"]]).filter_map(Value::as_u64).collect();
        requests.sort_unstable();
        requests
    };
    let mut shared: Vec<_> = items(&builds).iter().map(requests).collect();
    shared.sort_unstable();
    ensure!(shared == [vec![1], vec![2, 4], vec![3]], "{builds:#}");
    let said = host.typed(&["explain", "request", "3"]).await?;
    ensure!(said.out.contains("it has ended") && said.out.contains(r#"merge key `suite = "slow"`"#), "{said:?}");
    let page = host.text(&format!("/buildsets/{}", host.get("/api/v1/requests/3").await?["buildset"])).await?;
    ensure!(page.contains("merge key"), "{page}");
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

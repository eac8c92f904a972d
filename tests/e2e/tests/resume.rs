//! Builds that outlive what they run on: workers that die, networks that are cut, clocks that are set back.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use stampmill_e2e::{Clock, Forwarder, Host, Place, Random, Repository, stampmill};
use tokio::process::{Child, Command};

/// Far beyond everything that is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

/// Whether a process with this text in its command line is alive.
fn runs(text: &str) -> bool {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).any(|line| line.contains(text))
}

async fn wait_until(what: &str, mut done: impl FnMut() -> bool) -> anyhow::Result<()> {
    let started = Instant::now();
    while !done() {
        ensure!(started.elapsed() < PATIENCE, "{what} never came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// A host without a worker of its own whose builder `far` runs this script when it is forced.
async fn host_with(
    place: &Path,
    limits: &str,
    workers: &[&str],
    script: &str,
    readable: &Path,
) -> anyhow::Result<Host> {
    let readable = readable.display();
    let mut config = format!(
        r#"
[limits]
{limits}
[[scheduler]]
name = "by-hand"
kind = "force"
builders = ["far"]
[[job]]
name = "job"
[[job.step]]
name = "run"
plugin = "shell"
config = {{ script = '''
{script}
''' }}
grant = {{ command = ["/bin/sh"], read = ["{readable}"] }}
[[builder]]
name = "far"
job = "job"
"#
    );
    for worker in workers {
        config += &format!("[[worker]]\nname = \"{worker}\"\n");
    }
    std::fs::write(place.join("stampmill.toml"), config)?;
    Host::start(place, "host").await
}

/// Starts the process of a worker, with a token of its own.
async fn worker(host: &Host, name: &str, url: &str) -> anyhow::Result<Child> {
    let said = host.typed(&["worker-token", name]).await?;
    ensure!(said.code == 0, "{said:?}");
    let text = format!(
        "name = {name:?}\nhost = {url:?}\ntoken = {:?}\nstate-dir = {name:?}\n[allow]\ncommand = [\"*\"]\nread = [\"*\"]\n",
        said.line()
    );
    let file = format!("{name}.toml");
    std::fs::write(host.place.join(&file), text)?;
    let mut command = Command::new(stampmill());
    command.args(["worker", "--config", &file]).current_dir(&host.place).stdin(Stdio::null()).kill_on_drop(true);
    Ok(command.spawn()?)
}

async fn worker_is(host: &Host, name: &str, state: &str) -> anyhow::Result<()> {
    host.wait_for("/api/v1/workers", |workers| {
        items(workers).iter().find(|worker| worker["name"] == name && worker["state"] == state).map(drop)
    })
    .await
}

async fn force(host: &Host, builder: &str) -> anyhow::Result<()> {
    let said = host.typed(&["force", builder, "--reason", "the test asks"]).await?;
    ensure!(said.code == 0, "{said:?}");
    Ok(())
}

/// The newest build, when it is so many tries and its step runs.
async fn try_runs(host: &Host, attempt: u64) -> anyhow::Result<Value> {
    host.wait_for("/api/v1/builds?limit=1", |builds| {
        let build = items(builds).first()?;
        (build["attempt"] == attempt && build["steps"][0]["state"] == "running").then(|| build.clone())
    })
    .await
}

async fn finished(host: &Host, build: &Value) -> anyhow::Result<Value> {
    let path = format!("/api/v1/builds/{}", build["id"]);
    host.wait_for(&path, |build| (build["state"] == "finished").then(|| build.clone())).await
}

#[tokio::test]
async fn a_killed_workers_build_is_tried_on_another_one_and_given_up_after_its_tries_with_the_reason_shown()
-> anyhow::Result<()> {
    let place = Place::new()?;
    // Found in the table of processes by a length of time that nobody else sleeps.
    let nap = format!("{}", 5_000_000_000_u64 + u64::from(std::process::id()));
    let script = format!("echo begun; (setsid nohup sleep {nap} > /dev/null 2>&1 &); sleep {nap} & wait");
    let limits = "worker-lost-after = \"1s\"\nbuild-attempts = 3";
    let host = host_with(place.path(), limits, &["w0", "w1"], &script, place.path()).await?;
    let mut workers = [worker(&host, "w0", &host.url).await?, worker(&host, "w1", &host.url).await?];
    for name in ["w0", "w1"] {
        worker_is(&host, name, "connected").await?;
    }
    force(&host, "far").await?;
    let mut before: Option<String> = None;
    let mut request = Value::Null;
    for attempt in 1..=3 {
        let build = try_runs(&host, attempt).await?;
        let name = build["worker"].as_str().context("a build has a worker")?.to_owned();
        ensure!(before.as_ref() != Some(&name), "it was tried again where it was lost: {build:#}");
        wait_until("the nap", || runs(&nap)).await?;
        let log = format!("{}/api/v1/builds/{}/steps/0/logs/stdio", host.url, build["id"]);
        let heard = async || anyhow::Ok(host.client().get(&log).send().await?.text().await? == "begun\n");
        let started = Instant::now();
        while !heard().await? {
            ensure!(started.elapsed() < PATIENCE, "nothing is heard of it");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let number = usize::from(name == "w1");
        workers[number].kill().await?;
        wait_until("the end of the whole tree", || !runs(&nap)).await?;

        let lost = finished(&host, &build).await?;
        let reason = format!("worker `{name}` was lost");
        assert_eq!((&lost["result"], &lost["summary"]), (&"retry".into(), &reason.as_str().into()), "{lost:#}");
        let page = host.text(&format!("/builds/{}", build["id"])).await?;
        ensure!(page.contains(&reason), "the page does not say why: {page}");
        let log = host.text(&format!("/api/v1/builds/{}/steps/0/logs/stdio", build["id"])).await?;
        assert_eq!(log, "begun\n", "what was heard of it stays");
        workers[number] = worker(&host, &name, &host.url).await?;
        request = build["request"].clone();
        before = Some(name);
    }
    let path = format!("/api/v1/requests/{request}");
    let complete = |request: &Value| (request["state"] == "complete").then(|| request.clone());
    let given_up = host.wait_for(&path, complete).await?;
    assert_eq!((&given_up["result"], &given_up["attempts"]), (&"exception".into(), &3.into()), "{given_up:#}");
    assert_eq!(items(&host.get("/api/v1/builds").await?).len(), 3, "it is not tried a fourth time");
    ensure!(host.end(Signal::SIGTERM).await?.success());
    Ok(())
}

/// The step prints without end until the gate is open, and says then how many lines it has printed.
fn printing(place: &Path) -> anyhow::Result<(PathBuf, String)> {
    let gate = place.join("gate");
    std::fs::create_dir(&gate)?;
    let script = format!(
        "i=0; while ! test -e {}/open; do for n in 1 2 3 4 5 6 7 8 9 10; do i=$((i + 1)); echo line $i; done; sleep 0.01; done; echo $i lines",
        gate.display()
    );
    Ok((gate, script))
}

/// Each line once and in order, and none is missing.
fn holds(log: &str) -> anyhow::Result<usize> {
    let (lines, said) = log.trim_end().rsplit_once('\n').context("the log is empty")?;
    let count: usize = said.strip_suffix(" lines").and_then(|count| count.parse().ok()).context("it has no end")?;
    for (number, line) in lines.lines().enumerate() {
        ensure!(line == format!("line {}", number + 1), "line {} is `{line}`", number + 1);
    }
    ensure!(lines.lines().count() == count, "{count} lines were printed, {} are there", lines.lines().count());
    Ok(count)
}

#[tokio::test]
async fn a_network_that_is_cut_again_and_again_and_a_host_that_is_started_anew_cost_no_line_and_double_none()
-> anyhow::Result<()> {
    let mut random = Random::seeded();
    let place = Place::new()?;
    let (gate, script) = printing(place.path())?;
    let host = host_with(place.path(), "", &["far"], &script, &gate).await?;
    let network = Forwarder::start(&host.url).await?;
    let mut process = worker(&host, "far", &network.url).await?;
    force(&host, "far").await?;
    let build = try_runs(&host, 1).await?;
    for _ in 0..4 {
        // Longer than the worker has waited: it hurries again.
        tokio::time::sleep(Duration::from_millis(1_000 + random.below(300))).await;
        network.cut();
        worker_is(&host, "far", "away").await?;
        wait_until("an attempt to come back", || !network.refused().is_empty()).await?;
        network.mend(&host.url);
        worker_is(&host, "far", "connected").await?;
    }

    // Cut for longer: the worker goes on, and asks less and less often.
    network.cut();
    wait_until("four attempts", || network.refused().len() >= 4).await?;
    let refused = network.refused();
    let gaps: Vec<Duration> = refused.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // The first pause is a quarter of a second; half of each may be taken off, so that workers don't come all at once.
    for (number, gap) in gaps.iter().enumerate().skip(1) {
        let least = Duration::from_millis(125) * 2_u32.pow(u32::try_from(number)? - 1);
        ensure!(*gap >= least, "attempt {number} came after {gap:?} only: {gaps:?}");
    }
    let running = host.get(&format!("/api/v1/builds/{}", build["id"])).await?;
    assert_eq!(running["state"], "running", "{running:#}");
    ensure!(process.try_wait()?.is_none(), "the worker goes on");

    // Meanwhile the host is started anew, in order: it leaves the build alone.
    ensure!(host.end(Signal::SIGTERM).await?.success());
    let host = Host::start(place.path(), "host").await?;
    network.mend(&host.url);
    worker_is(&host, "far", "connected").await?;
    std::fs::write(gate.join("open"), "")?;
    let ended = finished(&host, &build).await?;
    assert_eq!((&ended["result"], &ended["attempt"]), (&"success".into(), &1.into()), "{ended:#}");
    assert_eq!(items(&host.get("/api/v1/builds").await?).len(), 1, "it was built once");
    let log = host.text(&format!("/api/v1/builds/{}/steps/0/logs/stdio", build["id"])).await?;
    println!("{} lines", holds(&log)?);
    process.kill().await?;
    ensure!(host.end(Signal::SIGTERM).await?.success());
    Ok(())
}

#[tokio::test]
async fn a_clock_that_is_set_back_an_hour_holds_up_no_build_and_no_timer() -> anyhow::Result<()> {
    let place = Place::new()?;
    let Some(clock) = Clock::new(place.path())? else { return Ok(()) };
    let (gate, script) = printing(place.path())?;
    let repository = Repository::make(place.path())?;
    let bare = repository.bare.display();
    let config = format!(
        r#"
[[change-source]]
name = "app"
plugin = "git-poller"
every = "1s"
config = {{ repository = "{bare}" }}
grant = {{ command = ["git"], read = ["{bare}"] }}
[[scheduler]]
name = "calm"
kind = "single-branch"
branch = "main"
stable-for = "3s"
builders = ["quick"]
[[scheduler]]
name = "tick"
kind = "periodic"
every = "2s"
builders = ["ticked"]
[[scheduler]]
name = "by-hand"
kind = "force"
builders = ["slow"]
[[job]]
name = "slow"
[[job.step]]
name = "run"
plugin = "shell"
config = {{ script = '''
{script}
''' }}
grant = {{ command = ["/bin/sh"], read = ["{gate}"] }}
[[job]]
name = "time"
[[job.step]]
name = "ask"
plugin = "set-property"
config = {{ property = "asked", value = true }}
[[builder]]
name = "slow"
job = "slow"
[[builder]]
name = "quick"
job = "time"
[[builder]]
name = "ticked"
job = "time"
[[worker]]
name = "local"
"#,
        gate = gate.display()
    );
    std::fs::write(place.path().join("stampmill.toml"), config)?;
    let host = Host::start_in(place.path(), ("up", "127.0.0.1:0"), &clock.environment()).await?;
    host.polled("app").await?;
    let token = host.token("watcher", "viewer").await?;
    force(&host, "slow").await?;
    let newest = |builder: &str| format!("/api/v1/builds?builder={builder}&limit=1");
    let slow = host
        .wait_for(&newest("slow"), |builds| {
            items(builds).first().filter(|build| build["steps"][0]["state"] == "running").cloned()
        })
        .await?;
    let revision = repository.commit("Wait for me", &[("a", "a\n")], "Ann <ann@example.org>")?;
    let arrived = host
        .wait_for("/api/v1/changes", |changes| {
            items(changes).iter().find(|change| change["revision"] == revision.as_str()).cloned()
        })
        .await?;

    // Written beside and renamed: nobody reads half of it.
    clock.put_forward(-3600)?;
    let of = |requests: &Value, builder: &str| -> Vec<Value> {
        items(requests).iter().filter(|request| request["builder"] == builder).cloned().collect()
    };
    let calm = host.wait_for("/api/v1/requests", |requests| of(requests, "quick").pop()).await?;
    let at = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    ensure!(at(&calm["submitted_at"]) < at(&arrived["arrived_at"]), "the clock was set back: {calm:#}");
    let before = of(&host.get("/api/v1/requests").await?, "ticked").len();
    host.wait_for("/api/v1/requests", |requests| (of(requests, "ticked").len() > before + 1).then_some(())).await?;
    let next = repository.commit("And for me", &[("b", "b\n")], "Ann <ann@example.org>")?;

    std::fs::write(gate.join("open"), "")?;
    let slow = finished(&host, &slow).await?;
    ensure!(slow["result"] == "success" && slow["attempt"] == 1, "{slow:#}");
    ensure!(at(&slow["finished_at"]) < at(&slow["started_at"]), "its worker's clock was set back too: {slow:#}");
    for revision in [&revision, &next] {
        ensure!(host.finished_build_of(revision).await?["result"] == "success");
    }
    holds(&host.text(&format!("/api/v1/builds/{}/steps/0/logs/stdio", slow["id"])).await?)?;
    for page in ["/".to_owned(), "/builders".to_owned(), format!("/builds/{}", slow["id"])] {
        host.text(&page).await.context(page)?;
    }
    let url = format!("{}/api/v1/whoami", host.url);
    let me: Value = host.client().get(url).bearer_auth(token).send().await?.error_for_status()?.json().await?;
    ensure!(me["role"] == "viewer", "a token from the future holds: {me:#}");
    ensure!(host.end(Signal::SIGTERM).await?.success());
    Ok(())
}

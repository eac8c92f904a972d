//! Ctrl-C and SIGTERM at any moment: the host ends in order, and the next start goes on where it was.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use stampmill_e2e::{Host, Listener, Place, Random, Repository, main_job, stampmill, without_merging};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

const ANN: &str = "Ann <ann@example.org>";

/// Far beyond every grace period: who takes this long hangs.
const PATIENCE: Duration = Duration::from_secs(120);

fn items(list: &Value) -> &Vec<Value> {
    list["items"].as_array().expect("a list has items")
}

/// A script that says these lines, one in a quarter of a second.
fn lines(count: u32) -> String {
    format!("i=0; while [ $i -lt {count} ]; do i=$((i + 1)); echo line $i; sleep 0.25; done")
}

/// The lines of [`lines`] in the log of a build's second step, each once and in order.
async fn has_lines(host: &Host, build: &Value, count: u32) -> anyhow::Result<()> {
    let log = host.text(&format!("/api/v1/builds/{}/steps/1/logs/stdio", build["id"])).await?;
    let said: Vec<&str> = log.lines().filter(|line| line.starts_with("line ")).collect();
    let expected: Vec<String> = (1..=count).map(|number| format!("line {number}")).collect();
    ensure!(said == expected, "a gap or a doubled line: {log}");
    Ok(())
}

/// The process that has the data directory.
fn host_process(place: &Path) -> anyhow::Result<Pid> {
    let text = std::fs::read_to_string(place.join("data/lock"))?;
    Ok(Pid::from_raw(text.trim().parse()?))
}

async fn wait_until(what: &str, mut done: impl FnMut() -> bool) -> anyhow::Result<()> {
    let started = Instant::now();
    while !done() {
        ensure!(started.elapsed() < PATIENCE, "{what} never came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Whether a process with this text in its command line is alive.
fn runs(text: &str) -> bool {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).any(|line| line.contains(text))
}

/// Waits until the second step of the builder's newest build runs.
async fn second_step_runs(host: &Host, builder: &str) -> anyhow::Result<Value> {
    host.wait_for(&format!("/api/v1/builds?builder={builder}&limit=1"), |builds| {
        items(builds).first().filter(|build| build["steps"][1]["state"] == "running").cloned()
    })
    .await
}

/// Waits until all that was asked for is built.
async fn all_finished(host: &Host, requests: usize) -> anyhow::Result<Vec<Value>> {
    host.wait_for("/api/v1/requests?limit=200", |found| {
        let done = items(found).iter().filter(|request| request["state"] == "complete").count();
        (items(found).len() == requests && done == requests).then_some(())
    })
    .await?;
    let mut builds = items(&host.get("/api/v1/builds?limit=200").await?).clone();
    builds.reverse();
    Ok(builds)
}

fn spawn(place: &Path, arguments: &[&str]) -> anyhow::Result<Child> {
    let mut command = Command::new(stampmill());
    command.args(arguments).current_dir(place).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    Ok(command.spawn()?)
}

fn signal(child: &Child, signal: Signal) -> anyhow::Result<()> {
    let id = child.id().context("it has ended already")?;
    Ok(kill(Pid::from_raw(i32::try_from(id)?), signal)?)
}

async fn ended(mut child: Child) -> anyhow::Result<Option<i32>> {
    Ok(tokio::time::timeout(PATIENCE, child.wait()).await.context("it does not end")??.code())
}

#[tokio::test]
async fn a_host_that_is_asked_to_end_while_it_starts_ends_in_order() -> anyhow::Result<()> {
    let mut random = Random::seeded();
    let place = Place::new()?;
    let repository = Repository::make(place.path())?;
    let listener = Listener::start().await?;
    std::fs::write(place.path().join("stampmill.toml"), main_job(&repository.bare, &listener.url, "true"))?;
    let up = ["up", "--config", "stampmill.toml", "--data", "data", "--listen", "127.0.0.1:0"];
    for (round, sent) in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGTERM, Signal::SIGINT].into_iter().enumerate() {
        // Every round compiles the plugins anew: at the lock the first of them begins.
        let _ = std::fs::remove_dir_all(place.path().join("data"));
        let child = spawn(place.path(), &up)?;
        wait_until("the lock", || host_process(place.path()).is_ok()).await?;
        let pause = if round == 0 { 0 } else { random.below(3_000) };
        tokio::time::sleep(Duration::from_millis(pause)).await;
        signal(&child, sent)?;
        assert_eq!(ended(child).await?, Some(0), "{sent} after {pause} ms");
        let worker = place.path().join("data/worker").display().to_string();
        assert!(!runs(&worker), "its worker goes on: {sent} after {pause} ms");
    }
    let host = Host::start(place.path(), "up").await?;
    host.polled("app").await?;
    let revision = repository.commit("After all", &[("a", "a\n")], ANN)?;
    assert_eq!(host.finished_build_of(&revision).await?["result"], "success");
    assert!(host.end(Signal::SIGINT).await?.success());
    Ok(())
}

#[tokio::test]
async fn a_host_that_ended_in_the_middle_goes_on_where_it_was() -> anyhow::Result<()> {
    let place = Place::new()?;
    let repository = Repository::make(place.path())?;
    let listener = Listener::start().await?;
    let calm = format!(
        r#"
[[scheduler]]
name = "calm"
kind = "single-branch"
branch = "dev"
stable-for = "3s"
codebases.app = {{ repository = "{}", branch = "main" }}
builders = ["calm"]
[[job]]
name = "nothing"
[[job.step]]
plugin = "shell"
config = {{ command = ["true"] }}
grant = {{ command = ["true"] }}
[[builder]]
name = "calm"
job = "nothing"
"#,
        repository.bare.display()
    );
    let host =
        Host::up(place.path(), &without_merging(&(main_job(&repository.bare, &listener.url, &lines(12)) + &calm)))
            .await?;
    host.polled("app").await?;
    let revision = repository.commit("Slowly", &[("a", "a\n")], ANN)?;
    second_step_runs(&host, "linux").await?;
    for reason in ["one", "two", "three"] {
        let asked = host.cli(&["force", "linux", "--reason", reason]).await?;
        assert!(asked.status.success(), "{asked:?}");
    }
    let quiet = repository.commit_on("dev", "Wait for me", &[("b", "b\n")], ANN)?;
    host.wait_for("/api/v1/changes", |changes| {
        items(changes).iter().find(|change| change["revision"] == quiet && change["decided"] == true).map(drop)
    })
    .await?;
    // Twice in a row: the second must not cut short what the first began.
    kill(host_process(place.path())?, Signal::SIGINT)?;
    assert!(host.end(Signal::SIGINT).await?.success());

    let missed = repository.commit("While it was away", &[("c", "c\n")], ANN)?;
    let host = Host::start(place.path(), "up").await?;
    host.finished_build_of(&missed).await?;
    let builds = all_finished(&host, 6).await?;
    let ended = |build: &&Value| build["builder"] == "linux" && build["result"] == "success";
    let mut built: Vec<&Value> = builds.iter().filter(ended).collect();
    built.sort_by_key(|build| build["id"].as_u64());
    let revisions: Vec<_> = built.iter().map(|build| &build["source_stamps"][0]["revision"]).collect();
    assert_eq!(*revisions[0], revision.as_str(), "the build that was cut short comes first: {builds:#?}");
    assert_eq!(*revisions[4], missed.as_str());
    let reasons: Vec<&str> = built.iter().filter_map(|build| build["reason"].as_str()).collect();
    for (reason, said) in ["one", "two", "three"].iter().zip(&reasons[1..4]) {
        assert!(said.contains(reason), "in the order in which they were asked for: {reasons:?}");
    }
    for build in &built {
        has_lines(&host, build, 12).await?;
    }
    let cut: Vec<&Value> = builds.iter().filter(|build| build["result"] == "retry").collect();
    assert_eq!(cut.len(), 1, "{builds:#?}");
    assert_eq!(cut[0]["summary"], "worker `local` was stopped");
    assert_eq!((&cut[0]["attempt"], &built[0]["attempt"]), (&1.into(), &2.into()));
    let calm: Vec<&Value> = builds.iter().filter(|build| build["builder"] == "calm").collect();
    assert_eq!(calm.len(), 1, "the timer fired once: {calm:#?}");
    assert_eq!(builds.len(), 7, "{builds:#?}");
    assert!(host.end(Signal::SIGTERM).await?.success());
    Ok(())
}

#[tokio::test]
async fn whenever_a_host_ends_no_change_is_lost_or_built_twice() -> anyhow::Result<()> {
    const ROUNDS: u32 = 8;
    let mut random = Random::seeded();
    let place = Place::new()?;
    let repository = Repository::make(place.path())?;
    let listener = Listener::start().await?;
    let mut host =
        Host::up(place.path(), &without_merging(&main_job(&repository.bare, &listener.url, &lines(3)))).await?;
    host.polled("app").await?;
    let mut revisions = Vec::new();
    for round in 0..ROUNDS {
        let name = format!("file-{round}");
        revisions.push(repository.commit(&format!("Round {round}"), &[(&name, "x\n")], ANN)?);
        tokio::time::sleep(Duration::from_millis(random.below(2_500))).await;
        let sent = if random.below(2) == 0 { Signal::SIGINT } else { Signal::SIGTERM };
        if random.below(2) == 0 {
            kill(host_process(place.path())?, sent)?;
            tokio::time::sleep(Duration::from_millis(random.below(50))).await;
        }
        assert_eq!(host.end(sent).await?.code(), Some(0), "round {round}");
        host = Host::start(place.path(), "up").await?;
    }
    for revision in &revisions {
        host.wait_for("/api/v1/changes", |changes| {
            items(changes).iter().find(|change| change["revision"] == revision.as_str()).map(drop)
        })
        .await?;
    }
    let builds = all_finished(&host, revisions.len()).await?;
    let mut built = BTreeMap::new();
    for build in &builds {
        if build["result"] == "retry" {
            continue;
        }
        assert_eq!(build["result"], "success", "{build:#}");
        has_lines(&host, build, 3).await?;
        let revision = build["source_stamps"][0]["revision"].as_str().unwrap_or_default();
        *built.entry(revision).or_insert(0) += 1;
    }
    let expected: BTreeMap<&str, i32> = revisions.iter().map(|revision| (revision.as_str(), 1)).collect();
    assert_eq!(built, expected, "each is built once: {builds:#?}");
    let changes = host.get("/api/v1/changes").await?;
    assert_eq!(items(&changes).len(), revisions.len());
    assert!(host.end(Signal::SIGTERM).await?.success());
    Ok(())
}

/// A receiver that takes reports and does not answer until it is told to.
struct Receiver {
    answers: AtomicBool,
    came: mpsc::Sender<String>,
}

async fn receive(State(receiver): State<Arc<Receiver>>, body: String) {
    let answers = receiver.answers.load(Ordering::SeqCst);
    // A full queue is a test that has stopped looking.
    let _ = receiver.came.try_send(body);
    if !answers {
        std::future::pending::<()>().await;
    }
}

#[tokio::test]
async fn a_report_that_hangs_does_not_hold_up_the_end_and_is_delivered_later() -> anyhow::Result<()> {
    let place = Place::new()?;
    let repository = Repository::make(place.path())?;
    let (came, mut reports) = mpsc::channel(100);
    let receiver = Arc::new(Receiver { answers: AtomicBool::new(false), came });
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/report", socket.local_addr()?);
    let router = Router::new().route("/report", post(receive)).with_state(Arc::clone(&receiver));
    let server = tokio::spawn(async move { axum::serve(socket, router).await });
    let config = main_job(&repository.bare, &url, "true")
        .replace("\"build-finished\", \"buildset-finished\"", "\"build-finished\"");
    let host = Host::up(place.path(), &config).await?;
    host.polled("app").await?;
    let revision = repository.commit("Tell me", &[("a", "a\n")], ANN)?;
    let next = async |reports: &mut mpsc::Receiver<String>| -> anyhow::Result<Value> {
        let body = tokio::time::timeout(PATIENCE, reports.recv()).await.context("no report came")?;
        Ok(serde_json::from_str(&body.context("the receiver has ended")?)?)
    };
    let first = next(&mut reports).await?;
    assert!(host.end(Signal::SIGINT).await?.success());

    receiver.answers.store(true, Ordering::SeqCst);
    let host = Host::start(place.path(), "up").await?;
    let again = next(&mut reports).await?;
    assert_eq!((&again["id"], &again["event"]), (&first["id"], &first["event"]), "{again:#}");
    assert_eq!(again["build"]["got_revision"], revision.as_str());
    assert_eq!(host.finished_build_of(&revision).await?["result"], "success");
    assert!(host.end(Signal::SIGTERM).await?.success());
    assert!(reports.try_recv().is_err(), "once it was taken it is not sent again");
    server.abort();
    Ok(())
}

/// A worker's own configuration, with a token of the running host.
async fn configure_worker(host: &Host) -> anyhow::Result<()> {
    let token = host.cli(&["worker-token", "local"]).await?;
    ensure!(token.status.success(), "{token:?}");
    std::fs::write(host.place.join("token"), String::from_utf8(token.stdout)?.trim())?;
    std::fs::write(host.place.join("host"), &host.url)?;
    let path = |name: &str| host.place.join(name).display().to_string();
    let text = format!(
        "name = \"local\"\nhost-file = {:?}\ntoken-file = {:?}\nstate-dir = {:?}\n[allow]\ncommand = [\"*\"]\nread = [\"*\"]\n",
        path("host"),
        path("token"),
        path("worker-state"),
    );
    Ok(std::fs::write(host.place.join("worker.toml"), text)?)
}

#[tokio::test]
async fn a_worker_that_ends_takes_its_step_with_it_and_the_build_is_tried_again() -> anyhow::Result<()> {
    let place = Place::new()?;
    let repository = Repository::make(place.path())?;
    let listener = Listener::start().await?;
    // Found in the table of processes by a length of time that nobody else sleeps.
    let nap = format!("{}", 4_000_000_000_u64 + u64::from(std::process::id()));
    let script = format!(
        "echo attempt $ATTEMPT; if [ $ATTEMPT -lt 3 ]; then sleep {nap} & (setsid nohup sleep {nap} > /dev/null 2>&1 &); wait; fi; {}",
        lines(12)
    );
    let config = main_job(&repository.bare, &listener.url, &script)
        .replace("config = { script =", "config = { environment = { ATTEMPT = \"${{ build.attempt }}\" }, script =");
    std::fs::write(place.path().join("stampmill.toml"), config + "\n[limits]\nworker-lost-after = \"60s\"\n")?;
    let host = Host::start(place.path(), "host").await?;
    configure_worker(&host).await?;
    let worker = spawn(place.path(), &["worker", "--config", "worker.toml"])?;
    host.polled("app").await?;
    let revision = repository.commit("Nap", &[("a", "a\n")], ANN)?;
    let build = second_step_runs(&host, "linux").await?;
    wait_until("the nap", || runs(&nap)).await?;

    signal(&worker, Signal::SIGTERM)?;
    assert_eq!(ended(worker).await?, Some(0));
    assert!(!runs(&nap), "the whole tree of the step ends with its worker");
    let first = host
        .wait_for(&format!("/api/v1/builds/{}", build["id"]), |build| {
            (build["state"] == "finished").then(|| build.clone())
        })
        .await?;
    assert_eq!((&first["result"], &first["summary"]), (&"retry".into(), &"worker `local` was stopped".into()));
    let explained = host.get(&format!("/api/v1/requests/{}/explain", build["request"])).await?;
    assert!(explained["workers"][0]["reason"].as_str().is_some_and(|why| !why.is_empty()), "{explained:#}");

    let mut worker = spawn(place.path(), &["worker", "--config", "worker.toml"])?;
    second_step_runs(&host, "linux").await?;
    wait_until("the second nap", || runs(&nap)).await?;
    worker.kill().await?;
    wait_until("the end of the nap", || !runs(&nap)).await?;
    let worker = spawn(place.path(), &["worker", "--config", "worker.toml"])?;

    // The third attempt ends by itself, also when the host goes and comes back meanwhile.
    host.wait_for("/api/v1/builds?limit=1", |builds| {
        let build = items(builds).first()?;
        (build["attempt"] == 3 && build["steps"][1]["state"] == "running").then_some(())
    })
    .await?;
    assert!(host.end(Signal::SIGTERM).await?.success());
    let host = Host::start(place.path(), "host").await?;
    std::fs::write(place.path().join("host"), &host.url)?;
    let builds = all_finished(&host, 1).await?;
    let results: Vec<_> = builds.iter().filter_map(|build| build["result"].as_str()).collect();
    assert_eq!(results, ["retry", "retry", "success"], "{builds:#?}");
    assert_eq!(builds[2]["source_stamps"][0]["revision"], revision.as_str());
    assert!(builds[1]["summary"].as_str().is_some_and(|why| why.contains("`local`")), "{builds:#?}");
    has_lines(&host, &builds[2], 12).await?;
    signal(&worker, Signal::SIGINT)?;
    assert_eq!(ended(worker).await?, Some(0));
    assert!(host.end(Signal::SIGINT).await?.success());
    Ok(())
}

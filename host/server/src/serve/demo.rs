//! The tour: a sample repository, a host, a worker and a listener for reports, all on this machine. A commit is made while the host runs; it
//! is polled, judged, built in the sandbox and reported.

mod sample;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::Router;
use axum::routing::post;
use stampmill_model::{Build, BuildId, BuildState, StepState};
use stampmill_service::Event;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;

use self::sample::Sample;
use super::local_worker::LocalWorker;
use super::{HostOptions, RunningServer, signals};
use crate::cli::INTERRUPTED;
use crate::limits::DEMO_STAGE;
use crate::starter;

/// What the tour is asked for.
pub(crate) struct DemoOptions {
    /// End when the first build has ended.
    pub(crate) once: bool,
    /// Keep everything here instead of in a directory that goes away.
    pub(crate) data: Option<PathBuf>,
    /// Use this configuration instead of the sample's.
    pub(crate) config: Option<PathBuf>,
    /// The address.
    pub(crate) listen: Option<String>,
}

/// Runs the tour. With `once` it ends with the build, by its result.
pub(crate) async fn demo(options: DemoOptions) -> anyhow::Result<ExitCode> {
    // First of all: until they are handled, signals end a process and leave what it has made.
    let ending = signals::asked_to_end();
    let scratch = match &options.data {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("stampmill-demo-").tempdir()?),
    };
    let place = match (&options.data, &scratch) {
        (Some(data), _) => data.clone(),
        (None, Some(scratch)) => scratch.path().to_path_buf(),
        (None, None) => bail!("no directory for the tour"),
    };
    tokio::fs::create_dir_all(&place).await.with_context(|| format!("can't make `{}`", place.display()))?;
    let place = tokio::fs::canonicalize(&place).await?;
    println!("the tour is in {}", place.display());

    let sample = Sample::make(&place).await?;
    println!("made a git repository: {}", sample.repository.display());
    let (reports, report_url, listener) = listen_for_reports().await?;
    let (config, reports) = match options.config {
        // It can't know where the listener is.
        Some(config) => (config, None),
        None => (write_config(&place, &sample.repository, &report_url).await?, Some(reports)),
    };
    let data = Some(place.join("data"));
    let listen = Some(options.listen.unwrap_or_else(|| "127.0.0.1:0".to_owned()));
    let Some(server) = super::start_unless(&ending, HostOptions { config, data, listen }).await? else {
        return Ok(interrupted());
    };
    let mut worker = match LocalWorker::start(&server).await {
        Ok(worker) => worker,
        Err(error) => {
            server.end().await?;
            return Err(error);
        }
    };
    server.announce();
    let ended = tokio::select! {
        outcome = tour(&server, &sample, reports, options.once) => outcome,
        () = ending.cancelled() => Ok(interrupted()),
        error = worker.supervise() => Err(error),
    };
    worker.end().await;
    server.end().await?;
    listener.abort();
    ended
}

/// What was asked for with `once` did not come; without it the tour has no other end.
fn interrupted() -> ExitCode {
    ExitCode::from(INTERRUPTED)
}

async fn write_config(place: &Path, repository: &Path, report_url: &str) -> anyhow::Result<PathBuf> {
    let config = place.join("stampmill.toml");
    tokio::fs::write(&config, starter::demo(repository, report_url))
        .await
        .with_context(|| format!("can't write `{}`", config.display()))?;
    println!("wrote a configuration: {}", config.display());
    Ok(config)
}

/// A listener of ours that stands for the chat room or forge that a real reporter would tell.
async fn listen_for_reports() -> anyhow::Result<(mpsc::Receiver<()>, String, JoinHandle<std::io::Result<()>>)> {
    let (received, reports) = mpsc::channel(16);
    let receive = move |body: String| {
        let received = received.clone();
        async move {
            println!("a report arrived: {} bytes of JSON", body.len());
            // Nobody counts them after the tour has ended.
            let _ = received.try_send(());
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.context("can't listen for reports")?;
    let url = format!("http://{}", listener.local_addr()?);
    let router = Router::new().route("/report", post(receive));
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    Ok((reports, url, serving))
}

async fn tour(
    server: &RunningServer,
    sample: &Sample,
    reports: Option<mpsc::Receiver<()>>,
    once: bool,
) -> anyhow::Result<ExitCode> {
    let mut events = server.shared.events.subscribe();
    stage("the first poll", first_poll(server, &mut events)).await?;
    let revision = sample.commit().await?;
    println!("made a commit: {}", &revision[..revision.len().min(12)]);
    let build = stage("a build of the commit", finished_build(server, &mut events, &revision)).await?;
    let code = tell(server, &build)?;
    if let Some(mut reports) = reports {
        stage("the report", async { reports.recv().await.context("the listener has ended") }).await?;
    }
    if once {
        return Ok(code);
    }
    println!("look around at {}, or commit to {}; Ctrl-C ends the tour", server.url, sample.work.display());
    std::future::pending().await
}

/// Waits for a stage of the tour, but not for ever.
async fn stage<T>(what: &str, wait: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    match tokio::time::timeout(DEMO_STAGE, wait).await {
        Ok(done) => done,
        Err(_) => bail!("{what} did not come within {} s; the lines above may say why", DEMO_STAGE.as_secs()),
    }
}

async fn next(events: &mut broadcast::Receiver<Arc<Event>>) -> anyhow::Result<()> {
    match events.recv().await {
        // Whoever falls behind looks again all the same.
        Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => Ok(()),
        Err(broadcast::error::RecvError::Closed) => bail!("the host has ended"),
    }
}

/// The first poll notes where the branches are; only what comes after it is built.
async fn first_poll(server: &RunningServer, events: &mut broadcast::Receiver<Arc<Event>>) -> anyhow::Result<()> {
    loop {
        let store = server.shared.store.clone();
        let (snapshot, _) = tokio::task::spawn_blocking(move || store.load()).await??;
        if !snapshot.cursors.is_empty() {
            return Ok(());
        }
        tokio::select! {
            event = next(events) => event?,
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
        }
    }
}

async fn finished_build(
    server: &RunningServer,
    events: &mut broadcast::Receiver<Arc<Event>>,
    revision: &str,
) -> anyhow::Result<Build> {
    let mut shown = Shown::default();
    loop {
        let store = server.shared.store.clone();
        let page = tokio::task::spawn_blocking(move || {
            store.read()?.builds(&stampmill_store::BuildFilter::default(), None, 10)
        })
        .await??;
        let of_revision = |build: &&Build| build.stamps.iter().any(|stamp| stamp.revision.as_deref() == Some(revision));
        if let Some(build) = page.items.iter().find(of_revision) {
            shown.tell(server, build);
            if matches!(build.state, BuildState::Finished { .. }) {
                return Ok(build.clone());
            }
        }
        next(events).await?;
    }
}

/// What has been printed of the build so far.
#[derive(Default)]
struct Shown {
    build: Option<BuildId>,
    steps: usize,
}

impl Shown {
    fn tell(&mut self, server: &RunningServer, build: &Build) {
        if self.build != Some(build.id) {
            *self = Self { build: Some(build.id), steps: 0 };
            println!(
                "build {} of {} on {}: {}/builds/{}",
                build.number, build.builder, build.worker, server.url, build.id
            );
        }
        while let Some(step) = build.steps.get(self.steps) {
            let StepState::Finished { outcome, .. } = &step.state else { return };
            println!("  {}: {outcome}{}{}", step.name, if step.summary.is_empty() { "" } else { ": " }, step.summary);
            self.steps += 1;
        }
    }
}

fn tell(server: &RunningServer, build: &Build) -> anyhow::Result<ExitCode> {
    let BuildState::Finished { outcome, summary, .. } = &build.state else { bail!("the build has not ended") };
    println!("build {}: {outcome} {summary}", build.number);
    if outcome.is_good() {
        return Ok(ExitCode::SUCCESS);
    }
    for step in &build.steps {
        for log in &step.logs {
            if let Some(tail) = server.shared.logs.tail(build.id, step.number, log, 20)? {
                println!("-- {} of {}\n{}", log, step.name, String::from_utf8_lossy(&tail.bytes));
            }
        }
    }
    Ok(ExitCode::FAILURE)
}

//! Running the host: alone, with a worker beside it, or as the tour.

mod demo;
mod local_worker;
mod signals;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use axum::Router;
use stampmill_service::{Access, Service};
use stampmill_store::{Store, StoreError};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) use self::demo::{DemoOptions, demo};
use self::local_worker::LocalWorker;
pub(crate) use self::local_worker::worker;
use crate::checking;
use crate::config::{self, Finding, Loaded};
use crate::driver::{self, Driver};
use crate::gateway;
use crate::host::RunningHost;
use crate::limits::SHUTDOWN_GRACE;
use crate::listen;
use crate::plugins::Plugins;
use crate::shared::Shared;
use crate::world::Effects;

/// Where a host runs.
pub(crate) struct HostOptions {
    /// The configuration file.
    pub(crate) config: PathBuf,
    /// The data directory, if it is not the configuration's.
    pub(crate) data: Option<PathBuf>,
    /// The address, if it is not the configuration's.
    pub(crate) listen: Option<String>,
}

/// A configuration that can't be used; its text has the places in the file.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadConfig(String);

/// A running host.
pub(crate) struct RunningServer {
    /// Its address, as a URL.
    pub(crate) url: String,
    /// The data directory.
    pub(crate) data: PathBuf,
    /// What its parts share.
    pub(crate) shared: Arc<Shared>,
    /// Whether there is somebody who can log in.
    has_users: bool,
    admin_socket: PathBuf,
    driver: oneshot::Receiver<()>,
    servers: Vec<JoinHandle<std::io::Result<()>>>,
}

/// Runs the host until it is asked to end.
pub(crate) async fn host(options: HostOptions) -> anyhow::Result<ExitCode> {
    let ending = signals::asked_to_end();
    let Some(server) = start_unless(&ending, options).await? else { return Ok(ExitCode::SUCCESS) };
    server.announce();
    server.teach_first_login();
    tokio::select! {
        () = ending.cancelled() => {}
        () = server.stopped() => {}
    }
    server.end().await?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the host and a worker process beside it until it is asked to end.
pub(crate) async fn up(options: HostOptions) -> anyhow::Result<ExitCode> {
    let ending = signals::asked_to_end();
    let Some(server) = start_unless(&ending, options).await? else { return Ok(ExitCode::SUCCESS) };
    let mut worker = match LocalWorker::start(&server).await {
        Ok(worker) => worker,
        Err(error) => {
            server.end().await?;
            return Err(error);
        }
    };
    server.announce();
    server.teach_first_login();
    let ended = tokio::select! {
        () = ending.cancelled() => Ok(()),
        () = server.stopped() => Ok(()),
        error = worker.supervise() => Err(error),
    };
    worker.end().await;
    server.end().await?;
    ended.map(|()| ExitCode::SUCCESS)
}

/// Starts each plugin that the host would use, as `check` does; answers what is wrong.
pub(crate) async fn check_plugins(loaded: &Loaded) -> anyhow::Result<Vec<Finding>> {
    let cache = tempfile::tempdir().context("a directory for compiled components can't be made")?;
    Ok(checking::start_all(&Plugins::new(cache.path()), loaded).await)
}

/// Starts a host, or gives it up when it is asked to end meanwhile: so far nothing runs that a later start could not do again.
async fn start_unless(ending: &CancellationToken, options: HostOptions) -> anyhow::Result<Option<RunningServer>> {
    ending.run_until_cancelled(start(options)).await.transpose()
}

/// Starts a host: everything that can be refused is refused before anything is stored or told.
pub(crate) async fn start(options: HostOptions) -> anyhow::Result<RunningServer> {
    // First of all: until it is handled, SIGHUP ends a process.
    let hangups = signals::hangups()?;
    let path = options.config.clone();
    let loaded = tokio::task::spawn_blocking(move || config::load(&path)).await?;
    let loaded = loaded.map_err(|error| BadConfig(error.render(signals::colour())))?;
    for warning in &loaded.warnings {
        eprintln!("{}", warning.render(signals::colour()));
    }
    let data = options.data.unwrap_or_else(|| loaded.data.clone());
    let opening = data.clone();
    let (store, has_users) = tokio::task::spawn_blocking(move || open(&opening)).await??;
    let (listener, address) = listen::tcp(options.listen.as_deref().unwrap_or(&loaded.listen)).await?;
    let (admin_listener, admin_socket) = listen::admin(&data)?;
    let url = format!("http://{address}");

    let stop = CancellationToken::new();
    let (handle, inbox) = driver::channel();
    let logs = store.logs().clone();
    let engine = Arc::clone(&loaded.engine);
    let access = access(&loaded, address);
    let shared = Shared::new(handle, (store.clone(), logs), (data.clone(), url.clone()), loaded, stop.clone());
    let shared = Arc::new(shared);
    accept(&shared).await?;

    let running = Arc::new(RunningHost::new(Arc::clone(&shared)));
    tokio::spawn(RunningHost::reload_on_hangup(Arc::downgrade(&running), hangups));
    let service = Arc::new(Service::new(shared.accounts.clone(), running, access));
    let driver = Driver::start(inbox, store, engine, Effects::new(Arc::clone(&shared))).await?;
    let driver = driver.spawn(stop.clone()).context("the driver has no thread")?;
    let router = router(&shared, &service);
    let servers = vec![
        tokio::spawn(listen::serve_tcp(listener, router.clone(), stop.clone())),
        tokio::spawn(listen::serve_admin(admin_listener, router, stop)),
    ];
    Ok(RunningServer { url, data, shared, has_users, admin_socket, driver, servers })
}

/// The store, and whether it has a user.
fn open(data: &Path) -> Result<(Store, bool), StoreError> {
    let store = Store::open(data)?;
    let has_users = !store.users()?.is_empty();
    Ok((store, has_users))
}

/// Starts every plugin once and pins new ones; nothing has been stored so far.
async fn accept(shared: &Shared) -> anyhow::Result<()> {
    let composition = shared.composition();
    let findings = checking::start_all(&shared.plugins, &composition.loaded).await;
    if !findings.is_empty() {
        return Err(BadConfig(composition.loaded.error(findings).render(signals::colour())).into());
    }
    for pin in &composition.loaded.pins {
        eprintln!("{pin}");
    }
    composition.loaded.write_lock().context("the plugins can't be pinned")
}

fn access(loaded: &Loaded, address: std::net::SocketAddr) -> Access {
    let public = loaded.public_url.as_deref().unwrap_or_default();
    let name = public.split("://").nth(1).and_then(|rest| rest.split(['/', ':']).next());
    Access {
        reading_open: address.ip().is_loopback(),
        https: public.starts_with("https://"),
        names: name.filter(|name| !name.is_empty()).map(str::to_lowercase).into_iter().collect(),
    }
}

fn router(shared: &Arc<Shared>, service: &Arc<Service>) -> Router {
    gateway::router(Arc::clone(shared))
        .merge(stampmill_api::router(Arc::clone(service)))
        .merge(stampmill_ui::router(Arc::clone(service)))
}

impl RunningServer {
    /// Says where it listens, on standard output, for people and for scripts that wait for it.
    fn announce(&self) {
        println!("listening on {}", self.url);
    }

    /// Says what to type before anybody can log in, on standard error.
    fn teach_first_login(&self) {
        if !self.has_users {
            eprintln!(
                "there is no user yet; to log in on the pages, make one: stampmill user add NAME --role admin --data {}",
                shell_word(&self.data)
            );
        }
    }

    /// Waits until it has stopped by itself, which it does in trouble only.
    async fn stopped(&self) {
        self.shared.stop.cancelled().await;
    }

    /// Ends everything within the grace period. What was accepted is stored; what was under way goes on at the next start.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        // Streams end on it too; the servers wait for them.
        self.shared.stop.cancel();
        self.shared.tasks.close();
        let ending = async {
            self.shared.tasks.wait().await;
            // The driver ends after the batch that it is in.
            self.driver.await
        };
        let driver = tokio::time::timeout(SHUTDOWN_GRACE, ending).await;
        if driver.is_err() {
            tracing::warn!("something did not end within {} s and is left behind", SHUTDOWN_GRACE.as_secs());
        }
        for server in &self.servers {
            // What still runs are requests that take too long.
            server.abort();
        }
        if let Err(error) = std::fs::remove_file(&self.admin_socket)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            // As on a disk that became read-only. The next start takes it away.
            tracing::warn!("can't remove the socket `{}`: {error}", self.admin_socket.display());
        }
        ensure!(
            !matches!(driver, Ok(Err(_))),
            "the engine's thread has panicked, as the log says; start the host again"
        );
        Ok(())
    }
}

/// A path as a shell reads it.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    if text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c)) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The directory below the data directory in which the local worker keeps its own state.
fn local_worker_state(data: &Path) -> PathBuf {
    data.join("worker")
}

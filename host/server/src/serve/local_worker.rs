//! The worker: as a process of its own on another machine, or beside the host for `up` and `demo`. Both are the same program.

use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use stampmill_agent::{Agent, WorkerConfig};
use stampmill_model::WorkerName;
use stampmill_sandbox::Helper;
use stampmill_service::ServiceError;
use stampmill_service::secret::Secret;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{RunningServer, local_worker_state, signals};
use crate::config::HostLimits;
use crate::limits::{FOUND_WORKER_LOOK, WORKER_GRACE, WORKER_RESTARTS, WORKER_STEADY};
use crate::shared::Shared;

/// Name of the file with the worker's token, in the worker's directory.
const TOKEN_FILE: &str = "token";

/// Runs a worker until it is asked to end.
pub(crate) async fn worker(config: WorkerConfig) -> anyhow::Result<ExitCode> {
    Agent::run(config, Helper::this_program(), signals::asked_to_end()).await?;
    Ok(ExitCode::SUCCESS)
}

/// The worker process beside a host.
pub(crate) struct LocalWorker {
    stop: CancellationToken,
    task: JoinHandle<anyhow::Error>,
}

impl LocalWorker {
    /// Starts a worker process with a token of its own.
    pub(crate) async fn start(server: &RunningServer) -> anyhow::Result<Self> {
        let seat = Seat::of(server)?;
        // Before the token is looked at: an end that comes after that is noticed.
        let ends = server.shared.accounts.ends();
        seat.furnish(Seat::first_token).await?;
        let process = match stampmill_agent::holder(&seat.state) {
            // The worker of a host that was killed has gone on with its builds, and finds this host by the file.
            Some(id) => Process::Found { id, state: seat.state.clone() },
            None => Process::Started(seat.spawn()?),
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(keep_running(process, seat, ends, stop.clone()));
        Ok(Self { stop, task })
    }

    /// Waits until the worker can't be kept running, and says why.
    pub(crate) async fn supervise(&mut self) -> anyhow::Error {
        match (&mut self.task).await {
            Ok(error) => error,
            Err(error) => error.into(),
        }
    }

    /// Asks the worker to end, and kills it when it does not.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        if !self.task.is_finished() {
            // Its answer is only that it was stopped.
            let _ = self.task.await;
        }
    }
}

/// The worker called `local`, else the first one.
fn name(server: &RunningServer) -> anyhow::Result<WorkerName> {
    let composition = server.shared.composition();
    let workers = &composition.loaded.engine.workers;
    let local = workers.iter().find(|worker| worker.name.as_str() == "local").or_else(|| workers.first());
    match local {
        Some(worker) => Ok(worker.name.clone()),
        None => bail!("the configuration has no worker to start here; add `[[worker]]` with `name = \"local\"`"),
    }
}

/// What a worker process is started with.
#[derive(Clone)]
struct Seat {
    shared: Arc<Shared>,
    name: WorkerName,
    state: PathBuf,
    program: PathBuf,
}

impl Seat {
    fn of(server: &RunningServer) -> anyhow::Result<Self> {
        Ok(Self {
            shared: Arc::clone(&server.shared),
            name: name(server)?,
            state: local_worker_state(&server.data),
            program: std::env::current_exe().context("this program does not know where it is")?,
        })
    }

    fn config(&self) -> PathBuf {
        self.state.join("worker.toml")
    }

    /// Writes what the worker reads, with the token that an earlier run made, if that still holds, else with a new one.
    async fn furnish(&self, new_token: fn(&Self) -> Result<Secret, ServiceError>) -> anyhow::Result<()> {
        let seat = self.clone();
        let write = move || {
            let token = match seat.token()? {
                Some(token) => token,
                None => new_token(&seat).context("the worker's token can't be made")?.reveal().to_owned(),
            };
            let limits = seat.shared.composition().loaded.limits;
            write_config(&seat, &token, &limits)
                .with_context(|| format!("the worker's directory `{}` can't be made", seat.state.display()))
        };
        tokio::task::spawn_blocking(write).await?
    }

    /// The token that the worker has, if it holds.
    fn token(&self) -> anyhow::Result<Option<String>> {
        let Ok(token) = std::fs::read_to_string(self.state.join(TOKEN_FILE)) else { return Ok(None) };
        let holds = self.shared.accounts.worker_of(&token)?.as_ref() == Some(&self.name);
        Ok(holds.then_some(token))
    }

    fn first_token(&self) -> Result<Secret, ServiceError> {
        self.shared.accounts.add_worker_token(&self.name).map(|(_, secret)| secret)
    }

    /// Beside the worker's other tokens: who renews the token of this worker by hand was given one that must not end at once.
    fn next_token(&self) -> Result<Secret, ServiceError> {
        self.shared.accounts.add_another_worker_token(&self.name).map(|(_, secret)| secret)
    }

    /// Gives the worker another token when its own was ended; the worker reads it when it connects again.
    async fn renew(&self) {
        if let Err(error) = self.furnish(Self::next_token).await {
            tracing::error!(worker = %self.name, "the local worker may be left without a token: {error:#}");
        }
    }

    /// In a process group of its own, so that Ctrl-C reaches the host alone, which then ends the worker in order.
    fn spawn(&self) -> anyhow::Result<Child> {
        Command::new(&self.program)
            .arg("worker")
            .arg("--config")
            .arg(self.config())
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .with_context(|| format!("the worker process `{}` can't be started", self.program.display()))
    }
}

fn write_config(seat: &Seat, token: &str, limits: &HostLimits) -> std::io::Result<()> {
    let state = &seat.state;
    std::fs::create_dir_all(state)?;
    std::fs::set_permissions(state, std::fs::Permissions::from_mode(0o711))?;
    let token_file = state.join(TOKEN_FILE);
    write_private(&token_file, token)?;
    // On the operator's own machine the worker allows what the host's configuration grants.
    let allow = toml::toml! {
        command = ["*"]
        net = ["*"]
        read = ["*"]
        write = ["*"]
        secret = ["*"]
        http = ["*"]
        plugin = ["*"]
    };
    let mut text = toml::Table::new();
    text.insert("name".to_owned(), seat.name.as_str().into());
    let host_file = state.join("host");
    write_private(&host_file, &seat.shared.base_url)?;
    text.insert("host-file".to_owned(), host_file.display().to_string().into());
    text.insert("token-file".to_owned(), token_file.display().to_string().into());
    text.insert("state-dir".to_owned(), state.display().to_string().into());
    let seconds = i64::try_from(limits.local_worker_alone.0.div_ceil(1000)).unwrap_or(i64::MAX);
    text.insert("end-without-host-seconds".to_owned(), seconds.into());
    text.insert("allow".to_owned(), allow.into());
    let steps = limits.steps.0.into_iter().flatten();
    // No configured number is larger than TOML's.
    let steps = steps.map(|(key, value)| (key.to_owned(), i64::try_from(value).unwrap_or(i64::MAX).into()));
    text.insert("limits".to_owned(), toml::Table::from_iter(steps).into());
    write_private(&seat.config(), &text.to_string())
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

/// A worker process: one that this host started, or one that an earlier host left behind.
enum Process {
    Started(Child),
    Found { id: u32, state: PathBuf },
}

impl Process {
    /// Waits for its end, and says how that was.
    async fn wait(&mut self) -> String {
        match self {
            Self::Started(child) => match child.wait().await {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            },
            Self::Found { state, .. } => {
                while stampmill_agent::holder(state).is_some() {
                    tokio::time::sleep(FOUND_WORKER_LOOK).await;
                }
                "an unknown status".to_owned()
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let id = match self {
            Self::Started(child) => child.id(),
            Self::Found { id, state } => stampmill_agent::holder(state).filter(|holder| holder == id),
        };
        if let Some(id) = id.and_then(|id| i32::try_from(id).ok()) {
            // It may have ended at this very moment.
            let _ = kill(Pid::from_raw(id), signal);
        }
    }
}

/// How often in a row the worker has ended soon after its start.
#[derive(Default)]
struct Ends(u32);

impl Ends {
    /// Counts an end of a worker that ran for so long; answers whether it is to be started again.
    fn again_after(&mut self, ran: Duration) -> bool {
        self.0 = if ran >= WORKER_STEADY { 1 } else { self.0 + 1 };
        self.0 <= WORKER_RESTARTS
    }
}

/// Starts the worker again when it dies, a few times, and gives it another token when its own is ended; answers why it is over.
async fn keep_running(
    mut process: Process,
    seat: Seat,
    mut ends: watch::Receiver<u64>,
    stop: CancellationToken,
) -> anyhow::Error {
    let mut deaths = Ends::default();
    loop {
        let started = Instant::now();
        let how = loop {
            tokio::select! {
                how = process.wait() => break how,
                Ok(()) = ends.changed() => seat.renew().await,
                () = stop.cancelled() => {
                    terminate(process).await;
                    return stopped();
                }
            }
        };
        if !deaths.again_after(started.elapsed()) {
            return anyhow::anyhow!(
                "the worker process ended {} times soon after its start, at last with {how}",
                deaths.0
            );
        }
        tracing::error!("the worker process ended with {how}; it is started again");
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            () = stop.cancelled() => return stopped(),
        }
        seat.renew().await;
        process = match seat.spawn() {
            Ok(child) => Process::Started(child),
            Err(error) => return error,
        };
    }
}

fn stopped() -> anyhow::Error {
    anyhow::anyhow!("the worker was stopped")
}

async fn terminate(mut process: Process) {
    process.signal(Signal::SIGTERM);
    if tokio::time::timeout(WORKER_GRACE, process.wait()).await.is_err() {
        tracing::warn!("the worker process did not end within {} s and is killed", WORKER_GRACE.as_secs());
        process.signal(Signal::SIGKILL);
        process.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_dies_now_and_then_is_always_started_again_and_one_that_dies_at_once_is_not() {
        let (soon, late) = (WORKER_STEADY / 2, WORKER_STEADY);
        let mut deaths = Ends::default();
        assert!((0..100).all(|_| deaths.again_after(late)));
        let again = (0..100).take_while(|_| deaths.again_after(soon)).count();
        assert_eq!(again, WORKER_RESTARTS as usize - 1, "the first end was the one after a long run");
        let mut deaths = Ends::default();
        assert_eq!((0..100).take_while(|_| deaths.again_after(soon)).count(), WORKER_RESTARTS as usize);
        assert!(deaths.again_after(late), "a long run makes good for what was before");
    }
}

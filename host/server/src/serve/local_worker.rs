//! The worker: as a process of its own on another machine, or beside the host for `up` and `demo`. Both are the same program.

use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use stampmill_agent::{Agent, WorkerConfig};
use stampmill_model::WorkerName;
use stampmill_sandbox::Helper;
use stampmill_service::Accounts;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{RunningServer, local_worker_state, signals};
use crate::limits::{FOUND_WORKER_LOOK, WORKER_GRACE, WORKER_RESTARTS};

/// Name of the file with the worker's token, in the worker's directory.
const TOKEN_FILE: &str = "token";

/// Runs a worker until it is asked to end.
pub(crate) async fn worker(config: WorkerConfig) -> anyhow::Result<ExitCode> {
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    tokio::spawn(async move {
        signals::asked_to_end().await;
        stopping.cancel();
    });
    Agent::run(config, Helper::this_program(), stop).await?;
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
        let name = name(server)?;
        let state = local_worker_state(&server.data);
        let token = token(server, &name, &state)?;
        let config = write_config(&state, &name, &server.url, &token)?;
        let program = std::env::current_exe().context("this program does not know where it is")?;
        let process = match stampmill_agent::holder(&state) {
            // The worker of a host that was killed has gone on with its builds, and finds this host by the file.
            Some(id) => Process::Found { id, state: state.clone() },
            None => Process::Started(spawn(&program, &config)?),
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(keep_running(process, program, config, stop.clone()));
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

/// The token that an earlier run made, if it still holds, else a new one.
fn token(server: &RunningServer, name: &WorkerName, state: &Path) -> anyhow::Result<String> {
    let accounts = Accounts::new(server.shared.store.clone());
    if let Ok(token) = std::fs::read_to_string(state.join(TOKEN_FILE))
        && accounts.worker_of(&token)?.as_ref() == Some(name)
    {
        return Ok(token);
    }
    let (_, secret) = accounts.add_worker_token(name).context("the worker's token can't be made")?;
    Ok(secret.reveal().to_owned())
}

fn write_config(state: &Path, name: &WorkerName, url: &str, token: &str) -> anyhow::Result<PathBuf> {
    let written = || -> std::io::Result<PathBuf> {
        std::fs::create_dir_all(state)?;
        std::fs::set_permissions(state, std::fs::Permissions::from_mode(0o711))?;
        let token_file = state.join(TOKEN_FILE);
        write_private(&token_file, token)?;
        let config = state.join("worker.toml");
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
        text.insert("name".to_owned(), name.as_str().into());
        let host_file = state.join("host");
        write_private(&host_file, url)?;
        text.insert("host-file".to_owned(), host_file.display().to_string().into());
        text.insert("token-file".to_owned(), token_file.display().to_string().into());
        text.insert("state-dir".to_owned(), state.display().to_string().into());
        text.insert("allow".to_owned(), allow.into());
        write_private(&config, &text.to_string())?;
        Ok(config)
    };
    written().with_context(|| format!("the worker's directory `{}` can't be made", state.display()))
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

/// In a process group of its own, so that Ctrl-C reaches the host alone, which then ends the worker in order.
fn spawn(program: &Path, config: &Path) -> anyhow::Result<Child> {
    Command::new(program)
        .arg("worker")
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .with_context(|| format!("the worker process `{}` can't be started", program.display()))
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

/// Starts the worker again when it dies, a few times; answers why it is over.
async fn keep_running(
    mut process: Process,
    program: PathBuf,
    config: PathBuf,
    stop: CancellationToken,
) -> anyhow::Error {
    for restart in 1.. {
        let how = tokio::select! {
            how = process.wait() => how,
            () = stop.cancelled() => {
                terminate(process).await;
                return anyhow::anyhow!("the worker was stopped");
            }
        };
        if restart > WORKER_RESTARTS {
            return anyhow::anyhow!("the worker process ended {restart} times, at last with {how}");
        }
        tracing::error!("the worker process ended with {how}; it is started again");
        tokio::time::sleep(Duration::from_secs(1)).await;
        process = match spawn(&program, &config) {
            Ok(child) => Process::Started(child),
            Err(error) => return error,
        };
    }
    unreachable!("the loop has no end but its returns")
}

async fn terminate(mut process: Process) {
    process.signal(Signal::SIGTERM);
    if tokio::time::timeout(WORKER_GRACE, process.wait()).await.is_err() {
        tracing::warn!("the worker process did not end within {} s and is killed", WORKER_GRACE.as_secs());
        process.signal(Signal::SIGKILL);
        process.wait().await;
    }
}

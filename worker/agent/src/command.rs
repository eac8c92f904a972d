//! Native programs for plugins, in the sandbox. The worker uses this for steps, the host for change sources.
//!
//! [`SandboxedProcesses`] implements the runtime's `Processes`: it looks the program up, resolves secrets, opens the [`proxy`] where network is
//! granted, and starts the program with a `process` task that moves its bytes and keeps its limits.

pub mod proxy;

mod output;
pub mod ownership;
mod process;
mod program;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use stampmill_runtime::egress::{NetworkRecord, names_loopback};
use stampmill_runtime::{CommandSpec, Fault, Process, Processes, Secrets};
use stampmill_sandbox::{
    Floor, HOME_DIR, Helper, Identity, Input, Limits, Network, PROXY_ADDRESS, Policy, PrivateFile,
};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use program::SEARCH_PATH;

/// Where output of programs goes: the logs of a step, or whatever the host has for a change source.
pub trait OutputLogs: Send + Sync {
    /// A new writer to the log of this name.
    ///
    /// # Errors
    /// When there can be no such log.
    fn output(&self, name: &str) -> Result<Box<dyn OutputLog>, Fault>;
}

/// One writer to a log.
#[async_trait]
pub trait OutputLog: Send {
    /// Appends bytes; waits while the log's reader is slow.
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Fault>;
    /// Nothing more follows.
    async fn finish(&mut self) -> Result<(), Fault>;
}

/// What all programs of one use of a plugin share.
#[derive(Clone)]
pub struct CommandSettings {
    /// The program that puts up the sandbox.
    pub helper: Helper,
    /// The work directory on this machine, seen by the programs as `/build`.
    pub work_directory: PathBuf,
    /// Whose rights they have.
    pub identity: Identity,
    /// What they may use up.
    pub limits: Limits,
    /// What must be in force for them to run.
    pub floor: Floor,
    /// Where the sockets of their proxies are made: a directory that exists, with a short path.
    pub socket_directory: PathBuf,
    /// Whether the plugin itself may write into the work directory: then what it wrote is given to the programs' ids before each start, as
    /// [`ownership::give`] does.
    pub shared_workspace: bool,
}

/// Starts the programs of one use of a plugin.
pub struct SandboxedProcesses {
    settings: CommandSettings,
    logs: Arc<dyn OutputLogs>,
    secrets: Arc<dyn Secrets>,
    /// Cancelled: every running program gets its stop signal, and none is started any more.
    stop: CancellationToken,
    running: TaskTracker,
    network: Option<Arc<dyn NetworkRecord>>,
}

impl SandboxedProcesses {
    /// Programs with these settings. Their output goes to `logs`, `secrets` holds the values that they name, and cancelling `stop` ends them
    /// all with their stop signal, then SIGKILL. Dropping the plugin's instance kills what still runs; after that, whoever closes `running` and
    /// waits for it knows that no program is left.
    #[must_use]
    pub fn new(
        settings: CommandSettings,
        logs: Arc<dyn OutputLogs>,
        secrets: Arc<dyn Secrets>,
        stop: CancellationToken,
        running: TaskTracker,
    ) -> Self {
        Self { settings, logs, secrets, stop, running, network: None }
    }

    /// The same, and every attempt of theirs to reach something over the network is told to this record.
    #[must_use]
    pub fn recorded_by(self, network: Arc<dyn NetworkRecord>) -> Self {
        Self { network: Some(network), ..self }
    }

    async fn environment(&self, command: &CommandSpec) -> Result<Vec<(OsString, OsString)>, Fault> {
        let mut environment = Vec::new();
        let mut declare = |name: &str, value: &str| environment.push((OsString::from(name), OsString::from(value)));
        for (name, value) in &command.environment {
            declare(name, value);
        }
        for (name, secret) in &command.secret_environment {
            declare(name, &self.secrets.reveal(secret).await?);
        }
        let mut defaults = vec![("PATH", SEARCH_PATH.to_owned()), ("HOME", HOME_DIR.to_owned())];
        if !command.net.is_empty() {
            defaults.extend(proxy_variables(&command.net));
        }
        for (name, value) in defaults {
            if !environment.iter().any(|(declared, _)| declared == name) {
                environment.push((name.into(), value.into()));
            }
        }
        Ok(environment)
    }

    async fn private_files(&self, command: &CommandSpec) -> Result<Vec<PrivateFile>, Fault> {
        let mut files = Vec::new();
        for (secret, path) in &command.secret_files {
            let name = PathBuf::from(path).file_name().map(PathBuf::from);
            let content = self.secrets.reveal(secret).await?.into_bytes();
            files.push(PrivateFile { name: name.unwrap_or_else(|| PathBuf::from(secret)), content });
        }
        Ok(files)
    }

    async fn policy(&self, command: &CommandSpec) -> Result<Policy, Fault> {
        let mut argv: Vec<OsString> = command.argv.iter().map(OsString::from).collect();
        let named = command.argv.first().map(String::as_str).unwrap_or_default();
        let program = argv.first_mut().ok_or_else(|| Fault::Broken("an empty command".to_owned()))?;
        *program = program::find(named)?.into();
        let settings = &self.settings;
        let mut policy = Policy::new(argv, settings.work_directory.clone(), settings.identity);
        policy.env = self.environment(command).await?;
        policy.files = self.private_files(command).await?;
        policy.current_dir = command.directory.as_deref().unwrap_or_default().into();
        policy.read = command.read.clone();
        policy.write = command.write.clone();
        policy.limits = settings.limits.clone();
        policy.floor = settings.floor;
        if !command.stdin.is_empty() || command.keep_stdin_open {
            policy.input = Input::Pipe;
        }
        Ok(policy)
    }

    fn open_proxy(&self, command: &CommandSpec, policy: &mut Policy) -> Result<Option<proxy::Proxy>, Fault> {
        if command.net.is_empty() {
            return Ok(None);
        }
        let mut name = [0; 8];
        getrandom::fill(&mut name).map_err(|error| Fault::Unavailable {
            reason: format!("no name for the proxy's socket: {error}"),
            retry_after: None,
        })?;
        let socket = self.settings.socket_directory.join(hex::encode(name));
        let log = self.logs.output("stdio")?;
        let record = self.network.clone();
        let errand = proxy::Errand { granted: &command.net, log, record, tasks: &self.running };
        let proxy = proxy::Proxy::open(&socket, self.settings.identity, errand)
            .map_err(|error| Fault::Unavailable { reason: error.to_string(), retry_after: None })?;
        policy.network = Network::Proxy { socket };
        Ok(Some(proxy))
    }
}

/// What programs know the proxy by: most ask for it by HTTP, those that know only `ALL_PROXY` by SOCKS5 with names. A program's own servers are
/// on its own loopback and need no proxy, unless the grant names this machine's.
fn proxy_variables(net: &[String]) -> Vec<(&'static str, String)> {
    let mut variables: Vec<(&str, String)> = ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"]
        .map(|name| (name, format!("http://{PROXY_ADDRESS}")))
        .into_iter()
        .chain(["ALL_PROXY", "all_proxy"].map(|name| (name, format!("socks5h://{PROXY_ADDRESS}"))))
        .collect();
    if !net.iter().any(|place| names_loopback(place)) {
        variables.extend(["NO_PROXY", "no_proxy"].map(|name| (name, "localhost,127.0.0.1,::1".to_owned())));
    }
    variables
}

#[async_trait]
impl Processes for SandboxedProcesses {
    async fn spawn(&self, command: CommandSpec) -> Result<Box<dyn Process>, Fault> {
        if self.stop.is_cancelled() {
            return Err(Fault::Refused("the step is being stopped; no program is started any more".to_owned()));
        }
        if command.terminal.is_some() {
            return Err(Fault::Refused(
                "this worker has no terminals for programs; run it without `terminal`".to_owned(),
            ));
        }
        if self.settings.shared_workspace {
            let given = ownership::give(&self.settings.work_directory, self.settings.identity).await;
            given.map_err(|error| Fault::Unavailable { reason: error.to_string(), retry_after: None })?;
        }
        let mut policy = self.policy(&command).await?;
        let proxy = self.open_proxy(&command, &mut policy)?;
        let running = process::start(
            &self.settings.helper,
            &policy,
            command,
            process::Around { logs: self.logs.as_ref(), stop: self.stop.clone(), tasks: &self.running, proxy },
        )?;
        Ok(Box::new(running))
    }
}

//! The worker's own configuration: who it is, where its host is, and the most that steps may do here.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::allow::Allow;
use crate::limits::{CONFIG_BYTES_MAX, SPOOL_BYTES, STEP_OUTPUT_BYTES, WORK_BYTES, WORK_FILES};

/// What is wrong with a worker's configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key or a wrong type; the text has line, column and the line itself.
    #[error("{path}: {source}")]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where and what.
        source: Box<toml::de::Error>,
    },
    /// A value that cannot be meant.
    #[error("{key} = {value:?}: {why}")]
    Value {
        /// Which key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What is wrong and what is expected.
        why: String,
    },
}

/// A worker's configuration.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct WorkerConfig {
    /// Its name in the host's configuration.
    pub name: String,
    /// The host's URL: `https://ci.example` or `http://127.0.0.1:8010`. One of this and `host-file`.
    #[serde(default)]
    pub host: String,
    /// A file that holds the host's URL; read at each attempt to connect, so that the worker follows a host that comes back elsewhere.
    #[serde(default)]
    pub host_file: Option<PathBuf>,
    /// The token, as `stampmill worker-token` printed it. One of this and `token-file`.
    #[serde(default)]
    pub token: Option<String>,
    /// A file that holds the token; read at each attempt to connect, so that a token can be renewed.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// Where work directories, components and unacknowledged results are kept; made with mode 0700.
    pub state_dir: PathBuf,
    /// Builds at once.
    #[serde(default = "one")]
    pub max_builds: u32,
    /// Ends by itself after so many seconds without a host and without a running build; never, unless it says so. What was not handed in yet
    /// stays on disk for its next start.
    #[serde(default)]
    pub end_without_host_seconds: Option<u64>,
    /// How well native programs must be fenced in for this worker to run anything.
    #[serde(default)]
    pub require: Requirement,
    /// The most that steps may do here, whatever the host grants.
    #[serde(default)]
    pub allow: Allow,
    /// The most that steps may use up here.
    #[serde(default)]
    pub limits: WorkerLimits,
    /// For a worker that runs as root: the user id of steps. Never 0.
    #[serde(default = "step_id")]
    pub step_uid: u32,
    /// For a worker that runs as root: the group id of steps. Never 0.
    #[serde(default = "step_id")]
    pub step_gid: u32,
}

/// How well native programs must be fenced in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Requirement {
    /// Every mechanism of the sandbox must be in force; else builds are declined.
    #[default]
    Sandboxed,
    /// A mechanism may be missing.
    Degraded,
    /// Builds are taken even where no native program can be fenced in; steps that start one fail.
    WasmOnly,
}

/// The most that steps may use up.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct WorkerLimits {
    /// Memory of a program and all its children, in bytes.
    pub memory_bytes: u64,
    /// Processes and threads of a program and all its children.
    pub processes: u64,
    /// Open files of one process.
    pub open_files: u64,
    /// Bytes of `/tmp`, the home directory and `/dev/shm` together; they are in memory.
    pub scratch_bytes: u64,
    /// Bytes of the largest file that a program can write.
    pub file_bytes: u64,
    /// Bytes of disk that a work directory may take up. It is measured while a step runs and when it ends.
    pub work_bytes: u64,
    /// Files and directories that a work directory may hold.
    pub work_files: u64,
    /// Bytes that a step may write to its logs.
    pub output_bytes: u64,
    /// Bytes of one build that may wait on disk while the host is away.
    pub spool_bytes: u64,
}

impl Default for WorkerLimits {
    fn default() -> Self {
        let sandbox = stampmill_sandbox::Limits::default();
        Self {
            memory_bytes: sandbox.memory_bytes,
            processes: sandbox.processes,
            open_files: sandbox.open_files,
            scratch_bytes: sandbox.scratch_bytes,
            file_bytes: sandbox.file_bytes,
            work_bytes: WORK_BYTES,
            work_files: WORK_FILES,
            output_bytes: STEP_OUTPUT_BYTES,
            spool_bytes: SPOOL_BYTES,
        }
    }
}

impl WorkerConfig {
    /// A configuration with defaults for everything else.
    #[must_use]
    pub fn new(name: &str, host: &str, token: &str, state_dir: &Path) -> Self {
        Self {
            name: name.to_owned(),
            host: host.to_owned(),
            host_file: None,
            token: Some(token.to_owned()),
            token_file: None,
            state_dir: state_dir.to_owned(),
            max_builds: one(),
            end_without_host_seconds: None,
            require: Requirement::default(),
            allow: Allow::default(),
            limits: WorkerLimits::default(),
            step_uid: step_id(),
            step_gid: step_id(),
        }
    }

    /// Reads a configuration file. Relative paths in it are relative to its directory.
    ///
    /// # Errors
    /// When it cannot be read, is not TOML, has an unknown key, or a value that cannot be meant.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let failed = |source| ConfigError::Read { path: path.to_owned(), source };
        let length = std::fs::metadata(path).map_err(failed)?.len();
        if length > CONFIG_BYTES_MAX {
            let why = format!("is larger than {CONFIG_BYTES_MAX} bytes");
            return Err(failed(std::io::Error::other(why)));
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let mut config: Self = toml::from_str(&text)
            .map_err(|source| ConfigError::Syntax { path: path.to_owned(), source: Box::new(source) })?;
        let base = path.parent().unwrap_or(Path::new("."));
        config.state_dir = base.join(&config.state_dir);
        config.token_file = config.token_file.map(|file| base.join(file));
        config.host_file = config.host_file.map(|file| base.join(file));
        config.check()?;
        Ok(config)
    }

    /// Checks values; [`crate::Agent::run`] does so too.
    ///
    /// # Errors
    /// Names the first value that cannot be meant.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong =
            |key, value: &str, why: &str| Err(ConfigError::Value { key, value: value.to_owned(), why: why.to_owned() });
        if self.name.is_empty() {
            return wrong("name", "", "the worker's name in the host's configuration is expected");
        }
        if self.max_builds == 0 {
            return wrong("max-builds", "0", "a worker runs at least one build");
        }
        if self.step_uid == 0 || self.step_gid == 0 {
            return wrong("step-uid", "0", "steps never run as root; name ids that are not 0");
        }
        match (&self.token, &self.token_file) {
            (Some(_), None) | (None, Some(_)) => {}
            (None, None) => return wrong("token", "", "a token or a token-file is expected"),
            (Some(_), Some(_)) => return wrong("token-file", "", "there is a token already; keep one of the two"),
        }
        self.url().map(|_| ())
    }

    /// Where to connect: the host's URL with the scheme of WebSockets and the path of the protocol.
    ///
    /// # Errors
    /// When `host` is no such URL, or its file cannot be read.
    pub fn url(&self) -> Result<String, ConfigError> {
        let host = match &self.host_file {
            None => self.host.clone(),
            Some(path) => std::fs::read_to_string(path)
                .map_err(|source| ConfigError::Read { path: path.clone(), source })?
                .trim()
                .to_owned(),
        };
        let wrong = |why: &str| ConfigError::Value { key: "host", value: host.clone(), why: why.to_owned() };
        if self.host_file.is_some() && !self.host.is_empty() {
            return Err(wrong("there is a host-file too; keep one of the two"));
        }
        let (scheme, rest) =
            host.split_once("://").ok_or_else(|| wrong("a URL such as `https://ci.example` is expected"))?;
        let scheme = match scheme {
            "https" | "wss" => "wss",
            "http" | "ws" => "ws",
            _ => return Err(wrong("the scheme must be http or https")),
        };
        let rest = rest.trim_end_matches('/');
        if rest.is_empty() || rest.contains(['?', '#', '@', ' ']) {
            return Err(wrong("a URL such as `https://ci.example` is expected"));
        }
        Ok(format!("{scheme}://{rest}{}", stampmill_protocol::PATH))
    }

    /// The host as a log names it.
    pub(crate) fn named_host(&self) -> String {
        match &self.host_file {
            Some(path) => std::fs::read_to_string(path).unwrap_or_else(|_| path.display().to_string()),
            None => self.host.clone(),
        }
    }

    /// The token.
    ///
    /// # Errors
    /// When the token file cannot be read.
    pub fn read_token(&self) -> Result<String, ConfigError> {
        if let Some(token) = &self.token {
            return Ok(token.trim().to_owned());
        }
        let path = self.token_file.clone().unwrap_or_default();
        let text = std::fs::read_to_string(&path).map_err(|source| ConfigError::Read { path, source })?;
        Ok(text.trim().to_owned())
    }
}

impl std::fmt::Debug for WorkerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkerConfig")
            .field("name", &self.name)
            .field("host", &self.host)
            .field("state_dir", &self.state_dir)
            .field("max_builds", &self.max_builds)
            .field("require", &self.require)
            .field("allow", &self.allow)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

const fn one() -> u32 {
    1
}

/// An id that no usual system gives to anyone: above the users that people have, below those that systemd gives out.
const fn step_id() -> u32 {
    60_321
}

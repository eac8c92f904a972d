//! A running host, started as an operator starts it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::command::{self, Said};
use crate::compiled;
use crate::place::kill_all_in;

/// How long anything may take before a test gives up; on a loaded machine the first use of a plugin compiles it for seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// What hosts and workers of a directory say goes here.
const LOG: &str = "host.log";

/// The binary, built by the same cargo that runs the test; or the one that `STAMPMILL_E2E_BINARY` names, such as a release that was installed.
#[must_use]
pub fn stampmill() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(binary) = std::env::var_os("STAMPMILL_E2E_BINARY") {
            return PathBuf::from(binary);
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let built = std::process::Command::new(cargo)
            .args(["build", "--quiet", "--bin", "stampmill", "--message-format", "json"])
            .current_dir(root)
            .stderr(Stdio::inherit())
            .output()
            .expect("cargo runs");
        assert!(built.status.success(), "the binary can't be built");
        let messages = String::from_utf8(built.stdout).expect("cargo speaks UTF-8");
        let executable = |line: &str| {
            let message: Value = serde_json::from_str(line).ok()?;
            let path = message.get("executable")?.as_str()?;
            path.ends_with("/stampmill").then(|| PathBuf::from(path))
        };
        messages.lines().filter_map(executable).next_back().expect("cargo says where the binary is")
    })
}

/// A host that runs, with everything below one directory.
pub struct Host {
    /// Where it listens.
    pub url: String,
    /// Its directory: configuration, lock file and data.
    pub place: PathBuf,
    child: Child,
    client: reqwest::Client,
    /// Whether it was ended on purpose, so that its worker may be somebody else's by now.
    ended: bool,
}

impl Drop for Host {
    fn drop(&mut self) {
        compiled::keep(&self.place.join("data"));
        if !self.ended {
            // The test is failing.
            eprintln!("{}", self.log());
            // It may have ended by itself. First the host, which would start its worker again.
            let _ = self.child.start_kill();
            kill_all_in(&self.place.join("data/worker"));
        }
    }
}

impl Host {
    /// Writes the configuration and runs `stampmill up`.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn up(place: &Path, config: &str) -> anyhow::Result<Self> {
        std::fs::write(place.join("stampmill.toml"), config)?;
        Self::start(place, "up").await
    }

    /// Runs `stampmill COMMAND` on what is in the directory already.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(place: &Path, command: &str) -> anyhow::Result<Self> {
        Self::start_at(place, command, "127.0.0.1:0").await
    }

    /// Runs `stampmill COMMAND` with another address to listen on.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_at(place: &Path, command: &str, listen: &str) -> anyhow::Result<Self> {
        Self::start_in(place, (command, listen), &[]).await
    }

    /// Runs `stampmill COMMAND` with an address to listen on and more in its environment.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_in(
        place: &Path,
        (command, listen): (&str, &str),
        environment: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        compiled::give(&place.join("data"));
        let mut child = Command::new(stampmill())
            .args([command, "--config", "stampmill.toml", "--data", "data", "--listen", listen])
            .envs(environment.iter().copied())
            .current_dir(place)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // A file, because the worker goes on writing to it when the host is killed.
            .stderr(File::options().create(true).append(true).open(place.join(LOG))?)
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("standard output is piped")?).lines();
        let url = tokio::time::timeout(PATIENCE, async {
            while let Some(line) = lines.next_line().await? {
                if let Some(url) = line.strip_prefix("listening on ") {
                    return Ok(url.to_owned());
                }
            }
            bail!("it ended before it listened")
        })
        .await
        .context("it did not listen in time")
        .flatten()
        .inspect_err(|_| eprintln!("{}", std::fs::read_to_string(place.join(LOG)).unwrap_or_default()))?
        // Where it listens on every address it is asked through one of them.
        .replace("//0.0.0.0:", "//127.0.0.1:");
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        // Another test may have done it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Self { url, place: place.to_path_buf(), child, client: reqwest::Client::new(), ended: false })
    }

    /// What the API answers, when it is fine.
    ///
    /// # Errors
    /// When it is not.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let response = self.client.get(format!("{}{path}", self.url)).send().await?.error_for_status()?;
        Ok(response.json().await?)
    }

    /// What a page or a log has.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn text(&self, path: &str) -> anyhow::Result<String> {
        let response = self.client.get(format!("{}{path}", self.url)).send().await?.error_for_status()?;
        Ok(response.text().await?)
    }

    /// A client for requests that are to be refused.
    #[must_use]
    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// What it and its worker have said so far, as its operator reads it.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.place.join(LOG)).unwrap_or_default()
    }

    /// Asks until the answer is there.
    ///
    /// # Errors
    /// When it does not come in time.
    pub async fn wait_for<T>(&self, path: &str, mut found: impl FnMut(&Value) -> Option<T>) -> anyhow::Result<T> {
        let started = Instant::now();
        let mut last = Value::Null;
        while started.elapsed() < PATIENCE {
            match self.get(path).await {
                Ok(answer) => {
                    if let Some(found) = found(&answer) {
                        return Ok(found);
                    }
                    last = answer;
                }
                Err(error) => last = Value::String(format!("{error:#}")),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("{path} never had it; at last it was {last:#}")
    }

    /// The finished build of a revision.
    ///
    /// # Errors
    /// When it does not come in time.
    pub async fn finished_build_of(&self, revision: &str) -> anyhow::Result<Value> {
        self.wait_for("/api/v1/builds", |builds| {
            let of_revision = |build: &&Value| {
                build["source_stamps"]
                    .as_array()
                    .is_some_and(|stamps| stamps.iter().any(|stamp| stamp["revision"].as_str() == Some(revision)))
            };
            let build = builds["items"].as_array()?.iter().find(of_revision)?;
            (build["state"] == "finished").then(|| build.clone())
        })
        .await
    }

    /// Runs `stampmill` as the administrator of this host does.
    ///
    /// # Errors
    /// When it can't be started or takes too long.
    pub async fn cli(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        run(&self.place, arguments).await
    }

    /// As [`Self::cli`], with what was said as text.
    ///
    /// # Errors
    /// When it can't be started or takes too long.
    pub async fn typed(&self, arguments: &[&str]) -> anyhow::Result<Said> {
        command::typed(&self.place, arguments).await
    }

    /// Makes a token as the administrator does; answers its secret.
    ///
    /// # Errors
    /// When it is not made.
    pub async fn token(&self, name: &str, role: &str) -> anyhow::Result<String> {
        let said = self.typed(&["token", "create", name, "--role", role]).await?;
        if said.code != 0 {
            bail!("no token: {said:?}");
        }
        Ok(said.line().to_owned())
    }

    /// Waits until the poller knows where the branches are: what is pushed from now on is built.
    ///
    /// # Errors
    /// When that does not happen.
    pub async fn polled(&self, source: &str) -> anyhow::Result<()> {
        self.wait_for("/api/v1/change-sources", |sources| {
            let source = sources["items"].as_array()?.iter().find(|found| found["name"] == source)?;
            // While it is being asked for the first time there is no next time.
            source["next_poll_in_ms"].as_u64().filter(|_| source["trouble"].is_null()).map(|_| ())
        })
        .await
    }

    /// Ends it with a signal and waits until it has. A worker that outlives it is left for the next host of this directory, and killed with
    /// the [`crate::Place`].
    ///
    /// # Errors
    /// When it does not end.
    pub async fn end(mut self, signal: Signal) -> anyhow::Result<std::process::ExitStatus> {
        let id = self.child.id().context("it has ended already")?;
        kill(Pid::from_raw(i32::try_from(id)?), signal)?;
        self.ended = true;
        Ok(tokio::time::timeout(PATIENCE, self.child.wait()).await.context("it does not end")??)
    }
}

/// Runs `stampmill` in a directory that has a host's configuration and data.
///
/// # Errors
/// When it can't be started or takes too long.
pub async fn run(place: &Path, arguments: &[&str]) -> anyhow::Result<Output> {
    let command = Command::new(stampmill())
        .args(arguments)
        .current_dir(place)
        .env("STAMPMILL_DATA", place.join("data"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    Ok(tokio::time::timeout(PATIENCE, command).await.context("the command does not end")??)
}

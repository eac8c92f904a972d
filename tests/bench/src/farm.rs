//! A host and its workers, each a process of its own, as operators start them.

use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::events::Events;

/// How long a process may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(120);
/// The lines of the large log, as the other harness prints them.
pub(crate) const LARGE_LOG: &str = r#"seq 1 1000000 | awk '{printf "line %07d %s\n", $1, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}'"#;

/// The program that is measured.
pub(crate) struct Program {
    path: PathBuf,
    /// Whether its processes write down how long each stage takes.
    stages: bool,
}

/// The file in the place of a farm that its processes write their stages to.
pub(crate) const STAGES: &str = "stages.log";

impl Program {
    /// One that is there.
    pub(crate) fn at(path: &Path) -> anyhow::Result<Self> {
        let path = path.canonicalize().with_context(|| format!("--program {}", path.display()))?;
        Ok(Self { path, stages: false })
    }

    /// The same, and its processes write [`STAGES`].
    pub(crate) fn telling_stages(&self) -> Self {
        Self { path: self.path.clone(), stages: true }
    }

    /// The release that cargo builds from this workspace.
    pub(crate) fn build() -> anyhow::Result<Self> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = std::process::Command::new(cargo)
            .args(["build", "--release", "--bin", "stampmill", "--message-format", "json-render-diagnostics"])
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
            .stderr(Stdio::inherit())
            .output()
            .context("cargo can't be started")?;
        ensure!(output.status.success(), "the program can't be built");
        let text = String::from_utf8(output.stdout)?;
        let executable = |line: &str| {
            let message: Value = serde_json::from_str(line).ok()?;
            message["executable"].as_str().filter(|path| path.ends_with("/stampmill")).map(PathBuf::from)
        };
        let path =
            text.lines().filter_map(executable).next_back().context("cargo does not say where the program is")?;
        Ok(Self { path, stages: false })
    }

    /// A host or a worker.
    fn lasting(&self, place: &Path, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = self.command(place, arguments);
        if self.stages {
            let told = File::options().append(true).create(true).open(place.join(STAGES))?;
            command.env("STAMPMILL_LOG", "warn,stampmill::stage=debug").stderr(told);
        } else {
            command.env("STAMPMILL_LOG", "warn");
        }
        Ok(command)
    }

    fn command(&self, place: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command.args(arguments).current_dir(place).stdin(Stdio::null()).kill_on_drop(true);
        for variable in ["STAMPMILL_HOST", "STAMPMILL_TOKEN", "STAMPMILL_CONFIG", "STAMPMILL_DATA"] {
            command.env_remove(variable);
        }
        command
    }

    /// Runs a command of the administrator; answers what it prints.
    pub(crate) async fn run(&self, place: &Path, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.command(place, arguments).output().await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "stampmill {}: {said}", arguments.join(" "));
        Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
    }
}

/// A directory with a configuration for a host and its workers.
pub(crate) struct Place {
    directory: TempDir,
    /// Names of the workers.
    workers: Vec<String>,
}

impl Place {
    /// For this many workers with so many builds at once each.
    pub(crate) fn new(workers: usize, max_builds: u32) -> anyhow::Result<Self> {
        let workers: Vec<String> = (0..workers).map(|number| format!("w{number}")).collect();
        let text = config(&workers, max_builds);
        Self::with(&text, workers)
    }

    /// For another configuration, with these workers in it.
    pub(crate) fn with(text: &str, workers: Vec<String>) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("stampmill-bench-").tempdir()?;
        std::fs::write(directory.path().join("stampmill.toml"), text)?;
        Ok(Self { directory, workers })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

fn config(workers: &[String], max_builds: u32) -> String {
    let mut text = r#"
[[change-source]]
name = "hook"
plugin = "hook"
trusted = true
config = { insecure = true, repositories = ["r"] }

[[scheduler]]
name = "any"
kind = "any-branch"
codebases."" = { repository = "r" }
builders = ["latency"]
"#
    .to_owned();
    let shell =
        |command: &str| format!("plugin = \"shell\"\nconfig = {{ {command} }}\ngrant = {{ command = [\"*\"] }}\n");
    let script = |script: &str| shell(&format!("script = '''\n{script}\n'''"));
    let one = || vec![shell("command = [\"true\"]")];
    let property =
        |number: usize| format!("plugin = \"set-property\"\nconfig = {{ property = \"p\", value = \"{number}\" }}\n");
    let jobs: [(&str, Vec<String>); 8] = [
        ("true", one()),
        ("latency", one()),
        ("steps200", (0..200).flat_map(|_| one()).collect()),
        ("props200", (0..200).map(property).collect()),
        ("property", vec![property(0)]),
        ("log", vec![script(LARGE_LOG)]),
        ("live", vec![script("for i in $(seq 40); do echo LIVE $(date +%s.%N); sleep 0.31; done")]),
        ("sleep", vec![shell("command = [\"sleep\", \"8\"]")]),
    ];
    for (name, steps) in &jobs {
        let _ = write!(
            text,
            "\n[[scheduler]]\nname = \"force-{name}\"\nkind = \"force\"\ncodebases.\"\" = {{ repository = \"r\" }}\nbuilders = [\"{name}\"]\n"
        );
        let _ = write!(text, "\n[[job]]\nname = \"{name}\"\n");
        for (number, step) in steps.iter().enumerate() {
            let _ = write!(text, "[[job.step]]\nname = \"s{number}\"\n{step}");
        }
        let _ = write!(text, "\n[[builder]]\nname = \"{name}\"\njob = \"{name}\"\nmerge = false\n");
    }
    for worker in workers {
        let _ = write!(text, "\n[[worker]]\nname = \"{worker}\"\nmax-builds = {max_builds}\n");
    }
    text
}

/// A host that runs.
pub(crate) struct Host {
    pub(crate) url: String,
    pub(crate) pid: u32,
    /// From its start until it listened.
    pub(crate) started_in: Duration,
    child: Child,
}

impl Host {
    pub(crate) async fn start(program: &Program, place: &Path) -> anyhow::Result<Self> {
        let begun = Instant::now();
        let mut child = program
            .lasting(place, &["host", "--data", "data", "--listen", "127.0.0.1:0"])?
            .stdout(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("standard output is piped")?).lines();
        let url = tokio::time::timeout(PATIENCE, async {
            while let Some(line) = lines.next_line().await? {
                if let Some(url) = line.strip_prefix("listening on ") {
                    return Ok(url.to_owned());
                }
            }
            bail!("the host ended before it listened")
        })
        .await??;
        Ok(Self { url, pid: child.id().context("it has ended")?, started_in: begun.elapsed(), child })
    }

    /// Ends it, in order; answers how long that took.
    pub(crate) async fn stop(self) -> anyhow::Result<Duration> {
        end(self.child).await
    }

    /// Ends it as a crash does.
    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }
}

/// A worker that runs.
pub(crate) struct Worker {
    pub(crate) pid: u32,
    child: Child,
}

async fn end(mut child: Child) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let pid = child.id().context("it has ended already")?;
    kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGTERM)?;
    tokio::time::timeout(PATIENCE, child.wait()).await.context("it does not end")??;
    Ok(begun.elapsed())
}

/// A host with its workers, all connected.
pub(crate) struct Farm {
    pub(crate) place: Place,
    pub(crate) host: Host,
    pub(crate) workers: Vec<Worker>,
    /// A client with the right to everything that is measured.
    pub(crate) client: reqwest::Client,
}

impl Farm {
    pub(crate) async fn start(program: &Program, workers: usize, max_builds: u32) -> anyhow::Result<Self> {
        let mut farm = Self::without_workers(program, workers, max_builds).await?;
        farm.add_workers(program, max_builds).await?;
        Ok(farm)
    }

    /// A host that knows so many workers, of which none runs yet.
    pub(crate) async fn without_workers(program: &Program, workers: usize, max_builds: u32) -> anyhow::Result<Self> {
        Self::at(program, Place::new(workers, max_builds)?).await
    }

    /// The host of a place, without workers.
    pub(crate) async fn at(program: &Program, place: Place) -> anyhow::Result<Self> {
        let host = Host::start(program, place.path()).await?;
        let token =
            program.run(place.path(), &["token", "create", "bench", "--role", "operator", "--data", "data"]).await?;
        Ok(Self { client: client(&token)?, host, place, workers: Vec::new() })
    }

    /// Starts all that the host knows, and waits until they are there.
    pub(crate) async fn add_workers(&mut self, program: &Program, max_builds: u32) -> anyhow::Result<()> {
        for name in self.place.workers.clone() {
            self.add_worker(program, &name, max_builds).await?;
        }
        self.connected().await
    }

    async fn add_worker(&mut self, program: &Program, name: &str, max_builds: u32) -> anyhow::Result<()> {
        let place = self.place.path();
        let token = program.run(place, &["worker-token", name, "--data", "data"]).await?;
        let url = &self.host.url;
        let file = format!("{name}.toml");
        let text = format!(
            "name = \"{name}\"\nhost = \"{url}\"\ntoken = \"{token}\"\nstate-dir = \"{name}\"\nmax-builds = {max_builds}\n[allow]\ncommand = [\"*\"]\n"
        );
        std::fs::write(place.join(&file), text)?;
        let child = program.lasting(place, &["worker", "--config", &file])?.spawn()?;
        self.workers.push(Worker { pid: child.id().context("the worker has ended")?, child });
        Ok(())
    }

    /// Waits until all workers are there.
    async fn connected(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let workers = self.get("/api/v1/workers?limit=1000").await?;
            let items = workers["items"].as_array().context("a list")?;
            if items.iter().filter(|worker| worker["state"] == "connected").count() == self.workers.len() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("the workers don't connect")
    }

    pub(crate) async fn events(&self) -> anyhow::Result<Events> {
        Events::open(&self.client, &format!("{}/api/v1/events", self.host.url)).await
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let response = self.client.get(format!("{}{path}", self.host.url)).send().await?;
        Ok(response.error_for_status()?.json().await?)
    }

    pub(crate) async fn text(&self, path: &str) -> anyhow::Result<String> {
        let response = self.client.get(format!("{}{path}", self.host.url)).send().await?;
        Ok(response.error_for_status()?.text().await?)
    }

    /// Builds now; answers the request.
    pub(crate) async fn force(&self, builder: &str) -> anyhow::Result<u64> {
        let url = format!("{}/api/v1/builders/{builder}/force", self.host.url);
        let response = self.client.post(url).json(&json!({ "reason": "bench" })).send().await?;
        let status = response.status();
        let answer: Value = response.json().await?;
        ensure!(status.is_success(), "{status}: {answer}");
        answer["requests"][0].as_u64().context("a request")
    }

    /// Builds now and waits for the end; answers the build.
    pub(crate) async fn build(&self, builder: &str) -> anyhow::Result<Value> {
        let mut events = self.events().await?;
        self.force(builder).await?;
        let ended = events.until(|event| event.kind == "build" && event.data["finished"] == true).await?;
        let build = self.get(&format!("/api/v1/builds/{}", ended.data["id"])).await?;
        ensure!(build["result"] == "success", "{build}");
        Ok(build)
    }

    /// The workers end, in order.
    pub(crate) async fn stop_workers(&mut self) -> anyhow::Result<()> {
        for worker in std::mem::take(&mut self.workers) {
            end(worker.child).await?;
        }
        Ok(())
    }

    /// Workers first, then the host.
    pub(crate) async fn stop(self) -> anyhow::Result<Duration> {
        for worker in self.workers {
            end(worker.child).await?;
        }
        self.host.stop().await
    }
}

/// A client that sends this token.
fn client(token: &str) -> anyhow::Result<reqwest::Client> {
    let mut headers = reqwest::header::HeaderMap::new();
    headers.insert(reqwest::header::AUTHORIZATION, format!("Bearer {token}").parse()?);
    Ok(reqwest::Client::builder().default_headers(headers).tcp_nodelay(true).build()?)
}

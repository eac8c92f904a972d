//! The processes: one host and its workers, each started, killed and started again.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use stampmill_e2e::{command, compiled, stampmill};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::leftovers::ControlGroup;

/// How long a start or an orderly end may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long one answer of the API may take.
const ANSWER: Duration = Duration::from_secs(60);

/// What can be killed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Member {
    Host,
    Worker(usize),
}

/// Names of the workers.
pub(crate) const WORKERS: [&str; 2] = ["w0", "w1"];

/// All processes of one place.
pub(crate) struct Fleet {
    pub(crate) place: PathBuf,
    pub(crate) group: Option<ControlGroup>,
    host: Option<Child>,
    workers: [Option<Child>; 2],
    /// Where the host that runs listens.
    url: watch::Sender<Option<String>>,
    client: reqwest::Client,
}

impl Fleet {
    /// Starts the host, and then its workers with tokens of their own.
    pub(crate) async fn start(place: &Path, config: &str, allow: &str) -> anyhow::Result<Self> {
        std::fs::write(place.join("stampmill.toml"), config)?;
        for directory in ["tmp", "data"] {
            std::fs::create_dir(place.join(directory))?;
        }
        compiled::give(&place.join("data"));
        // Another test may have done it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut fleet = Self {
            place: place.to_path_buf(),
            group: ControlGroup::make(),
            host: None,
            workers: [None, None],
            url: watch::channel(None).0,
            client: reqwest::Client::builder().timeout(ANSWER).build()?,
        };
        fleet.restart(Member::Host)?;
        fleet.listening().await?;
        for (number, name) in WORKERS.iter().enumerate() {
            let said = command::typed(place, &["worker-token", name]).await?;
            anyhow::ensure!(said.code == 0, "{said:?}");
            std::fs::write(place.join(format!("{name}.token")), said.line())?;
            let text = format!(
                "name = \"{name}\"\nhost-file = \"host\"\ntoken-file = \"{name}.token\"\nstate-dir = \"{name}\"\nmax-builds = 2\n[allow]\n{allow}\n"
            );
            std::fs::write(place.join(format!("{name}.toml")), text)?;
            copy_compiled(&place.join("data"), &place.join(name))?;
            fleet.restart(Member::Worker(number))?;
        }
        Ok(fleet)
    }

    /// Starts a member that does not run.
    pub(crate) fn restart(&mut self, member: Member) -> anyhow::Result<()> {
        match member {
            Member::Host => {
                let arguments = ["host", "--config", "stampmill.toml", "--data", "data", "--listen", "127.0.0.1:0"];
                let mut child = self.spawn(&arguments)?;
                self.watch_url(&mut child)?;
                self.host = Some(child);
            }
            Member::Worker(number) => {
                let config = format!("{}.toml", WORKERS[number]);
                self.workers[number] = Some(self.spawn(&["worker", "--config", &config])?);
            }
        }
        Ok(())
    }

    fn spawn(&self, arguments: &[&str]) -> anyhow::Result<Child> {
        let mut command = match &self.group {
            // The process moves into the group before it becomes what it is to be.
            Some(group) => {
                let mut command = Command::new("/bin/sh");
                command.args([
                    "-ec",
                    "for group in $GROUPS_OF_LOOP; do echo $$ > $group/cgroup.procs; done; exec \"$@\"",
                    "sh",
                ]);
                command.arg(stampmill()).env("GROUPS_OF_LOOP", group.own());
                command
            }
            None => Command::new(stampmill()),
        };
        let log = File::options().create(true).append(true).open(self.place.join("fleet.log"))?;
        command
            .args(arguments)
            .current_dir(&self.place)
            .env("TMPDIR", self.place.join("tmp"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true);
        Ok(command.spawn()?)
    }

    /// Workers find the host by a file, the test by what it prints.
    fn watch_url(&self, child: &mut Child) -> anyhow::Result<()> {
        let mut lines = BufReader::new(child.stdout.take().context("standard output is piped")?).lines();
        let (place, sender) = (self.place.clone(), self.url.clone());
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let Some(url) = line.strip_prefix("listening on ") else { continue };
                let temporary = place.join("host.new");
                if std::fs::write(&temporary, url)
                    .and_then(|()| std::fs::rename(&temporary, place.join("host")))
                    .is_ok()
                {
                    sender.send_replace(Some(url.to_owned()));
                }
            }
        });
        Ok(())
    }

    /// Waits until the host listens; answers where.
    pub(crate) async fn listening(&self) -> anyhow::Result<String> {
        let mut url = self.url.subscribe();
        let found = tokio::time::timeout(PATIENCE, url.wait_for(Option::is_some))
            .await
            .context("the host does not listen")??;
        Ok(found.clone().unwrap_or_default())
    }

    /// Kills a member as the kernel does when there is no memory left, and waits until it is gone.
    pub(crate) async fn kill(&mut self, member: Member) -> anyhow::Result<()> {
        let mut child = self.take(member)?;
        child.start_kill()?;
        tokio::time::timeout(PATIENCE, child.wait()).await.context("a killed process stays")??;
        Ok(())
    }

    /// Ends a member in order.
    pub(crate) async fn end(&mut self, member: Member) -> anyhow::Result<()> {
        let mut child = self.take(member)?;
        kill(Pid::from_raw(i32::try_from(child.id().context("it has ended already")?)?), Signal::SIGTERM)?;
        let status = tokio::time::timeout(PATIENCE, child.wait()).await.context("a process does not end")??;
        anyhow::ensure!(status.success(), "{member:?} ended with {status}");
        Ok(())
    }

    fn take(&mut self, member: Member) -> anyhow::Result<Child> {
        let child = match member {
            Member::Host => {
                self.url.send_replace(None);
                self.host.take()
            }
            Member::Worker(number) => self.workers[number].take(),
        };
        let mut child = child.with_context(|| format!("{member:?} does not run"))?;
        if let Some(status) = child.try_wait()? {
            anyhow::bail!("{member:?} ended by itself, with {status}");
        }
        Ok(child)
    }

    /// What the API answers.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        Ok(serde_json::from_slice(&self.bytes(path).await?)?)
    }

    /// What is at an address, as it is.
    pub(crate) async fn bytes(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let url = self.listening().await?;
        let response = self.client.get(format!("{url}{path}")).send().await?;
        Ok(response.error_for_status()?.bytes().await?.to_vec())
    }

    /// All pages of a list, oldest first.
    pub(crate) async fn list(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("{path}?limit=200{cursor}")).await?;
            all.extend(page["items"].as_array().context("a list has items")?.iter().cloned());
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        all.reverse();
        Ok(all)
    }

    /// What all processes have said.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.place.join("fleet.log")).unwrap_or_default()).into_owned()
    }
}

/// A worker on another machine has a cache of its own.
fn copy_compiled(data: &Path, state: &Path) -> anyhow::Result<()> {
    let (from, to) = (data.join("worker/compiled"), state.join("compiled"));
    if !from.is_dir() {
        return Ok(());
    }
    for directory in [state, &to] {
        std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700)
            .recursive(true)
            .create(directory)?;
    }
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

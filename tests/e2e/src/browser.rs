//! A real browser without a window, driven as a person does: it goes to addresses, clicks on what can be seen, types, and looks.

mod tab;
mod wire;

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

pub use self::tab::Tab;
use self::wire::Wire;

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running Chromium, which ends with this value.
pub struct Browser {
    wire: Arc<Wire>,
    group: Pid,
    _child: Child,
    _profile: TempDir,
}

impl Browser {
    /// Starts one; `None`, with a line that says so, where no Chromium is installed.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start() -> anyhow::Result<Option<Self>> {
        let profile = tempfile::tempdir()?;
        let mut child = match command(profile.path()).spawn() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                println!("skipped: chromium is not installed, so no page was looked at in a browser");
                return Ok(None);
            }
            child => child.context("chromium")?,
        };
        let group = Pid::from_raw(i32::try_from(child.id().context("chromium has ended already")?)?);
        let mut lines = BufReader::new(child.stderr.take().context("its errors are piped")?).lines();
        let address = tokio::time::timeout(PATIENCE, async {
            let mut said = String::new();
            while let Some(line) = lines.next_line().await? {
                if let Some(address) = line.strip_prefix("DevTools listening on ") {
                    return Ok(address.to_owned());
                }
                said.push_str(&line);
                said.push('\n');
            }
            bail!("chromium ended at once: {said}")
        })
        .await
        .context("chromium did not come up")??;
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let wire = Wire::connect(&address).await?;
        Ok(Some(Self { wire, group, _child: child, _profile: profile }))
    }

    /// An empty tab of a visitor of its own: it shares no cookies with any other.
    ///
    /// # Errors
    /// When the browser does not make one.
    pub async fn visitor(&self) -> anyhow::Result<Tab> {
        let context = self.wire.call("", "Target.createBrowserContext", json!({})).await?;
        Tab::open(&self.wire, context["browserContextId"].as_str().context("a context has an id")?).await
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its processes are a group of their own; one that has ended already needs no signal.
        let _ = killpg(self.group, Signal::SIGKILL);
    }
}

fn command(profile: &Path) -> Command {
    let mut command = Command::new("chromium");
    command
        // Its own sandbox can't be set up by root; what it looks at here comes from our own tests.
        .args(["--headless", "--no-sandbox", "--remote-debugging-port=0", "--disable-gpu", "--disable-dev-shm-usage"])
        .args(["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--disable-quic", "--disable-extensions", "--disable-default-apps", "--metrics-recording-only"])
        // Names for tests of what a host makes of being called by them.
        .args(["--window-size=1280,900", "--lang=en", "--host-resolver-rules=MAP *.example 127.0.0.1"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg("about:blank")
        .env("HOME", profile)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command
}

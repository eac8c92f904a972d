//! The command line, as somebody types it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use crate::host::stampmill;

/// How long a command may take; on a loaded machine `check` compiles plugins for long.
const PATIENCE: Duration = Duration::from_secs(180);

/// What a command answered.
#[derive(Debug)]
pub struct Said {
    /// Its exit code; -1 when a signal ended it.
    pub code: i32,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Said {
    /// Its standard output as JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> anyhow::Result<serde_json::Value> {
        serde_json::from_str(&self.out).with_context(|| format!("it is no JSON: {self:?}"))
    }

    /// Its standard output without the line's end.
    #[must_use]
    pub fn line(&self) -> &str {
        self.out.trim_end()
    }
}

/// Types a command in a directory that has a host's configuration and data, with nothing on standard input.
///
/// # Errors
/// When it can't be started or takes too long.
pub async fn typed(place: &Path, arguments: &[&str]) -> anyhow::Result<Said> {
    typed_with(place, arguments, "").await
}

/// As [`typed`], with this on standard input.
///
/// # Errors
/// When it can't be started or takes too long.
pub async fn typed_with(place: &Path, arguments: &[&str], input: &str) -> anyhow::Result<Said> {
    let mut child = start(place, arguments)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that reads nothing may have ended already.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    answer(child).await.with_context(|| format!("stampmill {}", arguments.join(" ")))
}

/// Starts a command that goes on beside the test; [`answer`] waits for its end.
///
/// # Errors
/// When it can't be started.
pub fn start(place: &Path, arguments: &[&str]) -> anyhow::Result<Child> {
    let child = Command::new(stampmill())
        .args(arguments)
        .current_dir(place)
        .env("STAMPMILL_DATA", place.join("data"))
        .env_remove("STAMPMILL_HOST")
        .env_remove("STAMPMILL_TOKEN")
        .env_remove("STAMPMILL_CONFIG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    Ok(child)
}

/// Waits for the end of a command that was started.
///
/// # Errors
/// When it does not come in time.
pub async fn answer(mut child: Child) -> anyhow::Result<Said> {
    drop(child.stdin.take());
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.context("it does not end")??;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) })
}

//! A real browser, without a window.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::process::Command;

/// The page as the browser has it after its scripts ran; `None`, with a line that says so, where no Chromium is installed.
///
/// # Errors
/// When the browser fails or takes too long.
pub async fn page(url: &str) -> anyhow::Result<Option<String>> {
    let profile = tempfile::tempdir()?;
    let browser = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--virtual-time-budget=5000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(url)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = match tokio::time::timeout(Duration::from_secs(90), browser).await.context("the browser hangs")? {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("chromium is not installed: the page was not looked at in a browser");
            return Ok(None);
        }
        output => output?,
    };
    if !output.status.success() {
        bail!("the browser ended with {}", output.status);
    }
    Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()))
}

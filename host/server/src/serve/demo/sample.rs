//! The tour's sample repository.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail};
use tokio::process::Command;

const BUILD_SCRIPT: &str = r#"#!/bin/sh
# The sample project: it greets, and tests that it does.
set -eu
echo "building on $(uname -sr) as uid $(id -u)"
sh hello.sh > hello.out
echo "testing"
grep -q '^Hello' hello.out
for i in 1 2 3; do echo "check $i of 3: ok"; done
echo "all is well"
"#;

const HELLO: &str = "echo 'Hello from the sample project'\n";

/// A bare repository, as a server would have it, and a working copy to commit from.
pub(super) struct Sample {
    /// The bare repository that is polled.
    pub(super) repository: PathBuf,
    /// The working copy.
    pub(super) work: PathBuf,
}

impl Sample {
    /// Makes both, or takes up those of an earlier tour.
    pub(super) async fn make(place: &Path) -> anyhow::Result<Self> {
        let sample = Self { repository: place.join("sample.git"), work: place.join("sample") };
        if sample.repository.exists() {
            return Ok(sample);
        }
        git(place, &["init", "--quiet", "--bare", "--initial-branch=main", "sample.git"]).await?;
        git(place, &["clone", "--quiet", "sample.git", "sample"]).await?;
        tokio::fs::write(sample.work.join("build.sh"), BUILD_SCRIPT).await?;
        tokio::fs::write(sample.work.join("hello.sh"), HELLO).await?;
        sample.record("Begin the sample project").await?;
        Ok(sample)
    }

    /// Changes the sample project and pushes; answers the revision.
    pub(super) async fn commit(&self) -> anyhow::Result<String> {
        let greeting = self.work.join("hello.sh");
        let mut text = tokio::fs::read_to_string(&greeting).await?;
        text.push_str("echo 'and one line more'\n");
        tokio::fs::write(&greeting, text).await?;
        self.record("Greet once more").await?;
        git(&self.work, &["rev-parse", "HEAD"]).await
    }

    async fn record(&self, comment: &str) -> anyhow::Result<()> {
        git(&self.work, &["add", "--all"]).await?;
        git(&self.work, &["commit", "--quiet", "--message", comment]).await?;
        git(&self.work, &["push", "--quiet", "origin", "HEAD:main"]).await?;
        Ok(())
    }
}

/// Runs git as the person who takes the tour would, with a name of its own and none of their settings.
async fn git(directory: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let identity = ["-c", "user.name=Ann Tester", "-c", "user.email=ann@example.org", "-c", "commit.gpgsign=false"];
    let output = Command::new("git")
        .args(identity)
        .args(["-c", "init.defaultBranch=main", "-c", "core.hooksPath=/dev/null"])
        .args(arguments)
        .current_dir(directory)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("git can't be started; the tour needs it installed")?;
    if !output.status.success() {
        bail!("git {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

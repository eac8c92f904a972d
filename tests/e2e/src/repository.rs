//! A bare repository and a working copy to push from.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// A bare repository, as a forge has it, with a working copy beside it.
pub struct Repository {
    /// The bare repository.
    pub bare: PathBuf,
    work: PathBuf,
}

impl Repository {
    /// Makes both below `place`; the branch is `main` and has one commit.
    ///
    /// # Errors
    /// When git fails.
    pub fn make(place: &Path) -> anyhow::Result<Self> {
        Self::named(place, "app")
    }

    /// As [`Self::make`], with another name than `app`.
    ///
    /// # Errors
    /// When git fails.
    pub fn named(place: &Path, name: &str) -> anyhow::Result<Self> {
        let bare = format!("{name}.git");
        let repository = Self { bare: place.join(&bare), work: place.join(name) };
        git(place, &["init", "--quiet", "--bare", "--initial-branch=main", &bare])?;
        git(place, &["clone", "--quiet", &bare, name])?;
        repository.commit("Begin", &[("README", "an application\n")], "Ann <ann@example.org>")?;
        Ok(repository)
    }

    /// The working copy.
    #[must_use]
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// Commits these files to `main` and pushes; answers the revision.
    ///
    /// # Errors
    /// When git fails.
    pub fn commit(&self, comment: &str, files: &[(&str, &str)], author: &str) -> anyhow::Result<String> {
        self.commit_on("main", comment, files, author)
    }

    /// As [`Self::commit`], on a branch that is made when it is not there.
    ///
    /// # Errors
    /// When git fails.
    pub fn commit_on(
        &self,
        branch: &str,
        comment: &str,
        files: &[(&str, impl AsRef<[u8]>)],
        author: &str,
    ) -> anyhow::Result<String> {
        if git(&self.work, &["checkout", "--quiet", branch]).is_err() {
            git(&self.work, &["checkout", "--quiet", "-b", branch])?;
        }
        for (name, text) in files {
            let path = self.work.join(name);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(path, text)?;
        }
        let revision = self.record(comment, author)?;
        self.push(&format!("HEAD:refs/heads/{branch}"))?;
        Ok(revision)
    }

    /// Commits what is in the working copy, on the branch that is checked out, and pushes nothing; answers the revision.
    ///
    /// # Errors
    /// When git fails.
    pub fn record(&self, comment: &str, author: &str) -> anyhow::Result<String> {
        git(&self.work, &["add", "--all"])?;
        git(&self.work, &["commit", "--quiet", "--allow-empty", "--author", author, "--message", comment])?;
        git(&self.work, &["rev-parse", "HEAD"])
    }

    /// Pushes, also where that rewrites history.
    ///
    /// # Errors
    /// When git fails.
    pub fn push(&self, refspec: &str) -> anyhow::Result<()> {
        git(&self.work, &["push", "--quiet", "--force", "origin", refspec]).map(drop)
    }

    /// Puts commits straight into the bare repository, as `git fast-import` reads them.
    ///
    /// # Errors
    /// When git fails.
    pub fn import(&self, stream: &[u8]) -> anyhow::Result<()> {
        let mut child = Command::new("git")
            .args(["fast-import", "--quiet", "--force"])
            .current_dir(&self.bare)
            .stdin(Stdio::piped())
            .spawn()
            .context("git can't be started")?;
        child.stdin.take().context("standard input is piped")?.write_all(stream)?;
        let status = child.wait()?;
        if !status.success() {
            bail!("git fast-import ended with {status}");
        }
        Ok(())
    }

    /// Runs git in the working copy.
    ///
    /// # Errors
    /// When git fails.
    pub fn git(&self, arguments: &[&str]) -> anyhow::Result<String> {
        git(&self.work, arguments)
    }
}

fn git(directory: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("git")
        .args(["-c", "user.name=Committer", "-c", "user.email=committer@example.org"])
        .args(arguments)
        .current_dir(directory)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .context("git can't be started")?;
    if !output.status.success() {
        bail!("git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

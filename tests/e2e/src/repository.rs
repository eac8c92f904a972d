//! A bare repository and a working copy to push from.

use std::path::{Path, PathBuf};
use std::process::Command;

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
        let repository = Self { bare: place.join("app.git"), work: place.join("app") };
        git(place, &["init", "--quiet", "--bare", "--initial-branch=main", "app.git"])?;
        git(place, &["clone", "--quiet", "app.git", "app"])?;
        repository.commit("Begin", &[("README", "an application\n")], "Ann <ann@example.org>")?;
        Ok(repository)
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
        files: &[(&str, &str)],
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
        git(&self.work, &["add", "--all"])?;
        git(&self.work, &["commit", "--quiet", "--allow-empty", "--author", author, "--message", comment])?;
        git(&self.work, &["push", "--quiet", "--force", "origin", &format!("HEAD:{branch}")])?;
        git(&self.work, &["rev-parse", "HEAD"])
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

//! `stampmill demo`: its exit code is the build's, and when it is interrupted nothing of it stays.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use stampmill_e2e::host::stampmill;
use stampmill_e2e::{Place, compiled};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// Every plugin is compiled on the way, on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(300);

fn demo(place: &Path, arguments: &[&str]) -> anyhow::Result<Child> {
    let mut command = Command::new(stampmill());
    command.arg("demo").args(arguments).current_dir(place).env("TMPDIR", place);
    let child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
    Ok(child)
}

/// The sample is polled, and its build fails.
fn red(place: &Path) -> String {
    let sample = place.join("tour/sample.git").display().to_string();
    format!(
        r#"
[[change-source]]
name = "sample"
plugin = "git-poller"
config = {{ repository = "{sample}", every = "1s" }}
grant = {{ command = ["git"], read = ["{sample}"] }}
[[scheduler]]
name = "quick"
kind = "any-branch"
builders = ["linux"]
[[job]]
name = "red"
[[job.step]]
name = "test"
plugin = "shell"
config = {{ script = "echo it does not work; exit 3" }}
grant = {{ command = ["/bin/sh"] }}
[[builder]]
name = "linux"
job = "red"
[[worker]]
name = "local"
"#
    )
}

#[tokio::test]
async fn a_tour_whose_build_is_red_ends_with_1_and_shows_the_log() -> anyhow::Result<()> {
    let place = Place::new()?;
    // The poller's grant names the directory as it really is.
    let root = place.path().canonicalize()?;
    std::fs::write(root.join("red.toml"), red(&root))?;
    compiled::give(&root.join("tour/data"));
    let child = demo(&root, &["--once", "--data", "tour", "--config", "red.toml"])?;
    let said = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.context("it does not end")??;
    compiled::keep(&root.join("tour/data"));
    let out = String::from_utf8_lossy(&said.stdout);
    ensure!(said.status.code() == Some(1), "{:?}: {out}{}", said.status, String::from_utf8_lossy(&said.stderr));
    assert!(out.contains("build 1: failure") && out.contains("test: failure"), "{out}");
    assert!(out.contains("it does not work"), "{out}");
    Ok(())
}

/// Processes that were told of this directory.
fn running_in(place: &Path) -> anyhow::Result<Vec<String>> {
    let told = place.display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        // It may have ended meanwhile.
        let Ok(line) = std::fs::read(entry?.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&told) {
            found.push(line);
        }
    }
    Ok(found)
}

#[tokio::test]
async fn a_tour_that_is_interrupted_ends_with_130_and_leaves_nothing() -> anyhow::Result<()> {
    for stop_at in ["wrote a configuration", "made a commit"] {
        let place = Place::new()?;
        let mut child = demo(place.path(), &[])?;
        let mut lines = BufReader::new(child.stdout.take().context("standard output is piped")?).lines();
        let mut tour = None;
        let reading = async {
            while let Some(line) = lines.next_line().await? {
                if let Some(directory) = line.strip_prefix("the tour is in ") {
                    tour = Some(std::path::PathBuf::from(directory));
                }
                if line.contains(stop_at) {
                    return anyhow::Ok(());
                }
            }
            anyhow::bail!("it ended before `{stop_at}`")
        };
        tokio::time::timeout(PATIENCE, reading).await.with_context(|| format!("no `{stop_at}`"))??;
        let tour = tour.context("it says where it is")?;
        ensure!(tour.exists() && tour.starts_with(place.path().canonicalize()?), "{}", tour.display());
        if stop_at == "made a commit" {
            ensure!(running_in(&tour)?.iter().any(|line| line.contains(" worker ")), "its worker runs");
        }
        kill(Pid::from_raw(i32::try_from(child.id().context("it runs")?)?), Signal::SIGINT)?;
        // Nobody stays to read what it says.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let ended = tokio::time::timeout(PATIENCE, child.wait()).await.context("it does not end")??;
        assert_eq!(ended.code(), Some(130), "at `{stop_at}`");
        assert_eq!(running_in(&tour)?, Vec::<String>::new(), "at `{stop_at}`");
        let left: Vec<_> = std::fs::read_dir(place.path())?.map(|entry| entry.map(|entry| entry.file_name())).collect();
        assert!(left.is_empty(), "at `{stop_at}`: {left:?}");
    }
    Ok(())
}

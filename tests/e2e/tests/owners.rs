//! Whose rights everything has: programs of change sources and of steps are nobody's equals, and the administrator's socket is the operator's.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use stampmill_e2e::{Host, Listener, Place, Repository, main_job};

/// Prints what the kernel takes the step for.
const SCRIPT: &str = r"
while read -r line; do case $line in Uid:*|Gid:*) echo $line ;; esac; done < /proc/self/status
while read -r line; do echo map $line; done < /proc/self/uid_map
";

fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

/// Two change sources that ask for more than they were granted: a path, and a program.
fn beyond(repository: &Path, hidden: &Path) -> String {
    let (repository, hidden) = (repository.display(), hidden.display());
    format!(
        r#"
[[change-source]]
name = "blind"
plugin = "git-poller"
every = "1s"
config = {{ repository = "{hidden}", first-poll = "newest" }}
grant = {{ command = ["git"], read = ["{repository}"] }}
[[change-source]]
name = "handless"
plugin = "git-poller"
every = "1s"
config = {{ repository = "{repository}", first-poll = "newest" }}
grant = {{ command = ["true"], read = ["{repository}"] }}
"#
    )
}

/// Who owns what lies below a directory; nothing is followed.
fn owners_below(directory: &Path) -> anyhow::Result<BTreeSet<u32>> {
    let mut owners = BTreeSet::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        // A poll may be taking something away.
        let Ok(metadata) = entry.metadata() else { continue };
        owners.insert(metadata.uid());
        if metadata.is_dir() {
            owners.extend(owners_below(&entry.path())?);
        }
    }
    Ok(owners)
}

/// What git has copied to below a directory: the files of its object stores.
fn objects_below(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut objects = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            objects.extend(objects_below(&path)?);
        } else if path.components().any(|part| part.as_os_str() == "objects") {
            objects.push(path);
        }
    }
    Ok(objects)
}

async fn trouble(host: &Host, source: &str) -> anyhow::Result<String> {
    host.wait_for("/api/v1/change-sources", |sources| {
        let source = items(sources).iter().find(|found| found["name"] == source)?;
        source["trouble"].as_str().map(str::to_owned)
    })
    .await
}

/// The ids of the step as the kernel has them outside of any namespace.
fn kernel_uids(log: &str) -> anyhow::Result<Vec<u32>> {
    let numbers = |line: &str| line.split_whitespace().skip(1).map(str::parse).collect::<Result<Vec<u32>, _>>();
    let find = |start: &str| log.lines().find(|line| line.starts_with(start)).context("the step printed it");
    let inside = numbers(find("Uid:")?)?;
    let map = numbers(find("map")?)?;
    let [first, outside, count] = map[..] else { anyhow::bail!("no map: {log}") };
    ensure!(inside.len() == 4, "real, effective, saved and of files: {log}");
    let kernel = |uid: &u32| {
        ensure!((first..first.saturating_add(count)).contains(uid), "uid {uid} has no place in the map: {log}");
        Ok(outside + (uid - first))
    };
    inside.iter().map(kernel).collect()
}

#[tokio::test]
async fn programs_of_change_sources_and_steps_are_never_root_and_stay_within_their_grants() -> anyhow::Result<()> {
    let place = Place::new()?;
    let (repository, hidden) = (Repository::make(place.path())?, Repository::named(place.path(), "hidden")?);
    let listener = Listener::start().await?;
    let config = main_job(&repository.bare, &listener.url, SCRIPT) + &beyond(&repository.bare, &hidden.bare);
    let host = Host::up(place.path(), &config).await?;
    host.polled("app").await?;

    let said = trouble(&host, "blind").await?;
    assert!(said.contains("hidden.git"), "git does not see what is not in `grant.read`: {said}");
    let said = trouble(&host, "handless").await?;
    assert!(said.contains("git") && said.contains("not granted"), "{said}");
    let revision = repository.commit("Look around", &[("a", "a\n")], "Ann <ann@example.org>")?;
    let build = host.finished_build_of(&revision).await?;
    assert_eq!(build["result"], "success", "{build:#}");
    let changes = host.get("/api/v1/changes").await?;
    assert!(items(&changes).iter().all(|change| change["source"] == "app"), "{changes:#}");
    let data = place.path().join("data/change-sources");
    assert!(!objects_below(&data.join("app"))?.is_empty(), "this is where they would be");
    assert_eq!(objects_below(&data.join("blind"))?, Vec::<PathBuf>::new(), "nothing of it was copied");

    // What git has written says who it was.
    let log = host.text(&format!("/api/v1/builds/{}/steps/1/logs/stdio", build["id"])).await?;
    let steps: BTreeSet<u32> = kernel_uids(&log)?.into_iter().collect();
    let pollers = owners_below(&data.join("app"))?;
    assert_eq!((steps.len(), pollers.len()), (1, 1), "{log} {pollers:?}");
    let own = nix::unistd::geteuid();
    if own.is_root() {
        assert!(!steps.contains(&0), "{log}");
        assert!(!pollers.contains(&0), "{pollers:?}");
        assert!(steps.is_disjoint(&pollers), "a step is not to reach a poller's mirror: {steps:?} {pollers:?}");
    } else {
        assert_eq!(steps, BTreeSet::from([own.as_raw()]));
        assert_eq!(pollers, steps);
    }

    let socket = std::fs::symlink_metadata(place.path().join("data/admin.sock"))?;
    assert_eq!(socket.permissions().mode() & 0o7777, 0o600, "whoever opens it is administrator");
    assert_eq!(socket.uid(), own.as_raw());
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

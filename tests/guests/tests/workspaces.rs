//! The workspace: what is below it, and every way out that was ever tried.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use stampmill_runtime::{Outcome, PluginError, Use, limits};

use crate::fakes::{Around, refusal, run_use, usage};

struct Place {
    around: Arc<Around>,
    directory: tempfile::TempDir,
}

impl Place {
    /// A work directory beside a file that is none of the guest's business.
    fn new() -> Place {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("work")).unwrap();
        fs::write(directory.path().join("outside"), "untouched").unwrap();
        Place { around: Arc::default(), directory }
    }

    fn work(&self) -> std::path::PathBuf {
        self.directory.path().join("work")
    }

    fn usage(&self, script: &str) -> Use {
        let mut usage = usage(&self.around, script);
        usage.surroundings.workspace = Some(Arc::new(Dir::open_ambient_dir(self.work(), ambient_authority()).unwrap()));
        usage
    }

    async fn run(&self, script: &str) -> Result<Outcome, PluginError> {
        run_use(self.usage(script)).await
    }
}

#[tokio::test]
async fn files_are_written_appended_read_listed_and_removed() {
    let place = Place::new();
    place.run("run:make-directory|a/b").await.unwrap();
    place.run("run:write|a/b/file|hello").await.unwrap();
    place.run("run:append|a/b/file| world").await.unwrap();
    place.run("run:read|a/b/file").await.unwrap();
    place.run("run:read-at|a/b/file|6|3").await.unwrap();
    place.run("run:entries|a").await.unwrap();
    place.run("run:entries|a/b").await.unwrap();
    let said = place.around.said();
    assert_eq!(said[..2], ["hello world", "wor"]);
    assert!(said[2].starts_with("b true"));
    assert_eq!(said[3], "file false 11");
    place.run("run:remove|a").await.unwrap();
    assert!(!place.work().join("a").exists());
    assert!(refusal(place.run("run:read|a/b/file").await).contains("read `a/b/file`"));
}

#[tokio::test]
async fn no_path_leads_out() {
    let place = Place::new();
    let work = place.work();
    symlink("../outside", work.join("leaf")).unwrap();
    symlink(place.directory.path().join("outside"), work.join("absolute")).unwrap();
    symlink("..", work.join("up")).unwrap();
    symlink("/etc", work.join("etc")).unwrap();
    symlink("../new", work.join("dangling")).unwrap();
    for path in [
        "../outside",
        "/etc/passwd",
        "a/../../outside",
        "leaf",
        "absolute",
        "up/outside",
        "etc/passwd",
        "dangling",
        "",
        "..",
        "a/..",
    ] {
        for verb in ["read", "entries", "make-directory"] {
            if verb == "make-directory" && ["leaf", "absolute", "dangling"].contains(&path) {
                continue;
            }
            refusal(place.run(&format!("run:{verb}|{path}")).await);
        }
        for verb in ["write", "append"] {
            refusal(place.run(&format!("run:{verb}|{path}|evil")).await);
        }
    }
    for path in ["../outside", "/etc/passwd", "up/outside", "", "..", ".", "./."] {
        refusal(place.run(&format!("run:remove|{path}")).await);
    }
    assert_eq!(fs::read_to_string(place.directory.path().join("outside")).unwrap(), "untouched");
    assert!(!place.directory.path().join("new").exists());
    // Removing a link removes the link.
    for link in ["leaf", "up", "etc", "dangling"] {
        place.run(&format!("run:remove|{link}")).await.unwrap();
    }
    assert_eq!(fs::read_to_string(place.directory.path().join("outside")).unwrap(), "untouched");
    assert!(Path::new("/etc/passwd").exists());
}

#[tokio::test]
async fn a_link_that_stays_inside_is_followed() {
    let place = Place::new();
    fs::write(place.work().join("file"), "inside").unwrap();
    symlink("file", place.work().join("link")).unwrap();
    place.run("run:read|link").await.unwrap();
    assert_eq!(place.around.said(), ["inside"]);
}

#[tokio::test]
async fn a_named_pipe_holds_nobody_up() {
    let place = Place::new();
    let made = std::process::Command::new("mkfifo").arg(place.work().join("pipe")).status().unwrap();
    assert!(made.success());
    for script in ["run:read|pipe", "run:write|pipe|x", "run:append|pipe|x"] {
        let done = tokio::time::timeout(Duration::from_secs(20), place.run(script)).await.expect("it doesn't wait");
        refusal(done);
    }
    refusal(place.run("run:read|.").await);
}

#[tokio::test]
async fn reads_and_writes_are_bounded() {
    let place = Place::new();
    let limit = limits::WORKSPACE_CHUNK_BYTES_MAX;
    place.run(&format!("run:write-large|{limit}")).await.unwrap();
    assert!(refusal(place.run(&format!("run:write-large|{}", limit + 1)).await).contains("bytes in one write"));
    place.run("run:read-at|large|0|18446744073709551615").await.unwrap();
    for index in 0..limits::WORKSPACE_ENTRIES_MAX {
        fs::write(place.work().join(index.to_string()), "").unwrap();
    }
    assert!(refusal(place.run("run:entries|.").await).contains("entries of one directory"));
}

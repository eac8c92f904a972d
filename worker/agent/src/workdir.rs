//! Work directories: one for each builder, kept from build to build; a second one when two builds of one builder run at once.

mod measure;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use stampmill_model::BuilderName;
use stampmill_runtime::{empty_tree, remove_tree};
use stampmill_sandbox::Identity;

use crate::limits::{UNUSED_AGE, WORK_LOOK_EVERY};
pub(crate) use measure::{Allowance, TooMuch};

/// What stays as it is in a builder's directory name: never a dot, so that no name means a parent.
const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_');

/// The work directories of a worker.
pub(crate) struct WorkDirectories {
    root: PathBuf,
    identity: Identity,
    ledger: Arc<Mutex<Ledger>>,
}

/// What is known of all work directories.
#[derive(Default)]
struct Ledger {
    taken: BTreeSet<PathBuf>,
    /// How long steps have run in a directory since it was measured.
    unmeasured: BTreeMap<PathBuf, Duration>,
}

/// A work directory that a build has for itself until this is dropped.
pub(crate) struct WorkDirectory {
    path: PathBuf,
    ledger: Arc<Mutex<Ledger>>,
    /// It was found to hold too much.
    overfull: AtomicBool,
}

impl WorkDirectories {
    pub(crate) fn new(state_directory: &Path, identity: Identity) -> io::Result<Self> {
        let root = state_directory.join("builds");
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&root)?;
        Ok(Self { root, identity, ledger: Arc::default() })
    }

    /// A work directory of the builder that no other build has.
    pub(crate) fn take(&self, builder: &BuilderName) -> io::Result<WorkDirectory> {
        let name = utf8_percent_encode(builder.as_str(), &PLAIN).to_string();
        let path = {
            let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
            let free = |number: &u32| !ledger.taken.contains(&self.place(&name, *number));
            let number = (1..=u32::MAX).find(free).unwrap_or(u32::MAX);
            let path = self.place(&name, number);
            ledger.taken.insert(path.clone());
            path
        };
        let ledger = Arc::clone(&self.ledger);
        let directory = WorkDirectory { path, ledger, overfull: AtomicBool::new(false) };
        self.make(&directory.path)?;
        Ok(directory)
    }

    fn place(&self, name: &str, number: u32) -> PathBuf {
        let name: String = name.chars().take(200).collect();
        match number {
            1 => self.root.join(name),
            // No builder's own name has a dot in it.
            _ => self.root.join(format!("{name}.{number}")),
        }
    }

    fn make(&self, path: &Path) -> io::Result<()> {
        match std::fs::DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.symlink_metadata()?.is_dir() => {
                measure::reopen(path)?;
                // Its time says when the builder was last seen; failing, the directory is removed too early at worst.
                let _ = std::fs::File::open(path).and_then(|directory| directory.set_modified(SystemTime::now()));
            }
            Err(error) => return Err(error),
        }
        if let (Identity::Ids { uid, gid }, true) = (self.identity, nix::unistd::geteuid().is_root()) {
            let found = path.symlink_metadata()?;
            if found.uid() != uid || found.gid() != gid {
                std::os::unix::fs::chown(path, Some(uid), Some(gid))?;
            }
        }
        Ok(())
    }
}

impl WorkDirectory {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Notes that a step ran in it for so long; answers whether it is time to measure it. Many short builds are watched as one long one is.
    pub(crate) fn is_due_after(&self, ran: Duration) -> bool {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let unmeasured = ledger.unmeasured.entry(self.path.clone()).or_default();
        *unmeasured += ran;
        *unmeasured >= WORK_LOOK_EVERY
    }

    /// Measures it; answers what is too much. One that cannot be measured holds, as far as anybody knows, nothing.
    pub(crate) async fn measure(&self, allowed: Allowance) -> Option<TooMuch> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).unmeasured.remove(&self.path);
        let path = self.path.clone();
        let measured = tokio::task::spawn_blocking(move || measure::measure(&path, allowed)).await;
        match measured.map_err(io::Error::other).flatten() {
            Ok(None) => None,
            Ok(too_much) => {
                self.overfull.store(true, Ordering::Relaxed);
                too_much
            }
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "a work directory cannot be measured");
                None
            }
        }
    }

    /// Empties it when it was found to hold too much: else the next build would begin with what ended this one.
    pub(crate) async fn empty_when_overfull(&self) {
        if !self.overfull.load(Ordering::Relaxed) {
            return;
        }
        let path = self.path.clone();
        let empty = move || empty_tree(&Dir::open_ambient_dir(path, ambient_authority())?);
        match tokio::task::spawn_blocking(empty).await.map_err(io::Error::other).flatten() {
            Ok(()) => tracing::info!(path = %self.path.display(), "emptied, it held too much"),
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "a full work directory cannot be emptied")
            }
        }
    }
}

impl Drop for WorkDirectory {
    fn drop(&mut self) {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).taken.remove(&self.path);
    }
}

/// Removes what was not used for [`UNUSED_AGE`]: work directories and components.
pub(crate) fn remove_unused(state_directory: &Path) {
    for kind in ["builds", "components"] {
        let directory = state_directory.join(kind);
        let (Ok(entries), Ok(root)) =
            (std::fs::read_dir(&directory), Dir::open_ambient_dir(&directory, ambient_authority()))
        else {
            continue;
        };
        for entry in entries.flatten() {
            let age = entry.metadata().and_then(|found| found.modified()).map(|at| at.elapsed());
            let Ok(Ok(age)) = age else { continue };
            if age < UNUSED_AGE {
                continue;
            }
            let path = entry.path();
            let directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let name = entry.file_name();
            let removed = if directory { remove_tree(&root, Path::new(&name)) } else { root.remove_file(&name) };
            match removed {
                Ok(()) => tracing::info!(path = %path.display(), "removed, it was not used for long"),
                Err(error) => tracing::warn!(path = %path.display(), %error, "cannot be removed"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directories(root: &Path) -> WorkDirectories {
        WorkDirectories::new(root, Identity::Own).unwrap()
    }

    #[test]
    fn a_builder_has_its_own_directory_and_a_second_one_only_while_the_first_is_taken() {
        let root = tempfile::tempdir().unwrap();
        let all = directories(root.path());
        let first = all.take(&"linux".into()).unwrap();
        let second = all.take(&"linux".into()).unwrap();
        let other = all.take(&"mac".into()).unwrap();
        let paths = BTreeSet::from([first.path().to_owned(), second.path().to_owned(), other.path().to_owned()]);
        assert_eq!(paths.len(), 3);
        let path = first.path().to_owned();
        std::fs::write(path.join("kept"), "x").unwrap();
        drop(first);
        let again = all.take(&"linux".into()).unwrap();
        assert_eq!(again.path(), path);
        assert!(path.join("kept").exists(), "it is kept from build to build");
    }

    #[test]
    fn no_builder_name_leaves_the_directory_or_meets_another() {
        let root = tempfile::tempdir().unwrap();
        let all = directories(root.path());
        let mut seen = BTreeSet::new();
        let mut held = Vec::new();
        for name in ["..", ".", "a/b", "a%2Fb", "linux", "linux.2", "a\u{0}b", "ä", "../../etc", "LINUX"] {
            let directory = all.take(&name.into()).unwrap();
            assert_eq!(directory.path().parent(), Some(root.path().join("builds").as_path()), "{name}");
            assert!(seen.insert(directory.path().to_owned()), "{name}");
            held.push(directory);
        }
    }

    #[test]
    fn a_link_in_the_place_of_a_work_directory_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let all = directories(root.path());
        std::os::unix::fs::symlink("/tmp", root.path().join("builds/linux")).unwrap();
        assert!(all.take(&"linux".into()).is_err());
    }
}

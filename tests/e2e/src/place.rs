//! The directory of a test: what runs in it ends with it, however the test ends.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// A new directory for a host's configuration and data. When it is dropped, the hosts and workers that still run in it are killed: a worker
/// has a process group of its own and outlives its host on purpose.
pub struct Place(TempDir);

impl Place {
    /// Makes it.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self(tempfile::tempdir()?))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        kill_all_in(self.path());
    }
}

/// Kills every `stampmill` that works in this directory or was told of a file in it.
pub(crate) fn kill_all_in(place: &Path) {
    let Ok(processes) = std::fs::read_dir("/proc") else { return };
    let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    for id in ids.filter(|id| is_ours(*id, place)) {
        // It may have ended at this very moment.
        let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
    }
}

fn is_ours(id: i32, place: &Path) -> bool {
    let process = Path::new("/proc").join(id.to_string());
    let program = std::fs::read_link(process.join("exe")).unwrap_or_default();
    // A binary that was built anew meanwhile is shown as `stampmill (deleted)`.
    if !program.file_name().is_some_and(|name| name.as_bytes().starts_with(b"stampmill")) {
        return false;
    }
    let told = std::fs::read(process.join("cmdline")).unwrap_or_default();
    std::fs::read_link(process.join("cwd")).is_ok_and(|directory| directory.starts_with(place))
        || told.split(|byte| *byte == 0).any(|argument| Path::new(OsStr::from_bytes(argument)).starts_with(place))
}

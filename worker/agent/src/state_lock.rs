//! One worker process for one state directory: two would write into the same spools. The lock goes with the process, however it ends.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};

const NAME: &str = "lock";

/// The right to use a state directory, until it is dropped.
pub(crate) struct StateLock(#[expect(dead_code, reason = "held, never read")] Flock<File>);

impl StateLock {
    /// Takes the lock of a directory that exists; `None` when another process has it.
    pub(crate) fn take(directory: &Path) -> io::Result<Option<Self>> {
        let Some(mut lock) = try_lock(directory)? else { return Ok(None) };
        lock.set_len(0)?;
        write!(lock, "{}", std::process::id())?;
        Ok(Some(Self(lock)))
    }
}

/// The process that uses a state directory as its worker, if one does.
#[must_use]
pub fn holder(directory: &Path) -> Option<u32> {
    if try_lock(directory).ok()?.is_some() {
        return None;
    }
    let mut text = String::new();
    File::open(directory.join(NAME)).ok()?.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn try_lock(directory: &Path) -> io::Result<Option<Flock<File>>> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(directory.join(NAME))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, nix::Error::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_directory_has_one_user_and_its_process_is_known() -> io::Result<()> {
        let directory = tempfile::tempdir()?;
        assert_eq!(holder(directory.path()), None);
        let lock = StateLock::take(directory.path())?.expect("nobody has it");
        assert!(StateLock::take(directory.path())?.is_none());
        assert_eq!(holder(directory.path()), Some(std::process::id()));
        drop(lock);
        assert_eq!(holder(directory.path()), None);
        Ok(())
    }
}

//! Gives what a plugin wrote into the work directory to the ids that programs run as. Only a worker that runs as root has to.
//!
//! Programs of the same step may be running and renaming things meanwhile, so that every step of the walk goes through a descriptor and no link
//! is followed. Hard links to files outside cannot be made in the sandbox: the work directory is a mount of its own there.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::dir::{Dir, Type};
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{Mode, fstatat};
use nix::unistd::{Gid, Uid, fchownat, geteuid};
use stampmill_sandbox::Identity;

/// Why what a plugin wrote could not be given away.
#[derive(Debug, thiserror::Error)]
#[error("what the plugin wrote in {directory} cannot be given to its programs: {why}")]
pub struct OwnershipError {
    /// The work directory.
    pub directory: PathBuf,
    /// What the system said.
    pub why: String,
}

/// Gives every entry below `directory` that belongs to root to `identity`; does nothing when the caller is not root.
///
/// # Errors
/// When the directory cannot be read or an entry cannot be given away.
pub async fn give(directory: &Path, identity: Identity) -> Result<(), OwnershipError> {
    let Identity::Ids { uid, gid } = identity else {
        return Ok(());
    };
    if !geteuid().is_root() {
        return Ok(());
    }
    let root = directory.to_owned();
    let walk = move || -> nix::Result<()> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        give_below(Dir::open(&root, flags, Mode::empty())?, Uid::from_raw(uid), Gid::from_raw(gid))
    };
    let why = match tokio::task::spawn_blocking(walk).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    Err(OwnershipError { directory: directory.to_owned(), why })
}

fn give_below(root: Dir, uid: Uid, gid: Gid) -> nix::Result<()> {
    let mut open = vec![root];
    while let Some(mut directory) = open.pop() {
        let handle = File::from(directory.as_fd().try_clone_to_owned().map_err(|_| nix::Error::EMFILE)?);
        for entry in directory.iter() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            // An entry that is gone meanwhile needs nothing.
            let Ok(found) = fstatat(&handle, name, AtFlags::AT_SYMLINK_NOFOLLOW) else {
                continue;
            };
            if found.st_uid == 0 {
                match fchownat(&handle, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW) {
                    Ok(()) | Err(nix::Error::ENOENT) => {}
                    Err(error) => return Err(error),
                }
            }
            if entry.file_type() == Some(Type::Directory) {
                let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                if let Ok(below) = Dir::openat(&handle, name, flags, Mode::empty()) {
                    open.push(below);
                }
            }
        }
    }
    Ok(())
}

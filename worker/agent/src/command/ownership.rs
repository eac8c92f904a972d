//! Gives what a plugin wrote into the work directory to the ids that programs run as. Only a worker that runs as root has to.
//!
//! Programs of the same step may be running and renaming things meanwhile, so that every step of the walk goes through a descriptor and no link
//! is followed. Hard links to files outside cannot be made in the sandbox: the work directory is a mount of its own there.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::dir::{Dir, Type};
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2};
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
        give_below(&Dir::open(&root, flags, Mode::empty())?, Uid::from_raw(uid), Gid::from_raw(gid))
    };
    let why = match tokio::task::spawn_blocking(walk).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    Err(OwnershipError { directory: directory.to_owned(), why })
}

/// One directory is open at a time, so that a tree that is wide on purpose does not take the worker's descriptors.
fn give_below(root: &Dir, uid: Uid, gid: Gid) -> nix::Result<()> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
    let mut waiting = vec![PathBuf::from(".")];
    while let Some(path) = waiting.pop() {
        // What is gone meanwhile needs nothing, and no plugin made a path that is too long to be opened.
        let Ok(handle) = openat2(root, &path, how) else { continue };
        let mut directory = Dir::from_fd(handle.try_clone().map_err(|_| nix::Error::EMFILE)?)?;
        for entry in directory.iter() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
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
                waiting.push(path.join(OsStr::from_bytes(name.to_bytes())));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, chown, symlink};

    const STEP: Identity = Identity::Ids { uid: 60_321, gid: 60_321 };

    #[tokio::test]
    async fn what_root_wrote_is_given_away_and_what_links_lead_to_is_not() {
        if !geteuid().is_root() {
            println!("skipped: only root gives files away");
            return;
        }
        let place = tempfile::tempdir().unwrap();
        let (work, outside) = (place.path().join("work"), place.path().join("outside"));
        std::fs::create_dir_all(work.join("a/b")).unwrap();
        std::fs::create_dir(&outside).unwrap();
        for file in [work.join("a/b/file"), work.join("theirs"), outside.join("file")] {
            std::fs::write(file, "x").unwrap();
        }
        chown(work.join("theirs"), Some(5000), Some(5000)).unwrap();
        symlink(&outside, work.join("a/out")).unwrap();
        symlink(outside.join("file"), work.join("leaf")).unwrap();
        give(&work, STEP).await.unwrap();
        let owner = |path: PathBuf| std::fs::symlink_metadata(path).unwrap().uid();
        for given in ["a", "a/b", "a/b/file", "a/out", "leaf"] {
            assert_eq!(owner(work.join(given)), 60_321, "{given}");
        }
        assert_eq!(owner(work.join("theirs")), 5000);
        assert_eq!((owner(outside.clone()), owner(outside.join("file"))), (0, 0));
    }
}

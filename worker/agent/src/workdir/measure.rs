//! How much of the disk a work directory takes up. There is no quota of the kernel's that an ordinary user could set for one directory, so the
//! tree is walked. One directory is open at a time, and the walk ends as soon as there is too much: a tree that is deep or wide on purpose
//! takes neither the worker's descriptors nor its time.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata, MetadataExt, Permissions, PermissionsExt as _, ReadDir};

use crate::limits::{WORK_PATH_BYTES, WORK_WAITING_BYTES};

/// The kernel counts blocks in units of this, whatever the file system's are; see stat(2).
const BLOCK_BYTES: u64 = 512;

/// What a work directory may take up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    pub(crate) bytes: u64,
    pub(crate) files: u64,
}

/// What is too much.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum TooMuch {
    #[error("the work directory takes up more than {0} bytes of disk, which is the worker's `work-bytes`")]
    Bytes(u64),
    #[error("the work directory holds more than {0} files, which is the worker's `work-files`")]
    Files(u64),
    #[error("the work directory has paths longer than {0} bytes, which is the most that the worker follows")]
    Depth(usize),
    #[error(
        "the work directory has directories beside each other whose paths are longer than {0} bytes together, which is the most that the worker follows"
    )]
    Breadth(usize),
}

/// Measures a directory. Programs may be changing it meanwhile: what comes and goes is counted or not.
pub(super) fn measure(directory: &Path, allowed: Allowance) -> io::Result<Option<TooMuch>> {
    reopen(directory)?;
    let root = Dir::open_ambient_dir(directory, ambient_authority())?;
    let mut seen = Seen::default();
    let mut waiting = vec![PathBuf::from(".")];
    let mut waiting_bytes = 0;
    while let Some(path) = waiting.pop() {
        waiting_bytes -= path.as_os_str().len().min(waiting_bytes);
        if path.as_os_str().len() > WORK_PATH_BYTES {
            return Ok(Some(TooMuch::Depth(WORK_PATH_BYTES)));
        }
        // What cannot be looked at has gone meanwhile.
        for entry in list(&root, &path).into_iter().flatten().flatten() {
            let Ok(found) = entry.metadata() else { continue };
            seen.add(&found);
            if seen.files > allowed.files {
                return Ok(Some(TooMuch::Files(allowed.files)));
            }
            if seen.bytes > allowed.bytes {
                return Ok(Some(TooMuch::Bytes(allowed.bytes)));
            }
            if found.is_dir() {
                let below = path.join(entry.file_name());
                waiting_bytes += below.as_os_str().len();
                if waiting_bytes > WORK_WAITING_BYTES {
                    return Ok(Some(TooMuch::Breadth(WORK_WAITING_BYTES)));
                }
                waiting.push(below);
            }
        }
    }
    Ok(None)
}

/// Lets a work directory's owner into it again when a program has shut him out. Nobody but the worker can put another in its place.
pub(super) fn reopen(directory: &Path) -> io::Result<()> {
    const OWNERS: u32 = 0o700;
    let mode = fs::symlink_metadata(directory)?.permissions().mode();
    if mode & OWNERS == OWNERS {
        return Ok(());
    }
    fs::set_permissions(directory, fs::Permissions::from_mode(mode & 0o777 | OWNERS))
}

/// The entries of a directory within the root; one that its owner closed to himself is opened for him, so that nothing hides in it.
fn list(root: &Dir, path: &Path) -> Option<ReadDir> {
    match root.read_dir(path) {
        Ok(entries) => Some(entries),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let mode = root.symlink_metadata(path).ok().filter(Metadata::is_dir)?.mode();
            root.set_permissions(path, Permissions::from_mode(mode & 0o777 | 0o500)).ok()?;
            root.read_dir(path).ok()
        }
        Err(_) => None,
    }
}

#[derive(Default)]
struct Seen {
    bytes: u64,
    files: u64,
    /// Files with several names take up their space once.
    linked: HashSet<(u64, u64)>,
}

impl Seen {
    fn add(&mut self, found: &Metadata) {
        self.files += 1;
        if found.is_dir() || found.nlink() == 1 || self.linked.insert((found.dev(), found.ino())) {
            self.bytes += found.blocks() * BLOCK_BYTES;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const KIB: usize = 1024;

    fn too_much(directory: &Path, bytes: u64, files: u64) -> Option<TooMuch> {
        measure(directory, Allowance { bytes, files }).unwrap()
    }

    #[test]
    fn bytes_and_files_are_counted_in_the_whole_tree_and_each_once() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir_all(place.path().join("a/b/c")).unwrap();
        fs::write(place.path().join("a/b/c/file"), vec![1; 900 * KIB]).unwrap();
        for name in ["again", "once-more"] {
            fs::hard_link(place.path().join("a/b/c/file"), place.path().join(name)).unwrap();
        }
        assert_eq!(too_much(place.path(), 1024 * KIB as u64, 6), None);
        assert_eq!(too_much(place.path(), 800 * KIB as u64, 6), Some(TooMuch::Bytes(800 * KIB as u64)));
        assert_eq!(too_much(place.path(), 1024 * KIB as u64, 5), Some(TooMuch::Files(5)));
        // A file that only looks large takes up nothing.
        fs::File::create(place.path().join("sparse")).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(too_much(place.path(), 1024 * KIB as u64, 10), None);
    }

    #[test]
    fn links_are_not_followed_and_closed_directories_hide_nothing() {
        let place = tempfile::tempdir().unwrap();
        let (work, outside) = (place.path().join("work"), place.path().join("outside"));
        fs::create_dir_all(work.join("closed")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("large"), vec![1; 900 * KIB]).unwrap();
        symlink(&outside, work.join("link")).unwrap();
        symlink(outside.join("large"), work.join("leaf")).unwrap();
        assert_eq!(too_much(&work, 500 * KIB as u64, 10), None);
        fs::write(work.join("closed/large"), vec![1; 900 * KIB]).unwrap();
        for closed in [work.join("closed"), work.clone()] {
            fs::set_permissions(closed, fs::Permissions::from_mode(0o000)).unwrap();
        }
        assert_eq!(too_much(&work, 500 * KIB as u64, 10), Some(TooMuch::Bytes(500 * KIB as u64)));
    }

    #[test]
    fn a_tree_that_no_path_reaches_the_bottom_of_is_too_much() {
        let place = tempfile::tempdir().unwrap();
        let mut here = Dir::open_ambient_dir(place.path(), ambient_authority()).unwrap();
        let name = "d".repeat(200);
        for _ in 0..40 {
            here.create_dir(&name).unwrap();
            here = here.open_dir(&name).unwrap();
        }
        assert_eq!(too_much(place.path(), 1 << 30, 1000), Some(TooMuch::Depth(WORK_PATH_BYTES)));
    }
}

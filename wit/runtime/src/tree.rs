//! Removes a directory with all that is in it, however it was made: nothing recurses and one directory is open at a time, so that a tree that
//! is deep or wide on purpose takes neither the stack nor the descriptors of this process.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use cap_std::fs::{Dir, MetadataExt, Permissions, PermissionsExt};

/// A path of this length is not extended: the kernel takes 4095 bytes, and one name has at most 255. What lies deeper is moved up first.
const PATH_BYTES: usize = 3000;

/// How often one directory is looked through: once to list it and once when what was in it is gone. More looks mean that somebody fills it
/// again.
const LOOKS_MAX: u8 = 8;

/// A directory that is to go.
struct Doomed {
    path: PathBuf,
    looks: u8,
}

/// Removes the directory at `path` below `root` and everything in it. No link is followed out of `root`; a link is removed, and not what it
/// leads to. Waits for the disk: call it where that is allowed.
///
/// # Errors
/// When something cannot be removed; then a part may be gone.
pub fn remove_tree(root: &Dir, path: &Path) -> io::Result<()> {
    let mut doomed = VecDeque::from([Doomed { path: path.to_owned(), looks: 0 }]);
    while let Some(last) = doomed.back_mut() {
        last.looks += 1;
        let (path, looks) = (last.path.clone(), last.looks);
        match root.remove_dir(&path) {
            Ok(()) => drop(doomed.pop_back()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => drop(doomed.pop_back()),
            Err(error) if looks > LOOKS_MAX => return Err(error),
            Err(_) => empty(root, &path, &mut doomed)?,
        }
    }
    Ok(())
}

/// Removes everything in a directory, whatever its permissions are; the directory itself stays.
///
/// # Errors
/// As [`remove_tree`].
pub fn empty_tree(root: &Dir) -> io::Result<()> {
    let mut doomed = VecDeque::new();
    empty(root, Path::new("."), &mut doomed)?;
    let rest: Vec<PathBuf> = doomed.into_iter().map(|one| one.path).collect();
    rest.iter().try_for_each(|path| remove_tree(root, path))
}

/// Removes what is no directory, and adds what is one to those that are to go.
fn empty(root: &Dir, path: &Path, doomed: &mut VecDeque<Doomed>) -> io::Result<()> {
    let directory = open(root, path)?;
    for entry in directory.entries()? {
        let entry = entry?;
        let name = entry.file_name();
        // What is gone meanwhile needs nothing.
        let gone = |error: io::Error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) };
        if !entry.file_type()?.is_dir() {
            directory.remove_file(&name).or_else(gone)?;
        } else if path.as_os_str().len() > PATH_BYTES {
            let up = move_up(&directory, Path::new(&name), root)?;
            // First in, last out: what is being removed now does not wait for it.
            doomed.push_front(Doomed { path: up, looks: 0 });
        } else {
            doomed.push_back(Doomed { path: path.join(name), looks: 0 });
        }
    }
    Ok(())
}

/// Opens a directory that is to be emptied, and lets its owner do so.
fn open(root: &Dir, path: &Path) -> io::Result<Dir> {
    const OWNERS: u32 = 0o700;
    let mode = root.symlink_metadata(path)?.mode();
    if mode & OWNERS != OWNERS && path != Path::new(".") {
        root.set_permissions(path, Permissions::from_mode(mode & 0o777 | OWNERS))?;
    }
    root.open_dir(path)
}

/// Moves a directory to the top, under a name that nothing has there.
fn move_up(from: &Dir, name: &Path, root: &Dir) -> io::Result<PathBuf> {
    // Never one that was tried before: somebody may have filled the directory with the first names.
    static NUMBERS: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let up = PathBuf::from(format!(".stampmill-removed-{number}"));
        match root.symlink_metadata(&up) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                from.rename(name, root, &up)?;
                return Ok(up);
            }
            Err(error) => return Err(error),
            Ok(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cap_std::ambient_authority;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn opened(path: &Path) -> Dir {
        Dir::open_ambient_dir(path, ambient_authority()).unwrap()
    }

    /// So many directories, each in the one before; no path to the last of them could be written.
    fn dig(root: &Dir, depth: usize) {
        let mut here = root.try_clone().unwrap();
        for _ in 0..depth {
            here.create_dir("deeper").unwrap();
            here = here.open_dir("deeper").unwrap();
        }
        here.write("bottom", "x").unwrap();
    }

    #[test]
    fn a_tree_that_is_deeper_than_any_path_and_any_stack_is_removed() {
        let place = tempfile::tempdir().unwrap();
        let root = opened(place.path());
        root.create_dir("tree").unwrap();
        dig(&root.open_dir("tree").unwrap(), 6_000);
        remove_tree(&root, Path::new("tree")).unwrap();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn links_go_and_what_they_lead_to_stays_and_permissions_do_not_protect_a_tree() {
        let place = tempfile::tempdir().unwrap();
        let outside = place.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("precious"), "untouched").unwrap();
        let inside = place.path().join("inside");
        fs::create_dir_all(inside.join("closed/below")).unwrap();
        fs::write(inside.join("closed/below/file"), "x").unwrap();
        symlink(&outside, inside.join("absolute")).unwrap();
        symlink("../../outside", inside.join("closed/relative")).unwrap();
        symlink("nowhere", inside.join("dangling")).unwrap();
        fs::hard_link(outside.join("precious"), inside.join("hard")).unwrap();
        fs::set_permissions(inside.join("closed/below"), fs::Permissions::from_mode(0o000)).unwrap();
        fs::set_permissions(inside.join("closed"), fs::Permissions::from_mode(0o500)).unwrap();
        empty_tree(&opened(&inside)).unwrap();
        assert_eq!(fs::read_dir(&inside).unwrap().count(), 0);
        assert_eq!(fs::read_to_string(outside.join("precious")).unwrap(), "untouched");
    }

    #[test]
    fn a_name_in_the_way_is_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let root = opened(place.path());
        root.create_dir(".stampmill-removed-0").unwrap();
        root.create_dir("tree").unwrap();
        dig(&root.open_dir("tree").unwrap(), 1_000);
        remove_tree(&root, Path::new("tree")).unwrap();
        let left: Vec<_> = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [".stampmill-removed-0"]);
    }
}

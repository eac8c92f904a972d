//! The private root: a tmpfs with read-only system directories, a made `/etc`, few devices, a fresh `/proc`, the work directory and what was granted.
//!
//! In two halves. [`Sources::open`] takes hold of everything of the machine's, as detached mounts; [`Sources::build`] makes the root, lets go of the old one, and only then
//! puts the mounts in place: every path of the second half is looked up in the new root, where no symbolic link leads out.
#![expect(unsafe_code, reason = "the umask is set by a raw call")]

use nix::mount::{MntFlags, umount2};
use nix::unistd::{chown, fchdir, pivot_root};
use std::ffi::CString;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::etc;
use crate::fault::{Blame, Fault, Mechanism};
use crate::helper::Ids;
use crate::limits::{BUILD_DIR, HOME_DIR, SCRATCH_INODES, SECRETS_DIR};
use crate::mounts::{Access, Tree, make_read_only};
use crate::policy::{Policy, PrivateFile};

/// System directories of the root: bound where they are directories, made again where they are symbolic links.
const SYSTEM: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/libx32"];
/// The devices: sinks and sources without state. No terminal, no disk, no kernel memory.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];
/// Links that programs expect in `/dev`.
const DEVICE_LINKS: [(&str, &str); 4] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
];
/// Directories of the new root that are there even when nothing is put in them.
const DIRECTORIES: [(&str, u32); 12] = [
    ("/proc", 0o555),
    ("/sys", 0o555),
    ("/dev", 0o755),
    ("/dev/shm", 0o1777),
    ("/etc", 0o755),
    ("/tmp", 0o1777),
    ("/home", 0o755),
    (HOME_DIR, 0o700),
    ("/run", 0o755),
    (SECRETS_DIR, 0o700),
    ("/var", 0o755),
    (BUILD_DIR, 0o755),
];
/// The writable ones, on the same tmpfs as the root, which itself becomes read-only.
const SCRATCH: [&str; 3] = ["/tmp", HOME_DIR, "/dev/shm"];

/// Something of the machine's and the place where it is seen inside.
struct Bind {
    place: PathBuf,
    tree: Tree,
    is_dir: bool,
    mechanism: Mechanism,
}

/// Everything of the machine's that the command sees, held by descriptors.
pub(crate) struct Sources {
    links: Vec<(PathBuf, &'static str)>,
    binds: Vec<Bind>,
}

impl Sources {
    /// Takes hold of what the policy names. Needs the right to mount, in this or an outer namespace.
    pub(crate) fn open(policy: &Policy) -> Result<Self, Fault> {
        let mut sources = Self { links: Vec::new(), binds: Vec::new() };
        for place in SYSTEM {
            sources.add_system(place)?;
        }
        for place in DEVICES {
            let tree = Tree::open_device(Path::new(place)).blame(Mechanism::PrivateRoot, place)?;
            sources.add(place.into(), tree, Mechanism::PrivateRoot)?;
        }
        for place in etc::TAKEN {
            match Tree::open(Path::new(place), Access::ReadOnly) {
                Ok(tree) => sources.add(place.into(), tree, Mechanism::PrivateRoot)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).blame(Mechanism::PrivateRoot, place),
            }
        }
        sources.add_work_dir(&policy.work_dir)?;
        sources.add_grants(policy)?;
        Ok(sources)
    }

    fn add(&mut self, place: PathBuf, tree: Tree, mechanism: Mechanism) -> Result<(), Fault> {
        let is_dir = tree.is_dir().blame(mechanism, &shown(&place))?;
        self.binds.push(Bind { place, tree, is_dir, mechanism });
        Ok(())
    }

    fn add_system(&mut self, place: &'static str) -> Result<(), Fault> {
        let kind = match fs::symlink_metadata(place) {
            Ok(metadata) => metadata.file_type(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).blame(Mechanism::PrivateRoot, place),
        };
        if kind.is_symlink() {
            let target = fs::read_link(place).blame(Mechanism::PrivateRoot, place)?;
            self.links.push((target, place));
        } else {
            let tree = Tree::open(Path::new(place), Access::ReadOnly).blame(Mechanism::PrivateRoot, place)?;
            self.add(place.into(), tree, Mechanism::PrivateRoot)?;
        }
        Ok(())
    }

    fn add_work_dir(&mut self, path: &Path) -> Result<(), Fault> {
        let mechanism = Mechanism::WorkDirectory;
        let tree = Tree::open(path, Access::ReadWrite).blame(mechanism, &shown(path))?;
        if !tree.is_dir().blame(mechanism, &shown(path))? {
            return Err(Fault::new(mechanism, format!("{} is not a directory", shown(path))));
        }
        self.add(BUILD_DIR.into(), tree, mechanism)
    }

    /// Outer paths first, so that a grant inside another one ends up on top of it; at the same path the writable one wins.
    fn add_grants(&mut self, policy: &Policy) -> Result<(), Fault> {
        let read = policy.read.iter().map(|path| (path, Access::ReadOnly));
        let write = policy.write.iter().map(|path| (path, Access::ReadWrite));
        let mut grants: Vec<_> = read.chain(write).collect();
        grants.sort_by_key(|(path, access)| (path.components().count(), *access == Access::ReadWrite));
        for (path, access) in grants {
            let tree = Tree::open_exact(path, access).map_err(|error| grant_fault(path, &error))?;
            self.add(path.clone(), tree, Mechanism::Grant)?;
        }
        Ok(())
    }

    /// Builds the root and makes it this process's only one. The first process of the pid namespace calls it.
    pub(crate) fn build(self, policy: &Policy, ids: Ids) -> Result<(), Fault> {
        // SAFETY: sets a number of the process.
        unsafe { libc::umask(0) };
        // Before the old root goes: the kernel gives a new /proc only to those who see a whole one already.
        let proc = Tree::new(c"proc", &[], secure() | libc::MOUNT_ATTR_NOEXEC).map_err(|error| {
            let text = format!("can't be mounted: {error}; does a container hide parts of the worker's own /proc?");
            Fault::new(Mechanism::Proc, text)
        })?;
        enter_new_root(policy).blame(Mechanism::PrivateRoot, "tmpfs")?;
        make_skeleton(&self.links, ids).blame(Mechanism::PrivateRoot, "directories")?;
        proc.attach(Path::new("/proc")).blame(Mechanism::Proc, "/proc")?;
        etc::write(ids).blame(Mechanism::PrivateRoot, "/etc")?;
        for file in &policy.files {
            write_private(file, ids).blame(Mechanism::PrivateFile, &shown(&file.name))?;
        }
        for place in SCRATCH {
            let place = Path::new(place);
            Tree::again(place).and_then(|tree| tree.attach(place)).blame(Mechanism::PrivateRoot, &shown(place))?;
        }
        for bind in &self.binds {
            put(bind).blame(bind.mechanism, &shown(&bind.place))?;
        }
        make_read_only(c"/").blame(Mechanism::PrivateRoot, "read-only")?;
        // SAFETY: sets a number of the process.
        unsafe { libc::umask(0o022) };
        Ok(())
    }
}

fn secure() -> u64 {
    libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV
}

/// A path for a text.
pub(crate) fn shown(path: &Path) -> String {
    format!("{:?}", path.as_os_str())
}

fn grant_fault(path: &Path, error: &io::Error) -> Fault {
    let mend = match error.raw_os_error() {
        Some(libc::ENOENT) => "create it on the worker or take it out of the grant".to_owned(),
        Some(libc::ELOOP) => match fs::canonicalize(path) {
            Ok(real) => format!("it goes through a symbolic link; grant {} instead", shown(&real)),
            Err(_) => "it goes through a symbolic link; grant the real path instead".to_owned(),
        },
        _ => "the worker must be able to reach it".to_owned(),
    };
    Fault::new(Mechanism::Grant, format!("{}: {error}; {mend}", shown(path)))
}

/// Mounts the new root on top of the old one and lets go of that with all that hangs on it.
fn enter_new_root(policy: &Policy) -> io::Result<()> {
    let size = CString::new(policy.limits.scratch_bytes.to_string())?;
    let inodes = CString::new(SCRATCH_INODES.to_string())?;
    let options = [(c"size", size.as_c_str()), (c"nr_inodes", inodes.as_c_str()), (c"mode", c"0755")];
    let root = Tree::new(c"tmpfs", &options, secure())?;
    root.attach(Path::new("/"))?;
    fchdir(root.fd())?;
    pivot_root(".", ".")?;
    // The old root now lies on top of the new one at ".".
    umount2(".", MntFlags::MNT_DETACH)?;
    std::env::set_current_dir("/")
}

fn make_skeleton(links: &[(PathBuf, &'static str)], ids: Ids) -> io::Result<()> {
    for (path, mode) in DIRECTORIES {
        DirBuilder::new().mode(mode).create(path)?;
    }
    for (target, place) in links {
        symlink(target, place)?;
    }
    for (target, place) in DEVICE_LINKS {
        symlink(target, place)?;
    }
    symlink("/tmp", "/var/tmp")?;
    symlink("/run", "/var/run")?;
    if nix::unistd::geteuid() != ids.uid {
        for place in [HOME_DIR, SECRETS_DIR] {
            chown(place, Some(ids.uid), Some(ids.gid))?;
        }
    }
    Ok(())
}

fn write_private(file: &PrivateFile, ids: Ids) -> io::Result<()> {
    let path = Path::new(SECRETS_DIR).join(&file.name);
    let mut made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    made.write_all(&file.content)?;
    made.set_permissions(Permissions::from_mode(0o400))?;
    if nix::unistd::geteuid() != ids.uid {
        chown(&path, Some(ids.uid), Some(ids.gid))?;
    }
    Ok(())
}

/// Puts a mount in its place, which is made when it is not there.
fn put(bind: &Bind) -> io::Result<()> {
    let made = make_place(&bind.place, bind.is_dir);
    let made = match made {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = bind.place.parent().unwrap_or(Path::new("/"));
            DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
            make_place(&bind.place, bind.is_dir)
        }
        other => other,
    };
    match made {
        // There already: a directory of the skeleton, or something of an outer grant (which may be read-only).
        Err(error) if !matches!(error.raw_os_error(), Some(libc::EEXIST | libc::EROFS | libc::EACCES)) => {
            return Err(error);
        }
        _ => {}
    }
    bind.tree.attach(&bind.place)
}

fn make_place(place: &Path, is_dir: bool) -> io::Result<()> {
    if is_dir {
        DirBuilder::new().mode(0o755).create(place)
    } else {
        OpenOptions::new().write(true).create_new(true).mode(0o644).open(place).map(drop)
    }
}

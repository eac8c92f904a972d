//! The private root: a tmpfs with read-only system directories, a made `/etc`, few devices, a fresh `/proc`, the work directory and what was granted.
//!
//! In two halves. [`Sources::open`] takes hold of everything of the machine's, as detached mounts; [`Sources::raise`] makes the root, lets go of the old one, and only then
//! puts the mounts in place: every path of the second half is looked up in the new root, where no symbolic link leads out. What the policy names can
//! come after that; [`Sources::complete`] ends it.
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
    /// What is not in its place yet.
    binds: Vec<Bind>,
    /// Whether the root is there.
    raised: bool,
}

impl Sources {
    /// Takes hold of the system and of what the policy names. Needs the right to mount, in this or an outer namespace.
    pub(crate) fn open(policy: &Policy) -> Result<Self, Fault> {
        let mut sources = Self::system()?;
        sources.add_named(policy, hold(policy)?)?;
        Ok(sources)
    }

    /// Takes hold of what every command sees.
    pub(crate) fn system() -> Result<Self, Fault> {
        let mut sources = Self { links: Vec::new(), binds: Vec::new(), raised: false };
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
        Ok(sources)
    }

    /// Adds what the policy names, as [`hold`] gave it.
    pub(crate) fn add_named(&mut self, policy: &Policy, trees: Vec<Tree>) -> Result<(), Fault> {
        let named = named(policy);
        if named.len() != trees.len() {
            let text = format!("{} paths are named and {} mounts came", named.len(), trees.len());
            return Err(Fault::new(Mechanism::Helper, text));
        }
        for (named, tree) in named.into_iter().zip(trees) {
            self.add(named.place.to_owned(), tree, named.mechanism)?;
        }
        Ok(())
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

    /// Makes the root, with what is held so far, and makes it this process's only one. The first process of the pid namespace calls it.
    pub(crate) fn raise(&mut self, scratch_bytes: u64, ids: Ids) -> Result<(), Fault> {
        // SAFETY: sets a number of the process.
        unsafe { libc::umask(0) };
        // Before the old root goes: the kernel gives a new /proc only to those who see a whole one already.
        let proc = Tree::new(c"proc", &[], secure() | libc::MOUNT_ATTR_NOEXEC).map_err(|error| {
            let text = format!("can't be mounted: {error}; does a container hide parts of the worker's own /proc?");
            Fault::new(Mechanism::Proc, text)
        })?;
        enter_new_root(scratch_bytes).blame(Mechanism::PrivateRoot, "tmpfs")?;
        make_skeleton(&self.links, ids).blame(Mechanism::PrivateRoot, "directories")?;
        proc.attach(Path::new("/proc")).blame(Mechanism::Proc, "/proc")?;
        etc::write(ids).blame(Mechanism::PrivateRoot, "/etc")?;
        for place in SCRATCH {
            let place = Path::new(place);
            Tree::again(place).and_then(|tree| tree.attach(place)).blame(Mechanism::PrivateRoot, &shown(place))?;
        }
        self.raised = true;
        self.put_all()
    }

    /// Adds what only this policy has, and closes the root. Raises it first when that has not been done.
    pub(crate) fn complete(mut self, policy: &Policy, ids: Ids) -> Result<(), Fault> {
        if !self.raised {
            self.raise(policy.limits.scratch_bytes, ids)?;
        }
        for file in &policy.files {
            write_private(file, ids).blame(Mechanism::PrivateFile, &shown(&file.name))?;
        }
        self.put_all()?;
        make_read_only(c"/").blame(Mechanism::PrivateRoot, "read-only")?;
        // SAFETY: sets a number of the process.
        unsafe { libc::umask(0o022) };
        Ok(())
    }

    fn put_all(&mut self) -> Result<(), Fault> {
        let put = |bind: Bind| put(&bind).blame(bind.mechanism, &shown(&bind.place));
        self.binds.drain(..).try_for_each(put)
    }
}

/// A path that a policy names.
struct Named<'a> {
    path: &'a Path,
    place: &'a Path,
    access: Access,
    mechanism: Mechanism,
}

/// The work directory, then the grants: outer paths first, so that a grant inside another one ends up on top of it; at the same path the
/// writable one wins.
fn named(policy: &Policy) -> Vec<Named<'_>> {
    let work_dir = Named {
        path: &policy.work_dir,
        place: Path::new(BUILD_DIR),
        access: Access::ReadWrite,
        mechanism: Mechanism::WorkDirectory,
    };
    let grant = |path, access| Named { path, place: path, access, mechanism: Mechanism::Grant };
    let read = policy.read.iter().map(|path| grant(path, Access::ReadOnly));
    let write = policy.write.iter().map(|path| grant(path, Access::ReadWrite));
    let mut grants: Vec<_> = read.chain(write).collect();
    grants.sort_by_key(|named| (named.path.components().count(), named.access == Access::ReadWrite));
    std::iter::once(work_dir).chain(grants).collect()
}

/// Takes hold of what a policy names, in the order in which it is put in place.
pub(crate) fn hold(policy: &Policy) -> Result<Vec<Tree>, Fault> {
    let open = |named: Named<'_>| match named.mechanism {
        Mechanism::Grant => Tree::open_exact(named.path, named.access).map_err(|error| grant_fault(named.path, &error)),
        mechanism => {
            let tree = Tree::open(named.path, named.access).blame(mechanism, &shown(named.path))?;
            if tree.is_dir().blame(mechanism, &shown(named.path))? {
                return Ok(tree);
            }
            Err(Fault::new(mechanism, format!("{} is not a directory", shown(named.path))))
        }
    };
    named(policy).into_iter().map(open).collect()
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
fn enter_new_root(scratch_bytes: u64) -> io::Result<()> {
    let size = CString::new(scratch_bytes.to_string())?;
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

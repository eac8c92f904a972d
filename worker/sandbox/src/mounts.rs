//! The kernel's mount calls by file descriptor (Linux 5.2, `mount_setattr` 5.12): mounts are made detached, fitted, and put in place at the end.
//! Nothing is looked up twice by path, so there is nothing to swap in between.
#![expect(unsafe_code, reason = "the C library has no wrappers for these calls")]

use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{SFlag, fstat};
use std::ffi::{CStr, CString};
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Whether what is mounted can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    ReadOnly,
    ReadWrite,
}

/// A mount, with all that is mounted below it.
#[derive(Debug)]
pub(crate) struct Tree {
    fd: OwnedFd,
}

fn checked(result: libc::c_long) -> io::Result<i32> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(result).map_err(io::Error::other)
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

/// Makes a file descriptor that the kernel has just returned our own.
fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = checked(result)?;
    // SAFETY: the call succeeded and returned a new descriptor that nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

impl Tree {
    /// A private copy of what is at a path, submounts included, without set-uid, without (except for `open_device`) device nodes.
    pub(crate) fn open(path: &Path, access: Access) -> io::Result<Self> {
        let tree = Self::copy(path)?;
        tree.confine(access)?;
        Ok(tree)
    }

    /// Like `open`, but refuses a path with a symbolic link in it: who can write somewhere on the way must not choose what is mounted.
    pub(crate) fn open_exact(path: &Path, access: Access) -> io::Result<Self> {
        let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
        let exact = openat2(AT_FDCWD, path, how)?;
        let tree = Self::copy_at(exact.as_raw_fd(), c"", libc::AT_EMPTY_PATH)?;
        tree.confine(access)?;
        Ok(tree)
    }

    /// A private copy of one device node.
    pub(crate) fn open_device(path: &Path) -> io::Result<Self> {
        let tree = Self::copy(path)?;
        tree.set(libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC)?;
        Ok(tree)
    }

    /// A writable copy of a directory of a mount of our own; it keeps that mount's attributes.
    pub(crate) fn again(path: &Path) -> io::Result<Self> {
        let path = c_path(path)?;
        // SAFETY: the path is a C string; the call changes no memory of ours.
        let fd = owned(unsafe {
            libc::syscall(
                libc::SYS_open_tree,
                libc::AT_FDCWD,
                path.as_ptr(),
                libc::OPEN_TREE_CLONE | libc::O_CLOEXEC as libc::c_uint,
            )
        })?;
        Ok(Self { fd })
    }

    fn copy(path: &Path) -> io::Result<Self> {
        Self::copy_at(libc::AT_FDCWD, &c_path(path)?, 0)
    }

    fn copy_at(at: i32, path: &CStr, flags: i32) -> io::Result<Self> {
        // Without AT_RECURSIVE the kernel refuses a tree whose submounts were locked by another user namespace.
        let flags = libc::OPEN_TREE_CLONE | (libc::O_CLOEXEC | libc::AT_RECURSIVE | flags).cast_unsigned();
        // SAFETY: the path is a C string; the call changes no memory of ours.
        let fd = owned(unsafe { libc::syscall(libc::SYS_open_tree, at, path.as_ptr(), flags) })?;
        Ok(Self { fd })
    }

    /// A new file system.
    pub(crate) fn new(kind: &CStr, options: &[(&CStr, &CStr)], attributes: u64) -> io::Result<Self> {
        // SAFETY: the name is a C string.
        let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), libc::FSOPEN_CLOEXEC) })?;
        for (key, value) in options {
            configure(&context, libc::FSCONFIG_SET_STRING, key.as_ptr(), value.as_ptr())?;
        }
        let none = std::ptr::null();
        configure(&context, libc::FSCONFIG_CMD_CREATE, none, none)?;
        let attributes = libc::c_uint::try_from(attributes).map_err(io::Error::other)?;
        // SAFETY: only numbers are passed.
        let fd =
            owned(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), libc::FSMOUNT_CLOEXEC, attributes) })?;
        Ok(Self { fd })
    }

    fn confine(&self, access: Access) -> io::Result<()> {
        let mut attributes = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
        if access == Access::ReadOnly {
            attributes |= libc::MOUNT_ATTR_RDONLY;
        }
        self.set(attributes)
    }

    /// Sets attributes on the whole tree, and cuts it off from mounts that happen elsewhere.
    fn set(&self, attributes: u64) -> io::Result<()> {
        let flags = libc::AT_EMPTY_PATH as libc::c_uint | libc::AT_RECURSIVE as libc::c_uint;
        set_attributes(self.fd.as_raw_fd(), c"", flags, attributes)
    }

    /// Puts the tree at a path that exists and is of the same kind (directory or not).
    pub(crate) fn attach(&self, path: &Path) -> io::Result<()> {
        let path = c_path(path)?;
        // SAFETY: both strings are C strings.
        checked(unsafe {
            libc::syscall(
                libc::SYS_move_mount,
                self.fd.as_raw_fd(),
                c"".as_ptr(),
                libc::AT_FDCWD,
                path.as_ptr(),
                libc::MOVE_MOUNT_F_EMPTY_PATH,
            )
        })?;
        Ok(())
    }

    /// Whether its root is a directory.
    pub(crate) fn is_dir(&self) -> io::Result<bool> {
        let kind = SFlag::from_bits_truncate(fstat(&self.fd)?.st_mode) & SFlag::S_IFMT;
        Ok(kind == SFlag::S_IFDIR)
    }

    /// A tree that another process took hold of.
    pub(crate) fn received(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// The descriptor, for `fchdir` and to be handed over.
    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }
}

/// Makes one mount read-only, not what is mounted on it.
pub(crate) fn make_read_only(path: &CStr) -> io::Result<()> {
    let attributes = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    set_attributes(libc::AT_FDCWD, path, 0, attributes)
}

fn set_attributes(at: i32, path: &CStr, flags: libc::c_uint, attributes: u64) -> io::Result<()> {
    let change = libc::mount_attr { attr_set: attributes, attr_clr: 0, propagation: libc::MS_PRIVATE, userns_fd: 0 };
    // SAFETY: the path is a C string, the structure lives during the call and its size is given.
    checked(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            at,
            path.as_ptr(),
            flags,
            &raw const change,
            size_of::<libc::mount_attr>(),
        )
    })?;
    Ok(())
}

fn configure(
    context: &OwnedFd,
    command: libc::fsconfig_command,
    key: *const libc::c_char,
    value: *const libc::c_char,
) -> io::Result<()> {
    // SAFETY: the pointers are null or C strings that live during the call.
    checked(unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), command, key, value, 0) })?;
    Ok(())
}

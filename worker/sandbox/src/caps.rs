//! Capabilities: none, in every set, for good. See capabilities(7).
#![expect(unsafe_code, reason = "the C library has no wrapper for capset, and prctl takes numbers")]

use nix::sys::prctl;
use std::io;

use crate::fault::{Blame, Fault, Mechanism};

/// `_LINUX_CAPABILITY_VERSION_3`: two words of capabilities.
const VERSION: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Drops what can be dropped only while capabilities are held: the bounding set, and what root's id would bring back.
pub(crate) fn drop_bounding() -> Result<(), Fault> {
    let secure = libc::SECBIT_NOROOT
        | libc::SECBIT_NOROOT_LOCKED
        | libc::SECBIT_NO_SETUID_FIXUP
        | libc::SECBIT_NO_SETUID_FIXUP_LOCKED
        | libc::SECBIT_KEEP_CAPS_LOCKED
        | libc::SECBIT_NO_CAP_AMBIENT_RAISE
        | libc::SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
    // SAFETY: only numbers are passed.
    let result = unsafe { libc::prctl(libc::PR_SET_SECUREBITS, secure, 0, 0, 0) };
    if result < 0 {
        return Err(io::Error::last_os_error()).blame(Mechanism::Capabilities, "secure bits");
    }
    for capability in 0..64_u64 {
        // SAFETY: only numbers are passed.
        let result = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        if result < 0 {
            let error = io::Error::last_os_error();
            // The first number that the kernel does not know.
            if capability > 0 && error.raw_os_error() == Some(libc::EINVAL) {
                return Ok(());
            }
            return Err(error).blame(Mechanism::Capabilities, "bounding set");
        }
    }
    Ok(())
}

/// Drops all that is held, and with `no_new_privs` the hope of getting any back.
pub(crate) fn drop_all() -> Result<(), Fault> {
    // SAFETY: only numbers are passed.
    let result = unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
    if result < 0 {
        return Err(io::Error::last_os_error()).blame(Mechanism::Capabilities, "ambient set");
    }
    let header = Header { version: VERSION, pid: 0 };
    let data = [Data::default(); 2];
    // SAFETY: both structures live during the call and have the form of this version.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, &raw const data) };
    if result < 0 {
        return Err(io::Error::last_os_error()).blame(Mechanism::Capabilities, "capset");
    }
    prctl::set_no_new_privs().blame(Mechanism::NoNewPrivs, "prctl")
}

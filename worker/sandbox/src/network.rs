//! Loopback and host name of the command's own network and uts namespaces.
#![expect(unsafe_code, reason = "the interface flags are set by ioctl")]

use nix::unistd::sethostname;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use crate::fault::{Blame, Fault, Mechanism};
use crate::limits::NAME_INSIDE;

/// Brings loopback up and gives the machine a name that says nothing.
pub(crate) fn set_up() -> Result<(), Fault> {
    sethostname(NAME_INSIDE).blame(Mechanism::UtsNamespace, "host name")?;
    let socket = UdpSocket::bind("0.0.0.0:0").blame(Mechanism::Network, "socket")?;
    // SAFETY: an all-zero request is a valid value of this plain C structure.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: the request lives during the call and has the form that SIOCSIFFLAGS reads.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if result < 0 {
        let error = std::io::Error::last_os_error();
        return Err(error).blame(Mechanism::Network, "loopback can't be brought up");
    }
    Ok(())
}

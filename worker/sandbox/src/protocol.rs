//! The messages between caller and helper, over one socket pair of records.
//!
//! Caller to helper: first a [`Hello`] with the request in a memory file (and what else it comes with) attached, then [`Order`]s. A helper that was
//! asked to prepare gets a second request.
//! Helper to caller: one [`Report`]. Neither side sends more than fits into an empty socket buffer, so that sending never waits.
#![expect(unsafe_code, reason = "received descriptors are numbers until they are owned")]

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recv, recvmsg, send, sendmsg,
    socketpair,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::fault::Fault;
use crate::limits::{ATTACHED_MAX, POLICY_BYTES_MAX, PROTOCOL_VERSION, RECORD_BYTES_MAX};
use crate::policy::{Identity, Policy};
use crate::probe::Facts;
use crate::spawn::Usage;

/// What the helper is to do.
#[derive(Serialize, Deserialize)]
pub(crate) enum Request {
    /// Run the policy's command.
    Run(Policy),
    /// Make a sandbox for a policy that comes later.
    Prepare {
        /// The policy's.
        identity: Identity,
        /// The policy's.
        scratch_bytes: u64,
    },
    /// Put up the whole fence of the policy, but run nothing in it: ends as exit code 0.
    Rehearse(Policy),
    /// Say what this kernel gives.
    Facts,
    /// Fork further helpers, each with the three streams that come with a request for it.
    Serve,
}

/// The first record.
#[derive(Serialize, Deserialize)]
struct Hello {
    version: u8,
    /// Whether the command's standard input is attached.
    input: bool,
}

/// A request with what came with it.
pub(crate) struct Received {
    pub(crate) request: Request,
    /// The command's standard input.
    pub(crate) input: Option<OwnedFd>,
    /// What the policy names, when the caller has taken hold of it.
    pub(crate) trees: Vec<OwnedFd>,
}

/// The answer of a server: a helper was forked; its process descriptor is attached.
#[derive(Serialize, Deserialize)]
pub(crate) struct Copied {
    pub(crate) id: u32,
}

/// What the caller wants of a running command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Send this signal to the command's process group.
    Signal(i32),
    /// Kill the tree.
    Kill,
}

/// The helper's one answer. Of several the first counts.
#[derive(Serialize, Deserialize)]
pub(crate) enum Report {
    /// The fence could not be put up, or the program not started.
    Failed(Fault),
    /// The command ended, and with it the tree.
    Ended {
        /// How.
        how: Outcome,
        /// What it used.
        usage: Usage,
    },
    /// The answer to `Request::Facts`.
    Facts(Facts),
}

/// How a command that ran came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// It ended with this code.
    Exited(i32),
    /// This signal ended it.
    Signalled(i32),
    /// The tree held more memory than its limit and was killed.
    MemoryLimit,
}

/// What a look at the socket gave.
pub(crate) enum Heard<T> {
    /// A record.
    Record(T),
    /// Nothing yet.
    Nothing,
    /// The other side is gone.
    Gone,
}

/// A fresh pair of ends, both closed on exec.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC;
    Ok(socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?)
}

fn encode(record: &impl Serialize) -> io::Result<Vec<u8>> {
    rmp_serde::to_vec(record).map_err(io::Error::other)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    rmp_serde::from_slice(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Sends a request, with the command's standard input when it has one, and with what the policy names when that is held already.
pub(crate) fn send_request(
    to: BorrowedFd<'_>,
    request: &Request,
    input: Option<BorrowedFd<'_>>,
    trees: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let mut memory = File::from(memfd_create(c"request", MFdFlags::MFD_CLOEXEC)?);
    memory.write_all(&encode(request)?)?;
    memory.seek(SeekFrom::Start(0))?;
    let mut fds = vec![memory.as_raw_fd()];
    fds.extend(input.iter().chain(trees).map(AsRawFd::as_raw_fd));
    let hello = encode(&Hello { version: PROTOCOL_VERSION, input: input.is_some() })?;
    sendmsg::<()>(
        to.as_raw_fd(),
        &[IoSlice::new(&hello)],
        &[ControlMessage::ScmRights(&fds)],
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    Ok(())
}

/// Receives a request; waits for it. None when the caller is gone.
pub(crate) fn receive_request(from: BorrowedFd<'_>) -> io::Result<Option<Received>> {
    let (hello, mut fds) = receive_with_fds(from)?;
    if hello.is_empty() {
        return Ok(None);
    }
    let hello: Hello = decode(&hello)?;
    if hello.version != PROTOCOL_VERSION {
        return Err(io::Error::other(format!(
            "the caller speaks version {} of the sandbox protocol, this helper version {PROTOCOL_VERSION}; use the helper of the same release",
            hello.version
        )));
    }
    if fds.is_empty() {
        return Err(io::Error::other("the request came without its content"));
    }
    let mut content = Vec::new();
    File::from(fds.remove(0)).take(POLICY_BYTES_MAX).read_to_end(&mut content)?;
    let input = if hello.input && !fds.is_empty() { Some(fds.remove(0)) } else { None };
    Ok(Some(Received { request: decode(&content)?, input, trees: fds }))
}

fn receive_with_fds(from: BorrowedFd<'_>) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut bytes = [0_u8; 64];
    let mut space = nix::cmsg_space!([i32; ATTACHED_MAX]);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let message = recvmsg::<()>(from.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut fds = Vec::new();
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(received) = part {
            fds.extend(received.into_iter().map(|fd| {
                // SAFETY: the kernel has just made these descriptors for this process, and nobody else knows their numbers.
                unsafe { OwnedFd::from_raw_fd(fd) }
            }));
        }
    }
    let length = message.bytes;
    Ok((bytes[..length].to_vec(), fds))
}

fn send_with_fds(to: &OwnedFd, record: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let fds: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let attached = [ControlMessage::ScmRights(&fds)];
    sendmsg::<()>(to.as_raw_fd(), &[IoSlice::new(record)], &attached, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(())
}

/// Asks a server for a helper with these streams, and waits for it: its id and its process descriptor.
pub(crate) fn ask_for_copy(server: &OwnedFd, streams: [BorrowedFd<'_>; 3]) -> io::Result<(u32, OwnedFd)> {
    send_with_fds(server, b"copy", &streams)?;
    let (record, mut fds) = receive_with_fds(server.as_fd())?;
    match (fds.pop(), record.is_empty()) {
        (Some(process), false) => Ok((decode::<Copied>(&record)?.id, process)),
        _ => Err(io::Error::other("the server has ended")),
    }
}

/// Waits for a request for a helper: its streams. None when the caller is gone.
pub(crate) fn receive_copy_request(from: &OwnedFd) -> io::Result<Option<[OwnedFd; 3]>> {
    let (record, fds) = receive_with_fds(from.as_fd())?;
    if record.is_empty() {
        return Ok(None);
    }
    fds.try_into().map(Some).map_err(|_| io::Error::other("a helper has three streams"))
}

/// Answers it.
pub(crate) fn tell_of_copy(to: &OwnedFd, copied: Copied, process: BorrowedFd<'_>) -> io::Result<()> {
    send_with_fds(to, &encode(&copied)?, &[process])
}

/// Sends one record without waiting.
pub(crate) fn tell(to: impl AsFd, record: &impl Serialize) -> io::Result<()> {
    let bytes = encode(record)?;
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    send(to.as_fd().as_raw_fd(), &bytes, flags)?;
    Ok(())
}

/// Looks for one record without waiting.
pub(crate) fn hear<T: DeserializeOwned>(from: impl AsFd) -> io::Result<Heard<T>> {
    let mut bytes = vec![0_u8; RECORD_BYTES_MAX];
    loop {
        return match recv(from.as_fd().as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
            Ok(0) | Err(Errno::ECONNRESET) => Ok(Heard::Gone),
            Ok(length) => Ok(Heard::Record(decode(&bytes[..length])?)),
            Err(Errno::EAGAIN) => Ok(Heard::Nothing),
            Err(Errno::EINTR) => continue,
            Err(error) => Err(error.into()),
        };
    }
}

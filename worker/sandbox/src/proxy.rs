//! The only way out: a process that listens on loopback inside the network namespace and carries each connection, byte for byte, to the
//! worker's Unix socket. It decides nothing and understands nothing of what it carries; the worker's proxy does.
#![expect(unsafe_code, reason = "descriptors are closed by number in a forked process")]

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{AccessFlags, faccessat};
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::fault::{Blame, Fault, Mechanism};
use crate::helper::{Ids, descriptor_path};
use crate::limits::{PROXY_ADDRESS, PROXY_BUFFER_BYTES, PROXY_LINKS_MAX};
use crate::root::shown;

/// The worker's socket, held by a descriptor: connecting through it needs no path, so that the file need not be anywhere in the command's root.
pub(crate) struct Door {
    path: PathBuf,
    socket: OwnedFd,
}

impl Door {
    /// Takes hold of the socket; needs to be able to reach its path, not to open it.
    pub(crate) fn hold(path: &Path) -> Result<Self, Fault> {
        let socket = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH | libc::O_CLOEXEC)
            .open(path)
            .blame(Mechanism::Proxy, &shown(path))?;
        Ok(Self { path: path.to_owned(), socket: socket.into() })
    }

    /// Whether the ids that this process has may connect. To be asked before a user namespace gives it the right to everything of these ids.
    pub(crate) fn check(&self, ids: Ids) -> Result<(), Fault> {
        let held = descriptor_path(&self.socket);
        let flags = AtFlags::AT_EACCESS;
        faccessat(AT_FDCWD, held.as_str(), AccessFlags::W_OK, flags).map_err(|error| {
            let text = format!(
                "uid {} may not connect to {}: {error}; give the socket file to it",
                ids.uid,
                shown(&self.path)
            );
            Fault::new(Mechanism::Proxy, text)
        })
    }
}

/// Listens already, but carries nothing before `run`.
pub(crate) struct Forwarder {
    listener: TcpListener,
    door: Door,
}

/// One direction of a connection.
struct Flow {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// The source has said that nothing more comes.
    finished: bool,
    /// The destination has been told.
    passed_on: bool,
}

/// A connection from inside and its counterpart outside.
struct Link {
    inside: TcpStream,
    outside: UnixStream,
    up: Flow,
    down: Flow,
}

impl Forwarder {
    /// Listens; to be called inside the network namespace, before the command starts.
    pub(crate) fn listen(door: Door) -> Result<Self, Fault> {
        let listener = TcpListener::bind(PROXY_ADDRESS).blame(Mechanism::Proxy, PROXY_ADDRESS)?;
        listener.set_nonblocking(true).blame(Mechanism::Proxy, PROXY_ADDRESS)?;
        Ok(Self { listener, door })
    }

    /// Carries until the process is killed. Lets go of what it inherited and has no use for.
    pub(crate) fn run(self, not_mine: &[BorrowedFd<'_>], input: Option<&OwnedFd>) -> ! {
        let input = input.map(AsFd::as_fd);
        for fd in not_mine.iter().copied().chain(input) {
            // SAFETY: a forked process that never returns: whoever owns these numbers in it never runs again.
            unsafe { libc::close(fd.as_raw_fd()) };
        }
        let mut links = Vec::new();
        loop {
            self.turn(&mut links);
        }
    }

    /// Waits until something can move, and moves it.
    fn turn(&self, links: &mut Vec<Link>) {
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(2 * links.len() + 1);
        for link in links.iter() {
            fds.push(PollFd::new(link.inside.as_fd(), events(&link.up, &link.down)));
            fds.push(PollFd::new(link.outside.as_fd(), events(&link.down, &link.up)));
        }
        let full = links.len() >= PROXY_LINKS_MAX;
        if !full {
            fds.push(PollFd::new(self.listener.as_fd(), PollFlags::POLLIN));
        }
        if poll(&mut fds, PollTimeout::NONE).is_err() {
            std::thread::yield_now();
        }
        let gone = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
        let broken: Vec<_> = fds.iter().map(|fd| fd.revents().unwrap_or(gone).intersects(gone)).collect();
        drop(fds);
        let mut index = 0;
        links.retain_mut(|link| {
            let (inside, outside) = (broken[2 * index], broken[2 * index + 1]);
            index += 1;
            // A side that is gone and has nothing more to say can take nothing more either.
            let over = (inside && link.up.finished) || (outside && link.down.finished);
            !over && link.carry().is_ok() && !link.is_done()
        });
        if !full && let Ok((inside, _)) = self.listener.accept() {
            // When the worker's proxy is gone the connection just closes: there is nobody in here to tell.
            links.extend(self.link(inside).ok());
        }
    }

    fn link(&self, inside: TcpStream) -> io::Result<Link> {
        let outside = UnixStream::connect(descriptor_path(&self.door.socket))?;
        inside.set_nonblocking(true)?;
        inside.set_nodelay(true)?;
        outside.set_nonblocking(true)?;
        Ok(Link { inside, outside, up: Flow::new(), down: Flow::new() })
    }
}

/// What a side is waited for: it is the source of one flow and the destination of the other.
fn events(source_of: &Flow, destination_of: &Flow) -> PollFlags {
    let mut events = PollFlags::empty();
    events.set(PollFlags::POLLIN, !source_of.finished && source_of.is_empty());
    events.set(PollFlags::POLLOUT, !destination_of.is_empty());
    events
}

impl Link {
    fn carry(&mut self) -> io::Result<()> {
        if self.up.carry(&mut self.inside, &mut self.outside)? {
            self.outside.shutdown(Shutdown::Write)?;
        }
        if self.down.carry(&mut self.outside, &mut self.inside)? {
            self.inside.shutdown(Shutdown::Write)?;
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.up.passed_on && self.down.passed_on
    }
}

impl Flow {
    fn new() -> Self {
        Self {
            buffer: vec![0; PROXY_BUFFER_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
            finished: false,
            passed_on: false,
        }
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Moves what can be moved now; says, once, that the destination must be told of the end.
    fn carry(&mut self, from: &mut impl Read, to: &mut impl Write) -> io::Result<bool> {
        if self.is_empty() && !self.finished {
            match from.read(&mut self.buffer) {
                Ok(0) => self.finished = true,
                Ok(length) => (self.start, self.end) = (0, length),
                Err(error) if is_not_now(&error) => {}
                Err(error) => return Err(error),
            }
        }
        while !self.is_empty() {
            match to.write(&self.buffer[self.start..self.end]) {
                Ok(length) => self.start += length,
                Err(error) if is_not_now(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        if self.finished && !self.passed_on {
            self.passed_on = true;
            return Ok(true);
        }
        Ok(false)
    }
}

fn is_not_now(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

//! One helper that forks further ones: starting a large program costs milliseconds, and a copy of one that is running does not.
//!
//! The server never sees a policy. Each copy gets its own control socket and goes on as a helper that was just started.
#![expect(unsafe_code, reason = "fork, and a signal by process descriptor")]

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{ForkResult, Pid, dup2_stderr, dup2_stdin, dup2_stdout, fork};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::process::Child;
use std::sync::{Mutex, PoisonError};

use crate::protocol::{self, Copied};

/// The caller's side; the process is started with the first copy.
#[derive(Debug, Default)]
pub(crate) struct Server {
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    control: OwnedFd,
    process: Child,
}

/// A helper that a server forked.
#[derive(Debug)]
pub(crate) struct Copy {
    id: u32,
    process: OwnedFd,
}

impl Server {
    /// A new helper with these standard streams. When it fails, the next one gets a new server.
    pub(crate) fn copy(
        &self,
        start: impl FnOnce() -> io::Result<(OwnedFd, Child)>,
        streams: [&OwnedFd; 3],
    ) -> io::Result<Copy> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let server = match running.take() {
            Some(server) => server,
            None => {
                let (control, process) = start()?;
                Running { control, process }
            }
        };
        // On an error the server is dropped, and ends.
        let copied = protocol::ask_for_copy(&server.control, streams.map(AsFd::as_fd))?;
        *running = Some(server);
        Ok(Copy { id: copied.0, process: copied.1 })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has nothing to lose, and its copies do not hang on it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Copy {
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn kill(&self) -> io::Result<()> {
        let none = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: passes numbers and a null pointer, which is allowed.
        let result =
            unsafe { libc::syscall(libc::SYS_pidfd_send_signal, self.process.as_raw_fd(), libc::SIGKILL, none, 0) };
        match result {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Waits for its end.
    pub(crate) fn wait(&self) -> io::Result<()> {
        loop {
            let mut fds = [PollFd::new(self.process.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) => return Ok(()),
                Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The helper's side: forks a copy for each request until the caller is gone. Comes back in the server with an exit code, and in each copy
/// without one: it is a helper then whose standard input is its control socket.
pub(crate) fn serve(control: &OwnedFd) -> Option<i32> {
    // The kernel takes the copies away by itself: the caller watches them by descriptor.
    // SAFETY: ignoring a signal runs no code of ours.
    if unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) }.is_err() {
        return Some(2);
    }
    loop {
        let Ok(Some(streams)) = protocol::receive_copy_request(control) else {
            return Some(0);
        };
        // SAFETY: this process has one thread, so the child may do anything.
        match unsafe { fork() } {
            Ok(ForkResult::Child) => return become_copy(&streams).err().map(|_| 2),
            Ok(ForkResult::Parent { child }) => {
                let told = process_descriptor(child).and_then(|process| {
                    let copied = Copied { id: child.as_raw().unsigned_abs() };
                    protocol::tell_of_copy(control, copied, process.as_fd())
                });
                if told.is_err() {
                    return Some(2);
                }
            }
            Err(_) => return Some(2),
        }
    }
}

fn become_copy([input, output, error]: &[OwnedFd; 3]) -> io::Result<()> {
    // SAFETY: the default action runs no code of ours.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }?;
    dup2_stdin(input)?;
    dup2_stdout(output)?;
    dup2_stderr(error)?;
    Ok(())
}

fn process_descriptor(process: Pid) -> io::Result<OwnedFd> {
    // SAFETY: only numbers are passed.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, process.as_raw(), 0) };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just made this descriptor for this process, and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

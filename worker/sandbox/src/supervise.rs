//! The first process of the pid namespace: builds the rest of the fence around itself, starts the command, and is there until nothing of it is left.
#![expect(unsafe_code, reason = "fork, and the end of a forked process")]

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeVal;
use nix::unistd::{ForkResult, Pid, fork};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use crate::fault::{Blame, Fault, Mechanism};
use crate::helper::{Ids, Job, Prepared, become_ids, close_standard, ids_of, report, set_dumpable};
use crate::memory::Watch;
use crate::mounts::Tree;
use crate::payload::Payload;
use crate::policy::{Floor, Network, Policy};
use crate::protocol::{self, Heard, Order, Outcome, Received, Report, Request};
use crate::proxy::Forwarder;
use crate::root::{self, Sources};
use crate::spawn::Usage;
use crate::{caps, network};

/// Runs the job and ends the process, and with it all that is left in the pid namespace.
pub(crate) fn first_process(job: Job) -> ! {
    let control = job.control.try_clone();
    end(control, network::set_up().and_then(|()| run(job)))
}

/// Makes ready what needs no policy, waits for the policy, and goes on as [`first_process`].
pub(crate) fn prepared_process(prepared: Prepared) -> ! {
    let control = prepared.control.try_clone();
    end(control, prepare(prepared))
}

fn prepare(prepared: Prepared) -> Result<i32, Fault> {
    let Prepared { ids, mut sources, scratch_bytes, opens, control } = prepared;
    // Nobody waits for a sandbox whose helper is gone.
    prctl::set_pdeathsig(Signal::SIGKILL).blame(Mechanism::Helper, "parent death signal")?;
    network::set_up()?;
    if !opens {
        sources.raise(scratch_bytes, ids)?;
    }
    let received = protocol::receive_request(control.as_fd()).blame(Mechanism::Helper, "request")?;
    let Some(Received { request: Request::Run(policy), input, trees }) = received else {
        return Ok(0);
    };
    if ids_of(policy.identity)? != ids || policy.floor != Floor::Required || policy.network != Network::None {
        return Err(Fault::new(Mechanism::Helper, "the policy is not one that this sandbox was made for"));
    }
    if policy.limits.scratch_bytes != scratch_bytes {
        return Err(Fault::new(Mechanism::Helper, "the policy has other limits than this sandbox was made for"));
    }
    let trees = match opens {
        true => root::hold(&policy)?,
        false => trees.into_iter().map(Tree::received).collect(),
    };
    sources.add_named(&policy, trees)?;
    run(Job { policy, input, sources, ids, door: None, still_root: false, rehearsal: false, control })
}

fn end(control: std::io::Result<OwnedFd>, ended: Result<i32, Fault>) -> ! {
    let code = ended.unwrap_or_else(|fault| {
        // Without a descriptor more there is nobody to tell; the caller sees that it has ended.
        if let Ok(control) = control {
            report(&control, fault);
        }
        1
    });
    // SAFETY: ends the process at once; it is a fork and must not run what the helper registered for its own end.
    unsafe { libc::_exit(code) }
}

fn run(job: Job) -> Result<i32, Fault> {
    let Job { policy, input, sources, door, ids, still_root, rehearsal, control } = job;
    fence(&policy, sources, ids, still_root)?;
    let forwarder = door.map(Forwarder::listen).transpose()?;
    Ok(supervise(Payload { policy, input, rehearsal }, forwarder, control))
}

/// Everything that holds for the first process as well as for the command.
fn fence(policy: &Policy, sources: Sources, ids: Ids, still_root: bool) -> Result<(), Fault> {
    sources.complete(policy, ids)?;
    caps::drop_bounding()?;
    if still_root {
        become_ids(ids)?;
        set_dumpable(false)?;
    }
    caps::drop_all()?;
    // After the last change of rights, which would clear it. Should the helper be dead already, the closed control socket tells.
    prctl::set_pdeathsig(Signal::SIGKILL).blame(Mechanism::Helper, "parent death signal")
}

fn supervise(payload: Payload, forwarder: Option<Forwarder>, control: OwnedFd) -> i32 {
    match start(&payload, forwarder, &control) {
        Ok((command, children)) => {
            close_standard();
            let memory_bytes = payload.policy.limits.memory_bytes;
            // The command has its copies; the pipe's reading end must not stay open here.
            drop(payload);
            let mut supervisor = Supervisor { control, children, command, watch: Watch::new(memory_bytes) };
            let how = supervisor.until_the_end();
            supervisor.clear_up(how)
        }
        Err(fault) => {
            report(&control, fault);
            1
        }
    }
}

/// Starts the forwarder and the command.
fn start(payload: &Payload, forwarder: Option<Forwarder>, control: &OwnedFd) -> Result<(Pid, SignalFd), Fault> {
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    mask.thread_block().blame(Mechanism::Helper, "signal mask")?;
    let children = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .blame(Mechanism::Helper, "signalfd")?;
    if let Some(forwarder) = forwarder {
        // SAFETY: this process has one thread, so the child may do anything.
        if let ForkResult::Child = unsafe { fork() }.blame(Mechanism::Proxy, "process")? {
            close_standard();
            forwarder.run(&[control.as_fd(), children.as_fd()], payload.input.as_ref());
        }
    }
    // SAFETY: as above.
    match unsafe { fork() }.blame(Mechanism::Program, "process")? {
        ForkResult::Child => {
            let fault = payload.become_command();
            if let Some(fault) = fault {
                report(control, fault);
            }
            // SAFETY: ends the forked process at once.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => Ok((child, children)),
    }
}

struct Supervisor {
    control: OwnedFd,
    children: SignalFd,
    command: Pid,
    watch: Watch,
}

impl Supervisor {
    /// Reaps, obeys and watches until the command itself has ended or the tree must.
    fn until_the_end(&mut self) -> Outcome {
        loop {
            let timeout = PollTimeout::try_from(self.watch.next_look()).unwrap_or(PollTimeout::MAX);
            let mut fds = [
                PollFd::new(self.children.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.control.as_fd(), PollFlags::POLLIN),
            ];
            if poll(&mut fds, timeout).is_err() {
                // Interrupted, or the kernel is out of memory: look at everything and try again.
                std::thread::yield_now();
            }
            if let Some(how) = self.reap() {
                return how;
            }
            if self.obey() {
                return Outcome::Signalled(libc::SIGKILL);
            }
            if self.watch.exceeded() {
                return Outcome::MemoryLimit;
            }
        }
    }

    /// Waits for what has ended, orphans included; gives the command's own end.
    fn reap(&mut self) -> Option<Outcome> {
        while let Ok(Some(_)) = self.children.read_signal() {}
        while let Ok(Some((pid, status))) = wait_any(libc::WNOHANG) {
            // Everything else is an orphan, or the forwarder.
            if pid == self.command {
                return Some(if libc::WIFSIGNALED(status) {
                    Outcome::Signalled(libc::WTERMSIG(status))
                } else {
                    Outcome::Exited(libc::WEXITSTATUS(status))
                });
            }
        }
        None
    }

    /// Carries out the caller's orders; says whether the tree must be killed.
    fn obey(&self) -> bool {
        loop {
            match protocol::hear(&self.control) {
                Ok(Heard::Record(Order::Signal(number))) => {
                    // The group exists as long as the command was not reaped, and only this process reaps it.
                    // SAFETY: passes two numbers; a wrong one is an error that has nobody to tell.
                    let sent = unsafe { libc::kill(-self.command.as_raw(), number) };
                    if sent < 0 {
                        // It is so young that it has no group of its own yet.
                        // SAFETY: as above.
                        unsafe { libc::kill(self.command.as_raw(), number) };
                    }
                }
                Ok(Heard::Nothing) => return false,
                Ok(Heard::Record(Order::Kill) | Heard::Gone) | Err(_) => return true,
            }
        }
    }

    /// Kills and waits for all that is left, then reports. Whatever the kill missed dies when this process ends, before anybody sees it ended.
    fn clear_up(self, how: Outcome) -> i32 {
        // Fails only when there is nobody.
        let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
        while let Ok(_) | Err(Errno::EINTR) = wait_any(0) {}
        let usage = usage(self.watch.peak());
        match protocol::tell(&self.control, &Report::Ended { how, usage }) {
            Ok(()) => 0,
            Err(_) => 1,
        }
    }
}

/// Waits for any child. Not through `nix`, which has no name for real-time signals and would lose a child that one of them ended.
fn wait_any(flags: i32) -> Result<Option<(Pid, i32)>, Errno> {
    let mut status = 0;
    // SAFETY: the status lives during the call.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, flags) };
    let pid = Errno::result(pid)?;
    Ok((pid != 0).then_some((Pid::from_raw(pid), status)))
}

fn usage(peak_tree_bytes: u64) -> Usage {
    let Ok(used) = getrusage(UsageWho::RUSAGE_CHILDREN) else {
        return Usage::default();
    };
    Usage {
        user: duration(used.user_time()),
        system: duration(used.system_time()),
        // The kernel counts in KiB.
        peak_process_bytes: u64::try_from(used.max_rss()).unwrap_or(0) * 1024,
        peak_tree_bytes,
    }
}

fn duration(time: TimeVal) -> Duration {
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    let micros = u64::try_from(time.tv_usec()).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}

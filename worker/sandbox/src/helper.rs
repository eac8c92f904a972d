//! The re-executed program: from the caller's rights into the namespaces, then it only waits for the first process.
//!
//! It is single-threaded by contract, so that forking and allocating are safe everywhere below.
#![expect(unsafe_code, reason = "fork, and file descriptors given by number")]

use nix::sys::prctl;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Gid, Uid, fork, getegid, geteuid, setgroups, setresgid, setresuid, setsid};
use std::ffi::OsStr;
use std::os::fd::{AsFd as _, AsRawFd, FromRawFd, OwnedFd};

use crate::fault::{Blame, Fault, Mechanism};
use crate::limits::OOM_SCORE;
use crate::namespaces::{self, Spaces};
use crate::policy::{Floor, Identity, Network, Policy};
use crate::protocol::{self, Report, Request};
use crate::proxy::Door;
use crate::root::Sources;
use crate::{caps, probe, server, supervise};

/// The one argument that asks a program to be the helper.
pub(crate) const ARGUMENT: &str = "__sandbox";

/// The ids of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
}

/// What the first process gets from the helper.
pub(crate) struct Job {
    pub(crate) policy: Policy,
    pub(crate) input: Option<OwnedFd>,
    pub(crate) sources: Sources,
    pub(crate) door: Option<Door>,
    pub(crate) ids: Ids,
    /// Whether the process is still root outside, because there is no user namespace.
    pub(crate) still_root: bool,
    pub(crate) rehearsal: bool,
    pub(crate) control: OwnedFd,
}

/// What the first process of a sandbox that is made ahead gets from the helper.
pub(crate) struct Prepared {
    pub(crate) ids: Ids,
    /// The system's part of them.
    pub(crate) sources: Sources,
    pub(crate) scratch_bytes: u64,
    /// Whether it opens itself what the policy names, because the caller has no right to mount. Then it keeps the caller's view of the machine
    /// until it has the policy.
    pub(crate) opens: bool,
    pub(crate) control: OwnedFd,
}

/// Becomes the sandbox's helper, and never returns, when the program was started as one; else does nothing.
///
/// Call it first in `main`, before any thread, runtime, logger or argument parser exists.
pub fn enter_if_asked() {
    let mut arguments = std::env::args_os().skip(1);
    let asked = arguments.next().as_deref() == Some(OsStr::new(ARGUMENT));
    if asked && arguments.next().is_none() {
        std::process::exit(run());
    }
}

/// The exit code says nothing to the caller, only to a person who tries the helper by hand.
fn run() -> i32 {
    loop {
        if let Some(code) = help() {
            return code;
        }
    }
}

/// Serves one request. No exit code comes from the copy of a server, which begins anew.
fn help() -> Option<i32> {
    close_all_but_standard();
    // SAFETY: descriptor 0 is open (the standard library opens it at start when nobody did) and nothing else in this process owns it.
    let first = unsafe { OwnedFd::from_raw_fd(0) };
    let Ok(control) = first.try_clone() else {
        return Some(2);
    };
    // Number 0 stays taken, so that it is never given to something else by accident.
    std::mem::forget(first);
    // Signals of the worker's terminal are the worker's business; it fails only for a group's leader, which has none.
    let _ = setsid();
    // Best effort: without /proc the namespaces fail with a better text.
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    let received = match protocol::receive_request(control.as_fd()) {
        Ok(Some(received)) => received,
        Ok(None) => return Some(0),
        Err(error) => {
            report(&control, Fault::new(Mechanism::Helper, error.to_string()));
            return Some(2);
        }
    };
    let entered = match received.request {
        Request::Run(policy) => enter(policy, false, received.input, &control),
        Request::Rehearse(policy) => enter(policy, true, received.input, &control),
        Request::Prepare { identity, scratch_bytes } => prepare(identity, scratch_bytes, &control),
        Request::Facts => {
            let answer = protocol::tell(&control, &Report::Facts(probe::facts()));
            return Some(i32::from(answer.is_err()));
        }
        Request::Serve => return server::serve(&control),
    };
    match entered {
        Ok(()) => Some(0),
        Err(fault) => {
            report(&control, fault);
            Some(1)
        }
    }
}

/// What the caller did not mean to hand down (it may have many threads and libraries) ends here.
fn close_all_but_standard() {
    // SAFETY: nothing in this process has opened a descriptor of its own yet.
    unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
}

/// Tells the caller; when the caller is gone there is nobody to tell.
pub(crate) fn report(control: &OwnedFd, fault: Fault) {
    let _ = protocol::tell(control, &Report::Failed(fault));
}

/// The ids of a command of this identity, never root's.
pub(crate) fn ids_of(identity: Identity) -> Result<Ids, Fault> {
    let (uid, gid) = identity.resolve((geteuid().as_raw(), getegid().as_raw()));
    if uid == 0 || gid == 0 {
        return Err(Fault::new(Mechanism::Identity, "a command never runs as root"));
    }
    Ok(Ids { uid: Uid::from_raw(uid), gid: Gid::from_raw(gid) })
}

fn enter(policy: Policy, rehearsal: bool, input: Option<OwnedFd>, control: &OwnedFd) -> Result<(), Fault> {
    let ids = ids_of(policy.identity)?;
    let root = geteuid().is_root();
    let spaces = match policy.floor {
        Floor::Required => Spaces::all(),
        Floor::Degraded => Spaces::available(root, ids),
    };
    let door = match &policy.network {
        Network::None => None,
        Network::Proxy { socket } => Some(Door::hold(socket)?),
    };
    // Root can open the policy's paths wherever they are; the step's ids perhaps not the directories above them.
    let mut sources = None;
    if root {
        sources = Some(Sources::open(&policy)?);
        if spaces.user {
            become_ids(ids)?;
        }
    }
    let still_root = root && !spaces.user;
    if let Some(door) = &door
        && !still_root
    {
        door.check(ids)?;
    }
    namespaces::enter(spaces, ids, root)?;
    let sources = match sources {
        Some(sources) => sources,
        None => Sources::open(&policy)?,
    };
    let job = Job {
        policy,
        input,
        sources,
        ids,
        still_root,
        door,
        rehearsal,
        control: control.try_clone().blame(Mechanism::Helper, "descriptor")?,
    };
    start_first_process(job, still_root.then_some(ids), control, supervise::first_process)
}

/// Makes what every sandbox of these ids begins with. The policy, and with it all that is secret, comes later and goes to the first process
/// alone.
fn prepare(identity: Identity, scratch_bytes: u64, control: &OwnedFd) -> Result<(), Fault> {
    let ids = ids_of(identity)?;
    let root = geteuid().is_root();
    let mut sources = None;
    if root {
        sources = Some(Sources::system()?);
        become_ids(ids)?;
    }
    namespaces::enter(Spaces::all(), ids, root)?;
    let sources = match sources {
        Some(sources) => sources,
        None => Sources::system()?,
    };
    let control_inside = control.try_clone().blame(Mechanism::Helper, "descriptor")?;
    let prepared = Prepared { ids, sources, scratch_bytes, opens: !root, control: control_inside };
    start_first_process(prepared, None, control, supervise::prepared_process)
}

/// Gives up root for good. In this order: afterwards there is no right left to do it.
pub(crate) fn become_ids(ids: Ids) -> Result<(), Fault> {
    let to = format!("uid {}, gid {}", ids.uid, ids.gid);
    setgroups(&[]).blame(Mechanism::Identity, "supplementary groups can't be dropped")?;
    setresgid(ids.gid, ids.gid, ids.gid).blame(Mechanism::Identity, &to)?;
    setresuid(ids.uid, ids.uid, ids.uid).blame(Mechanism::Identity, &to)
}

/// Forks the first process of the pid namespace, and waits for its end. `still_root`: the ids to become, because there is no user namespace.
fn start_first_process<J>(
    job: J,
    still_root: Option<Ids>,
    control: &OwnedFd,
    first_process: fn(J) -> !,
) -> Result<(), Fault> {
    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.blame(Mechanism::PidNamespace, "first process")? {
        ForkResult::Child => first_process(job),
        ForkResult::Parent { child } => {
            // The command's pipes and secrets are the first process's now.
            drop(job);
            close_standard();
            // This process has nothing to do any more but to wait; it does so without rights. Should that fail, it still only waits.
            if let Some(ids) = still_root {
                let _ = become_ids(ids);
            }
            let _ = caps::drop_all();
            if let Ok(WaitStatus::Signaled(_, signal, _)) = waitpid(child, None) {
                let text = format!("the sandbox's first process was ended by {signal}; is the machine out of memory?");
                report(control, Fault::new(Mechanism::Helper, text));
            }
            Ok(())
        }
    }
}

/// Lets go of the command's output, so that its end is seen when the command closes it.
pub(crate) fn close_standard() {
    for fd in 0..=2 {
        // SAFETY: nothing in this crate uses the standard streams after this; the standard library ignores writes to closed ones.
        unsafe { libc::close(fd) };
    }
}

/// Whether other processes of the same user may look into this one, and who owns its files in /proc.
pub(crate) fn set_dumpable(dumpable: bool) -> Result<(), Fault> {
    prctl::set_dumpable(dumpable).blame(Mechanism::Helper, "dumpable flag")
}

/// A descriptor's path for calls that take only paths.
pub(crate) fn descriptor_path(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

//! Resource limits of each process, set in the command itself right before it starts. See getrlimit(2).

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::fault::{Blame, Fault, Mechanism};
use crate::policy::Limits;

/// The helper and the first process, which live in the command's user namespace and are counted with it.
const OWN_PROCESSES: u64 = 2;

/// Sets every limit, soft and hard; `extra` processes of the fence's own are counted besides the usual ones.
pub(crate) fn set(limits: &Limits, extra: u64) -> Result<(), Fault> {
    let processes = limits.processes.saturating_add(OWN_PROCESSES + extra);
    let all = [
        (Resource::RLIMIT_NPROC, Some(processes), "processes"),
        (Resource::RLIMIT_NOFILE, Some(limits.open_files), "open files"),
        (Resource::RLIMIT_FSIZE, Some(limits.file_bytes), "file size"),
        // Not the address space: many programs reserve far more of it than they use.
        (Resource::RLIMIT_DATA, Some(limits.memory_bytes), "data"),
        (Resource::RLIMIT_CPU, limits.cpu_seconds, "processor time"),
        // A core dump would take memory, and with it secrets, out of the fence. One and not nothing: for the kernel nothing still means that
        // a program that the machine has for crashes is started, as root and outside.
        (Resource::RLIMIT_CORE, Some(1), "core size"),
    ];
    for (resource, wanted, name) in all {
        let Some(wanted) = wanted else { continue };
        let (_, hard) = getrlimit(resource).blame(Mechanism::Limits, name)?;
        // The worker's own limit can't be raised, only be kept.
        let value = wanted.min(hard);
        setrlimit(resource, value, value).blame(Mechanism::Limits, name)?;
    }
    Ok(())
}

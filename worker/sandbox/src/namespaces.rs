//! User, mount, pid, ipc, uts, cgroup and network namespaces.
//! Kernel documentation: user_namespaces(7), namespaces(7).
#![expect(unsafe_code, reason = "fork for trials")]

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use std::fs;

use crate::fault::{Blame, Fault, Mechanism};
use crate::helper::{Ids, become_ids, set_dumpable};

/// The namespaces that a command gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spaces {
    pub(crate) user: bool,
    pub(crate) cgroup: bool,
}

/// Those that no command goes without.
const NECESSARY: [(Mechanism, CloneFlags); 5] = [
    (Mechanism::MountNamespace, CloneFlags::CLONE_NEWNS),
    (Mechanism::PidNamespace, CloneFlags::CLONE_NEWPID),
    (Mechanism::IpcNamespace, CloneFlags::CLONE_NEWIPC),
    (Mechanism::UtsNamespace, CloneFlags::CLONE_NEWUTS),
    (Mechanism::NetNamespace, CloneFlags::CLONE_NEWNET),
];

impl Spaces {
    /// All there are.
    pub(crate) fn all() -> Self {
        Self { user: true, cgroup: true }
    }

    /// Those that this kernel gives, of the ones that a degraded fence may lack.
    pub(crate) fn available(root: bool, ids: Ids) -> Self {
        let user = !root || tried(|| become_ids(ids).is_ok() && unshare(CloneFlags::CLONE_NEWUSER).is_ok());
        let outer = if user { CloneFlags::CLONE_NEWUSER } else { CloneFlags::empty() };
        let cgroup = tried(|| unshare(outer | CloneFlags::CLONE_NEWCGROUP).is_ok());
        Self { user, cgroup }
    }

    fn flags(self) -> CloneFlags {
        let mut flags = CloneFlags::empty();
        for (_, flag) in NECESSARY {
            flags |= flag;
        }
        flags.set(CloneFlags::CLONE_NEWUSER, self.user);
        flags.set(CloneFlags::CLONE_NEWCGROUP, self.cgroup);
        flags
    }
}

/// Every namespace and whether a process of these ids can make it here.
pub(crate) fn availability(root: bool, ids: Ids) -> Vec<(Mechanism, bool)> {
    let user = tried(|| (!root || become_ids(ids).is_ok()) && unshare(CloneFlags::CLONE_NEWUSER).is_ok());
    let mut all = vec![(Mechanism::UserNamespace, user)];
    let others = NECESSARY.into_iter().chain([(Mechanism::CgroupNamespace, CloneFlags::CLONE_NEWCGROUP)]);
    for (mechanism, flag) in others {
        let works = tried(|| {
            let inside = user && (!root || become_ids(ids).is_ok());
            let outer = if inside { CloneFlags::CLONE_NEWUSER } else { CloneFlags::empty() };
            unshare(outer | flag).is_ok()
        });
        all.push((mechanism, works));
    }
    all
}

/// Whether something works, tried in a process that is thrown away.
fn tried(trial: impl FnOnce() -> bool) -> bool {
    // SAFETY: the helper has one thread, so the child may do anything.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            let code = i32::from(!trial());
            // SAFETY: ends the process without running what the parent registered for its own end.
            unsafe { libc::_exit(code) }
        }
        Ok(ForkResult::Parent { child }) => {
            matches!(waitpid(child, None), Ok(WaitStatus::Exited(_, 0)))
        }
        Err(_) => false,
    }
}

/// Enters the namespaces; the pid namespace begins with the next process that is forked.
pub(crate) fn enter(spaces: Spaces, ids: Ids, was_root: bool) -> Result<(), Fault> {
    if spaces.user && was_root {
        // Changing ids made this process's own /proc files root's, and with them the id maps.
        set_dumpable(true)?;
    }
    unshare(spaces.flags()).map_err(|error| diagnose(error, spaces))?;
    if spaces.user {
        write_map("setgroups", "deny")?;
        write_map("uid_map", &format!("{0} {0} 1", ids.uid))?;
        write_map("gid_map", &format!("{0} {0} 1", ids.gid))?;
    }
    // From here on no other process of the same user can look at the policy in this memory.
    set_dumpable(false)
}

fn write_map(name: &str, content: &str) -> Result<(), Fault> {
    fs::write(format!("/proc/self/{name}"), content).blame(Mechanism::UserNamespace, name)
}

/// Finds the namespace that is refused, and says what can be done about it.
fn diagnose(error: Errno, spaces: Spaces) -> Fault {
    if spaces.user
        && let Err(error) = unshare(CloneFlags::CLONE_NEWUSER)
    {
        let mend = match error {
            Errno::EPERM => {
                "; look at the sysctls kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns, and at the container's seccomp profile"
            }
            Errno::ENOSPC => "; raise the sysctl user.max_user_namespaces",
            Errno::EINVAL => {
                "; enter_if_asked must come before any thread is started, and the kernel must have CONFIG_USER_NS"
            }
            _ => "",
        };
        return Fault::new(Mechanism::UserNamespace, format!("can't be made: {error}{mend}"));
    }
    let cgroup = spaces.cgroup.then_some((Mechanism::CgroupNamespace, CloneFlags::CLONE_NEWCGROUP));
    for (mechanism, flag) in NECESSARY.into_iter().chain(cgroup) {
        if let Err(error) = unshare(flag) {
            let mend = match error {
                Errno::ENOSPC => "; raise the sysctls user.max_*_namespaces",
                Errno::EINVAL => "; the kernel must be built with it",
                Errno::EPERM => "; the process needs a user namespace or CAP_SYS_ADMIN",
                _ => "",
            };
            return Fault::new(mechanism, format!("can't be made: {error}{mend}"));
        }
    }
    Fault::new(Mechanism::UserNamespace, format!("the namespaces can't be made together: {error}"))
}

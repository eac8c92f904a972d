//! What went wrong inside the fence before the command could run: which mechanism, and a sentence.

use serde::{Deserialize, Serialize};
use std::fmt;

use crate::limits::FAULT_BYTES_MAX;

/// A part of the fence, or of what was asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Mechanism {
    /// The helper program itself: not found, of another version, killed.
    Helper,
    /// The change from root to the step's ids.
    Identity,
    /// The user namespace.
    UserNamespace,
    /// The mount namespace.
    MountNamespace,
    /// The process id namespace.
    PidNamespace,
    /// The namespace of System V IPC and message queues.
    IpcNamespace,
    /// The host name's namespace.
    UtsNamespace,
    /// The cgroup namespace.
    CgroupNamespace,
    /// The network namespace.
    NetNamespace,
    /// The private root: tmpfs, binds, `pivot_root`.
    PrivateRoot,
    /// The fresh `/proc`.
    Proc,
    /// The work directory.
    WorkDirectory,
    /// A granted path.
    Grant,
    /// A private file.
    PrivateFile,
    /// Loopback inside the network namespace.
    Network,
    /// The way to the worker's proxy.
    Proxy,
    /// Dropping capabilities.
    Capabilities,
    /// The `no_new_privs` bit.
    NoNewPrivs,
    /// A resource limit.
    Limits,
    /// Landlock, the second fence.
    Landlock,
    /// The system call filter.
    Seccomp,
    /// The program that was asked for.
    Program,
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Helper => "helper",
            Self::Identity => "identity",
            Self::UserNamespace => "user namespace",
            Self::MountNamespace => "mount namespace",
            Self::PidNamespace => "pid namespace",
            Self::IpcNamespace => "ipc namespace",
            Self::UtsNamespace => "uts namespace",
            Self::CgroupNamespace => "cgroup namespace",
            Self::NetNamespace => "net namespace",
            Self::PrivateRoot => "private root",
            Self::Proc => "proc",
            Self::WorkDirectory => "work directory",
            Self::Grant => "granted path",
            Self::PrivateFile => "private file",
            Self::Network => "loopback network",
            Self::Proxy => "proxy",
            Self::Capabilities => "capabilities",
            Self::NoNewPrivs => "no_new_privs",
            Self::Limits => "limits",
            Self::Landlock => "landlock",
            Self::Seccomp => "seccomp",
            Self::Program => "program",
        })
    }
}

/// Why the command did not run: the mechanism and a sentence that names the thing and, where there is one, the mend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{mechanism}: {text}")]
pub struct Fault {
    /// The part that failed.
    pub mechanism: Mechanism,
    /// What happened, in a sentence without a secret.
    pub text: String,
}

impl Fault {
    /// A fault; the text is cut at a bound so that it always fits into one record.
    pub(crate) fn new(mechanism: Mechanism, text: impl Into<String>) -> Self {
        let mut text = text.into();
        if text.len() > FAULT_BYTES_MAX {
            let mut end = FAULT_BYTES_MAX;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
        }
        Self { mechanism, text }
    }

    /// Whether the one who wrote the policy can mend it, rather than the machine's administrator.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(
            self.mechanism,
            Mechanism::Program | Mechanism::Grant | Mechanism::WorkDirectory | Mechanism::PrivateFile
        )
    }
}

/// Gives a system error the name of the mechanism and of what was tried.
pub(crate) trait Blame<T> {
    /// Turns an error into a fault: `<what>: <error>`.
    fn blame(self, mechanism: Mechanism, what: &str) -> Result<T, Fault>;
}

impl<T, E: fmt::Display> Blame<T> for Result<T, E> {
    fn blame(self, mechanism: Mechanism, what: &str) -> Result<T, Fault> {
        self.map_err(|error| Fault::new(mechanism, format!("{what}: {error}")))
    }
}

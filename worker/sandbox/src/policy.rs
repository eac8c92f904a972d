//! What a caller asks of the fence for one command.

use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::limits::{BUILD_DIR, FILES_MAX, GRANTS_MAX, SECRETS_DIR};
use crate::wire;

/// Everything that one command gets. What is not in here, it does not have.
///
/// `Debug` shows names, never the values of the environment or the content of files.
#[derive(Clone, Serialize, Deserialize)]
pub struct Policy {
    /// The program and its arguments; without a slash the program is searched in the `PATH` of `env`, or in the
    /// usual system directories when `env` has none. Never a shell's text: elements arrive as the bytes that they are.
    #[serde(with = "wire::strings")]
    pub argv: Vec<OsString>,
    /// The whole environment. Nothing is inherited and nothing added; the caller sets `HOME` (to `HOME_DIR`) and `PATH`.
    #[serde(with = "wire::pairs")]
    pub env: Vec<(OsString, OsString)>,
    /// The work directory on this machine, seen inside as `/build`, readable and writable. A worker that runs as root must have given
    /// it to the ids of `identity` beforehand; the directories above it need not be open to them.
    #[serde(with = "wire::path")]
    pub work_dir: PathBuf,
    /// Where the command starts, below the work directory; empty for the work directory itself.
    #[serde(with = "wire::path")]
    pub current_dir: PathBuf,
    /// More paths of this machine, read-only, at the same place inside. They are exact: a symbolic link anywhere in one is refused, because
    /// a command that could write there would choose what the next one sees.
    #[serde(with = "wire::paths")]
    pub read: Vec<PathBuf>,
    /// More paths of this machine, readable and writable (as far as file permissions let the step's ids), at the same place inside.
    #[serde(with = "wire::paths")]
    pub write: Vec<PathBuf>,
    /// Files that only this command sees, under `/run/secrets`, in memory.
    pub files: Vec<PrivateFile>,
    /// Whose rights the command has.
    pub identity: Identity,
    /// What its standard input is.
    pub input: Input,
    /// What it reaches over the network.
    pub network: Network,
    /// What it may use up.
    pub limits: Limits,
    /// What must be in force for it to run at all.
    pub floor: Floor,
}

/// A file for this command alone.
#[derive(Clone, Serialize, Deserialize)]
pub struct PrivateFile {
    /// Its name in `/run/secrets`: one path element.
    #[serde(with = "wire::path")]
    pub name: PathBuf,
    /// Its content.
    #[serde(with = "serde_bytes")]
    pub content: Vec<u8>,
}

/// The kernel's ids of the command. They are never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Identity {
    /// The caller's own, when it isn't root.
    Own,
    /// These; a caller that isn't root can only name its own.
    Ids {
        /// The user id.
        uid: u32,
        /// The group id; there are no supplementary groups.
        gid: u32,
    },
}

/// The standard input of a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    /// Empty: reading gives the end at once.
    #[default]
    Empty,
    /// A pipe that the caller writes.
    Pipe,
}

/// The network of a command. It always has a loopback of its own that leads nowhere else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// Nothing but its own loopback.
    #[default]
    None,
    /// Connections to `127.0.0.1:3128` inside are carried, byte for byte, to a Unix socket of the caller's.
    Proxy {
        /// The socket that the caller listens on; the step's ids need the write permission on the socket itself (`chown` it as root), not on
        /// the directories above it. The command does not see it.
        #[serde(with = "wire::path")]
        socket: PathBuf,
    },
}

/// What a command may use up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Processes and threads of the whole tree at once.
    pub processes: u64,
    /// Open files of a process.
    pub open_files: u64,
    /// The largest file it can write, in bytes; more is `SIGXFSZ`.
    pub file_bytes: u64,
    /// Memory in bytes: for each process as `RLIMIT_DATA` (allocations fail), for the tree by watching what is resident (the tree is killed).
    pub memory_bytes: u64,
    /// What `/tmp`, `HOME` and `/dev/shm` may hold together, in bytes. They are in memory.
    pub scratch_bytes: u64,
    /// Processor time of each process, in seconds; more is `SIGXCPU`.
    pub cpu_seconds: Option<u64>,
}

impl Default for Limits {
    /// What a large build on a workstation needs: 4096 processes, 4096 files, 16 GiB a file, 4 GiB of memory, 2 GiB of scratch.
    fn default() -> Self {
        Self {
            processes: 4096,
            open_files: 4096,
            file_bytes: 16 << 30,
            memory_bytes: 4 << 30,
            scratch_bytes: 2 << 30,
            cpu_seconds: None,
        }
    }
}

/// What must be in force for a command to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Floor {
    /// All of the fence; Landlock alone is best effort. Where something is missing, the command is refused.
    #[default]
    Required,
    /// The fence may go without a user namespace (only for a caller that is root) and without a cgroup namespace.
    /// The private root, the other namespaces, seccomp and the rest stay necessary. Without a user namespace the kernel counts `processes` over
    /// all commands of the same uid together.
    Degraded,
}

/// What is wrong with a policy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// There is no program.
    #[error("the command is empty; name a program")]
    NoProgram,
    /// A string has a NUL byte, which no program can be given.
    #[error("{place} contains a NUL byte")]
    Nul {
        /// Where.
        place: String,
    },
    /// A variable without a name or with `=` in it.
    #[error("{name:?} is not the name of an environment variable")]
    VariableName {
        /// The name.
        name: String,
    },
    /// A path that had to be absolute and without `..`.
    #[error("{what} {path:?} must be an absolute path without \"..\"")]
    Path {
        /// Which path.
        what: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// The starting directory leaves the work directory.
    #[error("current directory {path:?} must be below the work directory and without \"..\"")]
    CurrentDir {
        /// The path.
        path: PathBuf,
    },
    /// A grant for a place that the fence itself makes.
    #[error("{path:?} can't be granted, {place} is the sandbox's own; grant a path elsewhere")]
    ReservedGrant {
        /// The path.
        path: PathBuf,
        /// What it would cover or be part of.
        place: &'static str,
    },
    /// More of something than the bound.
    #[error("{count} {what} are more than the {max} that one command can have")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// The bound.
        max: usize,
    },
    /// A private file whose name is not one path element.
    #[error("private file {name:?} must be named by one path element")]
    FileName {
        /// The name.
        name: PathBuf,
    },
    /// The kernel's uid or gid would be 0.
    #[error("a command never runs as root; give it a user and group id that are not 0")]
    Root,
    /// Another identity than the caller's was asked for, and the caller can't change it.
    #[error("only root can run a command as uid {uid}, gid {gid}; use the worker's own ids")]
    ForeignIds {
        /// The user asked for.
        uid: u32,
        /// The group asked for.
        gid: u32,
    },
}

/// Paths that hold what the fence makes itself: neither they nor anything in or above them can be granted.
const RESERVED_TREES: [&str; 5] = ["/proc", "/sys", "/dev", BUILD_DIR, SECRETS_DIR];
/// Directories that the fence makes itself, but in which single things can be granted.
const RESERVED_DIRS: [&str; 5] = ["/etc", "/tmp", "/home", crate::limits::HOME_DIR, "/run"];

impl Policy {
    /// The narrowest policy: no environment, no grant, no network, empty input, default limits, everything of the fence required.
    #[must_use]
    pub fn new(argv: Vec<OsString>, work_dir: PathBuf, identity: Identity) -> Self {
        Self {
            argv,
            env: Vec::new(),
            work_dir,
            current_dir: PathBuf::new(),
            read: Vec::new(),
            write: Vec::new(),
            files: Vec::new(),
            identity,
            input: Input::Empty,
            network: Network::None,
            limits: Limits::default(),
            floor: Floor::Required,
        }
    }

    /// Whether the policy makes sense at all, for a caller of this effective id. Looks at no file.
    ///
    /// # Errors
    /// Names the first thing that is wrong.
    pub(crate) fn check(&self, caller: (u32, u32)) -> Result<(), PolicyError> {
        if self.argv.first().is_none_or(|program| program.is_empty()) {
            return Err(PolicyError::NoProgram);
        }
        self.check_strings()?;
        self.check_identity(caller)?;
        plain_path("work directory", &self.work_dir)?;
        check_current_dir(&self.current_dir)?;
        at_most("granted paths", self.read.len() + self.write.len(), GRANTS_MAX)?;
        for path in self.read.iter().chain(&self.write) {
            check_grant(path)?;
        }
        if let Network::Proxy { socket } = &self.network {
            plain_path("proxy socket", socket)?;
        }
        at_most("private files", self.files.len(), FILES_MAX)?;
        self.files.iter().try_for_each(PrivateFile::check)
    }

    fn check_strings(&self) -> Result<(), PolicyError> {
        let no_nul = |place: &dyn Fn() -> String, text: &OsString| {
            if text.as_bytes().contains(&0) {
                return Err(PolicyError::Nul { place: place() });
            }
            Ok(())
        };
        for (index, argument) in self.argv.iter().enumerate() {
            no_nul(&|| format!("argument {index}"), argument)?;
        }
        for (name, value) in &self.env {
            let shown = || name.to_string_lossy().into_owned();
            if name.is_empty() || name.as_bytes().contains(&b'=') {
                return Err(PolicyError::VariableName { name: shown() });
            }
            no_nul(&|| format!("environment variable name {:?}", shown()), name)?;
            no_nul(&|| format!("environment variable {}", shown()), value)?;
        }
        Ok(())
    }

    fn check_identity(&self, caller: (u32, u32)) -> Result<(), PolicyError> {
        let (uid, gid) = self.identity.resolve(caller);
        if uid == 0 || gid == 0 {
            return Err(PolicyError::Root);
        }
        if caller.0 != 0 && (uid, gid) != caller {
            return Err(PolicyError::ForeignIds { uid, gid });
        }
        Ok(())
    }
}

impl Identity {
    /// The ids that this means for a caller of these ids.
    pub(crate) fn resolve(self, caller: (u32, u32)) -> (u32, u32) {
        match self {
            Self::Own => caller,
            Self::Ids { uid, gid } => (uid, gid),
        }
    }
}

impl PrivateFile {
    fn check(&self) -> Result<(), PolicyError> {
        let mut parts = self.name.components();
        let one = matches!(parts.next(), Some(Component::Normal(part)) if part == self.name.as_os_str());
        if !one || parts.next().is_some() || self.name.as_os_str().as_bytes().contains(&0) {
            return Err(PolicyError::FileName { name: self.name.clone() });
        }
        Ok(())
    }
}

fn at_most(what: &'static str, count: usize, max: usize) -> Result<(), PolicyError> {
    if count > max {
        return Err(PolicyError::TooMany { what, count, max });
    }
    Ok(())
}

fn plain_path(what: &'static str, path: &Path) -> Result<(), PolicyError> {
    let plain = path.is_absolute()
        && !path.components().any(|part| part == Component::ParentDir)
        && !path.as_os_str().as_bytes().contains(&0);
    if !plain {
        let path = path.to_owned();
        return Err(PolicyError::Path { what, path });
    }
    Ok(())
}

fn check_current_dir(path: &Path) -> Result<(), PolicyError> {
    let below = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !below || path.as_os_str().as_bytes().contains(&0) {
        let path = path.to_owned();
        return Err(PolicyError::CurrentDir { path });
    }
    Ok(())
}

fn check_grant(path: &Path) -> Result<(), PolicyError> {
    plain_path("granted path", path)?;
    let refused = |place| Err(PolicyError::ReservedGrant { path: path.to_owned(), place });
    for place in RESERVED_TREES {
        if path.starts_with(place) || Path::new(place).starts_with(path) {
            return refused(place);
        }
    }
    match RESERVED_DIRS.into_iter().find(|dir| path == Path::new(dir)) {
        Some(place) => refused(place),
        None => Ok(()),
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("Policy")
            .field("argv", &self.argv)
            .field("env", &names)
            .field("work_dir", &self.work_dir)
            .field("current_dir", &self.current_dir)
            .field("read", &self.read)
            .field("write", &self.write)
            .field("files", &self.files)
            .field("identity", &self.identity)
            .field("input", &self.input)
            .field("network", &self.network)
            .field("limits", &self.limits)
            .field("floor", &self.floor)
            .finish()
    }
}

impl fmt::Debug for PrivateFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({} bytes)", self.name, self.content.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy::new(vec!["true".into()], "/w".into(), Identity::Own)
    }

    #[test]
    fn an_identity_of_root_is_refused_however_it_is_asked_for() {
        let mut asked = policy();
        assert!(matches!(asked.check((0, 0)), Err(PolicyError::Root)));
        asked.identity = Identity::Ids { uid: 0, gid: 5 };
        assert!(matches!(asked.check((0, 0)), Err(PolicyError::Root)));
        asked.identity = Identity::Ids { uid: 5, gid: 0 };
        assert!(matches!(asked.check((0, 0)), Err(PolicyError::Root)));
        asked.identity = Identity::Ids { uid: 5, gid: 5 };
        assert!(asked.check((0, 0)).is_ok());
        let foreign = asked.check((7, 7));
        assert!(matches!(foreign, Err(PolicyError::ForeignIds { uid: 5, gid: 5 })));
    }

    #[test]
    fn grants_cover_nothing_that_the_fence_makes_itself() {
        for path in [
            "/",
            "/proc",
            "/proc/1",
            "/dev/sda",
            "/etc",
            "/tmp",
            "/home",
            "/run",
            "/build",
            "/build/x",
            "/run/secrets/a",
            "relative",
            "/srv/../etc",
            "/sys/fs/cgroup",
            "",
        ] {
            let mut asked = policy();
            asked.write.push(path.into());
            assert!(asked.check((7, 7)).is_err(), "{path:?} was granted");
        }
        for path in ["/srv/git", "/etc/java-17-openjdk", "/tmp/x", "/builds", "/run/user"] {
            let mut asked = policy();
            asked.read.push(path.into());
            assert!(asked.check((7, 7)).is_ok(), "{path:?} was refused");
        }
    }

    #[test]
    fn names_that_would_leave_their_directory_are_refused() {
        for name in ["", "..", "a/b", "/a", ".", "a/"] {
            let mut asked = policy();
            asked.files.push(PrivateFile { name: name.into(), content: Vec::new() });
            assert!(asked.check((7, 7)).is_err(), "{name:?} was taken");
        }
        for dir in ["..", "/etc", "a/../../b"] {
            let mut asked = policy();
            asked.current_dir = dir.into();
            assert!(asked.check((7, 7)).is_err(), "{dir:?} was taken");
        }
    }

    #[test]
    fn debug_output_has_no_secret() {
        let mut asked = policy();
        asked.env.push(("TOKEN".into(), "hunter2".into()));
        asked.files.push(PrivateFile { name: "key".into(), content: b"hunter2".to_vec() });
        let shown = format!("{asked:?}");
        assert!(shown.contains("TOKEN") && shown.contains("key"));
        assert!(!shown.contains("hunter2") && !shown.contains("104, 117"));
    }
}

//! The command's own process, from the fork to `exec`: what holds for it alone.
#![expect(unsafe_code, reason = "signal dispositions, and file descriptors by number")]

use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::unistd::{dup2_stdin, execve, setsid};
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use crate::fault::{Blame, Fault, Mechanism};
use crate::limits::{BUILD_DIR, DEFAULT_PATH};
use crate::policy::{Network, Policy};
use crate::root::shown;
use crate::{landlock, rlimits, seccomp};

/// The highest signal number of Linux.
const LAST_SIGNAL: i32 = 64;

/// What the command's process needs.
pub(crate) struct Payload {
    pub(crate) policy: Policy,
    pub(crate) input: Option<OwnedFd>,
    pub(crate) rehearsal: bool,
}

/// The strings of `exec`, made before the limits are set.
struct Program {
    candidates: Vec<CString>,
    argv: Vec<CString>,
    env: Vec<CString>,
}

impl Payload {
    /// Becomes the command; comes back only with the reason why not, or without one after a rehearsal.
    pub(crate) fn become_command(&self) -> Option<Fault> {
        self.prepare().err()
    }

    fn prepare(&self) -> Result<(), Fault> {
        reset_signals()?;
        setsid().blame(Mechanism::Program, "session")?;
        self.give_input()?;
        self.go_to_start()?;
        let program = Program::new(&self.policy)?;
        landlock::restrict(&self.policy)?;
        close_on_exec()?;
        let forwarder = matches!(self.policy.network, Network::Proxy { .. });
        rlimits::set(&self.policy.limits, u64::from(forwarder))?;
        seccomp::apply()?;
        if self.rehearsal {
            return Ok(());
        }
        Err(program.start())
    }

    fn give_input(&self) -> Result<(), Fault> {
        match &self.input {
            Some(input) => dup2_stdin(input),
            None => {
                let null = File::open("/dev/null").blame(Mechanism::Program, "/dev/null")?;
                dup2_stdin(null)
            }
        }
        .blame(Mechanism::Program, "standard input")
    }

    fn go_to_start(&self) -> Result<(), Fault> {
        let start = Path::new(BUILD_DIR).join(&self.policy.current_dir);
        std::env::set_current_dir(&start).map_err(|error| {
            let text = format!(
                "can't start in {}: {error}; uid {} must be able to enter it",
                shown(&start),
                nix::unistd::geteuid()
            );
            Fault::new(Mechanism::WorkDirectory, text)
        })
    }
}

/// A new program inherits what is blocked and ignored; the standard library ignores `SIGPIPE`, and the worker may ignore others.
fn reset_signals() -> Result<(), Fault> {
    for signal in 1..=LAST_SIGNAL {
        // All zeros is the default action without flags and mask, in the kernel's own form on every architecture. Not through the C library, which
        // keeps two signals for itself and has them ignored in what it starts.
        let default = [0_u64; 4];
        let size = size_of::<u64>();
        let old = std::ptr::null_mut::<u64>();
        let new = default.as_ptr();
        // SAFETY: the structure lives during the call; the default action runs no code of ours. `SIGKILL` and `SIGSTOP` can't be set, and need not be.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, new, old, size) };
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).blame(Mechanism::Program, "signal mask")
}

/// Whatever is open besides the three standard streams ends at `exec`, and not before: until then there may be something to report.
fn close_on_exec() -> Result<(), Fault> {
    let flags = libc::CLOSE_RANGE_CLOEXEC.cast_signed();
    // SAFETY: closes nothing now; only marks.
    let result = unsafe { libc::close_range(3, libc::c_uint::MAX, flags) };
    if result < 0 {
        let error = std::io::Error::last_os_error();
        return Err(error).blame(Mechanism::Program, "descriptors");
    }
    Ok(())
}

impl Program {
    fn new(policy: &Policy) -> Result<Self, Fault> {
        let name = policy.argv.first().map_or(OsStr::new(""), |name| name);
        let candidates = candidates(name, &policy.env).into_iter().map(c_string).collect::<Result<_, _>>()?;
        let argv = policy.argv.iter().cloned().map(c_string);
        let env = policy.env.iter().map(|(name, value)| {
            let mut pair = name.clone();
            pair.push("=");
            pair.push(value);
            c_string(pair)
        });
        Ok(Self { candidates, argv: argv.collect::<Result<_, _>>()?, env: env.collect::<Result<_, _>>()? })
    }

    /// Tries the candidates in order, as the shell does: one that may not be executed is remembered, one that is there but broken ends the search.
    fn start(&self) -> Fault {
        use nix::errno::Errno;
        let mut denied = None;
        for candidate in &self.candidates {
            let Err(error) = execve(candidate, &self.argv, &self.env);
            match error {
                Errno::ENOENT | Errno::ENOTDIR => {}
                Errno::EACCES => denied = denied.or(Some((candidate, error))),
                other => return cannot(candidate, other),
            }
        }
        match denied {
            Some((candidate, error)) => cannot(candidate, error),
            None => self.missing(),
        }
    }

    fn missing(&self) -> Fault {
        let places: Vec<_> = self.candidates.iter().map(|path| path.to_string_lossy()).collect();
        let name = self.argv.first().map(|name| name.to_string_lossy()).unwrap_or_default();
        Fault::new(
            Mechanism::Program,
            format!(
                "{name:?} is not there (looked for {}); install it on the worker, or grant the directory that holds it",
                places.join(", ")
            ),
        )
    }
}

fn cannot(candidate: &CString, error: nix::errno::Errno) -> Fault {
    use nix::errno::Errno;
    let mend = match error {
        Errno::EACCES => "; is it a file with the execute permission?",
        Errno::ENOEXEC => "; a script needs a first line such as #!/bin/sh",
        Errno::E2BIG => "; arguments and environment are too large together",
        _ => "",
    };
    let text = format!("{:?} can't be executed: {error}{mend}", candidate.to_string_lossy());
    Fault::new(Mechanism::Program, text)
}

fn candidates(name: &OsStr, env: &[(OsString, OsString)]) -> Vec<OsString> {
    if name.as_bytes().contains(&b'/') {
        return vec![name.to_owned()];
    }
    let given = env.iter().find(|(variable, _)| variable == "PATH");
    let path = given.map_or(OsStr::new(DEFAULT_PATH), |(_, value)| value);
    path.as_bytes()
        .split(|byte| *byte == b':')
        .map(|dir| {
            // An empty element means the current directory.
            let dir = if dir.is_empty() { b"." } else { dir };
            Path::new(OsStr::from_bytes(dir)).join(name).into_os_string()
        })
        .collect()
}

fn c_string(text: OsString) -> Result<CString, Fault> {
    CString::new(text.into_vec()).blame(Mechanism::Program, "argument or variable")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_searched_in_the_commands_own_path() {
        let env = [("PATH".into(), "/a::/b".into())];
        let found = candidates(OsStr::new("cc"), &env);
        assert_eq!(found, ["/a/cc", "./cc", "/b/cc"]);
        let found = candidates(OsStr::new("cc"), &[]);
        assert_eq!(found, ["/usr/local/bin/cc", "/usr/bin/cc", "/bin/cc"]);
        assert_eq!(candidates(OsStr::new("./cc"), &env), ["./cc"]);
    }
}

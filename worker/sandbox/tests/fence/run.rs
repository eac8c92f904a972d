//! Runs a command in the fence and gathers everything that it said.

use nix::unistd::{Gid, Uid, chown, geteuid};
use stampmill_sandbox::{End, Ending, Helper, Identity, Input, Limits, Policy, Sandboxed, Usage, spawn};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// The ids that steps get when the tests run as root; no account has them.
pub(crate) const STEP: u32 = 61_234;
/// Far longer than anything here takes: only a test that fails waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn is_root() -> bool {
    geteuid().is_root()
}

/// The test program: helper outside, tool inside.
pub(crate) fn program() -> PathBuf {
    match std::env::var_os("SANDBOX_TEST_PROGRAM") {
        Some(path) => path.into(),
        None => env!("CARGO_BIN_EXE_sandbox-test-program").into(),
    }
}

/// Whether commands run in sandboxes that were made ahead, as far as they can.
pub(crate) fn is_ahead() -> bool {
    std::env::var_os("SANDBOX_TEST_AHEAD").is_some()
}

pub(crate) fn helper() -> Helper {
    static AHEAD: OnceLock<Helper> = OnceLock::new();
    let plain = || Helper::at(&program());
    if is_ahead() {
        AHEAD.get_or_init(|| plain().making_ahead(4, identity(), Limits::default())).clone()
    } else {
        plain()
    }
}

/// The identity of commands.
pub(crate) fn identity() -> Identity {
    if is_root() { Identity::Ids { uid: STEP, gid: STEP } } else { Identity::Own }
}

/// A place for a command: a directory that only the tests' own user can enter, with the work directory in it.
pub(crate) struct Place {
    outer: tempfile::TempDir,
    pub(crate) work_dir: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let outer = tempfile::tempdir().expect("a directory");
        let mode = fs::Permissions::from_mode(0o700);
        fs::set_permissions(outer.path(), mode).expect("mode");
        let work_dir = outer.path().join("work");
        fs::create_dir(&work_dir).expect("a directory");
        give(&work_dir);
        Self { outer, work_dir }
    }

    /// The directory around the work directory.
    pub(crate) fn outer(&self) -> &Path {
        self.outer.path()
    }

    /// A policy for a command here, with the usual environment.
    pub(crate) fn policy<S: Into<OsString>>(&self, argv: impl IntoIterator<Item = S>) -> Policy {
        let argv = argv.into_iter().map(Into::into).collect();
        let mut policy = Policy::new(argv, self.work_dir.clone(), identity());
        policy.env = vec![("PATH".into(), "/usr/bin:/bin".into())];
        policy
    }

    pub(crate) fn shell(&self, script: &str) -> Policy {
        self.policy(["sh", "-c", script])
    }

    /// A policy for the test program itself, which is granted for it.
    pub(crate) fn tool<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Policy {
        let program = program();
        let mut argv = vec![program.clone().into_os_string()];
        argv.extend(arguments.into_iter().map(OsString::from));
        let mut policy = self.policy(argv);
        policy.read.push(program);
        policy
    }
}

/// Makes a path the step's.
pub(crate) fn give(path: &Path) {
    if is_root() {
        let (uid, gid) = (Uid::from_raw(STEP), Gid::from_raw(STEP));
        chown(path, Some(uid), Some(gid)).expect("chown");
    }
}

/// Everything that came of a command.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) end: End,
    pub(crate) usage: Usage,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// Its standard output, when it went well.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.end, End::Exited(0), "{self:?}");
        self.stdout
    }

    /// Its standard error, when it failed by itself.
    #[track_caller]
    pub(crate) fn failed(self) -> String {
        assert!(matches!(self.end, End::Exited(code) if code != 0), "{self:?}");
        self.stderr
    }
}

pub(crate) fn run(policy: &Policy) -> Output {
    run_with_input(policy, b"")
}

pub(crate) fn run_with_input(policy: &Policy, input: &[u8]) -> Output {
    let mut policy = policy.clone();
    if !input.is_empty() {
        policy.input = Input::Pipe;
    }
    finish(spawn(&helper(), &policy).expect("started"), input)
}

/// Reads everything and waits for the end.
pub(crate) fn finish(mut sandboxed: Sandboxed, input: &[u8]) -> Output {
    let stdout = gather(sandboxed.stdout.take().expect("a pipe"));
    let stderr = gather(sandboxed.stderr.take().expect("a pipe"));
    if let Some(stdin) = sandboxed.stdin.take() {
        // A command that ends without reading closes the pipe.
        let _ = File::from(stdin).write_all(input);
    }
    let Ending { end, usage } = wait(sandboxed);
    Output {
        end,
        usage,
        stdout: text(stdout.recv_timeout(PATIENCE).expect("stdout ends")),
        stderr: text(stderr.recv_timeout(PATIENCE).expect("stderr ends")),
    }
}

/// Waits with an end to the patience.
pub(crate) fn wait(mut sandboxed: Sandboxed) -> Ending {
    let (send, receive) = channel();
    thread::spawn(move || send.send(sandboxed.wait()));
    let ended = receive.recv_timeout(PATIENCE).expect("the command ends");
    ended.expect("a sound control socket")
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads to the end in the background.
pub(crate) fn gather(fd: OwnedFd) -> Receiver<Vec<u8>> {
    let (send, receive) = channel();
    thread::spawn(move || {
        let mut all = Vec::new();
        File::from(fd).read_to_end(&mut all).expect("read");
        // The test may have ended.
        let _ = send.send(all);
    });
    receive
}

/// A named pipe that the step can write: its end is seen when the last process that has it open is dead.
pub(crate) fn fifo(place: &Place, name: &str) -> Receiver<Vec<u8>> {
    let path = place.work_dir.join(name);
    let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
    nix::unistd::mkfifo(&path, mode).expect("fifo");
    give(&path);
    let (send, receive) = channel();
    thread::spawn(move || {
        let mut all = Vec::new();
        File::open(path).expect("open").read_to_end(&mut all).expect("read");
        // The test may have ended.
        let _ = send.send(all);
    });
    receive
}

//! The caller's side: start a command in the fence, talk to it, learn how it ended.
//!
//! Nothing here waits for the command except [`Sandboxed::wait`]. An async caller registers the [`Sandboxed`] itself (its descriptor) for reading and
//! calls [`Sandboxed::try_wait`] when it is ready; the three standard streams are ordinary pipes.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{getegid, geteuid};
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use crate::ahead::Ahead;
use crate::cgroup::{Cgroups, Group};
use crate::fault::{Fault, Mechanism};
use crate::helper::ARGUMENT;
use crate::limits::POLICY_BYTES_MAX;
use crate::policy::{Identity, Input, Limits, Policy, PolicyError};
use crate::protocol::{self, Heard, Order, Outcome, Report, Request};
use crate::server::{self, Server};

/// The program that puts up the fence: one whose `main` begins with [`crate::enter_if_asked`].
#[derive(Clone, Debug)]
pub struct Helper {
    program: PathBuf,
    cgroups: Option<Cgroups>,
    ahead: Option<Arc<Ahead>>,
    server: Option<Arc<Server>>,
}

impl Helper {
    /// The running program itself, even after its file was replaced on disk.
    #[must_use]
    pub fn this_program() -> Self {
        Self::at(Path::new("/proc/self/exe"))
    }

    /// Another program, for example a small one that starts quicker. It is started with the caller's rights.
    #[must_use]
    pub fn at(program: &Path) -> Self {
        Self { program: program.to_owned(), cgroups: None, ahead: None, server: None }
    }

    /// Makes this many sandboxes ahead of need, from the first command on, for commands of this identity and with these limits, without network
    /// and with all of the fence required; other commands get theirs when they need it.
    #[must_use]
    pub fn making_ahead(mut self, count: usize, identity: Identity, limits: Limits) -> Self {
        self.ahead = Some(Arc::new(Ahead::new(count, identity, limits)));
        self.server = Some(Arc::default());
        self
    }

    /// Makes none ahead any more.
    pub(crate) fn making_none_ahead(mut self) -> Self {
        self.ahead = None;
        self
    }

    /// Limits trees by cgroup besides. Detect once, at the caller's start.
    #[must_use]
    pub fn with_cgroups(mut self, cgroups: Option<Cgroups>) -> Self {
        self.cgroups = cgroups;
        // Those that are ready have other groups.
        self.ahead = self.ahead.map(|ahead| Arc::new(ahead.anew()));
        self
    }

    pub(crate) fn cgroups(&self) -> Option<&Cgroups> {
        self.cgroups.as_ref()
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }
}

/// Why a command was not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The policy makes no sense.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The policy is larger than the bound.
    #[error("arguments, environment and private files are together larger than {max} bytes")]
    TooLarge {
        /// The bound.
        max: u64,
    },
    /// The helper could not be started.
    #[error("sandbox helper {program:?} can't be started: {source}")]
    Helper {
        /// The helper's path.
        program: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The machine is out of descriptors, memory or processes.
    #[error("no {what} for a sandbox: {source}")]
    Machine {
        /// What there is none of.
        what: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

/// What a command used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Processor time in user mode, of all its processes that ended before or with it.
    pub user: Duration,
    /// Processor time in the kernel.
    pub system: Duration,
    /// The largest resident size of one process, in bytes.
    pub peak_process_bytes: u64,
    /// The largest memory of the whole tree that the watch saw, in bytes; 0 when the command ended before the first look.
    pub peak_tree_bytes: u64,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this exit code.
    Exited(i32),
    /// By this signal: its own, the caller's or `SIGKILL` after [`Sandboxed::kill`].
    Signalled(i32),
    /// The tree held more memory than the policy's limit and was killed.
    MemoryLimit,
    /// It did not run: the fence could not be put up, or the program is not there. With [`Mechanism::Helper`] the
    /// fence's own processes were ended from outside and nothing is known of the command, except that it is dead.
    SetupFailed(Fault),
}

/// The end of a command, with what it used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// How.
    pub end: End,
    /// What it used; zeros when it did not run.
    pub usage: Usage,
}

/// A helper's process.
#[derive(Debug)]
enum Process {
    Started(Child),
    Copied(server::Copy),
}

impl Process {
    fn id(&self) -> u32 {
        match self {
            Self::Started(child) => child.id(),
            Self::Copied(copy) => copy.id(),
        }
    }

    fn kill(&mut self) -> io::Result<()> {
        match self {
            Self::Started(child) => child.kill(),
            Self::Copied(copy) => copy.kill(),
        }
    }

    /// How it ended, as far as that can be known.
    fn wait(&mut self) -> io::Result<String> {
        match self {
            Self::Started(child) => Ok(child.wait()?.to_string()),
            Self::Copied(copy) => copy.wait().map(|()| "in an unknown way".to_owned()),
        }
    }
}

/// A command in its fence. Dropping it kills the whole tree.
#[derive(Debug)]
pub struct Sandboxed {
    /// The writing end of its standard input, when the policy's input is a pipe. Close it to end the input.
    pub stdin: Option<OwnedFd>,
    /// The reading end of its standard output, there until it is taken; it ends when every process of the tree has closed it, at the latest when the command ends.
    pub stdout: Option<OwnedFd>,
    /// The reading end of its standard error, likewise.
    pub stderr: Option<OwnedFd>,
    pub(crate) control: OwnedFd,
    /// There until this is dropped.
    helper: Option<Process>,
    cgroup: Option<Group>,
    ending: Option<Ending>,
}

/// Starts a command in the fence. Returns as soon as the helper is on its way; what fails after that is [`End::SetupFailed`].
///
/// The caller may have any number of threads. The helper runs with an empty environment.
///
/// # Errors
/// When the policy makes no sense, or the helper can't be started.
pub fn spawn(helper: &Helper, policy: &Policy) -> Result<Sandboxed, SandboxError> {
    policy.check((geteuid().as_raw(), getegid().as_raw()))?;
    let content: usize = policy.files.iter().map(|file| file.content.len()).sum();
    let strings: usize = policy.argv.iter().map(|text| text.len()).sum();
    let variables: usize = policy.env.iter().map(|(n, v)| n.len() + v.len()).sum();
    // What travels with it (paths, lengths) is small and bounded; half the bound is left for it.
    if (content + strings + variables) as u64 > POLICY_BYTES_MAX / 2 {
        let max = POLICY_BYTES_MAX / 2;
        return Err(SandboxError::TooLarge { max });
    }
    if let Some(running) = helper.ahead.as_ref().and_then(|ahead| ahead.run(helper, policy)) {
        return Ok(running);
    }
    start(helper, policy, Request::Run(policy.clone()))
}

/// Puts up the fence of a policy and runs nothing in it.
pub(crate) fn rehearse(helper: &Helper, policy: &Policy) -> Result<Sandboxed, SandboxError> {
    policy.check((geteuid().as_raw(), getegid().as_raw()))?;
    start(helper, policy, Request::Rehearse(policy.clone()))
}

fn start(helper: &Helper, policy: &Policy, request: Request) -> Result<Sandboxed, SandboxError> {
    let input = InputPipe::of(policy)?;
    let mut running = begin(helper, &policy.limits)?;
    if let Err(source) = protocol::send_request(running.control.as_fd(), &request, input.inside(), &[]) {
        return Err(SandboxError::Helper { program: helper.program.clone(), source });
    }
    running.stdin = input.outside;
    Ok(running)
}

/// The standard input of a command.
pub(crate) struct InputPipe {
    inside: Option<OwnedFd>,
    pub(crate) outside: Option<OwnedFd>,
}

impl InputPipe {
    pub(crate) fn of(policy: &Policy) -> Result<Self, SandboxError> {
        match policy.input {
            Input::Empty => Ok(Self { inside: None, outside: None }),
            Input::Pipe => {
                let (inside, outside) = pipe()?;
                Ok(Self { inside: Some(inside.into()), outside: Some(outside.into()) })
            }
        }
    }

    pub(crate) fn inside(&self) -> Option<BorrowedFd<'_>> {
        self.inside.as_ref().map(AsFd::as_fd)
    }
}

fn pipe() -> Result<(io::PipeReader, io::PipeWriter), SandboxError> {
    io::pipe().map_err(|source| SandboxError::Machine { what: "pipes", source })
}

/// Starts a helper that has no request yet.
pub(crate) fn begin(helper: &Helper, limits: &Limits) -> Result<Sandboxed, SandboxError> {
    let (stdout, stdout_inside) = pipe()?;
    let (stderr, stderr_inside) = pipe()?;
    let (control, child) = start_helper(helper, stdout_inside.into(), stderr_inside.into())?;
    // The helper does nothing before it has its request, so that no process of it is ever outside the group.
    let cgroup = helper.cgroups.as_ref().and_then(|cgroups| cgroups.for_command(child.id(), limits));
    Ok(Sandboxed {
        stdin: None,
        stdout: Some(stdout.into()),
        stderr: Some(stderr.into()),
        control,
        helper: Some(child),
        cgroup,
        ending: None,
    })
}

/// Starts the helper with the control socket as its standard input: so it needs no descriptor that other threads' children could inherit too,
/// and the standard library can use the quick way of starting a process.
fn start_helper(helper: &Helper, stdout: OwnedFd, stderr: OwnedFd) -> Result<(OwnedFd, Process), SandboxError> {
    let (control, inside) = pair()?;
    if let Some(server) = &helper.server
        && let Ok(copy) = server.copy(|| start_server(helper), [&inside, &stdout, &stderr])
    {
        return Ok((control, Process::Copied(copy)));
    }
    let child = start_program(helper, inside, stdout, stderr)?;
    Ok((control, Process::Started(child)))
}

fn pair() -> Result<(OwnedFd, OwnedFd), SandboxError> {
    protocol::pair().map_err(|source| SandboxError::Machine { what: "sockets", source })
}

fn start_server(helper: &Helper) -> io::Result<(OwnedFd, Child)> {
    let (control, inside) = protocol::pair()?;
    let null = || OpenOptions::new().write(true).open("/dev/null").map(OwnedFd::from);
    let child = start_program(helper, inside, null()?, null()?).map_err(io::Error::other)?;
    protocol::send_request(control.as_fd(), &Request::Serve, None, &[])?;
    Ok((control, child))
}

fn start_program(helper: &Helper, control: OwnedFd, stdout: OwnedFd, stderr: OwnedFd) -> Result<Child, SandboxError> {
    Command::new(&helper.program)
        .arg(ARGUMENT)
        .env_clear()
        .stdin(Stdio::from(control))
        .stdout(Stdio::from(stdout))
        .stderr(Stdio::from(stderr))
        .spawn()
        .map_err(|source| SandboxError::Helper { program: helper.program.clone(), source })
}

/// Asks the helper a question that needs no policy.
pub(crate) fn ask(helper: &Helper, request: &Request) -> Result<Report, SandboxError> {
    let failed = |source| SandboxError::Helper { program: helper.program.clone(), source };
    let null = || OpenOptions::new().write(true).open("/dev/null").map(OwnedFd::from).map_err(failed);
    let (control, mut child) = start_helper(helper, null()?, null()?)?;
    let answer = protocol::send_request(control.as_fd(), request, None, &[])
        .and_then(|()| wait_readable(control.as_fd()))
        .and_then(|()| protocol::hear(&control));
    end_helper(&mut child);
    match answer.map_err(failed)? {
        Heard::Record(report) => Ok(report),
        Heard::Nothing | Heard::Gone => {
            Err(failed(io::Error::other("it ended without an answer; its main must begin with enter_if_asked")))
        }
    }
}

fn end_helper(child: &mut Process) {
    // Both fail only when the helper is already gone and waited for.
    let _ = child.kill();
    let _ = child.wait();
}

fn wait_readable(fd: BorrowedFd<'_>) -> io::Result<()> {
    loop {
        let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => return Ok(()),
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

impl AsRawFd for Sandboxed {
    /// The same, for those who need the number.
    fn as_raw_fd(&self) -> RawFd {
        self.control.as_raw_fd()
    }
}

impl AsFd for Sandboxed {
    /// Becomes readable when the command has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }
}

impl Sandboxed {
    /// The process id of the helper, for messages.
    #[must_use]
    pub fn helper_id(&self) -> u32 {
        self.helper.as_ref().map_or(0, Process::id)
    }

    /// Sends a signal to the command's process group; to one that has ended, nothing.
    ///
    /// # Errors
    /// When the order can't be handed over because too many are waiting.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        self.order(Order::Signal(signal))
    }

    /// Kills the whole tree. The end is still reported, normally as `Signalled(9)`.
    ///
    /// # Errors
    /// When neither the order nor the signal can be given.
    pub fn kill(&mut self) -> io::Result<()> {
        match self.order(Order::Kill) {
            Ok(()) => Ok(()),
            // The tree dies with the helper: its first process has the helper's death as death signal.
            Err(_) => self.helper.as_mut().map_or(Ok(()), Process::kill),
        }
    }

    fn order(&self, order: Order) -> io::Result<()> {
        if self.ending.is_some() {
            return Ok(());
        }
        match protocol::tell(&self.control, &order) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
            other => other,
        }
    }

    /// The end, if it has come. When it has, no process of the tree is left.
    ///
    /// # Errors
    /// When the control socket fails, which it doesn't on a sound system.
    pub fn try_wait(&mut self) -> io::Result<Option<Ending>> {
        if self.ending.is_none() {
            let report = match protocol::hear(&self.control)? {
                Heard::Nothing => return Ok(None),
                Heard::Record(report) => Some(report),
                Heard::Gone => None,
            };
            let mut ending = match report {
                // The tree is dead. The helper itself needs a moment longer; it is waited for when this is dropped.
                Some(report) => ending(report),
                None => lost(&format!(
                    "ended ({}) without a report; was it killed, or does its main not begin with enter_if_asked?",
                    self.helper.as_mut().map(Process::wait).transpose()?.unwrap_or_default()
                )),
            };
            let out_of_memory = self.cgroup.as_ref().is_some_and(Group::ran_out_of_memory);
            if out_of_memory && !matches!(ending.end, End::Exited(0)) {
                ending.end = End::MemoryLimit;
            }
            self.ending = Some(ending);
        }
        Ok(self.ending.clone())
    }

    /// Waits for the end; blocks the thread. Read the pipes meanwhile, or a command that writes much never ends.
    ///
    /// # Errors
    /// As for [`Sandboxed::try_wait`].
    pub fn wait(&mut self) -> io::Result<Ending> {
        loop {
            if let Some(ending) = self.try_wait()? {
                return Ok(ending);
            }
            wait_readable(self.control.as_fd())?;
        }
    }
}

fn ending(report: Report) -> Ending {
    match report {
        Report::Ended { how, usage } => {
            let end = match how {
                Outcome::Exited(code) => End::Exited(code),
                Outcome::Signalled(signal) => End::Signalled(signal),
                Outcome::MemoryLimit => End::MemoryLimit,
            };
            Ending { end, usage }
        }
        Report::Failed(fault) => Ending { end: End::SetupFailed(fault), usage: Usage::default() },
        Report::Facts(_) => lost("answered a question that was not asked"),
    }
}

fn lost(text: &str) -> Ending {
    let fault = Fault::new(Mechanism::Helper, text);
    Ending { end: End::SetupFailed(fault), usage: Usage::default() }
}

impl Drop for Sandboxed {
    fn drop(&mut self) {
        let Some(mut helper) = self.helper.take() else { return };
        match self.ending {
            // A tree so young that it does not die with its helper yet dies when the control socket is closed: the field before the group's,
            // which is removed after it.
            None => end_helper(&mut helper),
            // The tree is dead; the kernel needs a millisecond or two to take the namespaces down, in which nobody has to wait.
            Some(_) => bury(helper, self.cgroup.take()),
        }
    }
}

/// What is waited for in the background, in order.
enum Ended {
    Sandbox(Process, Option<Group>),
    /// Somebody who waits until all before is gone.
    Asked(Sender<()>),
}

/// There from the first sandbox on that has ended; none when there could be no thread.
static BURIER: OnceLock<Option<Sender<Ended>>> = OnceLock::new();

/// Waits for a helper that ends, then removes its group, in the background.
fn bury(helper: Process, cgroup: Option<Group>) {
    let start = || {
        let (sender, ended) = channel();
        let waiting = move || ended.into_iter().for_each(see_off);
        // The thread ends only with the process.
        thread::Builder::new().name("ended-sandboxes".to_owned()).spawn(waiting).ok().map(|_| sender)
    };
    let ended = Ended::Sandbox(helper, cgroup);
    match BURIER.get_or_init(start) {
        Some(burier) => drop(burier.send(ended)),
        None => see_off(ended),
    }
}

fn see_off(ended: Ended) {
    match ended {
        Ended::Sandbox(mut helper, cgroup) => {
            // It fails only when it was waited for already.
            let _ = helper.wait();
            drop(cgroup);
        }
        // Whoever asked may have gone.
        Ended::Asked(whom) => drop(whom.send(())),
    }
}

/// Waits until nothing is left of the sandboxes that this process has ended: for its own end, which would leave their groups behind.
pub fn settle() {
    let Some(Some(burier)) = BURIER.get() else { return };
    let (asked, answer) = channel();
    if burier.send(Ended::Asked(asked)).is_ok() {
        // An error means that the thread has ended, and with it what it waited for.
        let _ = answer.recv();
    }
}

//! One running program: a task that keeps its limits and moves its bytes, and the handle that a plugin holds.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use stampmill_runtime::{CommandSpec, End, Fault, Finished, Process, ProcessEvent, StopWith};
use stampmill_sandbox::{Ending, Helper, Limits, Policy, Sandboxed};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::OutputLogs;
use super::output::{Broken, LastWords, Output, Waiting, Which};
use super::proxy::Proxy;
use crate::limits::CHUNKS_WAITING;

/// What is around a program.
pub(super) struct Around<'a> {
    pub(super) logs: &'a dyn OutputLogs,
    /// Cancelled: stop it.
    pub(super) stop: CancellationToken,
    pub(super) tasks: &'a TaskTracker,
    pub(super) proxy: Option<Proxy>,
}

/// The handle. Dropped, the whole tree is killed.
pub(super) struct Running {
    events: mpsc::Receiver<Waiting>,
    finished: Option<Finished>,
    stdin: Option<mpsc::Sender<Write>>,
    stop: CancellationToken,
    _kill: DropGuard,
}

/// Bytes for standard input, and whom to tell when they are written.
struct Write {
    bytes: Vec<u8>,
    done: oneshot::Sender<Result<(), std::io::Error>>,
}

/// Starts a program.
#[tracing::instrument(target = "stampmill::stage", name = "spawn", level = "debug", skip_all)]
pub(super) fn start(
    helper: &Helper,
    policy: &Policy,
    command: CommandSpec,
    around: Around<'_>,
) -> Result<Running, Fault> {
    let last_words = LastWords::new();
    let stdout = Output::new(Which::Stdout, &command.stdout, command.events, around.logs, last_words.clone())?;
    let stderr = Output::new(Which::Stderr, &command.stderr, command.events, around.logs, last_words.clone())?;
    let mut sandboxed = stampmill_sandbox::spawn(helper, policy).map_err(not_started)?;
    let control = watch(&sandboxed).map_err(io_fault)?;
    let (out, err) = output_ends(&mut sandboxed)
        .ok_or_else(|| Fault::Broken("a program that was just started has no output".to_owned()))?;
    let (sender, events) = mpsc::channel(CHUNKS_WAITING);
    let (kill, stop) = (CancellationToken::new(), around.stop.child_token());
    let stdin = feed(around.tasks, &mut sandboxed, &command, &kill);
    let pumps =
        [around.tasks.spawn(stdout.pump(out, sender.clone())), around.tasks.spawn(stderr.pump(err, sender.clone()))];
    let task = Task {
        sandboxed,
        control,
        limits: policy.limits.clone(),
        stop_with: command.stop,
        wall_limit: command.wall_limit,
        silence_limit: command.silence_limit,
        last_words,
        begun: Instant::now(),
        stop: stop.clone(),
        kill: kill.clone(),
        _proxy: around.proxy,
    };
    around.tasks.spawn(task.run(pumps, sender));
    Ok(Running { events, finished: None, stdin, stop, _kill: kill.drop_guard() })
}

fn not_started(error: stampmill_sandbox::SandboxError) -> Fault {
    match error {
        stampmill_sandbox::SandboxError::Policy(_) | stampmill_sandbox::SandboxError::TooLarge { .. } => {
            Fault::Refused(error.to_string())
        }
        other => Fault::Unavailable { reason: other.to_string(), retry_after: None },
    }
}

fn io_fault(error: impl std::fmt::Display) -> Fault {
    Fault::Unavailable { reason: format!("the program cannot be watched: {error}"), retry_after: None }
}

/// The control socket, to wait for. It is only waited for and never read here, so that its being of another kind than a stream does not matter.
fn watch(sandboxed: &Sandboxed) -> std::io::Result<UnixStream> {
    let control = std::os::unix::net::UnixStream::from(sandboxed.as_fd().try_clone_to_owned()?);
    control.set_nonblocking(true)?;
    UnixStream::from_std(control)
}

fn output_ends(sandboxed: &mut Sandboxed) -> Option<(OwnedFd, OwnedFd)> {
    sandboxed.stdout.take().zip(sandboxed.stderr.take())
}

/// Starts the task that writes standard input, if there is one.
fn feed(
    tasks: &TaskTracker,
    sandboxed: &mut Sandboxed,
    command: &CommandSpec,
    kill: &CancellationToken,
) -> Option<mpsc::Sender<Write>> {
    let pipe = sandboxed.stdin.take()?;
    let first = command.stdin.clone();
    let (sender, more) = mpsc::channel(1);
    let kill = kill.clone();
    tasks.spawn(async move {
        tokio::select! {
            () = write_all(pipe, first, more) => {}
            () = kill.cancelled() => {}
        }
    });
    command.keep_stdin_open.then_some(sender)
}

/// A program that does not read its input ends this with its death: then writing fails.
async fn write_all(pipe: OwnedFd, first: Vec<u8>, mut more: mpsc::Receiver<Write>) {
    let Ok(mut pipe) = pipe::Sender::from_owned_fd(pipe) else {
        return;
    };
    if pipe.write_all(&first).await.is_err() {
        return;
    }
    while let Some(Write { bytes, done }) = more.recv().await {
        let written = pipe.write_all(&bytes).await;
        let failed = written.is_err();
        // Nobody waits any more when the plugin's call was given up.
        let _ = done.send(written);
        if failed {
            return;
        }
    }
}

type Pump = JoinHandle<(Vec<u8>, Result<(), Broken>)>;

struct Task {
    sandboxed: Sandboxed,
    control: UnixStream,
    limits: Limits,
    stop_with: StopWith,
    wall_limit: Duration,
    silence_limit: Option<Duration>,
    last_words: LastWords,
    begun: Instant,
    stop: CancellationToken,
    kill: CancellationToken,
    _proxy: Option<Proxy>,
}

impl Task {
    #[tracing::instrument(target = "stampmill::stage", name = "program", level = "debug", skip_all)]
    async fn run(mut self, pumps: [Pump; 2], events: mpsc::Sender<Waiting>) {
        let kill = self.kill.clone();
        let mut pumps = pumps;
        tokio::select! {
            finished = self.follow(&mut pumps) => {
                // The handle is gone when nobody wants to know.
                let _ = events.send((ProcessEvent::Finished(finished), None)).await;
            }
            () = kill.cancelled() => {
                self.kill_now();
                pumps.iter().for_each(JoinHandle::abort);
                ended(&mut self.sandboxed, &self.control).await;
            }
        }
    }

    /// Until the program has ended and all that it wrote has gone where it should.
    async fn follow(&mut self, pumps: &mut [Pump; 2]) -> Finished {
        let (mut stopped, mut give_up) = (None::<String>, None::<tokio::time::Instant>);
        let wall_end = tokio::time::Instant::now() + self.wall_limit;
        let mut collected = [None, None];
        let [out, err] = pumps;
        let ending = loop {
            let reason = tokio::select! {
                ending = ended(&mut self.sandboxed, &self.control) => break ending,
                () = self.stop.cancelled(), if stopped.is_none() => Some("it was stopped".to_owned()),
                () = tokio::time::sleep_until(wall_end), if stopped.is_none() => {
                    Some(format!("it ran longer than {}", seconds(self.wall_limit)))
                }
                limit = silent(&self.last_words, self.silence_limit), if stopped.is_none() => {
                    Some(format!("it wrote nothing for {}", seconds(limit)))
                }
                () = tokio::time::sleep_until(give_up.unwrap_or(wall_end)), if give_up.is_some() => {
                    give_up = None;
                    self.kill_now();
                    None
                }
                done = &mut *out, if collected[0].is_none() => note(done, &mut collected[0]),
                done = &mut *err, if collected[1].is_none() => note(done, &mut collected[1]),
            };
            if let (Some(reason), None) = (reason, &stopped) {
                stopped = Some(reason);
                give_up = Some(tokio::time::Instant::now() + self.ask_to_end());
            }
        };
        for (pump, collected) in [out, err].into_iter().zip(&mut collected) {
            if collected.is_none() {
                let trouble = note(pump.await, collected);
                stopped = stopped.or(trouble);
            }
        }
        let [stdout, stderr] = collected.map(Option::unwrap_or_default);
        self.finished(ending, stopped, stdout, stderr)
    }

    /// Sends the stop signal; answers how long the program has.
    fn ask_to_end(&self) -> Duration {
        let signal = i32::try_from(self.stop_with.signal);
        match signal.map(|signal| self.sandboxed.signal(signal)) {
            Ok(Ok(())) => self.stop_with.grace,
            Ok(Err(_)) | Err(_) => Duration::ZERO,
        }
    }

    fn kill_now(&mut self) {
        if let Err(error) = self.sandboxed.kill() {
            tracing::error!(%error, helper = self.sandboxed.helper_id(), "a program cannot be killed");
        }
    }

    fn finished(&self, ending: Ending, stopped: Option<String>, stdout: Vec<u8>, stderr: Vec<u8>) -> Finished {
        use stampmill_sandbox::End as Was;
        let end = match (ending.end, stopped) {
            (Was::SetupFailed(fault), _) => End::Stopped(format!("it was not started: {fault}")),
            (Was::MemoryLimit, _) => {
                End::Stopped(format!("it used more than {} bytes of memory", self.limits.memory_bytes))
            }
            (Was::Exited(_) | Was::Signalled(_), Some(why)) => End::Stopped(why),
            (Was::Exited(code), None) => End::Exited(code),
            (Was::Signalled(signal), None) => End::Signalled(signal.unsigned_abs()),
        };
        Finished {
            end,
            stdout,
            stderr,
            wall: self.begun.elapsed(),
            cpu: ending.usage.user + ending.usage.system,
            peak_memory_bytes: ending.usage.peak_tree_bytes.max(ending.usage.peak_process_bytes),
        }
    }
}

async fn ended(sandboxed: &mut Sandboxed, control: &UnixStream) -> Ending {
    loop {
        if let Err(error) = control.readable().await {
            return lost(&error);
        }
        let looked = control.try_io(Interest::READABLE, || match sandboxed.try_wait()? {
            Some(ending) => Ok(ending),
            None => Err(std::io::ErrorKind::WouldBlock.into()),
        });
        match looked {
            Ok(ending) => return ending,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return lost(&error),
        }
    }
}

/// Until the program has written nothing for as long as it may.
async fn silent(last_words: &LastWords, limit: Option<Duration>) -> Duration {
    let Some(limit) = limit else {
        return std::future::pending().await;
    };
    loop {
        let ago = last_words.ago();
        if ago >= limit {
            return limit;
        }
        tokio::time::sleep(limit - ago).await;
    }
}

/// Notes that a stream has ended; answers why the program must be stopped, if it must.
fn note(
    done: Result<(Vec<u8>, Result<(), Broken>), tokio::task::JoinError>,
    collected: &mut Option<Vec<u8>>,
) -> Option<String> {
    let (bytes, result) = match done {
        Ok(done) => done,
        Err(error) => {
            *collected = Some(Vec::new());
            return Some(format!("its output cannot be read: {error}"));
        }
    };
    *collected = Some(bytes);
    match result {
        Ok(()) => None,
        Err(Broken::TooMuch(why)) => Some(why),
        Err(Broken::Log(fault)) => Some(fault.to_string()),
    }
}

fn lost(error: &std::io::Error) -> Ending {
    tracing::error!(%error, "the end of a program cannot be learnt");
    Ending { end: stampmill_sandbox::End::Signalled(9), usage: stampmill_sandbox::Usage::default() }
}

fn seconds(length: Duration) -> String {
    format!("{} s", length.as_secs_f64())
}

#[async_trait]
impl Process for Running {
    async fn next_event(&mut self, wait: Duration) -> ProcessEvent {
        if let Some(finished) = &self.finished {
            return ProcessEvent::Finished(finished.clone());
        }
        match tokio::time::timeout(wait, self.events.recv()).await {
            Err(_) => ProcessEvent::Quiet,
            Ok(Some((ProcessEvent::Finished(finished), _))) => {
                self.finished = Some(finished.clone());
                ProcessEvent::Finished(finished)
            }
            Ok(Some((event, _room))) => event,
            Ok(None) => ProcessEvent::Quiet,
        }
    }

    async fn write_stdin(&mut self, bytes: Vec<u8>) -> Result<(), Fault> {
        let closed = || Fault::Refused("the program's standard input is closed".to_owned());
        let stdin = self.stdin.as_ref().ok_or_else(closed)?;
        let (done, written) = oneshot::channel();
        stdin.send(Write { bytes, done }).await.map_err(|_| closed())?;
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(closed()),
        }
    }

    async fn close_stdin(&mut self) {
        self.stdin = None;
    }

    async fn stop(&mut self) {
        self.stop.cancel();
    }
}

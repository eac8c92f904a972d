//! Programs started plainly: what a worker does with output, limits and secrets, without the sandbox's walls.

use crate::Place;
use async_trait::async_trait;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use stampmill_runtime::{CommandSpec, End, Fault, Finished, Process, ProcessEvent, Processes, Sink};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{mpsc, watch};

/// How long a program may write nothing when nobody said.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Starts programs in the place's work directory.
pub(crate) struct PlainProcesses(pub(crate) Place);

struct PlainProcess {
    group: Pid,
    events: mpsc::Receiver<ProcessEvent>,
    stdin: Option<ChildStdin>,
    stop: watch::Sender<bool>,
    ended: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Stream {
    Stdout,
    Stderr,
}

#[async_trait]
impl Processes for PlainProcesses {
    async fn spawn(&self, spec: CommandSpec) -> Result<Box<dyn Process>, Fault> {
        self.0.note_start(&spec.argv);
        let mut command = Command::new(&spec.argv[0]);
        command
            .args(&spec.argv[1..])
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .process_group(0)
            .kill_on_drop(true);
        command.current_dir(spec.directory.as_ref().map_or(self.0.work(), |directory| self.0.work().join(directory)));
        command.envs(spec.environment.iter().cloned());
        for (variable, secret) in &spec.secret_environment {
            command.env(variable, self.0.secret(secret)?);
        }
        if let Some((secret, _)) = spec.secret_files.first() {
            return Err(Fault::Refused(format!(
                "secret `{secret}` as a file: only a sandbox can show a file to one command alone"
            )));
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| Fault::Refused(format!("{}: {error}", spec.argv[0])))?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let group = group.ok_or_else(|| Fault::Broken(format!("{} has no process id", spec.argv[0])))?;
        let stdin = feed(&mut child, &spec).await;
        let (sender, events) = mpsc::channel(16);
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(supervise(self.0.clone(), spec, child, group, sender, stopped));
        Ok(Box::new(PlainProcess { group, events, stdin, stop, ended: false }))
    }
}

async fn feed(child: &mut Child, spec: &CommandSpec) -> Option<ChildStdin> {
    let mut stdin = child.stdin.take()?;
    let bytes = spec.stdin.clone();
    if spec.keep_stdin_open {
        // A program may have ended without reading.
        let _ = stdin.write_all(&bytes).await;
        return Some(stdin);
    }
    tokio::spawn(async move {
        let _ = stdin.write_all(&bytes).await;
    });
    None
}

async fn read(mut from: impl AsyncRead + Unpin, stream: Stream, to: mpsc::Sender<(Stream, Vec<u8>)>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if to.send((stream, buffer[..count].to_vec())).await.is_err() {
            return;
        }
    }
}

async fn supervise(
    place: Place,
    spec: CommandSpec,
    mut child: Child,
    group: Pid,
    events: mpsc::Sender<ProcessEvent>,
    mut stop: watch::Receiver<bool>,
) {
    let (sender, mut pieces) = mpsc::channel(4);
    if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
        tokio::spawn(read(stdout, Stream::Stdout, sender.clone()));
        tokio::spawn(read(stderr, Stream::Stderr, sender));
    }
    let began = Instant::now();
    let (mut stdout, mut stderr, mut stopped) = (Vec::new(), Vec::new(), None::<String>);
    loop {
        let wall = spec.wall_limit.saturating_sub(began.elapsed());
        let silence = spec.silence_limit.unwrap_or(FOR_EVER);
        let why = tokio::select! {
            piece = pieces.recv() => match piece {
                None => break,
                Some((stream, bytes)) => deliver(&place, &spec, stream, bytes, &mut stdout, &mut stderr, &events).await,
            },
            () = tokio::time::sleep(wall), if stopped.is_none() => Some(format!("it ran for {} s", spec.wall_limit.as_secs_f32())),
            () = tokio::time::sleep(silence), if stopped.is_none() => Some(format!("no output for {} s", silence.as_secs_f32())),
            Ok(()) = stop.changed(), if stopped.is_none() => Some("stopped".to_owned()),
        };
        if let (Some(why), None) = (why, &stopped) {
            stopped = Some(why);
            let signal = i32::try_from(spec.stop.signal).ok().and_then(|number| Signal::try_from(number).ok());
            let _ = killpg(group, signal.unwrap_or(Signal::SIGTERM));
            tokio::spawn(async move {
                tokio::time::sleep(spec.stop.grace).await;
                let _ = killpg(group, Signal::SIGKILL);
            });
        }
    }
    let end = match (stopped, child.wait().await) {
        (Some(why), _) => End::Stopped(why),
        (None, Err(error)) => End::Stopped(format!("it cannot be waited for: {error}")),
        (None, Ok(status)) => match (status.code(), status.signal()) {
            (Some(code), _) => End::Exited(code),
            (None, signal) => End::Signalled(signal.unwrap_or_default().unsigned_abs()),
        },
    };
    let finished = Finished { end, stdout, stderr, wall: began.elapsed(), cpu: Duration::ZERO, peak_memory_bytes: 0 };
    let _ = events.send(ProcessEvent::Finished(finished)).await;
}

/// Hands a piece of output to where it belongs; answers why the program has to end, if it has to.
async fn deliver(
    place: &Place,
    spec: &CommandSpec,
    stream: Stream,
    bytes: Vec<u8>,
    stdout: &mut Vec<u8>,
    stderr: &mut Vec<u8>,
    events: &mpsc::Sender<ProcessEvent>,
) -> Option<String> {
    let (sink, kept) = if stream == Stream::Stdout { (&spec.stdout, stdout) } else { (&spec.stderr, stderr) };
    if let Sink::Log(name) | Sink::LogAndCapture(name, _) = sink {
        place.append(name, &bytes);
    }
    let (Sink::Capture(limit) | Sink::LogAndCapture(_, limit)) = sink else { return None };
    if spec.events {
        let event = if stream == Stream::Stdout { ProcessEvent::Stdout(bytes) } else { ProcessEvent::Stderr(bytes) };
        let _ = events.send(event).await;
        return None;
    }
    kept.extend(bytes);
    (kept.len() as u64 > *limit).then(|| format!("more than {limit} bytes of output to capture"))
}

#[async_trait]
impl Process for PlainProcess {
    async fn next_event(&mut self, wait: Duration) -> ProcessEvent {
        match tokio::time::timeout(wait, self.events.recv()).await {
            Ok(Some(event)) => {
                self.ended |= matches!(event, ProcessEvent::Finished(_));
                event
            }
            Ok(None) | Err(_) => ProcessEvent::Quiet,
        }
    }
    async fn write_stdin(&mut self, bytes: Vec<u8>) -> Result<(), Fault> {
        match &mut self.stdin {
            Some(stdin) => stdin.write_all(&bytes).await.map_err(|error| Fault::Refused(error.to_string())),
            None => Err(Fault::Refused("standard input is closed".to_owned())),
        }
    }
    async fn close_stdin(&mut self) {
        self.stdin = None;
    }
    async fn stop(&mut self) {
        let _ = self.stop.send(true);
    }
}

impl Drop for PlainProcess {
    fn drop(&mut self) {
        if !self.ended {
            let _ = killpg(self.group, Signal::SIGKILL);
        }
    }
}

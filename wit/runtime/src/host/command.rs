//! Native programs: a command line is collected piece by piece, held against the grant when it starts, and handed to the surroundings.

use std::path::{Component, Path};
use std::time::Duration;

use wasmtime::component::Resource;

use crate::bindings::stampmill::host::command::{self as wit, Host, HostChild, HostCommandLine, HostFinished};
use crate::bindings::types;
use crate::host::logs::check_log_name;
use crate::host::{Held, HostSide, answer, not_offered, too_large};
use crate::limits;
use crate::records::Fault;
use crate::surroundings::{CommandSpec, Finished, Process, ProcessEvent, Sink, StopWith};

/// SIGTERM, the customary way to ask.
const SIGTERM: u32 = 15;
/// The log that output goes to when the plugin says nothing.
const STDIO: &str = "stdio";

/// A command line while it is collected.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct CommandLine {
    spec: CommandSpec,
    /// The first thing that was wrong; told when it is started, for most functions here answer nothing.
    wrong: Option<Fault>,
    held: Held,
    bytes: usize,
}

/// A running program, or one whose end has been told.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Child {
    process: Option<Box<dyn Process>>,
}

/// A program that ended.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Ended {
    finished: Finished,
    _held: Held,
}

impl CommandLine {
    /// Notes what is wrong, or counts what was said.
    fn note(&mut self, checked: Result<(), Fault>, bytes: usize) -> wasmtime::Result<bool> {
        if self.wrong.is_some() {
            return Ok(false);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        let limit = limits::COMMAND_BYTES_MAX;
        let fits = if self.bytes > limit {
            Err(too_large("bytes of arguments and environment", self.bytes as u64, limit as u64))
        } else {
            Ok(())
        };
        match checked.and(fits) {
            Ok(()) => {
                self.held.grow(bytes)?;
                Ok(true)
            }
            Err(fault) => {
                self.wrong = Some(fault);
                Ok(false)
            }
        }
    }
}

impl HostSide {
    fn line(&mut self, line: &Resource<CommandLine>) -> wasmtime::Result<&mut CommandLine> {
        Ok(self.table.get_mut(line)?)
    }

    /// The last check before a program starts: everything is held against the grant here, and nowhere else.
    fn granted(&self, line: &CommandLine) -> Result<CommandSpec, Fault> {
        if let Some(wrong) = &line.wrong {
            return Err(wrong.clone());
        }
        let spec = line.spec.clone();
        self.grant.allows_program(&spec.argv[0])?;
        let secrets = spec.secret_environment.iter().map(|(_, secret)| secret);
        for secret in secrets.chain(spec.secret_files.iter().map(|(secret, _)| secret)) {
            self.grant.allows_secret(secret)?;
        }
        Ok(CommandSpec {
            net: self.grant.net.clone(),
            read: self.grant.read.clone(),
            write: self.grant.write.clone(),
            ..spec
        })
    }

    async fn start(
        &mut self,
        line: &Resource<CommandLine>,
        events: bool,
    ) -> wasmtime::Result<Result<Box<dyn Process>, Fault>> {
        let spec = match self.granted(self.table.get(line)?) {
            Ok(spec) => CommandSpec { events, keep_stdin_open: events, ..spec },
            Err(fault) => return Ok(Err(fault)),
        };
        let Some(processes) = self.surroundings.processes.clone() else { return Ok(Err(not_offered("command"))) };
        Ok(self.patience().wait("command.spawn", processes.spawn(spec)).await)
    }

    fn push_ended(&mut self, finished: Finished) -> wasmtime::Result<Resource<Ended>> {
        let held = self.hold(finished.stdout.len() + finished.stderr.len())?;
        Ok(self.table.push(Ended { finished, _held: held })?)
    }
}

impl Host for HostSide {}

impl HostCommandLine for HostSide {
    async fn new(&mut self, argv: Vec<String>) -> wasmtime::Result<Resource<CommandLine>> {
        let bytes = argv.iter().map(|argument| argument.len() + 1).sum();
        let checked = match argv.first() {
            None => Err(Fault::Refused("a command line begins with a program, and this one is empty".to_owned())),
            Some(program) if program.is_empty() => {
                Err(Fault::Refused("the program of a command line is empty".to_owned()))
            }
            Some(_) => argv.iter().try_for_each(|argument| no_nul("an argument", argument)),
        };
        let mut line = CommandLine { spec: empty_spec(), wrong: None, held: self.hold(0)?, bytes: 0 };
        if line.note(checked, bytes)? {
            line.spec.argv = argv;
        }
        Ok(self.table.push(line)?)
    }

    async fn directory(&mut self, line: Resource<CommandLine>, path: String) -> wasmtime::Result<()> {
        let line = self.line(&line)?;
        if line.note(relative(&path), path.len())? {
            line.spec.directory = Some(path);
        }
        Ok(())
    }

    async fn environment(&mut self, line: Resource<CommandLine>, name: String, value: String) -> wasmtime::Result<()> {
        let line = self.line(&line)?;
        let checked = variable(&name).and_then(|()| no_nul("the value of a variable", &value));
        if line.note(checked, name.len() + value.len() + 2)? {
            line.spec.environment.retain(|(known, _)| *known != name);
            line.spec.environment.push((name, value));
        }
        Ok(())
    }

    async fn secret_environment(
        &mut self,
        line: Resource<CommandLine>,
        name: String,
        secret: String,
    ) -> wasmtime::Result<()> {
        let line = self.line(&line)?;
        let checked = variable(&name).and_then(|()| secret_name(&secret));
        if line.note(checked, name.len() + secret.len())? {
            line.spec.secret_environment.retain(|(known, _)| *known != name);
            line.spec.secret_environment.push((name, secret));
        }
        Ok(())
    }

    async fn secret_file(&mut self, line: Resource<CommandLine>, secret: String) -> wasmtime::Result<String> {
        let line = self.line(&line)?;
        let path = format!("/run/secrets/{secret}");
        if line.note(secret_name(&secret), secret.len() + path.len())? {
            line.spec.secret_files.retain(|(known, _)| *known != secret);
            line.spec.secret_files.push((secret, path.clone()));
        }
        Ok(path)
    }

    async fn stdin(&mut self, line: Resource<CommandLine>, bytes: Vec<u8>) -> wasmtime::Result<()> {
        let line = self.line(&line)?;
        let total = line.spec.stdin.len() + bytes.len();
        let limit = limits::STDIN_BYTES_MAX;
        let fits =
            if total > limit { Err(too_large("bytes for standard input", total as u64, limit as u64)) } else { Ok(()) };
        if line.note(fits, 0)? {
            line.held.grow(bytes.len())?;
            line.spec.stdin.extend(bytes);
        }
        Ok(())
    }

    async fn stdout(&mut self, line: Resource<CommandLine>, sink: wit::Sink) -> wasmtime::Result<()> {
        let line = self.line(&line)?;
        let sink = into_sink(sink);
        if line.note(check_sink(&sink), 0)? {
            line.spec.stdout = sink;
        }
        Ok(())
    }

    async fn stderr(&mut self, line: Resource<CommandLine>, sink: wit::Sink) -> wasmtime::Result<()> {
        let line = self.line(&line)?;
        let sink = into_sink(sink);
        if line.note(check_sink(&sink), 0)? {
            line.spec.stderr = sink;
        }
        Ok(())
    }

    async fn wall_limit(&mut self, line: Resource<CommandLine>, limit: u64) -> wasmtime::Result<()> {
        self.line(&line)?.spec.wall_limit = Duration::from_millis(limit).min(limits::COMMAND_WALL_MAX);
        Ok(())
    }

    async fn silence_limit(&mut self, line: Resource<CommandLine>, limit: u64) -> wasmtime::Result<()> {
        self.line(&line)?.spec.silence_limit = Some(Duration::from_millis(limit).min(limits::COMMAND_WALL_MAX));
        Ok(())
    }

    async fn stop_with(&mut self, line: Resource<CommandLine>, signal: u32, grace: u64) -> wasmtime::Result<()> {
        let line = self.line(&line)?;
        let checked = match signal {
            1..=31 => Ok(()),
            other => Err(Fault::Refused(format!("signal {other} can't stop a program: 1 to 31 are expected"))),
        };
        if line.note(checked, 0)? {
            line.spec.stop = StopWith { signal, grace: Duration::from_millis(grace).min(limits::STOP_GRACE_MAX) };
        }
        Ok(())
    }

    async fn terminal(&mut self, line: Resource<CommandLine>, columns: u16, rows: u16) -> wasmtime::Result<()> {
        self.line(&line)?.spec.terminal = Some((columns.max(1), rows.max(1)));
        Ok(())
    }

    async fn run(&mut self, line: Resource<CommandLine>) -> wasmtime::Result<Result<Resource<Ended>, types::Fault>> {
        let spec = &self.table.get(&line)?.spec;
        let patience = spec.wall_limit + spec.stop.grace + self.limits.host_call;
        let mut process = match self.start(&line, false).await? {
            Ok(process) => process,
            Err(fault) => return Ok(Err(fault.into())),
        };
        match self.patience().outside(end_of(process.as_mut(), patience)).await {
            Some(finished) => Ok(Ok(self.push_ended(finished)?)),
            None => Ok(answer(Err(Fault::unavailable(
                "the program outlived its limit and did not answer to being stopped; it was killed",
            )))),
        }
    }

    async fn spawn(&mut self, line: Resource<CommandLine>) -> wasmtime::Result<Result<Resource<Child>, types::Fault>> {
        match self.start(&line, true).await? {
            Ok(process) => Ok(Ok(self.table.push(Child { process: Some(process) })?)),
            Err(fault) => Ok(Err(fault.into())),
        }
    }

    async fn drop(&mut self, line: Resource<CommandLine>) -> wasmtime::Result<()> {
        self.table.delete(line)?;
        Ok(())
    }
}

/// Waits for the end; the surroundings enforce the program's limits, and this ends the wait should they fail to.
async fn end_of(process: &mut dyn Process, patience: Duration) -> Option<Finished> {
    let ended = async {
        loop {
            if let ProcessEvent::Finished(finished) = process.next_event(limits::NEXT_EVENT_WAIT_MAX).await {
                break finished;
            }
        }
    };
    tokio::time::timeout(patience, ended).await.ok()
}

impl HostFinished for HostSide {
    async fn end(&mut self, ended: Resource<Ended>) -> wasmtime::Result<wit::End> {
        Ok(self.table.get(&ended)?.finished.end.clone().into())
    }

    async fn stdout(&mut self, ended: Resource<Ended>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.table.get(&ended)?.finished.stdout.clone())
    }

    async fn stderr(&mut self, ended: Resource<Ended>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.table.get(&ended)?.finished.stderr.clone())
    }

    async fn wall(&mut self, ended: Resource<Ended>) -> wasmtime::Result<u64> {
        Ok(millis(self.table.get(&ended)?.finished.wall))
    }

    async fn cpu(&mut self, ended: Resource<Ended>) -> wasmtime::Result<u64> {
        Ok(millis(self.table.get(&ended)?.finished.cpu))
    }

    async fn peak_memory_bytes(&mut self, ended: Resource<Ended>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&ended)?.finished.peak_memory_bytes)
    }

    async fn drop(&mut self, ended: Resource<Ended>) -> wasmtime::Result<()> {
        self.table.delete(ended)?;
        Ok(())
    }
}

impl HostChild for HostSide {
    async fn next_event(&mut self, child: Resource<Child>, wait: u64) -> wasmtime::Result<wit::Event> {
        let patience = self.patience();
        let wait = Duration::from_millis(wait).min(limits::NEXT_EVENT_WAIT_MAX);
        let child = self.table.get_mut(&child)?;
        let Some(process) = child.process.as_mut() else { return Ok(wit::Event::Quiet) };
        // The surroundings answer in time; should they not, the guest must still come to its limits.
        let limit = wait + patience.limit;
        let event = patience.outside(tokio::time::timeout(limit, process.next_event(wait))).await;
        Ok(match event {
            Err(_) | Ok(ProcessEvent::Quiet) => wit::Event::Quiet,
            Ok(ProcessEvent::Stdout(bytes)) => wit::Event::Stdout(bytes),
            Ok(ProcessEvent::Stderr(bytes)) => wit::Event::Stderr(bytes),
            Ok(ProcessEvent::Finished(finished)) => {
                child.process = None;
                wit::Event::Finished(self.push_ended(finished)?)
            }
        })
    }

    async fn write_stdin(
        &mut self,
        child: Resource<Child>,
        bytes: Vec<u8>,
    ) -> wasmtime::Result<Result<(), types::Fault>> {
        let patience = self.patience();
        let child = self.table.get_mut(&child)?;
        let Some(process) = child.process.as_mut() else {
            return Ok(answer(Err(Fault::Refused("the program has ended".to_owned()))));
        };
        Ok(answer(patience.wait("child.write-stdin", process.write_stdin(bytes)).await))
    }

    async fn close_stdin(&mut self, child: Resource<Child>) -> wasmtime::Result<()> {
        let patience = self.patience();
        if let Some(process) = self.table.get_mut(&child)?.process.as_mut() {
            patience.wait_or_stop("child.close-stdin", process.close_stdin()).await?;
        }
        Ok(())
    }

    async fn stop(&mut self, child: Resource<Child>) -> wasmtime::Result<()> {
        let patience = self.patience();
        if let Some(process) = self.table.get_mut(&child)?.process.as_mut() {
            patience.wait_or_stop("child.stop", process.stop()).await?;
        }
        Ok(())
    }

    async fn drop(&mut self, child: Resource<Child>) -> wasmtime::Result<()> {
        self.table.delete(child)?;
        Ok(())
    }
}

fn empty_spec() -> CommandSpec {
    CommandSpec {
        argv: Vec::new(),
        directory: None,
        environment: Vec::new(),
        secret_environment: Vec::new(),
        secret_files: Vec::new(),
        stdin: Vec::new(),
        keep_stdin_open: false,
        stdout: Sink::Log(STDIO.to_owned()),
        stderr: Sink::Log(STDIO.to_owned()),
        events: false,
        wall_limit: limits::COMMAND_WALL_MAX,
        silence_limit: None,
        stop: StopWith { signal: SIGTERM, grace: limits::STOP_GRACE },
        terminal: None,
        net: Vec::new(),
        read: Vec::new(),
        write: Vec::new(),
    }
}

fn into_sink(sink: wit::Sink) -> Sink {
    match sink {
        wit::Sink::Log(name) => Sink::Log(name),
        wit::Sink::Capture(limit) => Sink::Capture(limit),
        wit::Sink::LogAndCapture((name, limit)) => Sink::LogAndCapture(name, limit),
        wit::Sink::Discard => Sink::Discard,
    }
}

fn check_sink(sink: &Sink) -> Result<(), Fault> {
    if let Sink::Log(name) | Sink::LogAndCapture(name, _) = sink {
        check_log_name(name)?;
    }
    if let Sink::Capture(limit) | Sink::LogAndCapture(_, limit) = sink
        && *limit > limits::CAPTURE_BYTES_MAX
    {
        return Err(too_large("bytes to capture", *limit, limits::CAPTURE_BYTES_MAX));
    }
    Ok(())
}

fn no_nul(what: &str, text: &str) -> Result<(), Fault> {
    if text.contains('\0') { Err(Fault::Refused(format!("{what} contains a NUL character"))) } else { Ok(()) }
}

fn variable(name: &str) -> Result<(), Fault> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err(Fault::Refused(format!("{name:?} is no name of an environment variable")));
    }
    Ok(())
}

/// A secret's name becomes a file name.
fn secret_name(name: &str) -> Result<(), Fault> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > limits::NAME_BYTES_MAX || name.starts_with('.') || !name.bytes().all(plain) {
        return Err(Fault::Refused(format!("{:?} is no name of a secret", super::log::cut(name, 80))));
    }
    Ok(())
}

fn relative(path: &str) -> Result<(), Fault> {
    let inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if path.is_empty() || path.len() > limits::PATH_BYTES_MAX || path.contains('\0') || !inside {
        return Err(Fault::Refused(format!("{:?} is no path below the work directory", super::log::cut(path, 200))));
    }
    Ok(())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

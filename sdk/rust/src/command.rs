//! Native programs, started in the sandbox. Permission: `command`.
//!
//! No shell is involved, and the environment is exactly what is set here. Which programs, with what network and which paths, is the
//! operator's grant.

use crate::Fault;
use crate::bindings::capabilities::stampmill::host::command as wit;
use crate::fault::milliseconds;
use std::time::Duration;

/// Where an output stream goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sink {
    /// To the step's log of this name, by the host: the bytes never cross into the plugin.
    Log(String),
    /// Kept for the plugin, at most so many bytes.
    Capture(u64),
    /// Both.
    LogAndCapture(String, u64),
    /// Nowhere.
    Discard,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Variable {
    Text(String),
    Secret(String),
    /// The path of a private file with the secret in it, between two texts.
    SecretFile {
        secret: String,
        before: String,
        after: String,
    },
}

/// A command to be: plain data until [`CommandLine::run`], so that what it would run can be looked at in a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    argv: Vec<String>,
    directory: Option<String>,
    environment: Vec<(String, Variable)>,
    stdin: Option<Vec<u8>>,
    stdout: Sink,
    stderr: Sink,
    wall_limit: Option<Duration>,
    silence_limit: Option<Duration>,
    stop_with: Option<(u32, Duration)>,
    terminal: Option<(u16, u16)>,
}

impl CommandLine {
    /// A program, found by the sandbox's `PATH`. Output is discarded unless a sink is named.
    pub fn new(program: impl Into<String>) -> CommandLine {
        CommandLine {
            argv: vec![program.into()],
            directory: None,
            environment: Vec::new(),
            stdin: None,
            stdout: Sink::Discard,
            stderr: Sink::Discard,
            wall_limit: None,
            silence_limit: None,
            stop_with: None,
            terminal: None,
        }
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> CommandLine {
        self.argv.push(argument.into());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<A: Into<String>>(mut self, arguments: impl IntoIterator<Item = A>) -> CommandLine {
        self.argv.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// The directory to start in, relative to the work directory.
    #[must_use]
    pub fn directory(mut self, path: impl Into<String>) -> CommandLine {
        self.directory = Some(path.into());
        self
    }

    /// One variable of the environment.
    #[must_use]
    pub fn environment(mut self, name: impl Into<String>, value: impl Into<String>) -> CommandLine {
        self.environment.push((name.into(), Variable::Text(value.into())));
        self
    }

    /// A variable whose value is a secret; the host puts it in, the plugin never sees it.
    #[must_use]
    pub fn secret_environment(mut self, name: impl Into<String>, secret: impl Into<String>) -> CommandLine {
        self.environment.push((name.into(), Variable::Secret(secret.into())));
        self
    }

    /// A variable that holds the path of a private file with a secret in it, between two texts:
    /// `secret_file("GIT_SSH_COMMAND", "deploy-key", "ssh -i ", "")`.
    #[must_use]
    pub fn secret_file(
        mut self,
        name: impl Into<String>,
        secret: impl Into<String>,
        before: impl Into<String>,
        after: impl Into<String>,
    ) -> CommandLine {
        let variable = Variable::SecretFile { secret: secret.into(), before: before.into(), after: after.into() };
        self.environment.push((name.into(), variable));
        self
    }

    /// What it reads; without, an empty input.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> CommandLine {
        self.stdin = Some(bytes.into());
        self
    }

    /// Where standard output goes.
    #[must_use]
    pub fn stdout(mut self, sink: Sink) -> CommandLine {
        self.stdout = sink;
        self
    }

    /// Where standard error goes.
    #[must_use]
    pub fn stderr(mut self, sink: Sink) -> CommandLine {
        self.stderr = sink;
        self
    }

    /// It is stopped after so long; the grant's limits hold in any case.
    #[must_use]
    pub fn wall_limit(mut self, limit: Duration) -> CommandLine {
        self.wall_limit = Some(limit);
        self
    }

    /// It is stopped after so long without a byte of output.
    #[must_use]
    pub fn silence_limit(mut self, limit: Duration) -> CommandLine {
        self.silence_limit = Some(limit);
        self
    }

    /// How it is stopped: this signal first, SIGKILL after the grace period.
    #[must_use]
    pub fn stop_with(mut self, signal: u32, grace: Duration) -> CommandLine {
        self.stop_with = Some((signal, grace));
        self
    }

    /// Gives it a terminal of this size.
    #[must_use]
    pub fn terminal(mut self, columns: u16, rows: u16) -> CommandLine {
        self.terminal = Some((columns, rows));
        self
    }

    /// The program and its arguments.
    pub fn argv(&self) -> &[String] {
        &self.argv
    }

    /// The variables with a plain value.
    pub fn plain_environment(&self) -> impl Iterator<Item = (&str, &str)> {
        self.environment.iter().filter_map(|(name, variable)| match variable {
            Variable::Text(value) => Some((name.as_str(), value.as_str())),
            Variable::Secret(_) | Variable::SecretFile { .. } => None,
        })
    }

    /// Starts it and waits for its end. A fault says that it could not be started; how it ended is in the answer.
    pub fn run(&self) -> Result<Finished, Fault> {
        self.prepare().run().map(Finished).map_err(|fault| Fault::from(fault).while_doing(&self.argv[0]))
    }

    /// Starts it.
    pub fn spawn(&self) -> Result<Child, Fault> {
        self.prepare().spawn().map(Child).map_err(|fault| Fault::from(fault).while_doing(&self.argv[0]))
    }

    fn prepare(&self) -> wit::CommandLine {
        let line = wit::CommandLine::new(&self.argv);
        if let Some(path) = &self.directory {
            line.directory(path);
        }
        for (name, variable) in &self.environment {
            match variable {
                Variable::Text(value) => line.environment(name, value),
                Variable::Secret(secret) => line.secret_environment(name, secret),
                Variable::SecretFile { secret, before, after } => {
                    line.environment(name, &format!("{before}{}{after}", line.secret_file(secret)));
                }
            }
        }
        if let Some(bytes) = &self.stdin {
            line.stdin(bytes);
        }
        line.stdout(&self.stdout.to_wit());
        line.stderr(&self.stderr.to_wit());
        if let Some(limit) = self.wall_limit {
            line.wall_limit(milliseconds(limit));
        }
        if let Some(limit) = self.silence_limit {
            line.silence_limit(milliseconds(limit));
        }
        if let Some((signal, grace)) = self.stop_with {
            line.stop_with(signal, milliseconds(grace));
        }
        if let Some((columns, rows)) = self.terminal {
            line.terminal(columns, rows);
        }
        line
    }
}

impl Sink {
    fn to_wit(&self) -> wit::Sink {
        match self {
            Sink::Log(name) => wit::Sink::Log(name.clone()),
            Sink::Capture(most) => wit::Sink::Capture(*most),
            Sink::LogAndCapture(name, most) => wit::Sink::LogAndCapture((name.clone(), *most)),
            Sink::Discard => wit::Sink::Discard,
        }
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It ended by itself with this code.
    Exited(i32),
    /// A signal that the host did not send ended it.
    Signalled(u32),
    /// The host ended it, for this reason.
    Stopped(String),
}

/// A command that ended.
#[derive(Debug)]
pub struct Finished(wit::Finished);

impl Finished {
    /// How.
    pub fn end(&self) -> End {
        match self.0.end() {
            wit::End::Exited(code) => End::Exited(code),
            wit::End::Signalled(signal) => End::Signalled(signal),
            wit::End::Stopped(reason) => End::Stopped(reason),
        }
    }

    /// Whether it exited with 0.
    pub fn success(&self) -> bool {
        self.end() == End::Exited(0)
    }

    /// What was captured of standard output.
    pub fn stdout(&self) -> Vec<u8> {
        self.0.stdout()
    }

    /// What was captured of standard error.
    pub fn stderr(&self) -> Vec<u8> {
        self.0.stderr()
    }

    /// How long it took.
    pub fn wall(&self) -> Duration {
        Duration::from_millis(self.0.wall())
    }

    /// Processor time of the whole tree.
    pub fn cpu(&self) -> Duration {
        Duration::from_millis(self.0.cpu())
    }

    /// The most memory that it held.
    pub fn peak_memory_bytes(&self) -> u64 {
        self.0.peak_memory_bytes()
    }
}

/// What happened next to a running command.
#[derive(Debug)]
pub enum Event {
    /// It wrote these bytes to standard output, which is captured.
    Stdout(Vec<u8>),
    /// It wrote these bytes to standard error, which is captured.
    Stderr(Vec<u8>),
    /// It ended.
    Finished(Finished),
    /// Nothing, for as long as was waited.
    Quiet,
}

/// A running command. Dropping it kills the whole tree.
#[derive(Debug)]
pub struct Child(wit::Child);

impl Child {
    /// Waits for whatever happens first, at most this long.
    pub fn next_event(&self, wait: Duration) -> Event {
        match self.0.next_event(milliseconds(wait)) {
            wit::Event::Stdout(bytes) => Event::Stdout(bytes),
            wit::Event::Stderr(bytes) => Event::Stderr(bytes),
            wit::Event::Finished(finished) => Event::Finished(Finished(finished)),
            wit::Event::Quiet => Event::Quiet,
        }
    }

    /// Gives it something to read.
    pub fn write_stdin(&self, bytes: &[u8]) -> Result<(), Fault> {
        Ok(self.0.write_stdin(bytes)?)
    }

    /// No more to read.
    pub fn close_stdin(&self) {
        self.0.close_stdin();
    }

    /// Stops it as [`CommandLine::stop_with`] said.
    pub fn stop(&self) {
        self.0.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_data_until_it_runs() {
        let line = CommandLine::new("git")
            .args(["clone", "--"])
            .arg("$(touch x)")
            .environment("LANG", "C.UTF-8")
            .secret_environment("TOKEN", "forge");
        assert_eq!(line.argv(), ["git", "clone", "--", "$(touch x)"]);
        assert_eq!(line.plain_environment().collect::<Vec<_>>(), [("LANG", "C.UTF-8")]);
    }
}

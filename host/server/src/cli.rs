//! The command line: what people type, and the client of a running host.
//!
//! In reading order: [`arguments`] is what can be typed; [`connection`] reaches a host and [`wire`] is what it answers; [`waiting`] follows
//! builds and [`logs`] their output; each command has a module of its own; [`failure`] turns errors into exit codes. Commands that run a host
//! or a worker only hand over to `serve`.

mod accounts;
mod arguments;
mod asking;
mod changes;
mod checking;
mod connection;
mod desk;
mod events;
mod explaining;
mod failure;
mod init;
mod limits;
mod logs;
mod operating;
mod output;
mod people;
mod plugins;
mod prompt;
mod running;
mod trying;
mod waiting;
mod wire;
mod work_tree;

pub(crate) use self::failure::INTERRUPTED;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use self::arguments::{Cli, Command, DemoArgs, HostArgs, WorkerArgs};
use crate::serve::{self, DemoOptions, HostOptions};

/// Runs what was typed. A command line that makes no sense ends with 2 before anything is done.
pub(crate) fn main() -> ExitCode {
    let command = Cli::parse().command;
    start_log(&command);
    connection::install_crypto();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no threads can be started: {error}");
            return failure::UNAVAILABLE.into();
        }
    };
    let code = match runtime.block_on(run(command)) {
        Ok(code) => code,
        Err(error) => failure::report(&error),
    };
    // Without a limit the process would wait for whatever still computes, such as the compilation of a plugin.
    runtime.shutdown_timeout(crate::limits::SHUTDOWN_GRACE);
    code
}

/// Whoever runs a host wants to see what it does; whoever asks one wants the answer alone.
fn start_log(command: &Command) {
    let level = match command {
        Command::Demo(_) => "warn",
        Command::Up(_) | Command::Host(_) | Command::Worker(_) => "info",
        _ => "error",
    };
    let filter = EnvFilter::try_from_env("STAMPMILL_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    // A second subscriber in one process is refused; there is none.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // The only spans are the stages of a build; they are off unless `stampmill::stage=debug` is asked for.
        .with_span_events(FmtSpan::CLOSE)
        .with_writer(std::io::stderr)
        .with_ansi(output::colour())
        .try_init();
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Demo(args) => serve::demo(args.into()).await,
        Command::Init(args) => init::run(&args),
        Command::Up(args) => serve::up(args.into()).await,
        Command::Host(args) => serve::host(args.into()).await,
        Command::Worker(args) => worker(&args).await,
        Command::Check(args) => checking::run(args).await,
        Command::Run(args) => running::run(args).await,
        Command::Plugin(command) => plugins::run(command),
        Command::Change(args) => changes::send(args).await,
        Command::Force(args) => asking::force(args).await,
        Command::Try(args) => trying::try_patch(args).await,
        Command::Builds(args) => asking::builds(args).await,
        Command::Log(args) => logs::run(args).await,
        Command::Approve(args) => asking::approve(args).await,
        Command::Cancel(args) => asking::cancel(args).await,
        Command::Rebuild(args) => asking::rebuild(args).await,
        Command::Explain(args) => explaining::run(args).await,
        Command::Scheduler(command) => operating::scheduler(command).await,
        Command::Pause(args) => operating::pause(args).await,
        Command::Drain(args) => operating::drain(args).await,
        Command::Resume(args) => operating::resume(args).await,
        Command::Reload(args) => asking::reload(args).await,
        Command::User(command) => accounts::user(command).await,
        Command::Person(command) => people::person(command).await,
        Command::Token(command) => accounts::token(command).await,
        Command::WorkerToken(args) => accounts::worker_token(args).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "stampmill", &mut script);
            output::write(&script)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn worker(args: &WorkerArgs) -> anyhow::Result<ExitCode> {
    let config = stampmill_agent::WorkerConfig::read(&args.config)?;
    serve::worker(config).await
}

impl From<HostArgs> for HostOptions {
    fn from(args: HostArgs) -> Self {
        // A sandbox gets absolute paths only, and a worker's paths are relative to its own configuration.
        let data = args.data.map(|data| std::path::absolute(&data).unwrap_or(data));
        Self { config: args.config, data, listen: args.listen }
    }
}

impl From<DemoArgs> for DemoOptions {
    fn from(args: DemoArgs) -> Self {
        Self { once: args.once, data: args.data, config: args.config, listen: args.listen }
    }
}

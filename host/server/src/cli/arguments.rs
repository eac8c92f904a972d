//! What can be typed.

mod accounts;
mod asking;
mod operating;
mod people;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

pub(crate) use self::accounts::{TokenCommand, UserCommand, WorkerTokenArgs};
pub(crate) use self::asking::{
    ApproveArgs, BuildsArgs, BuildsState, CancelArgs, ChangeArgs, ExplainArgs, ForceArgs, LogArgs, RebuildArgs,
    Subject, Target, TargetArgs, TryArgs,
};
pub(crate) use self::operating::{DrainArgs, PauseArgs, ResumeArgs, SchedulerCommand};
pub(crate) use self::people::PersonCommand;

const EXAMPLES: &str = "\
Examples:
  stampmill demo --once                 see the whole of it work, in two minutes
  stampmill init && stampmill up        build the git repository in this directory
  stampmill force linux --wait          build now, end with the build
  stampmill log linux/12 --follow       the log of build 12 of builder linux as it grows
  stampmill explain 40                  why request 40 waits
  stampmill run check                   run job `check` here, on your edits, without a server
  stampmill check                       is the configuration right, and what may each plugin do

Commands that talk to a host use the administrator's socket in its data directory, or
--host URL with --token TOKEN (also STAMPMILL_HOST and STAMPMILL_TOKEN).

Exit codes:
  0    done; the build is green (success, warnings or skipped)
  1    the build failed
  2    the command makes no sense, or was refused: the message says what to mend
  3    the host or something else that it needs is not there: trying again may help
  4    the build ended by exception or was cancelled, or Stampmill itself is broken
  130  Ctrl-C while waiting for a build, which goes on, or in `demo`";

/// A continuous-integration server: every extension is a WebAssembly component, every step runs in a sandbox.
#[derive(Parser, Debug)]
#[command(name = "stampmill", version, after_help = EXAMPLES, max_term_width = 110, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands, in the order in which a new user meets them.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Take the tour: a sample repository, a host, a worker; a commit is polled, built and reported
    Demo(DemoArgs),
    /// Write a starter configuration for a git repository
    Init(InitArgs),
    /// Run the host with its web pages, and a worker beside it
    Up(HostArgs),
    /// Run the host alone
    Host(HostArgs),
    /// Run a worker, which connects to a host
    Worker(WorkerArgs),
    /// Check the configuration and every plugin, and show what each may do
    Check(CheckArgs),
    /// Run a job on this machine, without a server, in the same sandbox
    Run(RunArgs),
    /// Look at plugins
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Send a change to a host, as a version control hook does
    Change(ChangeArgs),
    /// Build now
    Force(ForceArgs),
    /// Build your work tree before it is committed
    Try(TryArgs),
    /// List builds, newest first
    Builds(BuildsArgs),
    /// Show the log of a build
    Log(LogArgs),
    /// Let a request be built that awaits approval, or refuse it
    Approve(ApproveArgs),
    /// End a build, or a request that waits
    Cancel(CancelArgs),
    /// Build again, with the same sources and properties
    Rebuild(RebuildArgs),
    /// Why a request waits, why a build exists, why a change was or was not built
    Explain(ExplainArgs),
    /// List, disable and enable schedulers while the host runs
    #[command(subcommand)]
    Scheduler(SchedulerCommand),
    /// Let a worker finish what it has and get no more builds
    Pause(PauseArgs),
    /// Pause a worker and say, or wait for, when it has no build left
    Drain(DrainArgs),
    /// Let a worker have builds again
    Resume(ResumeArgs),
    /// Let the host read its configuration again; builds go on
    Reload(TargetArgs),
    /// Add, list and remove the people who may log in
    #[command(subcommand)]
    User(UserCommand),
    /// List the people who make changes, say what else they are known by, merge those who are one
    #[command(subcommand)]
    Person(PersonCommand),
    /// Make, list and revoke tokens for programs
    #[command(subcommand)]
    Token(TokenCommand),
    /// Make the token by which a worker connects; its earlier one ends
    WorkerToken(WorkerTokenArgs),
    /// Print completions for a shell
    #[command(
        after_help = "Example:\n  stampmill completions bash > ~/.local/share/bash-completion/completions/stampmill"
    )]
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Where a host runs.
#[derive(Args, Debug)]
#[command(
    after_help = "Prints `listening on http://ADDR:PORT` on standard output when ready. SIGHUP reloads the configuration."
)]
pub(crate) struct HostArgs {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "stampmill.toml", env = "STAMPMILL_CONFIG")]
    pub(crate) config: PathBuf,
    /// Where everything is kept [default: the configuration's `data`, else stampmill-data beside it]
    #[arg(long, value_name = "DIR", env = "STAMPMILL_DATA")]
    pub(crate) data: Option<PathBuf>,
    /// The address; port 0 picks a free one [default: the configuration's `listen`, else 127.0.0.1:8010]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<String>,
}

/// The tour.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  stampmill demo --once && echo it works here")]
pub(crate) struct DemoArgs {
    /// End with the first build; exit code 0 when it is green
    #[arg(long)]
    pub(crate) once: bool,
    /// Keep everything here instead of in a directory that goes away
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Use this configuration instead of the sample's
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The address [default: 127.0.0.1:0, a free port]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<String>,
}

/// A starter configuration.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  stampmill init\n  stampmill init ~/src/app\n  stampmill init https://git.example/app.git --branch main"
)]
pub(crate) struct InitArgs {
    /// A directory with a git repository, or the address of one
    #[arg(value_name = "DIR|REPO", default_value = ".")]
    pub(crate) repository: String,
    /// The branch to build [default: the one that is checked out, else main]
    #[arg(long)]
    pub(crate) branch: Option<String>,
    /// Where to write the configuration; a file that is there is never touched
    #[arg(long, value_name = "FILE", default_value = "stampmill.toml")]
    pub(crate) config: PathBuf,
}

/// A worker on its own machine.
#[derive(Args, Debug)]
#[command(after_help = "\
The configuration names the host, the worker and the file with its token:
  name = \"w1\"
  host = \"https://ci.example\"
  token-file = \"/etc/stampmill/w1.token\"    # printed by `stampmill worker-token w1`
  state-dir = \"/var/lib/stampmill-worker\"
  [allow]                                  # the most that steps may do here, whatever the host grants
  command = [\"*\"]")]
pub(crate) struct WorkerArgs {
    /// The worker's own configuration
    #[arg(long, value_name = "FILE", default_value = "stampmill-worker.toml", env = "STAMPMILL_WORKER_CONFIG")]
    pub(crate) config: PathBuf,
}

/// A check.
#[derive(Args, Debug)]
#[command(after_help = "\
Every plugin is started with its configuration. New plugins are pinned in stampmill.lock beside the
configuration; keep that file under version control. In a pipeline use --locked.")]
pub(crate) struct CheckArgs {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "stampmill.toml", env = "STAMPMILL_CONFIG")]
    pub(crate) config: PathBuf,
    /// Refuse when a plugin would have to be pinned, instead of writing stampmill.lock
    #[arg(long)]
    pub(crate) locked: bool,
}

/// A job on this machine.
#[derive(Args, Debug)]
#[command(after_help = "\
What is built is the commit that is checked out and every edit since, new files too, unless git ignores
them. Logs are on standard output, all else on standard error. Ctrl-C ends the job, and once more at once.

Examples:
  stampmill run check
  stampmill run check --dir ~/src/app --property fast:=true
  stampmill run release --dir app=~/src/app --dir docs=~/src/docs")]
pub(crate) struct RunArgs {
    /// The job's name in the configuration
    pub(crate) job: String,
    /// The git work tree to build; with several codebases CODEBASE=DIR for each [default: this directory]
    #[arg(long = "dir", value_name = "[CODEBASE=]DIR")]
    pub(crate) dirs: Vec<String>,
    /// A property, NAME=TEXT or NAME:=JSON; may be repeated
    #[arg(short, long = "property", value_name = "NAME=VALUE", value_parser = parse_property)]
    pub(crate) properties: Vec<(String, serde_json::Value)>,
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "stampmill.toml", env = "STAMPMILL_CONFIG")]
    pub(crate) config: PathBuf,
    /// Where work directories and compiled plugins are kept from run to run [default: in the user's cache directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

/// Plugins.
#[derive(Subcommand, Debug)]
pub(crate) enum PluginCommand {
    /// Show what a plugin is, asks for, and how it is configured; nothing of it is run
    #[command(
        after_help = "Examples:\n  stampmill plugin inspect git\n  stampmill plugin inspect ./my-step.wasm --json"
    )]
    Inspect {
        /// A component file, a plugin of this program, or one that the configuration names
        #[arg(value_name = "FILE|NAME")]
        plugin: String,
        /// The configuration that may name it
        #[arg(long, value_name = "FILE", default_value = "stampmill.toml", env = "STAMPMILL_CONFIG")]
        config: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// List the plugins of this program and those that the configuration names
    List {
        /// The configuration
        #[arg(long, value_name = "FILE", default_value = "stampmill.toml", env = "STAMPMILL_CONFIG")]
        config: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// `name=text`, or `name:=JSON`.
fn parse_file(text: &str) -> Result<(String, std::path::PathBuf), String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => Ok((name.to_owned(), path.into())),
        _ => Err("write NAME=PATH".to_owned()),
    }
}

fn parse_property(text: &str) -> Result<(String, serde_json::Value), String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err("write NAME=VALUE, or NAME:=JSON".to_owned());
    };
    let (name, value) = match name.strip_suffix(':') {
        Some(name) => {
            let value = serde_json::from_str(value).map_err(|error| format!("`{value}` is no JSON: {error}"))?;
            (name, value)
        }
        None => (name, serde_json::Value::String(value.to_owned())),
    };
    if name.is_empty() { Err("the name is missing".to_owned()) } else { Ok((name.to_owned(), value)) }
}

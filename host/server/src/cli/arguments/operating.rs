//! Commands for those who answer for a host while it runs.

use clap::{Args, Subcommand};

use super::Target;

/// Schedulers.
#[derive(Subcommand, Debug)]
pub(crate) enum SchedulerCommand {
    /// List schedulers, what each waits with, and who has disabled it
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Let a scheduler start nothing until it is enabled; changes that come meanwhile are not for it
    #[command(after_help = "Example:\n  stampmill scheduler disable nightly --reason 'the test machines move'")]
    Disable {
        /// The scheduler
        name: String,
        /// Why, for people
        #[arg(short = 'm', long, default_value = "", hide_default_value = true)]
        reason: String,
        #[command(flatten)]
        target: Target,
    },
    /// Enable a scheduler again: it goes on with what it waited with
    Enable {
        /// The scheduler
        name: String,
        #[command(flatten)]
        target: Target,
    },
}

/// A worker that is to get no more builds.
#[derive(Args, Debug)]
#[command(after_help = "\
What the worker has it finishes. A pause outlives the host and the worker; `stampmill resume` ends it.

Example:
  stampmill pause w1 --reason 'a new disk'")]
pub(crate) struct PauseArgs {
    /// The worker
    pub(crate) worker: String,
    /// Why, for people
    #[arg(short = 'm', long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// A worker that is to run empty.
#[derive(Args, Debug)]
#[command(after_help = "\
This is a pause that says when the worker is empty. Its process goes on: end it on its machine, and let it
have builds again with `stampmill resume`.

Example:
  stampmill drain w1 --wait && ssh w1 systemctl stop stampmill-worker")]
pub(crate) struct DrainArgs {
    /// The worker
    pub(crate) worker: String,
    /// End when it has no build left
    #[arg(long)]
    pub(crate) wait: bool,
    /// Why, for people
    #[arg(short = 'm', long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// A worker that gets builds again.
#[derive(Args, Debug)]
pub(crate) struct ResumeArgs {
    /// The worker
    pub(crate) worker: String,
    #[command(flatten)]
    pub(crate) target: Target,
}

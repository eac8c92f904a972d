//! Commands for those who answer for a host while it runs.

use clap::Subcommand;

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

//! Commands for people and tokens. With no host running they open the store themselves.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use stampmill_service::Role;

use super::Target;

/// What somebody may do.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RoleWord {
    /// Sees
    Viewer,
    /// Starts and ends builds
    Developer,
    /// Approves what is built, sends changes
    Operator,
    /// Everything, users and tokens too
    Admin,
}

impl From<RoleWord> for Role {
    fn from(word: RoleWord) -> Self {
        match word {
            RoleWord::Viewer => Self::Viewer,
            RoleWord::Developer => Self::Developer,
            RoleWord::Operator => Self::Operator,
            RoleWord::Admin => Self::Admin,
        }
    }
}

/// People.
#[derive(Subcommand, Debug)]
pub(crate) enum UserCommand {
    /// Add somebody; asks for the password, or reads it as a line from standard input
    #[command(
        after_help = "Examples:\n  stampmill user add ada --role admin\n  pass show ci/ada | stampmill user add ada"
    )]
    Add {
        /// Name for the login
        name: String,
        /// What they may do
        #[arg(long, value_enum, default_value_t = RoleWord::Developer)]
        role: RoleWord,
        #[command(flatten)]
        target: Target,
    },
    /// List everybody
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Remove somebody with their sessions and tokens
    Remove {
        /// Name for the login
        name: String,
        #[command(flatten)]
        target: Target,
    },
    /// Set a password and end the sessions of whoever used the old one
    Password {
        /// Name for the login
        name: String,
        #[command(flatten)]
        target: Target,
    },
    /// Change what somebody may do
    Role {
        /// Name for the login
        name: String,
        /// What they may do
        #[arg(value_enum)]
        role: RoleWord,
        #[command(flatten)]
        target: Target,
    },
}

/// Tokens.
#[derive(Subcommand, Debug)]
pub(crate) enum TokenCommand {
    /// Make a token; the secret is printed once, on standard output
    #[command(after_help = "Example:\n  STAMPMILL_TOKEN=$(stampmill token create deploy --role developer --days 90)")]
    Create {
        /// What it is for
        name: String,
        /// What it may be used for
        #[arg(long, value_enum, default_value_t = RoleWord::Developer)]
        role: RoleWord,
        /// Whose it is [default: its own name]
        #[arg(long)]
        user: Option<String>,
        /// How long it holds [default: until it is revoked]
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: Option<u32>,
        #[command(flatten)]
        target: Target,
    },
    /// List tokens, without their secrets
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        target: Target,
    },
    /// End a token
    Revoke {
        /// Its id, as `token list` shows it
        id: String,
        #[command(flatten)]
        target: Target,
    },
}

/// A worker's token.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  stampmill worker-token w1 > w1.token")]
pub(crate) struct WorkerTokenArgs {
    /// The worker's name in the configuration
    pub(crate) worker: String,
    /// The configuration, which must have the worker
    #[arg(long, value_name = "FILE", default_value = "stampmill.toml", env = "STAMPMILL_CONFIG")]
    pub(crate) config: PathBuf,
    #[command(flatten)]
    pub(crate) target: Target,
}

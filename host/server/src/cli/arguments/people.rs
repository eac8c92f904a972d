//! Commands for people: who makes changes, and whom builds concern. With no host running they open the store themselves.

use clap::Subcommand;

use super::Target;

/// Who makes changes.
#[derive(Subcommand, Debug)]
pub(crate) enum PersonCommand {
    /// List everybody, whoever became known last first
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Show who somebody is, by anything that they are known by
    #[command(
        after_help = "Examples:\n  stampmill person show ann@example.org\n  stampmill person show irc:ann_\n  stampmill person show 7"
    )]
    Show {
        /// An id, KIND:VALUE, or the value of any attribute
        who: String,
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Add somebody who has made no change yet
    #[command(
        after_help = "Example:\n  stampmill person add 'Ann Example' email:ann@example.org irc:ann_ svn:aexample"
    )]
    Add {
        /// What to call them
        name: String,
        /// What they are known by, each as KIND:VALUE
        #[arg(value_name = "KIND:VALUE")]
        attributes: Vec<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Change what somebody is called or known by
    #[command(
        after_help = "Examples:\n  stampmill person update ann@example.org --add irc:ann_ --remove email:ann@old.example\n  stampmill person update 7 --add user:ann        whoever logs in as ann is person 7"
    )]
    Update {
        /// An id, KIND:VALUE, or the value of any attribute
        who: String,
        /// What to call them from now on
        #[arg(long)]
        name: Option<String>,
        /// What they are known by as well
        #[arg(long, value_name = "KIND:VALUE")]
        add: Vec<String>,
        /// What they are no longer known by
        #[arg(long, value_name = "KIND:VALUE")]
        remove: Vec<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Make one of two who turned out to be the same person
    #[command(after_help = "Example:\n  stampmill person merge ann@home.example ann@example.org")]
    Merge {
        /// Who is no more
        from: String,
        /// Who gets all that they are known by, and keeps name and id
        into: String,
        #[command(flatten)]
        target: Target,
    },
    /// Forget somebody; their next change makes them known again
    Remove {
        /// An id, KIND:VALUE, or the value of any attribute
        who: String,
        #[command(flatten)]
        target: Target,
    },
}

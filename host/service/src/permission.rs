//! Who may do what: one table.

use std::fmt;

/// What a person or program may be. Each may do what those before it may.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees.
    Viewer,
    /// Starts and ends builds.
    Developer,
    /// Answers for what is built: approves, sends changes, switches schedulers, pauses workers.
    Operator,
    /// Everything, users and tokens too.
    Admin,
}

impl Role {
    /// Every role, least first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Developer, Self::Operator, Self::Admin];

    /// The word, as in the API, the database and the user interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Developer => "developer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// The role that a word names.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What can be done through the door.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// See builds, logs, changes, workers, plugins, events and metrics.
    Read,
    /// Force a build.
    Force,
    /// Have a patch built.
    Try,
    /// End a build or a request.
    Cancel,
    /// Build again.
    Rebuild,
    /// Ask a poller to look now.
    PollNow,
    /// Approve or refuse untrusted sources.
    Approve,
    /// Submit source stamps of one's own choice.
    Submit,
    /// Send a change.
    SendChange,
    /// Disable and enable schedulers.
    SwitchSchedulers,
    /// Pause and resume workers.
    PauseWorkers,
    /// See notices that could not be delivered: their errors may name addresses.
    ReadNotices,
    /// Read the configuration again.
    Reload,
    /// See and change users; change what is known of people, and whose login is whose.
    ManageUsers,
    /// See, make and revoke tokens.
    ManageTokens,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 15] = [
        Self::Read,
        Self::Force,
        Self::Try,
        Self::Cancel,
        Self::Rebuild,
        Self::PollNow,
        Self::Approve,
        Self::Submit,
        Self::SendChange,
        Self::SwitchSchedulers,
        Self::PauseWorkers,
        Self::ReadNotices,
        Self::Reload,
        Self::ManageUsers,
        Self::ManageTokens,
    ];

    /// The table: the least role that may do it.
    #[must_use]
    pub const fn least_role(self) -> Role {
        match self {
            Self::Read => Role::Viewer,
            Self::Force | Self::Try | Self::Cancel | Self::Rebuild | Self::PollNow => Role::Developer,
            Self::Approve
            | Self::Submit
            | Self::SendChange
            | Self::SwitchSchedulers
            | Self::PauseWorkers
            | Self::ReadNotices => Role::Operator,
            Self::Reload | Self::ManageUsers | Self::ManageTokens => Role::Admin,
        }
    }

    /// What is done, to follow "may not".
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Force => "force builds",
            Self::Try => "try patches",
            Self::Cancel => "cancel builds",
            Self::Rebuild => "rebuild",
            Self::PollNow => "ask for a poll",
            Self::Approve => "approve builds",
            Self::Submit => "submit source stamps",
            Self::SendChange => "send changes",
            Self::SwitchSchedulers => "disable and enable schedulers",
            Self::PauseWorkers => "pause and resume workers",
            Self::ReadNotices => "see undelivered notices",
            Self::Reload => "reload the configuration",
            Self::ManageUsers => "manage users",
            Self::ManageTokens => "manage tokens",
        }
    }
}

/// What a route asks of whoever calls it. Every route of API and pages names one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Permission {
    /// Anybody: it shows nothing of what is built (health, static files, the login form).
    Open,
    /// Anybody, as the plugin of the hook checks the sender's signature.
    CheckedByPlugin,
    /// Whoever has the least role of the action.
    Needs(Action),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_permissions_is_as_documented() {
        let table: Vec<_> = Action::ALL.iter().map(|action| (*action, action.least_role())).collect();
        assert_eq!(
            table,
            [
                (Action::Read, Role::Viewer),
                (Action::Force, Role::Developer),
                (Action::Try, Role::Developer),
                (Action::Cancel, Role::Developer),
                (Action::Rebuild, Role::Developer),
                (Action::PollNow, Role::Developer),
                (Action::Approve, Role::Operator),
                (Action::Submit, Role::Operator),
                (Action::SendChange, Role::Operator),
                (Action::SwitchSchedulers, Role::Operator),
                (Action::PauseWorkers, Role::Operator),
                (Action::ReadNotices, Role::Operator),
                (Action::Reload, Role::Admin),
                (Action::ManageUsers, Role::Admin),
                (Action::ManageTokens, Role::Admin),
            ]
        );
    }

    #[test]
    fn each_role_may_do_what_those_before_it_may() {
        for action in Action::ALL {
            let allowed: Vec<bool> = Role::ALL.iter().map(|role| *role >= action.least_role()).collect();
            assert!(allowed.is_sorted(), "{action:?}");
            assert!(allowed[3], "{action:?}");
        }
    }

    #[test]
    fn role_words_read_back() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
        assert_eq!(Role::parse("root"), None);
    }
}

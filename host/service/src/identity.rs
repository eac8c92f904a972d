//! Who asks.

use std::sync::Arc;

use crate::error::ServiceError;
use crate::permission::{Action, Permission, Role};

/// Who asks, and by what they are known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Identity {
    /// Nobody knows.
    Anonymous {
        /// Whether even such a one may read.
        may_read: bool,
    },
    /// Came in through the administrator's socket.
    AdminSocket,
    /// A bearer token.
    Token {
        /// The token's name.
        name: Arc<str>,
        /// What it may be used for.
        role: Role,
    },
    /// A person in a browser.
    Session {
        /// The person's name.
        user: Arc<str>,
        /// What they are now, not at the login.
        role: Role,
        /// What each form of theirs must carry.
        csrf: Arc<str>,
    },
}

impl Identity {
    /// A name for owners, reasons and pages.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Anonymous { .. } => "anonymous",
            Self::AdminSocket => "administrator",
            Self::Token { name, .. } => name,
            Self::Session { user, .. } => user,
        }
    }

    /// Their role, if they have one.
    #[must_use]
    pub const fn role(&self) -> Option<Role> {
        match self {
            Self::Anonymous { .. } => None,
            Self::AdminSocket => Some(Role::Admin),
            Self::Token { role, .. } | Self::Session { role, .. } => Some(*role),
        }
    }

    /// Whether they may do this; for pages that leave out what can't be used.
    #[must_use]
    pub fn may(&self, action: Action) -> bool {
        self.require(action).is_ok()
    }

    /// Refuses whoever may not do this.
    pub fn require(&self, action: Action) -> Result<(), ServiceError> {
        let least = action.least_role();
        match self {
            Self::Anonymous { may_read: true } if action == Action::Read => Ok(()),
            Self::Anonymous { .. } => Err(ServiceError::LoginNeeded { action, least }),
            Self::AdminSocket => Ok(()),
            Self::Token { role, .. } | Self::Session { role, .. } if *role >= least => Ok(()),
            Self::Token { name, role } => {
                Err(ServiceError::RoleTooLow { name: format!("the token {name}"), role: *role, action, least })
            }
            Self::Session { user, role, .. } => {
                Err(ServiceError::RoleTooLow { name: user.to_string(), role: *role, action, least })
            }
        }
    }

    /// Refuses whoever lacks what a route asks for.
    pub fn permitted(&self, permission: Permission) -> Result<(), ServiceError> {
        match permission {
            Permission::Open | Permission::CheckedByPlugin => Ok(()),
            Permission::Needs(action) => self.require(action),
        }
    }

    /// What each form of this person must carry; empty for whoever is not a person in a browser.
    #[must_use]
    pub fn csrf(&self) -> &str {
        match self {
            Self::Session { csrf, .. } => csrf,
            Self::Anonymous { .. } | Self::AdminSocket | Self::Token { .. } => "",
        }
    }

    /// Whether a browser may have been led to send this without the person's will: true where the browser adds the credentials by itself, or
    /// where being able to reach the host is all that is needed.
    #[must_use]
    pub const fn may_be_led(&self) -> bool {
        match self {
            Self::Anonymous { .. } | Self::Session { .. } => true,
            Self::AdminSocket | Self::Token { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anonymous_may_read_where_reading_is_open_and_nothing_else() {
        for action in Action::ALL {
            assert_eq!(Identity::Anonymous { may_read: true }.may(action), action == Action::Read, "{action:?}");
            assert!(!Identity::Anonymous { may_read: false }.may(action), "{action:?}");
            assert!(Identity::AdminSocket.may(action), "{action:?}");
        }
    }

    #[test]
    fn a_refusal_says_who_may_what_and_which_role_it_needs() {
        let token = Identity::Token { name: "ci".into(), role: Role::Viewer };
        assert_eq!(
            token.require(Action::Force).unwrap_err().to_string(),
            "the token ci is a viewer and may not force builds; that needs the role developer"
        );
        let nobody = Identity::Anonymous { may_read: true };
        assert_eq!(
            nobody.require(Action::Force).unwrap_err().to_string(),
            "this needs a login or a token: only a developer may force builds"
        );
    }
}

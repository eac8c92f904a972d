//! Why something asked of the service was not done. Whose fault it is decides the status; see [`ServiceError::kind`].

use stampmill_engine::Refusal;
use stampmill_engine::form::Fault;

use crate::access::CrossSite;
use crate::host::Unavailable;
use crate::permission::{Action, Role};

/// Why it was not done. The texts are for whoever asked; [`ServiceError::Broken`] keeps its cause to itself.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Nobody knows who asks.
    #[error("this needs a login or a token: only a {least} may {}", action.in_words())]
    LoginNeeded {
        /// What was asked.
        action: Action,
        /// Who may.
        least: Role,
    },
    /// The bearer token is not one of ours, has ended or was revoked.
    #[error("the token is unknown, has ended or was revoked")]
    BadToken,
    /// Known, but not allowed.
    #[error("{name} is a {role} and may not {}; that needs the role {least}", action.in_words())]
    RoleTooLow {
        /// Who.
        name: String,
        /// What they are.
        role: Role,
        /// What was asked.
        action: Action,
        /// Who may.
        least: Role,
    },
    /// A browser was led to send it.
    #[error(transparent)]
    CrossSite(#[from] CrossSite),
    /// Name or password is wrong.
    #[error("name or password is wrong")]
    WrongPassword,
    /// Too many failed logins.
    #[error("too many failed logins; try again in five minutes")]
    TooManyLogins,
    /// There is nothing of that name or id.
    #[error("{0}")]
    Unknown(String),
    /// It is there, but not in a state for this.
    #[error("{0}")]
    Conflict(String),
    /// The configuration does not allow it.
    #[error("{0}")]
    NotAllowed(String),
    /// What was sent makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Answers to a form can't be taken.
    #[error("{}", Refusal::Form(.0.clone()))]
    Form(Vec<Fault>),
    /// Trying again may help.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// Our own fault; the text inside is for the host's log only.
    #[error("something went wrong inside the host; its log says what")]
    Broken(String),
}

/// Whose fault it is, and with that which HTTP status it gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorKind {
    /// 400 or 422: mend what you send.
    Invalid,
    /// 401: say who you are.
    LoginNeeded,
    /// 403: you may not.
    Forbidden,
    /// 404: no such thing.
    Unknown,
    /// 409: not in this state.
    Conflict,
    /// 429: not so often.
    TooMany,
    /// 503: try again.
    Unavailable,
    /// 500: our fault.
    Broken,
}

impl ServiceError {
    /// Whose fault it is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::LoginNeeded { .. } | Self::BadToken | Self::WrongPassword => ErrorKind::LoginNeeded,
            Self::RoleTooLow { .. } | Self::CrossSite(_) | Self::NotAllowed(_) => ErrorKind::Forbidden,
            Self::TooManyLogins => ErrorKind::TooMany,
            Self::Unknown(_) => ErrorKind::Unknown,
            Self::Conflict(_) => ErrorKind::Conflict,
            Self::Invalid(_) | Self::Form(_) => ErrorKind::Invalid,
            Self::Unavailable(_) => ErrorKind::Unavailable,
            Self::Broken(_) => ErrorKind::Broken,
        }
    }

    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::LoginNeeded { .. } => "login-needed",
            Self::BadToken => "bad-token",
            Self::RoleTooLow { .. } => "role-too-low",
            Self::CrossSite(_) => "cross-site",
            Self::WrongPassword => "wrong-password",
            Self::TooManyLogins => "too-many-logins",
            Self::Unknown(_) => "unknown",
            Self::Conflict(_) => "conflict",
            Self::NotAllowed(_) => "not-allowed",
            Self::Invalid(_) | Self::Form(_) => "invalid",
            Self::Unavailable(_) => "unavailable",
            Self::Broken(_) => "broken",
        }
    }

    /// What is wrong with each field, where it is an answer to a form.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        match self {
            Self::Form(faults) => faults,
            _ => &[],
        }
    }
}

impl From<Refusal> for ServiceError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown(text) => Self::Unknown(text),
            Refusal::Conflict(text) => Self::Conflict(text),
            Refusal::NotAllowed(text) => Self::NotAllowed(text),
            Refusal::Form(faults) => Self::Form(faults),
        }
    }
}

/// An [`ServiceError::Unknown`] that names the nearest of what there is.
pub(crate) fn unknown<'a>(what: &str, name: &str, there: impl Iterator<Item = &'a str>) -> ServiceError {
    let there: Vec<&str> = there.collect();
    let nearest = there
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().max(3) / 2 + 1)
        .min();
    let mend = match nearest {
        Some((_, candidate)) => format!("; did you mean `{candidate}`?"),
        None if there.is_empty() => format!("; there is no {what} yet"),
        None if there.len() <= 10 => format!("; there are: {}", there.join(", ")),
        None => String::new(),
    };
    let shown: String = name.chars().take(100).collect();
    ServiceError::Unknown(format!("there is no {what} `{shown}`{mend}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        let error = unknown("builder", "linus", ["linux", "windows"].into_iter());
        assert_eq!(error.to_string(), "there is no builder `linus`; did you mean `linux`?");
        let error = unknown("builder", "zzzzzzzz", ["linux"].into_iter());
        assert_eq!(error.to_string(), "there is no builder `zzzzzzzz`; there are: linux");
        let error = unknown("builder", "x", std::iter::empty());
        assert_eq!(error.to_string(), "there is no builder `x`; there is no builder yet");
    }

    #[test]
    fn a_fault_of_ours_keeps_its_cause_to_itself() {
        assert!(!ServiceError::Broken("/var/lib/secret".into()).to_string().contains("secret"));
    }
}

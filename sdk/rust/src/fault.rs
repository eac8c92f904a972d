//! Whose fault it is.

use crate::bindings::capabilities::stampmill::types::types as wit;
use std::fmt;
use std::time::Duration;

/// Why a plugin, or the host, could not do what was asked. The host turns it into what the operator and the user see, so the text is lower
/// case, names the thing and the value, says the mend where there is one, and never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The configuration, the request or a grant forbids it: retrying changes nothing.
    Refused(String),
    /// The world is not answering: try again.
    Unavailable {
        /// What did not answer, and how.
        reason: String,
        /// The earliest moment to try again, from now.
        retry_after: Option<Duration>,
    },
    /// A bug in the plugin.
    Broken(String),
}

impl Fault {
    /// The configuration, the request or a grant forbids it.
    pub fn refused(reason: impl Into<String>) -> Fault {
        Fault::Refused(reason.into())
    }

    /// The world is not answering; the host chooses when to try again.
    pub fn unavailable(reason: impl Into<String>) -> Fault {
        Fault::Unavailable { reason: reason.into(), retry_after: None }
    }

    /// The world is not answering and said when to come back.
    pub fn unavailable_for(reason: impl Into<String>, retry_after: Option<Duration>) -> Fault {
        Fault::Unavailable { reason: reason.into(), retry_after }
    }

    /// A bug in the plugin.
    pub fn broken(reason: impl Into<String>) -> Fault {
        Fault::Broken(reason.into())
    }

    /// The text alone.
    pub fn reason(&self) -> &str {
        match self {
            Fault::Refused(reason) | Fault::Unavailable { reason, .. } | Fault::Broken(reason) => reason,
        }
    }

    /// The same fault with what was being done in front of its text.
    #[must_use]
    pub fn while_doing(self, doing: impl fmt::Display) -> Fault {
        match self {
            Fault::Refused(reason) => Fault::Refused(format!("{doing}: {reason}")),
            Fault::Unavailable { reason, retry_after } => {
                Fault::Unavailable { reason: format!("{doing}: {reason}"), retry_after }
            }
            Fault::Broken(reason) => Fault::Broken(format!("{doing}: {reason}")),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.reason())
    }
}

impl std::error::Error for Fault {}

/// JSON that a plugin makes or reads back itself; the text of others deserves its own words.
impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Fault {
        Fault::Broken(format!("json: {error}"))
    }
}

impl From<std::string::FromUtf8Error> for Fault {
    fn from(error: std::string::FromUtf8Error) -> Fault {
        Fault::Broken(format!("text: {error}"))
    }
}

impl From<fmt::Error> for Fault {
    fn from(error: fmt::Error) -> Fault {
        Fault::Broken(format!("formatting: {error}"))
    }
}

impl From<wit::Fault> for Fault {
    fn from(fault: wit::Fault) -> Fault {
        match fault {
            wit::Fault::Refused(reason) => Fault::Refused(reason),
            wit::Fault::Unavailable(wit::Unavailable { reason, retry_after }) => {
                Fault::Unavailable { reason, retry_after: retry_after.map(Duration::from_millis) }
            }
            wit::Fault::Broken(reason) => Fault::Broken(reason),
        }
    }
}

impl From<Fault> for wit::Fault {
    fn from(fault: Fault) -> wit::Fault {
        match fault {
            Fault::Refused(reason) => wit::Fault::Refused(reason),
            Fault::Unavailable { reason, retry_after } => {
                wit::Fault::Unavailable(wit::Unavailable { reason, retry_after: retry_after.map(milliseconds) })
            }
            Fault::Broken(reason) => wit::Fault::Broken(reason),
        }
    }
}

/// The contract counts in milliseconds; what does not fit is as good as for ever.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_crosses_the_border_and_comes_back_the_same() {
        for fault in [
            Fault::refused("no grant"),
            Fault::unavailable("down"),
            Fault::unavailable_for("busy", Some(Duration::from_millis(1500))),
            Fault::broken("bug"),
        ] {
            assert_eq!(Fault::from(wit::Fault::from(fault.clone())), fault);
        }
    }

    #[test]
    fn context_goes_in_front_and_the_kind_stays() {
        let fault = Fault::unavailable_for("busy", Some(Duration::from_secs(2))).while_doing("fetching");
        assert_eq!(fault, Fault::unavailable_for("fetching: busy", Some(Duration::from_secs(2))));
    }
}

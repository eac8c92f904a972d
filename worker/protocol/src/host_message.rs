//! What the host says to a worker.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Order, Secret, TriggerState};

/// One message from the host.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum HostMessage {
    /// The worker may stay. Nothing else is sent before it.
    Welcome {
        /// Version of the host's program.
        host_version: String,
        /// What the host has of the builds in the worker's greeting; the worker goes on after these. May be empty: then the worker goes by what
        /// was acknowledged before.
        #[serde(default)]
        acknowledged: Vec<Acknowledged>,
    },
    /// The host will not talk to this worker; it closes the connection after this.
    Refused {
        /// For programs.
        cause: RefusalCause,
        /// For people.
        reason: String,
    },
    /// Run this build. The worker answers with the event `accepted` or `declined`.
    Dispatch {
        /// The whole build.
        order: Box<Order>,
        /// The values of the secrets that its steps' grants name; none for an untrusted build.
        #[serde(default)]
        secrets: Vec<Secret>,
    },
    /// End this build. The worker answers with the event `finished`; of a build that it does not hold, with nothing.
    CancelBuild {
        /// Which build.
        build: u64,
        /// Who and why.
        reason: String,
    },
    /// The host knows nothing of this build, or no longer wants it: kill it, say no more of it.
    Forget {
        /// Which build.
        build: u64,
    },
    /// Everything of this build up to and including this sequence is durable.
    Acknowledge {
        /// Which build.
        build: u64,
        /// The highest durable sequence.
        sequence: u64,
    },
    /// How far a buildset is that a build of the worker's has triggered. Said again after each reconnection.
    Triggered {
        /// Which build.
        build: u64,
        /// The number of the wish.
        number: u32,
        /// How far.
        state: TriggerState,
    },
    /// A step has its locks and may begin. Said again after each reconnection.
    LocksTaken {
        /// Which build.
        build: u64,
        /// Number of the step.
        step: u32,
    },
    /// Answers [`crate::WorkerMessage::GetComponent`].
    Component {
        /// As it was asked for.
        digest: String,
        /// The component; the worker checks the digest.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// Answers [`crate::WorkerMessage::GetComponent`] when there is none.
    NoComponent {
        /// As it was asked for.
        digest: String,
        /// Why.
        reason: String,
    },
    /// Asks whether the worker is there.
    Ping {
        /// Comes back in the answer.
        number: u64,
    },
}

/// How much of a build the host has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Acknowledged {
    /// Which build.
    pub build: u64,
    /// The highest durable sequence; 0 for none.
    pub sequence: u64,
}

/// Why a worker was refused. A cause that this version does not know is kept as [`RefusalCause::Other`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum RefusalCause {
    /// The token is wrong, or was revoked.
    BadToken,
    /// No worker of this name is configured.
    UnknownWorker,
    /// The two speak different versions of the protocol.
    Protocol,
    /// A worker of the same name has connected since, or is connected.
    Replaced,
    /// The host ends.
    ShuttingDown,
    /// Another word.
    Other(String),
}

impl RefusalCause {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::BadToken => "bad-token",
            Self::UnknownWorker => "unknown-worker",
            Self::Protocol => "protocol",
            Self::Replaced => "replaced",
            Self::ShuttingDown => "shutting-down",
            Self::Other(word) => word,
        }
    }
}

impl From<String> for RefusalCause {
    fn from(word: String) -> Self {
        match word.as_str() {
            "bad-token" => Self::BadToken,
            "unknown-worker" => Self::UnknownWorker,
            "protocol" => Self::Protocol,
            "replaced" => Self::Replaced,
            "shutting-down" => Self::ShuttingDown,
            _ => Self::Other(word),
        }
    }
}

impl From<RefusalCause> for String {
    fn from(cause: RefusalCause) -> Self {
        cause.as_str().to_owned()
    }
}

impl fmt::Display for RefusalCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

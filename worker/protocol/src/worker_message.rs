//! What a worker says to the host.

use serde::{Deserialize, Serialize};

use crate::{Event, Info, LogFrame};

/// One message from a worker.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum WorkerMessage {
    /// The first message of a connection.
    Hello {
        /// [`crate::PROTOCOL`] of the worker.
        protocol: u32,
        /// Its name in the host's configuration; the token must be of this name.
        name: String,
        /// What it is and can do.
        info: Info,
        /// The builds that it runs, and finished ones of which something is unacknowledged. A build that the host gave to this worker and that
        /// is not in the list is lost: the worker was restarted.
        builds: Vec<HeldBuild>,
    },
    /// Something happened in a build.
    Told {
        /// Which build.
        build: u64,
        /// Place in the build's sequence, from 1.
        sequence: u64,
        /// What happened.
        event: Event,
    },
    /// Pieces of the logs of a build.
    Logs {
        /// Which build.
        build: u64,
        /// Place in the build's sequence, shared with [`WorkerMessage::Told`].
        sequence: u64,
        /// In order.
        frames: Vec<LogFrame>,
    },
    /// Asks for a component.
    GetComponent {
        /// SHA-256, 64 lower-case hexadecimal digits.
        digest: String,
    },
    /// The worker leaves for good and takes no more builds.
    Goodbye {
        /// Why, in words for people.
        reason: String,
    },
    /// Answers [`crate::HostMessage::Ping`].
    Pong {
        /// The number of the ping.
        number: u64,
    },
}

/// A build that a worker holds when it connects.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HeldBuild {
    /// Which build.
    pub build: u64,
    /// The highest sequence that the worker has given out so far; 0 for none.
    pub last_sequence: u64,
}

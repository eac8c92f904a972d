//! What happens in a build.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::TriggerWish;

/// How a step or a build ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// All is well.
    Success,
    /// Well, with something to look at.
    Warnings,
    /// The code under test is at fault.
    Failure,
    /// Its condition said not to run.
    Skipped,
    /// Stampmill, a plugin or the machine is at fault.
    Exception,
    /// Thrown away through no fault of the code; its request goes back to the queue.
    Retry,
    /// A person or a rule ended it.
    Cancelled,
}

/// One thing that happened in a build. Times are milliseconds since 1970 by the worker's clock.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Event {
    /// The worker has taken the build.
    Accepted,
    /// A step is next, and wants its locks; the host answers [`crate::HostMessage::LocksTaken`] once it has them.
    LocksWanted {
        /// Number of the step.
        step: u32,
    },
    /// The worker will not run it; nothing follows.
    Declined {
        /// Why.
        reason: String,
    },
    /// A step has begun.
    StepStarted {
        /// Number of the step, from 0.
        step: u32,
        /// When.
        at: u64,
    },
    /// A step says how it is doing.
    StepSummary {
        /// Number of the step.
        step: u32,
        /// One line.
        summary: String,
    },
    /// A step has opened a log; its frames follow.
    LogOpened {
        /// Number of the step.
        step: u32,
        /// The log's name, unique in the step.
        log: String,
    },
    /// A property has a new value.
    PropertySet {
        /// Its name.
        name: String,
        /// Any JSON value.
        value: serde_json::Value,
        /// Number of the step that set it.
        step: u32,
    },
    /// A step has tried to reach something over the network; this replaces what was told of it before.
    NetworkTried {
        /// Number of the step.
        step: u32,
        /// Attempts that are alike are one of these, at most [`crate::limits::NETWORK_ATTEMPTS_MAX`].
        attempts: Vec<NetworkAttempt>,
        /// How many more attempts there were for which the list had no room.
        unlisted: u64,
    },
    /// A step wants a buildset; the host answers [`crate::HostMessage::Triggered`] once it is stored, and again when it is complete.
    Triggered {
        /// Number of the step.
        step: u32,
        /// What it wants.
        wish: TriggerWish,
    },
    /// A step has ended, or was passed over; no frame of its logs follows.
    StepFinished {
        /// Number of the step.
        step: u32,
        /// How.
        outcome: Outcome,
        /// One line, may be empty.
        summary: String,
        /// When.
        at: u64,
    },
    /// The build has ended; nothing follows.
    Finished {
        /// How.
        outcome: Outcome,
        /// One line, may be empty.
        summary: String,
        /// When.
        at: u64,
        /// How the program ended that decided the outcome, if one did. Older workers do not say, and older hosts do not read it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        program: Option<ProgramEnd>,
    },
}

/// How a native program ended by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProgramEnd {
    /// With this code.
    Exited(i32),
    /// By this signal.
    Signalled(u32),
}

/// Attempts to reach one place in one way, with one end.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NetworkAttempt {
    /// How it was asked for.
    pub protocol: NetworkProtocol,
    /// Where to: `host:port`, or the beginning of what was said where that was no place.
    pub target: String,
    /// The address that was connected to, or that was the reason for not doing so.
    pub address: Option<IpAddr>,
    /// What came of it.
    pub end: NetworkEnd,
    /// One line; empty for a connection.
    pub why: String,
    /// How many there were.
    pub count: u64,
}

/// How a step asks for a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkProtocol {
    /// A native program, by HTTP CONNECT.
    Connect,
    /// A native program, by SOCKS5.
    Socks5,
    /// A native program, by a plain HTTP request to the proxy.
    Http,
    /// The plugin itself.
    Plugin,
}

/// What came of an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkEnd {
    /// There was a connection.
    Connected,
    /// It was not allowed.
    Refused,
    /// It was allowed, and the world did not answer.
    Failed,
}

//! Builds, their steps, and what a worker says of them.

use std::net::IpAddr;

use crate::{
    BuildId, BuilderName, BuildsetId, HeldLock, LockState, Outcome, Properties, RequestId, SourceStamp, Trigger,
    TriggerWish, Wall, WorkerName,
};

/// The name of a log of a step, such as `stdio`.
pub type LogName = String;

/// One run of a job on a worker.
#[derive(Clone, PartialEq, Debug)]
pub struct Build {
    /// Its id, unique on this host.
    pub id: BuildId,
    /// Counts from 1 for each builder.
    pub number: u64,
    /// The builder that it belongs to.
    pub builder: BuilderName,
    /// The project of the builder, or empty.
    pub project: String,
    /// The request that it answers: of several, the one whose turn it was.
    pub request: RequestId,
    /// The set of that request.
    pub buildset: BuildsetId,
    /// Other requests that it answers as well, in the order of their turn.
    pub merged: Vec<Merged>,
    /// Which try of the request this is, from 1.
    pub attempt: u32,
    /// Where it runs.
    pub worker: WorkerName,
    /// Why it exists, in words for people.
    pub reason: String,
    /// The person who asked for it, if one did.
    pub owner: Option<String>,
    /// One for each codebase.
    pub stamps: Vec<SourceStamp>,
    /// Authors of its changes and whoever asked for it.
    pub blamelist: Vec<String>,
    /// As they are now.
    pub properties: Properties,
    /// In the order of the job; steps that wait are in the list already.
    pub steps: Vec<Step>,
    /// What it has until it ends.
    pub locks: Vec<HeldLock>,
    /// Buildsets that its steps asked for, in that order.
    pub triggers: Vec<Trigger>,
    /// When the host gave it to the worker.
    pub started_at: Wall,
    /// How far it is.
    pub state: BuildState,
}

impl Build {
    /// The requests that it answers, the one whose turn it was first.
    pub fn requests(&self) -> impl Iterator<Item = RequestId> {
        std::iter::once(self.request).chain(self.merged.iter().map(|merged| merged.request))
    }

    /// The sets of those requests.
    pub fn buildsets(&self) -> impl Iterator<Item = BuildsetId> {
        std::iter::once(self.buildset).chain(self.merged.iter().map(|merged| merged.buildset))
    }
}

/// A request that is answered by the build of another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Merged {
    /// Which request.
    pub request: RequestId,
    /// Its set.
    pub buildset: BuildsetId,
}

/// How far a build is.
#[derive(Clone, PartialEq, Debug)]
pub enum BuildState {
    /// Given to the worker, which has not answered yet.
    Dispatched,
    /// The worker drives it.
    Running,
    /// Someone asked to end it and the worker has not answered yet.
    Cancelling {
        /// Who and why.
        reason: String,
    },
    /// It has ended.
    Finished {
        /// How.
        outcome: Outcome,
        /// One line for people, may be empty.
        summary: String,
        /// When, by the clock of whoever ended it.
        at: Wall,
    },
}

/// One step of a build.
#[derive(Clone, PartialEq, Debug)]
pub struct Step {
    /// Position in the build, from 0.
    pub number: u32,
    /// From the configuration, or the plugin's name.
    pub name: String,
    /// One line for people, may be empty.
    pub summary: String,
    /// Logs in order of opening.
    pub logs: Vec<LogName>,
    /// What it tried to reach.
    pub network: Network,
    /// What it must have while it runs.
    pub locks: Vec<HeldLock>,
    /// Whether it has them.
    pub lock_state: LockState,
    /// How far it is.
    pub state: StepState,
}

impl Step {
    /// Whether it has neither begun nor been passed over.
    #[must_use]
    pub const fn is_to_come(&self) -> bool {
        matches!(self.state, StepState::Waiting)
    }
}

/// What a step tried to reach over the network. Attempts that are alike are one entry with a count.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Network {
    /// In order of the first of each.
    pub attempts: Vec<NetworkAttempt>,
    /// How many more attempts there were for which the list had no room.
    pub unlisted: u64,
}

/// Attempts of a step to reach one place in one way, with one end.
#[derive(Clone, PartialEq, Eq, Debug)]
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
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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

impl NetworkProtocol {
    /// The word for it in the API and on pages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Socks5 => "socks5",
            Self::Http => "http",
            Self::Plugin => "plugin",
        }
    }
}

/// What came of an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NetworkEnd {
    /// There was a connection.
    Connected,
    /// It was not allowed.
    Refused,
    /// It was allowed, and the world did not answer.
    Failed,
}

impl NetworkEnd {
    /// The word for it in the API and on pages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// How far a step is.
#[derive(Clone, PartialEq, Debug)]
pub enum StepState {
    /// Not started.
    Waiting,
    /// Running.
    Running {
        /// Since when, by the worker's clock.
        started_at: Wall,
    },
    /// Ended, or never run.
    Finished {
        /// When it started, by the worker's clock; equal to the end for a step that was not run.
        started_at: Wall,
        /// When it ended.
        at: Wall,
        /// How.
        outcome: Outcome,
    },
}

/// What a worker says of a build, in order.
#[derive(Clone, PartialEq, Debug)]
pub enum BuildEvent {
    /// The worker has taken the build.
    Accepted,
    /// A step is next, and wants its locks; it begins when the host has said that it has them.
    LocksWanted {
        /// Which.
        step: u32,
    },
    /// The worker will not run it; it goes back to the queue.
    Declined {
        /// Why.
        reason: String,
    },
    /// A step has begun.
    StepStarted {
        /// Which.
        step: u32,
        /// When, by the worker's clock.
        at: Wall,
    },
    /// A step says how it is doing.
    StepSummary {
        /// Which.
        step: u32,
        /// One line.
        summary: String,
    },
    /// A step has opened a log.
    LogOpened {
        /// Which step.
        step: u32,
        /// The log's name, unique in the step.
        log: LogName,
    },
    /// A property has a new value.
    PropertySet {
        /// Its name.
        name: String,
        /// Any JSON value.
        value: serde_json::Value,
        /// The step that set it; its name becomes the source.
        step: u32,
    },
    /// A step has tried to reach something; this replaces what was told of it before.
    NetworkTried {
        /// Which.
        step: u32,
        /// All that it tried so far.
        network: Network,
    },
    /// A step wants a buildset of a triggerable scheduler.
    Triggered {
        /// Which.
        step: u32,
        /// What it wants.
        wish: Box<TriggerWish>,
    },
    /// A step has ended, or was passed over.
    StepFinished {
        /// Which.
        step: u32,
        /// How.
        outcome: Outcome,
        /// One line, may be empty.
        summary: String,
        /// When, by the worker's clock.
        at: Wall,
    },
    /// The build has ended.
    Finished {
        /// How.
        outcome: Outcome,
        /// One line, may be empty.
        summary: String,
        /// When, by the worker's clock.
        at: Wall,
        /// How the program ended that decided the outcome, if one did.
        program: Option<ProgramEnd>,
    },
}

/// How a native program ended by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProgramEnd {
    /// With this code.
    Exited(i32),
    /// By this signal.
    Signalled(u32),
}

//! Messages between host and worker. This crate opens no connection, keeps no state and knows none of the other crates' types: both sides
//! convert at their own border.
//!
//! A worker dials [`PATH`] with `Authorization: Bearer <token>` and the WebSocket subprotocol [`SUBPROTOCOL`]. Every message is one binary
//! WebSocket message: MessagePack with field names. Unknown fields are ignored, so that a message may gain fields; an unknown kind of message
//! is an error that names it. The conversation:
//!
//! 1. The worker says [`WorkerMessage::Hello`]; the host answers [`HostMessage::Welcome`] or [`HostMessage::Refused`].
//! 2. The host sends whole builds with [`HostMessage::Dispatch`]; the worker drives them by itself.
//! 3. Of each build the worker sends [`WorkerMessage::Told`] and [`WorkerMessage::Logs`], which share one sequence that counts from 1. The host
//!    answers [`HostMessage::Acknowledge`] once everything up to a sequence is durable, and drops a sequence that it has already had.
//! 4. After a reconnection the worker sends everything unacknowledged again, in order; so there is neither a gap nor a doubled line.
//!
//! Modules in reading order: [`worker_message`] and [`host_message`] are the two directions; [`info`], [`event`], [`log`], [`order`],
//! [`trigger`] and [`secret`] are what they carry; [`codec`] turns them into bytes and back; [`limits`] says how large they may be.

pub mod codec;
pub mod event;
pub mod host_message;
pub mod info;
pub mod limits;
pub mod log;
pub mod order;
pub mod secret;
pub mod trigger;
pub mod worker_message;

pub use codec::{DecodeError, EncodeError};
pub use event::{Event, NetworkAttempt, NetworkEnd, NetworkProtocol, Outcome, ProgramEnd};
pub use host_message::{Acknowledged, HostMessage, RefusalCause};
pub use info::{Info, Mechanism, Tier};
pub use log::LogFrame;
pub use order::{
    Build, Change, Grant, Job, LockUse, Order, Patch, PluginLimits, Property, PropertySource, Setting, SourceStamp,
    StepPlan,
};
pub use secret::{Secret, SecretValue};
pub use trigger::{TriggerState, TriggerVersion, TriggerWish};
pub use worker_message::{HeldBuild, WorkerMessage};

/// The version of the messages. A worker of another version is refused with [`RefusalCause::Protocol`].
pub const PROTOCOL: u32 = 1;

/// The WebSocket subprotocol that both sides name in the handshake.
pub const SUBPROTOCOL: &str = "stampmill.worker.v1";

/// Where the host listens for workers, below its own URL.
pub const PATH: &str = "/worker/v1/connect";

//! Messages to bytes and back.

use std::fmt;

use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::limits::{
    COMPONENT_BYTES_MAX, FRAME_BODY_BYTES_MAX, FRAME_RAW_BYTES_MAX, FRAMES_MAX, HELD_BUILDS_MAX,
    HOST_MESSAGE_BYTES_MAX, LINE_BYTES_MAX, LOG_NAME_BYTES_MAX, NESTING_MAX, NETWORK_ATTEMPTS_MAX,
    WORKER_MESSAGE_BYTES_MAX,
};
use crate::{Event, HostMessage, LogFrame, NetworkAttempt, WorkerMessage};

const WORKER_KINDS: [&str; 6] = ["hello", "told", "logs", "get-component", "goodbye", "pong"];
const HOST_KINDS: [&str; 9] =
    ["welcome", "refused", "dispatch", "cancel-build", "forget", "acknowledge", "component", "no-component", "ping"];

/// Why a message cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The other side would refuse it.
    #[error("a message has {bytes} bytes, the most is {limit}")]
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        limit: usize,
    },
    /// A value that MessagePack cannot carry.
    #[error("a message cannot be encoded: {0}")]
    Unencodable(#[from] rmp_serde::encode::Error),
}

/// Why received bytes are not a message.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// More bytes than any message has.
    #[error("a message has {bytes} bytes, the most is {limit}")]
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        limit: usize,
    },
    /// A kind of message that this version does not know.
    #[error("unknown kind of message `{kind}`; the other side speaks another version of the protocol")]
    UnknownKind {
        /// Its name, cut to a sane length.
        kind: String,
    },
    /// Not a message at all, or a field has the wrong type.
    #[error("a malformed `{kind}` message: {detail}")]
    Malformed {
        /// Its name, or `?`.
        kind: String,
        /// What is wrong.
        detail: String,
    },
    /// A part of the message is larger than it may be.
    #[error("{what} of {value} in a `{kind}` message, the most is {limit}")]
    Limit {
        /// Name of the message.
        kind: &'static str,
        /// Which part.
        what: &'static str,
        /// Its size.
        value: u64,
        /// The most.
        limit: u64,
    },
}

impl WorkerMessage {
    /// The bytes of one WebSocket message.
    ///
    /// # Errors
    /// When it is larger than [`WORKER_MESSAGE_BYTES_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        encode(self, WORKER_MESSAGE_BYTES_MAX)
    }

    /// Reads one WebSocket message and checks every limit.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let message: Self = decode(bytes, WORKER_MESSAGE_BYTES_MAX, &WORKER_KINDS)?;
        message.check()?;
        Ok(message)
    }

    /// Name of its kind, for logs and metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "hello",
            Self::Told { .. } => "told",
            Self::Logs { .. } => "logs",
            Self::GetComponent { .. } => "get-component",
            Self::Goodbye { .. } => "goodbye",
            Self::Pong { .. } => "pong",
        }
    }

    fn check(&self) -> Result<(), DecodeError> {
        match self {
            Self::Hello { builds, .. } => at_most("hello", "a list of held builds", builds.len(), HELD_BUILDS_MAX),
            Self::Told { event: Event::LogOpened { log, .. }, .. } => {
                at_most("told", "a log name's length", log.len(), LOG_NAME_BYTES_MAX)
            }
            Self::Told { event: Event::NetworkTried { attempts, .. }, .. } => {
                at_most("told", "a number of network attempts", attempts.len(), NETWORK_ATTEMPTS_MAX)?;
                attempts.iter().try_for_each(check_attempt)
            }
            Self::Logs { frames, .. } => {
                at_most("logs", "a number of frames", frames.len(), FRAMES_MAX)?;
                frames.iter().try_for_each(check_frame)
            }
            Self::Told { .. } | Self::GetComponent { .. } | Self::Goodbye { .. } | Self::Pong { .. } => Ok(()),
        }
    }
}

impl HostMessage {
    /// The bytes of one WebSocket message.
    ///
    /// # Errors
    /// When it is larger than [`HOST_MESSAGE_BYTES_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        encode(self, HOST_MESSAGE_BYTES_MAX)
    }

    /// Reads one WebSocket message and checks every limit.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let message: Self = decode(bytes, HOST_MESSAGE_BYTES_MAX, &HOST_KINDS)?;
        if let Self::Component { bytes, .. } = &message {
            at_most("component", "a component's size", bytes.len(), COMPONENT_BYTES_MAX)?;
        }
        Ok(message)
    }

    /// Name of its kind, for logs and metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Welcome { .. } => "welcome",
            Self::Refused { .. } => "refused",
            Self::Dispatch { .. } => "dispatch",
            Self::CancelBuild { .. } => "cancel-build",
            Self::Forget { .. } => "forget",
            Self::Triggered { .. } => "triggered",
            Self::LocksTaken { .. } => "locks-taken",
            Self::Acknowledge { .. } => "acknowledge",
            Self::Component { .. } => "component",
            Self::NoComponent { .. } => "no-component",
            Self::Ping { .. } => "ping",
        }
    }
}

fn check_frame(frame: &LogFrame) -> Result<(), DecodeError> {
    at_most("logs", "a log name's length", frame.log.len(), LOG_NAME_BYTES_MAX)?;
    at_most("logs", "a frame's raw length", frame.raw_len as usize, FRAME_RAW_BYTES_MAX as usize)?;
    at_most("logs", "a frame's newlines", frame.newlines as usize, frame.raw_len as usize)?;
    at_most("logs", "a frame's body", frame.body.len(), FRAME_BODY_BYTES_MAX)
}

fn check_attempt(attempt: &NetworkAttempt) -> Result<(), DecodeError> {
    at_most("told", "a network target's length", attempt.target.len(), LINE_BYTES_MAX)?;
    at_most("told", "a network attempt's reason's length", attempt.why.len(), LINE_BYTES_MAX)
}

fn at_most(kind: &'static str, what: &'static str, value: usize, limit: usize) -> Result<(), DecodeError> {
    if value <= limit {
        return Ok(());
    }
    Err(DecodeError::Limit { kind, what, value: value as u64, limit: limit as u64 })
}

fn encode<M: Serialize>(message: &M, limit: usize) -> Result<Vec<u8>, EncodeError> {
    let bytes = rmp_serde::to_vec_named(message)?;
    if bytes.len() > limit {
        return Err(EncodeError::TooLarge { bytes: bytes.len(), limit });
    }
    Ok(bytes)
}

fn decode<M: DeserializeOwned>(bytes: &[u8], limit: usize, kinds: &[&str]) -> Result<M, DecodeError> {
    if bytes.len() > limit {
        return Err(DecodeError::TooLarge { bytes: bytes.len(), limit });
    }
    nested(bytes).map_err(|error| match nested::<Kind>(bytes) {
        Ok(Kind(kind)) if !kinds.contains(&kind.as_str()) => DecodeError::UnknownKind { kind },
        Ok(Kind(kind)) => DecodeError::Malformed { kind, detail: error.to_string() },
        Err(_) => DecodeError::Malformed { kind: "?".to_owned(), detail: error.to_string() },
    })
}

/// Reads what is nested no deeper than [`NESTING_MAX`].
fn nested<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, rmp_serde::decode::Error> {
    let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
    reader.set_max_depth(NESTING_MAX);
    T::deserialize(&mut reader)
}

/// The name of a message: the one key of the outermost map.
struct Kind(String);

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneKey;
        impl<'de> Visitor<'de> for OneKey {
            type Value = Kind;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map with the kind of the message as its key")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
                let (kind, IgnoredAny) =
                    map.next_entry::<String, IgnoredAny>()?.ok_or_else(|| serde::de::Error::custom("an empty map"))?;
                Ok(Kind(kind.chars().take(64).collect()))
            }
        }
        deserializer.deserialize_map(OneKey)
    }
}

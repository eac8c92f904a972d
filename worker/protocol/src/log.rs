//! Pieces of logs.

use serde::{Deserialize, Serialize};

/// A piece of one log, compressed by itself: masked, cut and compressed by the worker, kept by the host as it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LogFrame {
    /// Number of the step.
    pub step: u32,
    /// Name of the log.
    pub log: String,
    /// Place in the log, from 0 without gaps.
    pub ordinal: u64,
    /// How many newlines came before this frame in the log: the number, from 0, of the line that its first byte belongs to.
    pub first_line: u64,
    /// How many newlines are in it.
    pub newlines: u32,
    /// How many bytes it has uncompressed, at most [`crate::limits::FRAME_RAW_BYTES_MAX`].
    pub raw_len: u32,
    /// One zstd frame. The bytes inside are a program's output: any bytes, and a line may go on in the next frame.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
}

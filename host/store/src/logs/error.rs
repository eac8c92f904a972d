//! Why a log could not be written or read.

use std::io;
use std::path::{Path, PathBuf};

use stampmill_model::BuildId;

/// Why a log could not be written or read. [`LogError::Gap`], [`LogError::Refused`], [`LogError::Closed`] and [`LogError::Full`] are the
/// sender's fault; [`LogError::Io`] may pass; [`LogError::Corrupt`] is a lying worker's or a damaged disk's.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A frame is missing before this one.
    #[error(
        "log {log:?} of step {step} of build {build} goes on with frame {expected}, not {found}; send again from {expected}"
    )]
    Gap {
        /// Of which build.
        build: BuildId,
        /// Of which step.
        step: u32,
        /// Which log.
        log: String,
        /// The ordinal that must come next.
        expected: u64,
        /// The ordinal that came.
        found: u64,
    },
    /// A frame breaks a bound or contradicts itself.
    #[error("frame {ordinal} of log {log:?} of step {step} of build {build} is refused: {problem}")]
    Refused {
        /// Of which build.
        build: BuildId,
        /// Of which step.
        step: u32,
        /// Which log.
        log: String,
        /// Which frame.
        ordinal: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The log was ended.
    #[error("log {log:?} of step {step} of build {build} has ended; nothing can be added")]
    Closed {
        /// Of which build.
        build: BuildId,
        /// Of which step.
        step: u32,
        /// Which log.
        log: String,
    },
    /// The build's logs have reached their limit.
    #[error("the logs of build {build} have reached their limit of {limit} {unit}")]
    Full {
        /// Which build.
        build: BuildId,
        /// How much there may be.
        limit: u64,
        /// Of what.
        unit: &'static str,
    },
    /// A stored frame does not hold what its header says.
    #[error("the frame at byte {at} of {} is damaged: {problem}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where its body starts.
        at: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// A file can't be used.
    #[error("can't {action} {}: {source}{}", path.display(), crate::error::mend(source))]
    Io {
        /// A verb.
        action: &'static str,
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl LogError {
    /// What is wrong with the disk, in the few words that may be told to anybody; `None` when it is not the disk, or damage that does not
    /// pass.
    #[must_use]
    pub fn disk_trouble(&self) -> Option<&'static str> {
        match self {
            Self::Io { source, .. } => Some(crate::error::words(source.kind())),
            Self::Gap { .. }
            | Self::Refused { .. }
            | Self::Closed { .. }
            | Self::Full { .. }
            | Self::Corrupt { .. } => None,
        }
    }

    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

//! Logs: one append-only file for each build, with frames of all its logs in order of arrival.
//!
//! A frame is a header that says what is in it, and one zstd frame, compressed by the worker and kept as it came. Scanning the headers gives
//! an index in memory, so that any page of a log is one binary search and the decompression of a frame or two. A frame that was not
//! written whole is not there: readers stop before it, and the next append cuts it away. A log whose end was stored has a frame that says
//! so; one that can't go on, because frames that were acknowledged are gone, has a frame that says that, and never ends.

mod cache;
mod error;
mod frame;
mod index;
mod page;
mod scan;
mod write;

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stampmill_model::{BuildId, LogName};

pub use error::LogError;
pub use frame::Frame;
pub use page::{CompressedLog, Lines, RawLog};

use crate::limits::BUILD_LOG_BYTES_MAX;
use crate::{Disk, RealDisk};
use cache::Cache;
use write::{Appending, Unfit};

/// The logs below a data directory. Cheap to clone; one of them at a time may use a directory (the store's lock sees to that).
///
/// Every call blocks on the disk. Appends to different builds don't wait for each other.
#[derive(Clone)]
pub struct LogFiles {
    shared: Arc<Shared>,
}

struct Shared {
    root: PathBuf,
    bytes_max: u64,
    cache: Cache,
    disk: Arc<dyn Disk>,
}

/// What an append did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Appended {
    /// Frames that are new.
    pub written: usize,
    /// Frames that were there already.
    pub skipped: usize,
    /// Bytes at the end of the file that were not a whole frame and were cut away: what a crash left.
    pub torn_bytes: u64,
    /// Frames that were dropped, since their log can't go on; see [`LogFiles::take`].
    pub lost: usize,
}

/// One log of a build.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogInfo {
    /// Of which step.
    pub step: u32,
    /// Its name.
    pub log: LogName,
    /// Frames; the ordinal that the next one must have.
    pub frames: u64,
    /// Lines that end in a newline.
    pub whole_lines: u64,
    /// All lines: one more than the whole ones when the last has no newline (yet).
    pub lines: u64,
    /// Bytes, uncompressed.
    pub bytes: u64,
    /// Whether nothing more comes.
    pub ended: bool,
    /// Whether it has lost its end: it never ends.
    pub lost: bool,
}

impl LogFiles {
    /// Uses `logs` below this directory, which is made if need be.
    pub fn open(directory: &Path) -> Result<Self, LogError> {
        Self::with_limit(directory, BUILD_LOG_BYTES_MAX)
    }

    /// As [`LogFiles::open`], with another limit of the raw bytes of one build's logs.
    pub fn with_limit(directory: &Path, bytes_max: u64) -> Result<Self, LogError> {
        Self::new(directory, bytes_max, Arc::new(RealDisk))
    }

    /// As [`LogFiles::open`], on another disk.
    pub(crate) fn open_on(directory: &Path, disk: Arc<dyn Disk>) -> Result<Self, LogError> {
        Self::new(directory, BUILD_LOG_BYTES_MAX, disk)
    }

    fn new(directory: &Path, bytes_max: u64, disk: Arc<dyn Disk>) -> Result<Self, LogError> {
        let root = directory.join("logs");
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&root)
            .map_err(LogError::io("make the directory", &root))?;
        Ok(Self { shared: Arc::new(Shared { root, bytes_max, cache: Cache::default(), disk }) })
    }

    /// Appends frames. They can be read at once and are durable after [`LogFiles::sync`].
    ///
    /// A frame whose ordinal was appended before is skipped, so a worker may send again what was not acknowledged.
    ///
    /// # Errors
    /// At a frame that is refused the append stops; the frames before it are kept.
    pub fn append(&self, build: BuildId, frames: &[Frame]) -> Result<Appended, LogError> {
        self.append_or(build, frames, Unfit::Refused)
    }

    /// As [`LogFiles::append`], for a sender that has forgotten what was acknowledged: a log that can't go on is given up instead of
    /// refused. That is one that has reached its limit, and one whose file is shorter than what was acknowledged from it, as after damage
    /// to the disk. What follows of it is dropped and counts as taken; it never ends, which readers are told.
    ///
    /// # Errors
    /// As [`LogFiles::append`], but for [`LogError::Full`] and a [`LogError::Gap`] before the first frame since the file was opened.
    pub fn take(&self, build: BuildId, frames: &[Frame]) -> Result<Appended, LogError> {
        self.append_or(build, frames, Unfit::GivenUp)
    }

    fn append_or(&self, build: BuildId, frames: &[Frame], unfit: Unfit) -> Result<Appended, LogError> {
        let appending = Appending {
            disk: &*self.shared.disk,
            build,
            path: &self.path(build),
            bytes_max: self.shared.bytes_max,
            unfit,
        };
        self.with(build, |log| log.append(&appending, frames))
    }

    /// Writes to the logs of a build and makes it durable, as one: nobody else writes to them meanwhile.
    ///
    /// # Errors
    /// Those of `work`, and of [`LogFiles::sync`].
    pub fn store<T>(&self, build: BuildId, work: impl FnOnce(&Self) -> Result<T, LogError>) -> Result<T, LogError> {
        let entry = self.shared.cache.get_or_open(build);
        let _writer = entry.write();
        let done = work(self)?;
        entry.sync(&*self.shared.disk, &self.path(build)).map(|()| done)
    }

    /// Ends the logs of one step, or of the whole build: nothing more comes. Idempotent; durable after [`LogFiles::sync`].
    pub fn finish(&self, build: BuildId, step: Option<u32>) -> Result<(), LogError> {
        self.with(build, |log| log.finish(&*self.shared.disk, &self.path(build), step))
    }

    /// Makes durable what was appended to these builds; one `fdatasync` for each file that was touched.
    ///
    /// # Errors
    /// What was appended to the build since its last sync may be gone: it must not be acknowledged, and comes again from the worker.
    pub fn sync(&self, builds: &[BuildId]) -> Result<(), LogError> {
        let mut result = Ok(());
        for build in builds {
            if let Some(entry) = self.shared.cache.get(*build)
                && let Err(error) = entry.sync(&*self.shared.disk, &self.path(*build))
            {
                result = Err(error);
            }
        }
        result
    }

    /// All logs of a build that have a frame, by step and name.
    pub fn logs(&self, build: BuildId) -> Result<Vec<LogInfo>, LogError> {
        self.with(build, |log| log.infos(&self.path(build)))
    }

    /// One log; `None` when it has no frame.
    pub fn info(&self, build: BuildId, step: u32, log: &str) -> Result<Option<LogInfo>, LogError> {
        self.with(build, |open| open.info(&self.path(build), step, log))
    }

    /// Lines of a log, numbered from 0; `None` when it has no frame. The page is shorter at the end of the log and when it would be too
    /// large.
    pub fn lines(
        &self,
        build: BuildId,
        step: u32,
        log: &str,
        first_line: u64,
        count: usize,
    ) -> Result<Option<Lines>, LogError> {
        let part = self.with(build, |open| open.part(&self.path(build), step, log, first_line, count))?;
        part.map(page::LinePart::read).transpose()
    }

    /// The last lines of a log; `None` when it has no frame. When they would be too large for a page, the page ends before the last line.
    pub fn tail(&self, build: BuildId, step: u32, log: &str, count: usize) -> Result<Option<Lines>, LogError> {
        let Some(info) = self.info(build, step, log)? else { return Ok(None) };
        self.lines(build, step, log, info.lines.saturating_sub(count as u64), count)
    }

    /// A log as it is, from a byte on, frame by frame, up to what is there now; `None` when it has no frame.
    pub fn raw(&self, build: BuildId, step: u32, log: &str, from_byte: u64) -> Result<Option<RawLog>, LogError> {
        self.with(build, |open| open.raw(&self.path(build), step, log, from_byte))
    }

    /// Takes the logs of a build away. Readers that hold a [`RawLog`] can read on.
    pub fn remove(&self, build: BuildId) -> Result<(), LogError> {
        let path = self.path(build);
        self.with(build, |log| log.remove(&path))
    }

    /// How many log files are open now, for metrics.
    #[must_use]
    pub fn open_files(&self) -> usize {
        self.shared.cache.len()
    }

    fn with<T>(
        &self,
        build: BuildId,
        work: impl FnOnce(&mut cache::State) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let entry = self.shared.cache.get_or_open(build);
        let mut guard = entry.lock();
        work(&mut guard)
    }

    fn path(&self, build: BuildId) -> PathBuf {
        self.shared.root.join((build.0 / 1000).to_string()).join(format!("{}.log", build.0))
    }
}

impl std::fmt::Debug for LogFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogFiles").field("root", &self.shared.root).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod faults;
#[cfg(test)]
mod tests;

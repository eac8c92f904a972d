//! Appending to the log file of a build.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use stampmill_model::{BuildId, LogName};

use super::cache::{Open, State};
use super::frame::{Header, Kind};
use super::index::{Index, LogIndex, Misfit};
use super::scan::{Check, scan};
use super::{Appended, Disk, Frame, LogError};
use crate::limits::{BUILD_LOG_FRAMES_MAX, BUILD_LOGS_MAX};

/// What appending needs.
pub(super) struct Appending<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) build: BuildId,
    pub(super) path: &'a Path,
    pub(super) bytes_max: u64,
    pub(super) unfit: Unfit,
}

/// What becomes of a log that can't go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unfit {
    /// The frame is refused.
    Refused,
    /// The log is given up: the frame and what follows is dropped.
    GivenUp,
}

/// What became of a frame.
enum Staged {
    Written,
    Skipped,
    Lost,
}

impl State {
    pub(super) fn append(&mut self, to: &Appending<'_>, frames: &[Frame]) -> Result<Appended, LogError> {
        let mut appended = Appended { torn_bytes: self.open_for_writing(to.disk, to.path)?, ..Appended::default() };
        let mut bytes = Vec::with_capacity(frames.iter().map(|frame| frame.body.len() + 256).sum());
        let mut result = Ok(());
        let open = self.writing();
        for frame in frames {
            match open.stage(to, frame, &mut bytes) {
                Ok(Staged::Written) => appended.written += 1,
                Ok(Staged::Skipped) => appended.skipped += 1,
                Ok(Staged::Lost) => appended.lost += 1,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        self.write_out(to.disk, to.path, &bytes)?;
        result.map(|()| appended)
    }

    pub(super) fn finish(&mut self, disk: &dyn Disk, path: &Path, step: Option<u32>) -> Result<(), LogError> {
        if !path.exists() {
            return Ok(());
        }
        // Whoever has something to add comes before the end: what was cut away now was acknowledged, or is nobody's to send any more.
        let kind = if self.open_for_writing(disk, path)? > 0 { Kind::Lost } else { Kind::End };
        let open = self.writing();
        let ends: Vec<_> = open
            .index
            .logs()
            .filter(|(of, _, log)| !log.ended && !log.lost && step.is_none_or(|step| step == *of))
            .map(|(of, name, log)| Header::mark(kind, of, name, Some(log)))
            .collect();
        let mut bytes = Vec::new();
        for header in &ends {
            header.encode(&mut bytes);
            open.index.add(header, open.len + bytes.len() as u64);
        }
        self.write_out(disk, path, &bytes)
    }

    pub(super) fn remove(&mut self, path: &Path) -> Result<(), LogError> {
        *self = Self::Closed;
        match fs::remove_file(path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(LogError::io("remove", path)(error)),
        }
    }

    /// Writes frames that are in the index already. After a failure the index is thrown away with what was written of them.
    fn write_out(&mut self, disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), LogError> {
        let open = self.writing();
        match disk.write_all_at(&open.file, bytes, open.len) {
            Ok(()) => {
                open.len += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                // If this fails too, the next append cuts the file where the last whole frame ends.
                let _ = disk.set_len(&open.file, open.len);
                *self = Self::Failed;
                Err(LogError::io("write", path)(error))
            }
        }
    }

    /// Opens the file, makes it if need be, checks all of it and cuts away a torn end. Says how many bytes that was.
    fn open_for_writing(&mut self, disk: &dyn Disk, path: &Path) -> Result<u64, LogError> {
        if matches!(self, Self::Writing(_)) {
            return Ok(0);
        }
        let file = open_or_make(disk, path)?;
        if matches!(self, Self::Failed) {
            // What the kernel still shows may not be on the disk. If it keeps it all the same, a sync has said so before.
            let _ = posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
        }
        let len = file.metadata().map_err(LogError::io("read", path))?.len();
        let (index, end) = scan(&file, len, Check::Bodies).map_err(LogError::io("read", path))?;
        if end < len {
            disk.set_len(&file, end).map_err(LogError::io("cut", path))?;
        }
        if len > 0 {
            // What a process before us wrote may not be on the disk yet, and a doubled frame is acknowledged without being written again.
            disk.sync(&file).map_err(LogError::io("sync", path))?;
        }
        *self = Self::Writing(Open { file: Arc::new(file), index, len: end, synced: end });
        Ok(len - end)
    }

    fn writing(&mut self) -> &mut Open {
        match self {
            Self::Writing(open) => open,
            Self::Closed | Self::Failed | Self::Reading(_) => unreachable!("callers open the file for writing first"),
        }
    }
}

impl Open {
    /// Puts a frame into the index and its bytes behind `bytes`, or says why not.
    fn stage(&mut self, to: &Appending<'_>, frame: &Frame, bytes: &mut Vec<u8>) -> Result<Staged, LogError> {
        let refused = |problem: String| LogError::Refused {
            build: to.build,
            step: frame.step,
            log: frame.log.clone(),
            ordinal: frame.ordinal,
            problem,
        };
        let header = frame.header().map_err(refused)?;
        let Header { step, ordinal: found, .. } = header;
        match self.index.misfit(&header) {
            None => {}
            Some(Misfit::Doubled) => return Ok(Staged::Skipped),
            // Who was taken at their word is never told; who asks to append is.
            Some(Misfit::Lost) if to.unfit == Unfit::GivenUp => return Ok(Staged::Lost),
            Some(Misfit::Gap { .. }) if to.unfit == Unfit::GivenUp && self.index.is_untouched(&header) => {
                return Ok(self.give_up(&header, bytes));
            }
            Some(Misfit::Gap { expected }) => {
                return Err(LogError::Gap { build: to.build, step, log: header.log, expected, found });
            }
            Some(Misfit::Ended | Misfit::Lost) => {
                return Err(LogError::Closed { build: to.build, step, log: header.log });
            }
            Some(Misfit::Lines { expected }) => {
                return Err(refused(format!("it starts in line {} and must start in {expected}", header.first_line)));
            }
        }
        let written = self.len + bytes.len() as u64 + frame.body.len() as u64;
        match self.index.check_room(to.build, &header, written, to.bytes_max) {
            Ok(()) => {}
            Err(LogError::Full { .. }) if to.unfit == Unfit::GivenUp => return Ok(self.give_up(&header, bytes)),
            Err(error) => return Err(error),
        }
        header.encode(bytes);
        self.index.add(&header, self.len + bytes.len() as u64);
        self.index.touch(&header);
        bytes.extend_from_slice(&frame.body);
        Ok(Staged::Written)
    }

    /// Writes down that the log of this frame has lost its end.
    fn give_up(&mut self, frame: &Header, bytes: &mut Vec<u8>) -> Staged {
        if self.index.log_count >= BUILD_LOGS_MAX && self.index.log(frame.step, &frame.log).is_none() {
            // Not even its name has room.
            return Staged::Lost;
        }
        let mark = Header::mark(Kind::Lost, frame.step, &frame.log, self.index.log(frame.step, &frame.log));
        mark.encode(bytes);
        self.index.add(&mark, self.len + bytes.len() as u64);
        Staged::Lost
    }
}

impl Header {
    /// A frame that says something of a log as it is now.
    fn mark(kind: Kind, step: u32, log: &LogName, index: Option<&LogIndex>) -> Self {
        Self {
            step,
            log: log.clone(),
            ordinal: index.map_or(0, LogIndex::next_ordinal),
            first_line: index.map_or(0, LogIndex::newlines),
            newlines: 0,
            raw_len: 0,
            body_len: 0,
            body_crc: crc32fast::hash(&[]),
            kind,
        }
    }
}

impl Index {
    /// Whether nothing was added to the log of this frame since the file was opened.
    fn is_untouched(&self, header: &Header) -> bool {
        self.log(header.step, &header.log).is_none_or(|log| !log.appended)
    }

    fn touch(&mut self, header: &Header) {
        if let Some(log) = self.log_mut(header.step, &header.log) {
            log.appended = true;
        }
    }

    fn check_room(&self, build: BuildId, header: &Header, file_bytes: u64, bytes_max: u64) -> Result<(), LogError> {
        if self.raw_bytes + u64::from(header.raw_len) > bytes_max || file_bytes > bytes_max {
            return Err(LogError::Full { build, limit: bytes_max, unit: "bytes" });
        }
        if self.frame_count >= BUILD_LOG_FRAMES_MAX {
            return Err(LogError::Full { build, limit: BUILD_LOG_FRAMES_MAX, unit: "frames" });
        }
        if self.log_count >= BUILD_LOGS_MAX && self.log(header.step, &header.log).is_none() {
            return Err(LogError::Full { build, limit: BUILD_LOGS_MAX as u64, unit: "logs" });
        }
        Ok(())
    }
}

fn open_or_make(disk: &dyn Disk, path: &Path) -> Result<File, LogError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    match options.open(path) {
        Ok(file) => return Ok(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(LogError::io("open", path)(error)),
    }
    let directory = path.parent().expect("a log is below the directory of logs");
    let root = directory.parent().expect("a log is two levels below the directory of logs");
    let is_new = match fs::DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(LogError::io("make the directory", directory)(error)),
    };
    let file = disk.make(&mut options, path).map_err(LogError::io("make", path))?;
    // A name is durable only once its directory is.
    for directory in [Some(directory), is_new.then_some(root)].into_iter().flatten() {
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(LogError::io("sync the directory", directory))?;
    }
    Ok(file)
}

//! Appending to the log file of a build.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use stampmill_model::BuildId;

use super::cache::{Open, State};
use super::frame::Header;
use super::index::{Index, Misfit};
use super::scan::{Check, scan};
use super::{Appended, Frame, LogError};
use crate::limits::{BUILD_LOG_FRAMES_MAX, BUILD_LOGS_MAX};

impl State {
    pub(super) fn append(
        &mut self,
        build: BuildId,
        path: &Path,
        frames: &[Frame],
        bytes_max: u64,
    ) -> Result<Appended, LogError> {
        let mut appended = Appended { torn_bytes: self.open_for_writing(path)?, ..Appended::default() };
        let mut bytes = Vec::with_capacity(frames.iter().map(|frame| frame.body.len() + 256).sum());
        let mut result = Ok(());
        let open = self.writing();
        for frame in frames {
            match open.stage(build, frame, bytes_max, &mut bytes) {
                Ok(true) => appended.written += 1,
                Ok(false) => appended.skipped += 1,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        self.write_out(path, &bytes)?;
        result.map(|()| appended)
    }

    pub(super) fn finish(&mut self, path: &Path, step: Option<u32>) -> Result<(), LogError> {
        if !path.exists() {
            return Ok(());
        }
        self.open_for_writing(path)?;
        let open = self.writing();
        let ends: Vec<_> = open
            .index
            .logs()
            .filter(|(of, _, log)| !log.ended && step.is_none_or(|step| step == *of))
            .map(|(of, name, log)| Header {
                step: of,
                log: name.clone(),
                ordinal: log.next_ordinal(),
                first_line: log.newlines(),
                newlines: 0,
                raw_len: 0,
                body_len: 0,
                body_crc: crc32fast::hash(&[]),
                end: true,
            })
            .collect();
        let mut bytes = Vec::new();
        for header in &ends {
            header.encode(&mut bytes);
            open.index.add(header, open.len + bytes.len() as u64);
        }
        self.write_out(path, &bytes)
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
    fn write_out(&mut self, path: &Path, bytes: &[u8]) -> Result<(), LogError> {
        let open = self.writing();
        match open.file.write_all_at(bytes, open.len) {
            Ok(()) => {
                open.len += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                // If this fails too, the next append cuts the file where the last whole frame ends.
                let _ = open.file.set_len(open.len);
                *self = Self::Closed;
                Err(LogError::io("write", path)(error))
            }
        }
    }

    /// Opens the file, makes it if need be, checks all of it and cuts away a torn end. Says how many bytes that was.
    fn open_for_writing(&mut self, path: &Path) -> Result<u64, LogError> {
        if matches!(self, Self::Writing(_)) {
            return Ok(0);
        }
        let file = open_or_make(path)?;
        let len = file.metadata().map_err(LogError::io("read", path))?.len();
        let (index, end) = scan(&file, len, Check::Bodies).map_err(LogError::io("read", path))?;
        if end < len {
            file.set_len(end).map_err(LogError::io("cut", path))?;
        }
        if len > 0 {
            // What a process before us wrote may not be on the disk yet, and a doubled frame is acknowledged without being written again.
            file.sync_all().map_err(LogError::io("sync", path))?;
        }
        *self = Self::Writing(Open { file: Arc::new(file), index, len: end, synced: end });
        Ok(len - end)
    }

    fn writing(&mut self) -> &mut Open {
        match self {
            Self::Writing(open) => open,
            Self::Closed | Self::Reading(_) => unreachable!("callers open the file for writing first"),
        }
    }
}

impl Open {
    /// Puts a frame into the index and its bytes behind `bytes`; `false` when it was appended before.
    fn stage(&mut self, build: BuildId, frame: &Frame, bytes_max: u64, bytes: &mut Vec<u8>) -> Result<bool, LogError> {
        let refused = |problem: String| LogError::Refused {
            build,
            step: frame.step,
            log: frame.log.clone(),
            ordinal: frame.ordinal,
            problem,
        };
        let header = frame.header().map_err(refused)?;
        match self.index.misfit(&header) {
            None => {}
            Some(Misfit::Doubled) => return Ok(false),
            Some(Misfit::Gap { expected }) => {
                let Header { step, log, ordinal: found, .. } = header;
                return Err(LogError::Gap { build, step, log, expected, found });
            }
            Some(Misfit::Ended) => return Err(LogError::Closed { build, step: header.step, log: header.log }),
            Some(Misfit::Lines { expected }) => {
                return Err(refused(format!("it starts in line {} and must start in {expected}", header.first_line)));
            }
        }
        let written = self.len + bytes.len() as u64 + frame.body.len() as u64;
        self.index.check_room(build, &header, written, bytes_max)?;
        header.encode(bytes);
        self.index.add(&header, self.len + bytes.len() as u64);
        bytes.extend_from_slice(&frame.body);
        Ok(true)
    }
}

impl Index {
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

fn open_or_make(path: &Path) -> Result<File, LogError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    match options.open(path) {
        Ok(file) => return Ok(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(LogError::io("open", path)(error)),
    }
    let directory = path.parent().expect("a log is below the directory of logs");
    let root = directory.parent().expect("a log is two levels below the directory of logs");
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(LogError::io("make the directory", directory))?;
    let file = options.create_new(true).open(path).map_err(LogError::io("make", path))?;
    // A name is durable only once its directory is.
    for directory in [directory, root] {
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(LogError::io("sync the directory", directory))?;
    }
    Ok(file)
}

//! Reading logs: pages of lines, and logs as they are.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cache::{Open, State};
use super::index::{FrameRef, LogIndex};
use super::scan::{Both, Check, read_frame, scan};
use super::{LogError, LogInfo};
use crate::limits::{LOG_PAGE_BYTES_MAX, LOG_PAGE_LINES_MAX};

/// Lines of a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lines {
    /// The number of the first one, from 0.
    pub first_line: u64,
    /// How many there are.
    pub count: u64,
    /// The lines with their newlines. The last line of a log may have none: then it may still grow while the log has not ended.
    pub bytes: Vec<u8>,
    /// Whether there is one line that is too long for a page and ends early here, without a newline.
    pub cut: bool,
}

/// A log as it is, frame by frame.
pub struct RawLog {
    file: Arc<File>,
    path: PathBuf,
    frames: std::vec::IntoIter<FrameRef>,
    /// Bytes of the first frame to leave out.
    skip: usize,
}

/// A log as it is stored: zstd frames, one after the other, of which each has exactly the bytes that it says.
pub struct CompressedLog {
    raw: RawLog,
}

impl RawLog {
    /// The same, compressed as it is stored; `None` when it begins within a frame.
    #[must_use]
    pub fn compressed(self) -> Option<CompressedLog> {
        (self.skip == 0).then_some(CompressedLog { raw: self })
    }
}

impl Iterator for CompressedLog {
    type Item = Result<Vec<u8>, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        let frame = self.raw.frames.next()?;
        // A worker that means ill could have sent one that unpacks to whatever size.
        Some(read(&self.raw.file, &self.raw.path, &frame).map(|both| both.body))
    }
}

impl Iterator for RawLog {
    type Item = Result<Vec<u8>, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        let frame = self.frames.next()?;
        let skip = std::mem::take(&mut self.skip);
        Some(read(&self.file, &self.path, &frame).map(|Both { mut raw, .. }| {
            raw.drain(..skip.min(raw.len()));
            raw
        }))
    }
}

impl State {
    pub(super) fn infos(&mut self, path: &Path) -> Result<Vec<LogInfo>, LogError> {
        let Some(open) = self.open_for_reading(path)? else { return Ok(Vec::new()) };
        let names: Vec<_> = open.index.logs().map(|(step, name, _)| (step, name.clone())).collect();
        let mut infos = Vec::with_capacity(names.len());
        for (step, name) in names {
            infos.extend(open.info(path, step, &name)?);
        }
        Ok(infos)
    }

    pub(super) fn info(&mut self, path: &Path, step: u32, log: &str) -> Result<Option<LogInfo>, LogError> {
        match self.open_for_reading(path)? {
            Some(open) => open.info(path, step, log),
            None => Ok(None),
        }
    }

    /// What is needed to read some lines, so that reading them holds up nobody.
    pub(super) fn part(
        &mut self,
        path: &Path,
        step: u32,
        log: &str,
        first_line: u64,
        count: usize,
    ) -> Result<Option<LinePart>, LogError> {
        let Some(open) = self.open_for_reading(path)? else { return Ok(None) };
        let Some(index) = open.index.log(step, log) else { return Ok(None) };
        let count = count.min(LOG_PAGE_LINES_MAX) as u64;
        Ok(Some(LinePart {
            file: Arc::clone(&open.file),
            path: path.to_owned(),
            frames: frames_of_page(index, first_line, count),
            first_line,
            count,
        }))
    }

    pub(super) fn raw(
        &mut self,
        path: &Path,
        step: u32,
        log: &str,
        from_byte: u64,
    ) -> Result<Option<RawLog>, LogError> {
        let Some(open) = self.open_for_reading(path)? else { return Ok(None) };
        let Some(index) = open.index.log(step, log) else { return Ok(None) };
        let frames = index.frames_from_byte(from_byte).to_vec();
        let skip = frames.first().map_or(0, |frame| from_byte.saturating_sub(frame.first_byte) as usize);
        Ok(Some(RawLog { file: Arc::clone(&open.file), path: path.to_owned(), frames: frames.into_iter(), skip }))
    }

    fn open_for_reading(&mut self, path: &Path) -> Result<Option<&mut Open>, LogError> {
        if matches!(self, Self::Closed | Self::Failed) {
            let file = match File::open(path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(LogError::io("open", path)(error)),
            };
            let len = file.metadata().map_err(LogError::io("read", path))?.len();
            let (index, end) = scan(&file, len, Check::Headers).map_err(LogError::io("read", path))?;
            *self = Self::Reading(Open { file: Arc::new(file), index, len: end, synced: end });
        }
        match self {
            Self::Reading(open) | Self::Writing(open) => Ok(Some(open)),
            Self::Closed | Self::Failed => Ok(None),
        }
    }
}

impl Open {
    fn info(&mut self, path: &Path, step: u32, log: &str) -> Result<Option<LogInfo>, LogError> {
        let Some(index) = self.index.log_mut(step, log) else { return Ok(None) };
        let ends_mid_line = match (index.ends_mid_line, index.frames.last()) {
            (Some(known), _) => known,
            (None, None) => false,
            (None, Some(frame)) => match read(&self.file, path, frame) {
                Ok(Both { raw, .. }) => raw.last() != Some(&b'\n'),
                // Whoever reads it is told; the other logs of the build can be listed all the same.
                Err(LogError::Corrupt { .. }) => false,
                Err(error) => return Err(error),
            },
        };
        index.ends_mid_line = Some(ends_mid_line);
        Ok(Some(LogInfo {
            step,
            log: log.to_owned(),
            frames: index.next_ordinal(),
            whole_lines: index.newlines(),
            lines: index.newlines() + u64::from(ends_mid_line),
            bytes: index.bytes(),
            ended: index.ended,
            lost: index.lost,
        }))
    }
}

/// The frames of a page, no more than can fill one.
fn frames_of_page(index: &LogIndex, first_line: u64, count: u64) -> Vec<FrameRef> {
    if count == 0 {
        return Vec::new();
    }
    let mut frames = Vec::new();
    let mut bytes = 0;
    // Of the first frame any part may be before the page, so it does not count.
    for frame in &index.frames[index.frames_of_lines(first_line, first_line.saturating_add(count))] {
        frames.push(*frame);
        if frames.len() > 1 {
            bytes += frame.raw_len as usize;
        }
        if bytes > LOG_PAGE_BYTES_MAX {
            break;
        }
    }
    frames
}

/// Some lines that are still to be read.
pub(super) struct LinePart {
    file: Arc<File>,
    path: PathBuf,
    frames: Vec<FrameRef>,
    first_line: u64,
    count: u64,
}

impl LinePart {
    pub(super) fn read(self) -> Result<Lines, LogError> {
        let mut page = PageFiller {
            skip: self.frames.first().map_or(0, |frame| self.first_line - frame.first_line),
            wanted: self.count,
            whole: 0,
            whole_bytes: 0,
            bytes: Vec::new(),
        };
        for frame in &self.frames {
            let Both { raw, .. } = read(&self.file, &self.path, frame)?;
            if page.fill(&raw) == Filled::Enough {
                break;
            }
        }
        Ok(page.finish(self.first_line))
    }
}

/// Gathers lines from frames.
struct PageFiller {
    /// Newlines to pass before the page begins.
    skip: u64,
    wanted: u64,
    /// Lines with their newline in the page.
    whole: u64,
    /// Where the last of them ends.
    whole_bytes: usize,
    bytes: Vec<u8>,
}

#[derive(PartialEq, Eq)]
enum Filled {
    More,
    Enough,
}

impl PageFiller {
    fn fill(&mut self, raw: &[u8]) -> Filled {
        let mut pieces = raw.split_inclusive(|byte| *byte == b'\n');
        while self.skip > 0 {
            match pieces.next() {
                Some(piece) if piece.ends_with(b"\n") => self.skip -= 1,
                Some(_) => {}
                None => return Filled::More,
            }
        }
        for piece in pieces {
            self.bytes.extend_from_slice(piece);
            if self.bytes.len() > LOG_PAGE_BYTES_MAX {
                return Filled::Enough;
            }
            if piece.ends_with(b"\n") {
                self.whole += 1;
                self.whole_bytes = self.bytes.len();
            }
            if self.whole == self.wanted {
                return Filled::Enough;
            }
        }
        Filled::More
    }

    fn finish(mut self, first_line: u64) -> Lines {
        let too_large = self.bytes.len() > LOG_PAGE_BYTES_MAX;
        let rest = self.bytes.len() - self.whole_bytes;
        let mut count = self.whole;
        let mut cut = false;
        if too_large && self.whole > 0 {
            self.bytes.truncate(self.whole_bytes);
        } else if too_large {
            self.bytes.truncate(LOG_PAGE_BYTES_MAX);
            count = 1;
            cut = true;
        } else if rest > 0 {
            count += 1;
        }
        Lines { first_line, count, bytes: self.bytes, cut }
    }
}

fn read(file: &File, path: &Path, frame: &FrameRef) -> Result<Both, LogError> {
    read_frame(file, frame).map_err(LogError::io("read", path))?.map_err(|problem| LogError::Corrupt {
        path: path.to_owned(),
        at: frame.body_at,
        problem,
    })
}

//! What is in the log file of one build: where each frame is, and which lines it has.

use std::collections::BTreeMap;
use std::ops::Range;

use stampmill_model::LogName;

use super::frame::{Header, Kind};

/// Where a frame is, and what is in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FrameRef {
    pub(super) body_at: u64,
    pub(super) first_line: u64,
    /// How many bytes of the log are before it.
    pub(super) first_byte: u64,
    pub(super) body_len: u32,
    pub(super) raw_len: u32,
    pub(super) newlines: u32,
    pub(super) body_crc: u32,
}

impl FrameRef {
    /// How many newlines have passed when it ends.
    const fn last_line(&self) -> u64 {
        self.first_line + self.newlines as u64
    }
}

/// One log.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct LogIndex {
    pub(super) frames: Vec<FrameRef>,
    pub(super) ended: bool,
    /// It can't go on: what came after its last frame is lost.
    pub(super) lost: bool,
    /// Whether a frame was added since the file was opened.
    pub(super) appended: bool,
    /// Whether the last line has no newline, once somebody has looked into the last frame.
    pub(super) ends_mid_line: Option<bool>,
}

impl LogIndex {
    /// The ordinal that the next frame must have.
    pub(super) fn next_ordinal(&self) -> u64 {
        self.frames.len() as u64
    }

    /// How many newlines there are.
    pub(super) fn newlines(&self) -> u64 {
        self.frames.last().map_or(0, FrameRef::last_line)
    }

    /// How many bytes there are, uncompressed.
    pub(super) fn bytes(&self) -> u64 {
        self.frames.last().map_or(0, |frame| frame.first_byte + u64::from(frame.raw_len))
    }

    /// The frames that hold lines from `first` up to but not including `end`, which is more than `first`.
    pub(super) fn frames_of_lines(&self, first: u64, end: u64) -> Range<usize> {
        // Line n starts behind the n-th newline: in the frame that holds it, or at the start of the one after.
        let from = self.frames.partition_point(|frame| frame.last_line() < first);
        let to = self.frames.partition_point(|frame| frame.last_line() < end);
        from..(to + 1).min(self.frames.len())
    }

    /// The frames that hold bytes from this one on.
    pub(super) fn frames_from_byte(&self, byte: u64) -> &[FrameRef] {
        let from = self.frames.partition_point(|frame| frame.first_byte + u64::from(frame.raw_len) <= byte);
        &self.frames[from..]
    }
}

/// All logs of one build.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Index {
    logs: BTreeMap<u32, BTreeMap<LogName, LogIndex>>,
    pub(super) log_count: usize,
    pub(super) frame_count: u64,
    pub(super) raw_bytes: u64,
}

impl Index {
    pub(super) fn log(&self, step: u32, log: &str) -> Option<&LogIndex> {
        self.logs.get(&step)?.get(log)
    }

    pub(super) fn log_mut(&mut self, step: u32, log: &str) -> Option<&mut LogIndex> {
        self.logs.get_mut(&step)?.get_mut(log)
    }

    /// All logs by step and name.
    pub(super) fn logs(&self) -> impl Iterator<Item = (u32, &LogName, &LogIndex)> {
        self.logs.iter().flat_map(|(step, logs)| logs.iter().map(|(name, log)| (*step, name, log)))
    }

    /// What speaks against adding this frame at the end of its log; `None` when it fits.
    pub(super) fn misfit(&self, header: &Header) -> Option<Misfit> {
        let log = self.log(header.step, &header.log);
        let expected = log.map_or(0, LogIndex::next_ordinal);
        if header.ordinal < expected && header.kind == Kind::Piece {
            return Some(Misfit::Doubled);
        }
        if log.is_some_and(|log| log.ended) {
            return Some(Misfit::Ended);
        }
        if log.is_some_and(|log| log.lost) {
            return Some(Misfit::Lost);
        }
        if header.ordinal != expected {
            return Some(Misfit::Gap { expected });
        }
        let lines = log.map_or(0, LogIndex::newlines);
        (header.first_line != lines).then_some(Misfit::Lines { expected: lines })
    }

    /// Adds a frame that fits.
    pub(super) fn add(&mut self, header: &Header, body_at: u64) {
        let logs = self.logs.entry(header.step).or_default();
        if !logs.contains_key(&header.log) {
            logs.insert(header.log.clone(), LogIndex::default());
            self.log_count += 1;
        }
        let log = logs.get_mut(&header.log).expect("it was just inserted");
        self.frame_count += 1;
        match header.kind {
            Kind::Piece => {}
            Kind::End => {
                log.ended = true;
                return;
            }
            Kind::Lost => {
                log.lost = true;
                return;
            }
        }
        self.raw_bytes += u64::from(header.raw_len);
        log.ends_mid_line = None;
        log.frames.push(FrameRef {
            body_at,
            first_line: header.first_line,
            first_byte: log.bytes(),
            body_len: header.body_len,
            raw_len: header.raw_len,
            newlines: header.newlines,
            body_crc: header.body_crc,
        });
    }
}

/// Why a frame can't be added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Misfit {
    /// It is there already.
    Doubled,
    /// Another must come first.
    Gap {
        /// That one.
        expected: u64,
    },
    /// It counts lines otherwise.
    Lines {
        /// The line that it must start in.
        expected: u64,
    },
    /// The log has ended.
    Ended,
    /// The log was given up.
    Lost,
}

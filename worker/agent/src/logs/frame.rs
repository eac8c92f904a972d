//! Cuts one log into frames.

use stampmill_protocol::LogFrame;
use stampmill_protocol::limits::FRAME_RAW_BYTES_MAX;

use crate::limits::FRAME_LEVEL;

const FULL: usize = FRAME_RAW_BYTES_MAX as usize;

pub(super) struct Framer {
    step: u32,
    log: String,
    ordinal: u64,
    /// Newlines in the frames that were cut.
    lines: u64,
    open: Vec<u8>,
    /// A frame that found no room.
    given_back: Option<LogFrame>,
}

impl Framer {
    pub(super) fn new(step: u32, log: &str) -> Self {
        Self { step, log: log.to_owned(), ordinal: 0, lines: 0, open: Vec::new(), given_back: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.given_back.is_none()
    }

    pub(super) fn is_full(&self) -> bool {
        self.open.len() >= FULL
    }

    /// Takes as much as fits, gives back the rest.
    pub(super) fn fill<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let room = FULL - self.open.len();
        let (taken, rest) = bytes.split_at(bytes.len().min(room));
        self.open.extend(taken);
        rest
    }

    /// Takes back a frame that could not be recorded; it is the next to be cut.
    pub(super) fn give_back(&mut self, frame: LogFrame) {
        self.given_back = Some(frame);
    }

    /// Ends the frame that is begun, if one is. A full frame ends after its last whole line when it has one in its second half, so that few
    /// lines are torn apart.
    pub(super) fn cut(&mut self) -> Option<LogFrame> {
        if let Some(frame) = self.given_back.take() {
            return Some(frame);
        }
        if self.open.is_empty() {
            return None;
        }
        let mut length = self.open.len();
        if length >= FULL
            && let Some(newline) = self.open.iter().rposition(|byte| *byte == b'\n')
            && newline >= FULL / 2
        {
            length = newline + 1;
        }
        let rest = self.open.split_off(length);
        let raw = std::mem::replace(&mut self.open, rest);
        let newlines = raw.iter().filter(|byte| **byte == b'\n').count();
        let frame = LogFrame {
            step: self.step,
            log: self.log.clone(),
            ordinal: self.ordinal,
            first_line: self.lines,
            newlines: u32::try_from(newlines).expect("a frame is at most 64 KiB"),
            raw_len: u32::try_from(raw.len()).expect("a frame is at most 64 KiB"),
            body: compress(&raw),
        };
        self.ordinal += 1;
        self.lines += u64::from(frame.newlines);
        Some(frame)
    }
}

fn compress(raw: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(raw, FRAME_LEVEL).expect("zstd compresses any bytes into a buffer of its own bound")
}

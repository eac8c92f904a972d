//! A frame, and its header as it is on disk.

use stampmill_model::LogName;

use crate::limits::{FRAME_BODY_BYTES_MAX, FRAME_RAW_BYTES_MAX, LOG_NAME_BYTES_MAX};

/// A piece of one log, as the worker cut and compressed it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Number of the step.
    pub step: u32,
    /// Name of the log.
    pub log: LogName,
    /// Place in the log, from 0 without gaps.
    pub ordinal: u64,
    /// How many newlines came before it in the log: the number, from 0, of the line that its first byte belongs to.
    pub first_line: u64,
    /// How many newlines are in it.
    pub newlines: u32,
    /// How many bytes it has uncompressed; at least one.
    pub raw_len: u32,
    /// One zstd frame.
    pub body: Vec<u8>,
}

/// The fixed part of a header: magic (4), version (1), flags (1), length of the name (1), zero (1), step (4), raw length (4), body length
/// (4), newlines (4), ordinal (8), first line (8), CRC-32 of the body (4), CRC-32 of all of the header but itself, name included (4).
/// Numbers are little-endian. The name follows, then the body.
pub(super) const FIXED_BYTES: usize = 48;
/// The longest header.
pub(super) const HEADER_BYTES_MAX: usize = FIXED_BYTES + LOG_NAME_BYTES_MAX;

const MAGIC: [u8; 4] = *b"smlf";
const VERSION: u8 = 1;
const FLAG_END: u8 = 1;
const FLAG_LOST: u8 = 2;
/// Where the header's own checksum is.
const CRC_AT: usize = FIXED_BYTES - 4;

/// What a header says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub(super) step: u32,
    pub(super) log: LogName,
    pub(super) ordinal: u64,
    pub(super) first_line: u64,
    pub(super) newlines: u32,
    pub(super) raw_len: u32,
    pub(super) body_len: u32,
    pub(super) body_crc: u32,
    pub(super) kind: Kind,
}

/// What a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A piece of a log.
    Piece,
    /// The log has ended: such a frame has no body.
    End,
    /// The log can't go on, and has lost its end: such a frame has no body.
    Lost,
}

impl Frame {
    /// The header for this frame, or what is wrong with it. Whether it fits the log is for the index to say.
    pub(super) fn header(&self) -> Result<Header, String> {
        let body_len = u32::try_from(self.body.len()).unwrap_or(u32::MAX);
        if self.log.is_empty() || self.log.len() > LOG_NAME_BYTES_MAX {
            return Err(format!("a name has 1 to {LOG_NAME_BYTES_MAX} bytes, this one {}", self.log.len()));
        }
        if self.raw_len == 0 || self.raw_len > FRAME_RAW_BYTES_MAX {
            return Err(format!("a frame has 1 to {FRAME_RAW_BYTES_MAX} bytes, this one {}", self.raw_len));
        }
        if body_len == 0 || body_len > FRAME_BODY_BYTES_MAX {
            return Err(format!("a body has 1 to {FRAME_BODY_BYTES_MAX} bytes, this one {}", self.body.len()));
        }
        if self.newlines > self.raw_len {
            return Err(format!("{} newlines can't be in {} bytes", self.newlines, self.raw_len));
        }
        Ok(Header {
            step: self.step,
            log: self.log.clone(),
            ordinal: self.ordinal,
            first_line: self.first_line,
            newlines: self.newlines,
            raw_len: self.raw_len,
            body_len,
            body_crc: crc32fast::hash(&self.body),
            kind: Kind::Piece,
        })
    }
}

impl Header {
    /// Appends the header's bytes.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let name = self.log.as_bytes();
        out.extend_from_slice(&MAGIC);
        out.push(VERSION);
        out.push(match self.kind {
            Kind::Piece => 0,
            Kind::End => FLAG_END,
            Kind::Lost => FLAG_LOST,
        });
        out.push(u8::try_from(name.len()).expect("names were checked to be at most 128 bytes"));
        out.push(0);
        for number in [self.step, self.raw_len, self.body_len, self.newlines] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.ordinal, self.first_line] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.body_crc.to_le_bytes());
        let mut crc = crc32fast::Hasher::new();
        crc.update(&out[start..]);
        crc.update(name);
        out.extend_from_slice(&crc.finalize().to_le_bytes());
        out.extend_from_slice(name);
    }

    /// The header at the start of these bytes, and its length; `None` when there is none, or not a whole one.
    pub(super) fn decode(bytes: &[u8]) -> Option<(Self, usize)> {
        let fixed = bytes.first_chunk::<FIXED_BYTES>()?;
        let name_len = usize::from(fixed[6]);
        if fixed[..4] != MAGIC || fixed[4] != VERSION || name_len == 0 || name_len > LOG_NAME_BYTES_MAX {
            return None;
        }
        let name = bytes.get(FIXED_BYTES..FIXED_BYTES + name_len)?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(&fixed[..CRC_AT]);
        crc.update(name);
        if crc.finalize() != number(fixed, CRC_AT) {
            return None;
        }
        let header = Self {
            step: number(fixed, 8),
            raw_len: number(fixed, 12),
            body_len: number(fixed, 16),
            newlines: number(fixed, 20),
            ordinal: long_number(fixed, 24),
            first_line: long_number(fixed, 32),
            body_crc: number(fixed, 40),
            log: String::from_utf8(name.to_vec()).ok()?,
            kind: match fixed[5] {
                0 => Kind::Piece,
                FLAG_END => Kind::End,
                FLAG_LOST => Kind::Lost,
                _ => return None,
            },
        };
        header.is_sound().then_some((header, FIXED_BYTES + name_len))
    }

    /// Whether it is within the bounds of what is written: a piece without bytes would be a line that nobody printed.
    fn is_sound(&self) -> bool {
        match self.kind {
            Kind::Piece => {
                (1..=FRAME_RAW_BYTES_MAX).contains(&self.raw_len)
                    && (1..=FRAME_BODY_BYTES_MAX).contains(&self.body_len)
                    && self.newlines <= self.raw_len
            }
            Kind::End | Kind::Lost => (self.raw_len, self.body_len, self.newlines) == (0, 0, 0),
        }
    }
}

fn number(bytes: &[u8; FIXED_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn long_number(bytes: &[u8; FIXED_BYTES], at: usize) -> u64 {
    u64::from(number(bytes, at)) | u64::from(number(bytes, at + 4)) << 32
}

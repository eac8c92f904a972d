//! A second reader of log files. It knows the format from its description: a header of 48 bytes (magic, version, flags (1: the end,
//! 2: given up), length of the name, zero, step, raw length, body length, newlines, ordinal, first line, checksum of the body, checksum of the header and the name), the
//! name, the body.

use std::collections::BTreeMap;

use stampmill_store::limits::{FRAME_BODY_BYTES_MAX, FRAME_RAW_BYTES_MAX, LOG_NAME_BYTES_MAX};

const HEADER: usize = 48;

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct Expected {
    pub(super) logs: BTreeMap<(u32, String), Log>,
    /// Where the last whole frame ends.
    pub(super) whole_bytes: u64,
}

/// What it says of one log.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) frames: Vec<Piece>,
    pub(super) ended: bool,
    /// It was given up, and can't go on.
    pub(super) lost: bool,
}

/// One frame.
#[derive(Debug)]
pub(super) struct Piece {
    newlines: u64,
    raw_len: u64,
    /// What is in it, if all that was said of it is so.
    pub(super) raw: Option<Vec<u8>>,
}

impl Log {
    /// Nothing can be added.
    pub(super) fn is_over(&self) -> bool {
        self.ended || self.lost
    }

    pub(super) fn count(&self) -> u64 {
        self.frames.len() as u64
    }

    pub(super) fn newlines(&self) -> u64 {
        self.frames.iter().map(|frame| frame.newlines).sum()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.frames.iter().map(|frame| frame.raw_len).sum()
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn header_crc(header: &[u8], name: &[u8]) -> u32 {
    crc32fast::hash(&[&header[..HEADER - 4], name].concat())
}

impl Expected {
    /// Reads the frames from the start; where one is not whole, the rest is torn. With `bodies` a body that fails its checksum is torn too.
    pub(super) fn of(bytes: &[u8], bodies: bool) -> Self {
        let mut expected = Self::default();
        while let Some(end) = expected.frame(&bytes[expected.whole_bytes as usize..], bodies) {
            expected.whole_bytes += end as u64;
        }
        expected
    }

    fn frame(&mut self, bytes: &[u8], bodies: bool) -> Option<usize> {
        let header = bytes.get(..HEADER)?;
        let name_len = usize::from(header[6]);
        if &header[..4] != b"smlf" || header[4] != 1 || !(1..=LOG_NAME_BYTES_MAX).contains(&name_len) {
            return None;
        }
        let name = bytes.get(HEADER..HEADER + name_len)?;
        let [step, raw_len, body_len, newlines] = [8, 12, 16, 20].map(|at| u32_at(header, at));
        let body = bytes.get(HEADER + name_len..)?.get(..body_len as usize)?;
        let piece = header[5] == 0;
        let sound = if piece {
            (1..=FRAME_RAW_BYTES_MAX).contains(&raw_len)
                && (1..=FRAME_BODY_BYTES_MAX).contains(&body_len)
                && newlines <= raw_len
        } else {
            header[5] <= 2 && (raw_len, body_len, newlines) == (0, 0, 0)
        };
        let body_is_good = crc32fast::hash(body) == u32_at(header, 40);
        if !sound || header_crc(header, name) != u32_at(header, 44) || (bodies && !body_is_good) {
            return None;
        }
        let key = (step, String::from_utf8(name.to_vec()).ok()?);
        let known = self.logs.get(&key);
        let (count, lines) = known.map_or((0, 0), |log| (log.count(), log.newlines()));
        if known.is_some_and(Log::is_over) || u64_at(header, 24) != count || u64_at(header, 32) != lines {
            return None;
        }
        let log = self.logs.entry(key).or_default();
        if piece {
            let raw = body_is_good.then(|| unpacked(body, raw_len, newlines)).flatten();
            log.frames.push(Piece { newlines: u64::from(newlines), raw_len: u64::from(raw_len), raw });
        } else {
            log.ended |= header[5] == 1;
            log.lost |= header[5] == 2;
        }
        Some(HEADER + name_len + body.len())
    }
}

fn unpacked(body: &[u8], raw_len: u32, newlines: u32) -> Option<Vec<u8>> {
    let raw = zstd::bulk::decompress(body, raw_len as usize).ok()?;
    let count = raw.iter().filter(|byte| **byte == b'\n').count();
    (raw.len() == raw_len as usize && count == newlines as usize).then_some(raw)
}

/// The same bytes with magic, version and checksums as they have to be; and, where the byte that has to be zero is so, with ordinals and lines
/// that go on from the frame before.
pub(super) fn with_right_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let mut seen: BTreeMap<(u32, Vec<u8>), (u64, u64)> = BTreeMap::new();
    let mut at = 0;
    while out.len() - at > HEADER {
        let rest = &mut out[at..];
        rest[..5].copy_from_slice(b"smlf\x01");
        let room = rest.len() - HEADER;
        let name_len = usize::from(rest[6]).clamp(1, LOG_NAME_BYTES_MAX).min(room);
        rest[6] = u8::try_from(name_len).expect("at most 128");
        let (header, behind) = rest.split_at_mut(HEADER);
        let (name, behind) = behind.split_at(name_len);
        let body_len = (u32_at(header, 16) as usize).min(behind.len());
        header[16..20].copy_from_slice(&u32::try_from(body_len).expect("it was one").to_le_bytes());
        if header[7] == 0 {
            let (ordinal, line) = seen.entry((u32_at(header, 8), name.to_vec())).or_default();
            header[24..32].copy_from_slice(&ordinal.to_le_bytes());
            header[32..40].copy_from_slice(&line.to_le_bytes());
            *ordinal += 1;
            *line += u64::from(u32_at(header, 20));
        }
        header[40..44].copy_from_slice(&crc32fast::hash(&behind[..body_len]).to_le_bytes());
        let crc = header_crc(header, name);
        header[44..48].copy_from_slice(&crc.to_le_bytes());
        at += HEADER + name_len + body_len;
    }
    out
}

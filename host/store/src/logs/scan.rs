//! Reading the headers of a file, and the bodies where that is asked.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::frame::{FIXED_BYTES, HEADER_BYTES_MAX, Header};
use super::index::{FrameRef, Index};

/// How far to trust a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Check {
    /// Headers only: for reading, where a body is checked when it is read.
    Headers,
    /// Bodies too: before appending, since after a crash of the machine a body may be missing although what follows is there.
    Bodies,
}

/// The index of a file of this length, and where its last good frame ends. What is behind that is torn.
pub(super) fn scan(file: &File, len: u64, check: Check) -> io::Result<(Index, u64)> {
    let mut index = Index::default();
    let mut at = 0;
    let mut body = Vec::new();
    while let Some((header, header_len)) = read_header(file, at, len)? {
        let body_at = at + header_len as u64;
        let end = body_at + u64::from(header.body_len);
        if end > len || index.misfit(&header).is_some() {
            break;
        }
        if check == Check::Bodies {
            body.resize(header.body_len as usize, 0);
            file.read_exact_at(&mut body, body_at)?;
            if crc32fast::hash(&body) != header.body_crc {
                break;
            }
        }
        index.add(&header, body_at);
        at = end;
    }
    Ok((index, at))
}

fn read_header(file: &File, at: u64, len: u64) -> io::Result<Option<(Header, usize)>> {
    let mut bytes = [0; HEADER_BYTES_MAX];
    let there = usize::try_from(len - at).unwrap_or(usize::MAX).min(HEADER_BYTES_MAX);
    if there < FIXED_BYTES {
        return Ok(None);
    }
    let bytes = &mut bytes[..there];
    file.read_exact_at(bytes, at)?;
    Ok(Header::decode(bytes))
}

/// A frame's body as it is stored, and its bytes.
pub(super) struct Both {
    pub(super) body: Vec<u8>,
    pub(super) raw: Vec<u8>,
}

/// Reads a frame. Its bytes are exactly what the header says, or it is an error; never more is decompressed than the header allows.
pub(super) fn read_frame(file: &File, frame: &FrameRef) -> io::Result<Result<Both, String>> {
    let mut body = vec![0; frame.body_len as usize];
    match file.read_exact_at(&mut body, frame.body_at) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Ok(Err("the file ends within it".to_owned()));
        }
        read => read?,
    }
    Ok(unpack(&body, frame).map(|raw| Both { body, raw }))
}

fn unpack(body: &[u8], frame: &FrameRef) -> Result<Vec<u8>, String> {
    if crc32fast::hash(body) != frame.body_crc {
        return Err("its checksum is wrong".to_owned());
    }
    let raw = zstd::bulk::decompress(body, frame.raw_len as usize)
        .map_err(|error| format!("it can't be decompressed: {error}"))?;
    if raw.len() != frame.raw_len as usize {
        return Err(format!("it has {} bytes and says {}", raw.len(), frame.raw_len));
    }
    let newlines = raw.iter().filter(|byte| **byte == b'\n').count();
    if newlines != frame.newlines as usize {
        return Err(format!("it has {newlines} newlines and says {}", frame.newlines));
    }
    Ok(raw)
}

//! The file of a journal: a header, then records of length, checksum, sequence and bytes. A record that was cut by a crash ends it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::JournalError;

/// The first bytes; the last one is the version.
const HEADER: &[u8; 8] = b"stmspl\0\x01";
const RECORD_HEAD: usize = 16;
const SUFFIX: &str = "spool";

pub(super) struct SpoolFile {
    path: PathBuf,
    file: File,
    /// Where the next record goes.
    end: u64,
    /// Whether the header is written: on a full disk it has to wait for room, and records are kept in memory meanwhile.
    headed: bool,
}

/// A spool as it was found.
pub(super) struct Found {
    pub(super) file: SpoolFile,
    pub(super) records: Vec<FoundRecord>,
    /// The bytes of the last record.
    pub(super) last: Vec<u8>,
}

pub(super) struct FoundRecord {
    pub(super) sequence: u64,
    pub(super) offset: u64,
    pub(super) length: u32,
}

pub(super) fn path(directory: &Path, build: u64) -> PathBuf {
    directory.join(format!("{build}.{SUFFIX}"))
}

/// The spools in a directory, by build.
pub(super) fn list(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let spool = path.extension().is_some_and(|extension| extension == SUFFIX);
        let build = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        if let (true, Some(build)) = (spool, build) {
            found.push((build, path));
        }
    }
    found.sort();
    Ok(found)
}

/// Reads a spool; `None` when there is no whole record in it.
pub(super) fn read(path: &Path) -> io::Result<Option<Found>> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    let mut header = [0; HEADER.len()];
    if length < HEADER.len() as u64 {
        return Ok(None);
    }
    file.read_exact_at(&mut header, 0)?;
    if header != *HEADER {
        return Err(io::Error::other("it is of another version"));
    }
    let mut records: Vec<FoundRecord> = Vec::new();
    let mut last = Vec::new();
    let mut offset = HEADER.len() as u64;
    while let Some((sequence, bytes)) = record_at(&file, offset, length)? {
        if records.last().is_some_and(|before| before.sequence + 1 != sequence) {
            break;
        }
        let size = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        records.push(FoundRecord { sequence, offset: offset + RECORD_HEAD as u64, length: size });
        offset += RECORD_HEAD as u64 + u64::from(size);
        last = bytes;
    }
    if offset < length {
        // What was torn is not to stand behind what comes next.
        file.set_len(offset)?;
    }
    let path = path.to_owned();
    let file = SpoolFile { path, file, end: offset, headed: true };
    Ok((!records.is_empty()).then_some(Found { file, records, last }))
}

fn record_at(file: &File, offset: u64, end: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
    if offset + RECORD_HEAD as u64 > end {
        return Ok(None);
    }
    let mut head = [0; RECORD_HEAD];
    file.read_exact_at(&mut head, offset)?;
    let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
    let checksum = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    let mut sequence = [0; 8];
    sequence.copy_from_slice(&head[8..]);
    let start = offset + RECORD_HEAD as u64;
    if start + u64::from(length) > end {
        return Ok(None);
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, start)?;
    let sequence = u64::from_le_bytes(sequence);
    Ok((checksum == checksum_of(sequence, &bytes)).then_some((sequence, bytes)))
}

fn checksum_of(sequence: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&sequence.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

impl SpoolFile {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let headed = file.write_all_at(HEADER, 0).is_ok();
        Ok(Self { path: path.to_owned(), file, end: HEADER.len() as u64, headed })
    }

    /// Answers where the bytes are.
    pub(super) fn append(&mut self, sequence: u64, bytes: &[u8]) -> Result<(u64, u32), JournalError> {
        let write = || -> io::Result<(u64, u32)> {
            let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
            let mut record = Vec::with_capacity(RECORD_HEAD + bytes.len());
            record.extend(length.to_le_bytes());
            record.extend(checksum_of(sequence, bytes).to_le_bytes());
            record.extend(sequence.to_le_bytes());
            record.extend(bytes);
            if !self.headed {
                self.file.write_all_at(HEADER, 0)?;
            }
            self.file.write_all_at(&record, self.end)?;
            Ok((self.end + RECORD_HEAD as u64, length))
        };
        let (offset, length) = write().map_err(|source| self.failed(source))?;
        (self.end, self.headed) = (offset + u64::from(length), true);
        Ok((offset, length))
    }

    pub(super) fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, JournalError> {
        let mut bytes = vec![0; length as usize];
        self.file.read_exact_at(&mut bytes, offset).map_err(|source| self.failed(source))?;
        Ok(bytes)
    }

    pub(super) fn length(&self) -> u64 {
        self.end
    }

    /// Everything in it is acknowledged: begin again. Records that could not be cut away are doubled at most, and the host drops those.
    pub(super) fn clear(&mut self) {
        let empty = HEADER.len() as u64;
        if self.end > empty && self.file.set_len(empty).is_ok() {
            self.end = empty;
        }
    }

    pub(super) fn remove(&self) {
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "a spool cannot be removed");
        }
    }

    fn failed(&self, source: io::Error) -> JournalError {
        JournalError::Disk { path: self.path.clone(), source }
    }
}

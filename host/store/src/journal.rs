//! The journal: what was committed last, in one file that is written from its beginning to its end with one sync a commit.
//!
//! A commit to the database touches some thirty pages all over its file. The journal takes the same writes in one piece, and the database
//! takes them without a sync; when the journal is full, the next commit is made durable in the database, with all before it, and the
//! journal begins anew. What the database has not got is put into it when it is opened.
//!
//! The file has a fixed length, all of it written when it is made: no commit makes it longer, a disk that fills up leaves it its room, and
//! one that was cut short is seen. It consists of pages:
//!
//! ```text
//! 0..4    CRC-32 of the rest of the page
//! 4..6    bytes of the record that are in this page
//! 6..8    pages of the record after this one
//! 8..16   number of the record
//! 16..    the bytes, then zeros
//! ```
//!
//! A record fills whole pages, so no page that was acknowledged is ever written again before it is in the database, and what begins a page is
//! never anything that came from outside. Records have successive numbers, and each is synced before the next is written: only the last
//! one may be torn.

mod record;
#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use record::{decode, record_of};

use crate::disk::forget_what_is_remembered;
use crate::limits::JOURNAL_BYTES;
use crate::{Disk, StoreError};

/// Name of the file in the data directory.
const FILE: &str = "stampmill.journal";
const PAGE: usize = 4096;
const HEAD: usize = 16;
const BODY: usize = PAGE - HEAD;

/// The journal of a database that is open for writing.
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    disk: Arc<dyn Disk>,
    /// Where the next record goes.
    end: usize,
    /// The number of the last record, whether it was written or not.
    last: u64,
}

impl Journal {
    /// Makes the file of a database that has none.
    pub(crate) fn make(directory: &Path, disk: &dyn Disk) -> Result<(), StoreError> {
        let path = directory.join(FILE);
        // One that is there is of a database that was never finished.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::io("remove", &path)(error));
            }
            _ => {}
        }
        let mut options = OpenOptions::new();
        let file = disk.make(options.read(true).write(true).mode(0o600), &path);
        let file = file.map_err(StoreError::io("make", &path))?;
        disk.write_all_at(&file, &vec![0; JOURNAL_BYTES], 0)
            .and_then(|()| disk.sync(&file))
            .map_err(StoreError::io("write", &path))
    }

    /// Opens the journal of a database that has all records up to the number `known`. Answers the records after that too.
    /// `again` after something has failed: then what is on the disk counts, whatever the kernel remembers.
    pub(crate) fn open(
        directory: &Path,
        disk: Arc<dyn Disk>,
        known: u64,
        again: bool,
    ) -> Result<(Self, Vec<Vec<u8>>), StoreError> {
        let path = directory.join(FILE);
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let file = file.map_err(|error| missing(&path, error))?;
        if again {
            forget_what_is_remembered(&file);
        }
        let records = read(&path, &file, known)?;
        Ok((Self { path, file, disk, end: 0, last: known }, records))
    }

    /// The records after the number `known`, of a journal that is not written.
    pub(crate) fn look(directory: &Path, known: u64) -> Result<Vec<Vec<u8>>, StoreError> {
        let path = directory.join(FILE);
        let file = File::open(&path).map_err(|error| missing(&path, error))?;
        read(&path, &file, known)
    }

    /// The number of the last record.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Whether a record has room.
    pub(crate) fn has_room_for(&self, record: &[u8]) -> bool {
        record.len().div_ceil(BODY) * PAGE <= JOURNAL_BYTES - self.end
    }

    /// Adds a record, durable on return, which must not be empty and have room.
    ///
    /// # Errors
    /// The record may be there or not: the journal is to be opened anew.
    pub(crate) fn append(&mut self, record: &[u8]) -> Result<(), StoreError> {
        self.last += 1;
        let pages = pages(record, self.last);
        self.disk
            .write_all_at(&self.file, &pages, self.end as u64)
            .and_then(|()| self.disk.sync(&self.file))
            .map_err(StoreError::io("write", &self.path))?;
        self.end += pages.len();
        Ok(())
    }

    /// Begins anew: the database has all records up to this number, durably.
    pub(crate) fn restart(&mut self, last: u64) {
        self.end = 0;
        self.last = last;
    }
}

fn missing(path: &Path, error: std::io::Error) -> StoreError {
    if error.kind() == std::io::ErrorKind::NotFound {
        return StoreError::damaged(path, "it is not there");
    }
    StoreError::io("open", path)(error)
}

fn pages(record: &[u8], number: u64) -> Vec<u8> {
    let count = record.len().div_ceil(BODY);
    let mut pages = vec![0; count * PAGE];
    for (index, (page, body)) in pages.chunks_mut(PAGE).zip(record.chunks(BODY)).enumerate() {
        // Neither is more than the journal has: its length is a constant.
        let (used, left) = (u16::try_from(body.len()), u16::try_from(count - 1 - index));
        page[4..6].copy_from_slice(&used.unwrap_or(u16::MAX).to_le_bytes());
        page[6..8].copy_from_slice(&left.unwrap_or(u16::MAX).to_le_bytes());
        page[8..HEAD].copy_from_slice(&number.to_le_bytes());
        page[HEAD..HEAD + body.len()].copy_from_slice(body);
        let crc = crc32fast::hash(&page[4..]);
        page[..4].copy_from_slice(&crc.to_le_bytes());
    }
    pages
}

/// A page of a record after the ones that are known, as it was written.
struct Page<'a> {
    number: u64,
    left: u16,
    body: &'a [u8],
}

fn page(bytes: &[u8], known: u64) -> Option<Page<'_>> {
    let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
    let [c0, c1, c2, c3, u0, u1, l0, l1, number @ ..] = *head;
    let (number, left) = (u64::from_le_bytes(number), u16::from_le_bytes([l0, l1]));
    let body = rest.get(..usize::from(u16::from_le_bytes([u0, u1])))?;
    let is_new = number > known && crc32fast::hash(&bytes[4..]) == u32::from_le_bytes([c0, c1, c2, c3]);
    is_new.then_some(Page { number, left, body })
}

/// The records after the number `known`.
fn read(path: &Path, file: &File, known: u64) -> Result<Vec<Vec<u8>>, StoreError> {
    let len = file.metadata().map_err(StoreError::io("read", path))?.len();
    if len != JOURNAL_BYTES as u64 {
        return Err(StoreError::damaged(path, format!("it has {len} bytes instead of {JOURNAL_BYTES}")));
    }
    let mut bytes = vec![0; JOURNAL_BYTES];
    file.read_exact_at(&mut bytes, 0).map_err(StoreError::io("read", path))?;
    let pages: Vec<_> = bytes.chunks(PAGE).map(|bytes| page(bytes, known)).collect();
    let mut rest = &pages[..];
    let mut records = Vec::new();
    let mut number = known + 1;
    while let Some((record, after)) = first_record(rest, number) {
        records.push(record);
        (rest, number) = (after, number + 1);
    }
    // Whatever follows is older, or a part of the last record, which was never acknowledged.
    match rest.iter().flatten().map(|page| page.number).max() {
        Some(newest) if newest > number => {
            Err(StoreError::damaged(path, format!("record {number} can't be read, and record {newest} can")))
        }
        _ => Ok(records),
    }
}

/// The record of this number, if the pages begin with it, and the pages after it.
fn first_record<'p, 'a>(pages: &'p [Option<Page<'a>>], number: u64) -> Option<(Vec<u8>, &'p [Option<Page<'a>>])> {
    let count = usize::from(pages.first()?.as_ref()?.left) + 1;
    let mut record = Vec::new();
    for (page, left) in pages.get(..count)?.iter().zip((0..count).rev()) {
        let page = page.as_ref().filter(|page| page.number == number && usize::from(page.left) == left)?;
        record.extend_from_slice(page.body);
    }
    Some((record, &pages[count..]))
}

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
//! 6..8    pages of the record before this one
//! 8..10   pages of the record after this one
//! 10..18  number of the record
//! 18..    the bytes, then zeros
//! ```
//!
//! A record fills whole pages, so no page that was acknowledged is ever written again before it is in the database, and what begins a page is
//! never anything that came from outside. Records have successive numbers, and each is synced before the next is written: only the last
//! one may be torn. A number whose record was torn, or has failed, is never given again.

mod record;
#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use record::{decode, record_of};

use crate::disk::{forget_what_is_remembered, sync_directory};
use crate::limits::JOURNAL_BYTES;
use crate::{Disk, StoreError};

/// Name of the file in the data directory.
const FILE: &str = "stampmill.journal";
const PAGE: usize = 4096;
const HEAD: usize = 18;
const BODY: usize = PAGE - HEAD;
/// The longest record: one that fills the file.
pub const RECORD_BYTES_MAX: usize = JOURNAL_BYTES / PAGE * BODY;

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
            .map_err(StoreError::io("write", &path))?;
        sync_directory(directory)
    }

    /// Opens the journal of a database that has all records up to the number `known`. Answers what it has after that too.
    pub(crate) fn open(directory: &Path, disk: Arc<dyn Disk>, known: u64) -> Result<(Self, Newer), StoreError> {
        let path = directory.join(FILE);
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let file = file.map_err(|error| missing(&path, error))?;
        let newer = read(&path, &file, known)?;
        Ok((Self { path, file, disk, end: 0, last: known }, newer))
    }

    /// What a journal that is not written has after the number `known`.
    pub(crate) fn look(directory: &Path, known: u64) -> Result<Newer, StoreError> {
        let path = directory.join(FILE);
        let file = File::open(&path).map_err(|error| missing(&path, error))?;
        read(&path, &file, known)
    }

    /// The number that the next record gets.
    pub(crate) fn next(&self) -> u64 {
        self.last + 1
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

    /// Begins anew: the database has all records, durably.
    pub(crate) fn restart(&mut self) {
        self.end = 0;
    }

    /// Begins anew after the opening: the database has all records up to this number, durably.
    pub(crate) fn restart_after(&mut self, last: u64) {
        (self.end, self.last) = (0, last);
    }
}

/// What a journal has that its database has not.
#[derive(Debug, Default)]
pub(crate) struct Newer {
    /// The records, in order.
    pub(crate) records: Vec<Vec<u8>>,
    /// The number of the last one, or of one after it of which there is a part.
    pub(crate) last: Option<u64>,
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
        // None is more than the journal has, whose length is a constant.
        let counts = [body.len(), index, count - 1 - index].map(|count| u16::try_from(count).unwrap_or(u16::MAX));
        for (field, count) in page[4..10].chunks_mut(2).zip(counts) {
            field.copy_from_slice(&count.to_le_bytes());
        }
        page[10..HEAD].copy_from_slice(&number.to_le_bytes());
        page[HEAD..HEAD + body.len()].copy_from_slice(body);
        let crc = crc32fast::hash(&page[4..]);
        page[..4].copy_from_slice(&crc.to_le_bytes());
    }
    pages
}

/// A page of a record after the ones that are known, as it was written.
struct Page<'a> {
    number: u64,
    before: usize,
    after: usize,
    body: &'a [u8],
}

fn page(bytes: &[u8], known: u64) -> Option<Page<'_>> {
    let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
    let [c0, c1, c2, c3, u0, u1, b0, b1, a0, a1, number @ ..] = *head;
    let number = u64::from_le_bytes(number);
    let [used, before, after] = [[u0, u1], [b0, b1], [a0, a1]].map(|count| usize::from(u16::from_le_bytes(count)));
    let body = rest.get(..used)?;
    let is_new = number > known && crc32fast::hash(&bytes[4..]) == u32::from_le_bytes([c0, c1, c2, c3]);
    is_new.then_some(Page { number, before, after, body })
}

/// What there is after the number `known`.
fn read(path: &Path, file: &File, known: u64) -> Result<Newer, StoreError> {
    // After a sync that failed the kernel may show what never reached the disk.
    forget_what_is_remembered(file);
    let len = file.metadata().map_err(StoreError::io("read", path))?.len();
    if len != JOURNAL_BYTES as u64 {
        return Err(StoreError::damaged(path, format!("it has {len} bytes instead of {JOURNAL_BYTES}")));
    }
    let mut bytes = vec![0; JOURNAL_BYTES];
    file.read_exact_at(&mut bytes, 0).map_err(StoreError::io("read", path))?;
    let pages: Vec<_> = bytes.chunks(PAGE).map(|bytes| page(bytes, known)).collect();
    let mut records = Vec::new();
    let mut number = known + 1;
    // What is known may end in the middle of the file.
    let begins =
        |page: &Option<Page<'_>>| page.as_ref().is_some_and(|page| (page.number, page.before) == (known + 1, 0));
    let mut rest = &pages[pages.iter().position(begins).unwrap_or(pages.len())..];
    while let Some((record, after)) = first_record(rest, number) {
        records.push(record);
        (rest, number) = (after, number + 1);
    }
    // Whatever else is newer is a part of the last record, which was never acknowledged.
    let last = pages.iter().flatten().map(|page| page.number).max();
    match last {
        Some(last) if last > number => {
            Err(StoreError::damaged(path, format!("record {number} can't be read, and record {last} can")))
        }
        _ => Ok(Newer { records, last }),
    }
}

/// The record of this number, if the pages begin with it, and the pages after it.
fn first_record<'p, 'a>(pages: &'p [Option<Page<'a>>], number: u64) -> Option<(Vec<u8>, &'p [Option<Page<'a>>])> {
    let count = pages.first()?.as_ref()?.after + 1;
    let mut record = Vec::new();
    for (index, page) in pages.get(..count)?.iter().enumerate() {
        let is_next = |page: &&Page<'_>| (page.number, page.before, page.after) == (number, index, count - 1 - index);
        record.extend_from_slice(page.as_ref().filter(is_next)?.body);
    }
    Some((record, &pages[count..]))
}

//! A database file that is only read: what redb writes to it, as its recovery after a crash does, is kept in memory.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

/// Bytes of a block that is kept: what redb calls a page.
const BLOCK: usize = 4096;

/// A file and what was written over it.
#[derive(Debug)]
pub(super) struct Overlay {
    file: File,
    changed: Mutex<Changed>,
}

#[derive(Debug)]
struct Changed {
    /// The length that the file would have.
    len: u64,
    /// Up to where the bytes of the file count: it may have been made shorter, and longer again.
    from_file: u64,
    /// Blocks by their number, as they would be.
    blocks: BTreeMap<u64, Box<[u8; BLOCK]>>,
}

impl Overlay {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file, changed: Mutex::new(Changed { len, from_file: len, blocks: BTreeMap::new() }) })
    }

    fn lock(&self) -> MutexGuard<'_, Changed> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block as it is in the file; zeros beyond its end.
    fn block_of_file(&self, number: u64, from_file: u64) -> io::Result<Box<[u8; BLOCK]>> {
        let mut block = Box::new([0; BLOCK]);
        let start = number * BLOCK as u64;
        let there = usize::try_from(from_file.saturating_sub(start)).unwrap_or(BLOCK).min(BLOCK);
        self.file.read_exact_at(&mut block[..there], start)?;
        Ok(block)
    }
}

/// The pieces of a range of bytes, block by block: number of the block, where in it, where in the range.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, std::ops::Range<usize>, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let at = offset + done as u64;
        let within = usize::try_from(at % BLOCK as u64).unwrap_or(0);
        let count = (BLOCK - within).min(len - done);
        let range = done..done + count;
        done += count;
        Some((at / BLOCK as u64, within..within + count, range))
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let changed = self.lock();
        if offset.saturating_add(out.len() as u64) > changed.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (number, within, range) in pieces(offset, out.len()) {
            match changed.blocks.get(&number) {
                Some(block) => out[range].copy_from_slice(&block[within]),
                None => out[range].copy_from_slice(&self.block_of_file(number, changed.from_file)?[within]),
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut changed = self.lock();
        if len < changed.len {
            let first_gone = len.div_ceil(BLOCK as u64);
            changed.blocks.split_off(&first_gone);
            changed.from_file = changed.from_file.min(len);
            let within = usize::try_from(len % BLOCK as u64).unwrap_or(0);
            if let Some(block) = changed.blocks.get_mut(&(len / BLOCK as u64)) {
                block[within..].fill(0);
            }
        }
        changed.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut changed = self.lock();
        let Changed { from_file, blocks, .. } = &mut *changed;
        for (number, within, range) in pieces(offset, data.len()) {
            let block = match blocks.entry(number) {
                Entry::Occupied(block) => block.into_mut(),
                Entry::Vacant(place) => place.insert(self.block_of_file(number, *from_file)?),
            };
            block[within].copy_from_slice(&data[range]);
        }
        changed.len = changed.len.max(offset.saturating_add(data.len() as u64));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_the_file_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let original: Vec<u8> = (0..10_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        std::fs::write(&path, &original).unwrap();
        let overlay = Overlay::new(File::open(&path).unwrap()).unwrap();
        let read = |offset, len| {
            let mut bytes = vec![0xEE; len];
            overlay.read(offset, &mut bytes).map(|()| bytes)
        };
        overlay.write(4_000, &[7; 5_000]).unwrap();
        let mut expected = original.clone();
        expected[4_000..9_000].fill(7);
        assert_eq!(read(0, 10_000).unwrap(), expected);
        // Shorter and longer again: what was cut off is zeros, from memory and from the file.
        overlay.set_len(8_500).unwrap();
        overlay.set_len(20_000).unwrap();
        expected.truncate(8_500);
        expected.resize(20_000, 0);
        assert_eq!(read(0, 20_000).unwrap(), expected);
        overlay.write(19_990, &[9; 20]).unwrap();
        expected.truncate(19_990);
        expected.resize(20_010, 9);
        assert_eq!(overlay.len().unwrap(), 20_010);
        assert_eq!(read(0, 20_010).unwrap(), expected);
        assert!(read(20_000, 11).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), original);
    }
}

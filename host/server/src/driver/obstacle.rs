//! A store on a disk that a test stands in the way of.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use redb::StorageBackend;
use redb::backends::FileBackend;
use stampmill_store::{Disk, Store};

/// What a test does to a disk: each is asked before the operation, which fails with its error.
pub(super) trait Obstacle: Debug + Send + Sync + 'static {
    /// Before a read.
    fn look(&self) -> io::Result<()> {
        Ok(())
    }

    /// Before a write and a change of length.
    fn change(&self) -> io::Result<()> {
        Ok(())
    }

    /// Before a sync.
    fn sync(&self) -> io::Result<()> {
        self.change()
    }
}

/// A store in this directory.
pub(super) fn store(directory: &Path, disk: &Arc<impl Obstacle>) -> Store {
    let below = Arc::clone(disk);
    let opener = move |file| {
        let backend = Backend { file: FileBackend::new(file)?, disk: Arc::clone(&below) };
        redb::Builder::new().create_with_backend(backend)
    };
    Store::open_on(directory, opener, Arc::new(Below(Arc::clone(disk)))).expect("a store")
}

/// The disk below the journal and the logs.
struct Below<O>(Arc<O>);

impl<O: Obstacle> Disk for Below<O> {
    fn write_all_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        self.0.change()?;
        file.write_all_at(bytes, at)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.0.sync()?;
        file.sync_data()
    }
}

#[derive(Debug)]
struct Backend<O> {
    file: FileBackend,
    disk: Arc<O>,
}

impl<O: Obstacle> StorageBackend for Backend<O> {
    fn len(&self) -> io::Result<u64> {
        self.disk.look()?;
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.disk.look()?;
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.change()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.sync()?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.change()?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

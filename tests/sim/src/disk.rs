//! The disk: what is durable. In some runs the real store stands beside it, and every start reads from that.

use std::fs::File;
use std::io;
use std::sync::Arc;

use redb::StorageBackend;
use redb::backends::InMemoryBackend;
use stampmill_engine::{Snapshot, Write};
use stampmill_model::Steady;
use stampmill_store::Store;
use tempfile::TempDir;

use crate::records::{Records, Written};

/// What survives a crash.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) durable: Records,
    /// The steady time of the last commit.
    pub(crate) steady: Steady,
    real: Option<RealStore>,
}

impl Disk {
    /// An empty disk, with the real store beside it.
    ///
    /// # Errors
    /// When the machine has no room for one.
    pub(crate) fn with_store() -> Result<Self, String> {
        Ok(Self { real: Some(RealStore::open()?), ..Self::default() })
    }

    /// Makes writes durable.
    pub(crate) fn commit(&mut self, writes: &[Write], steady: Steady) -> Result<Vec<Written>, String> {
        if let Some(real) = &self.real {
            real.store.commit(writes, steady).map_err(|error| format!("the store does not take a commit: {error}"))?;
        }
        self.steady = self.steady.max(steady);
        Ok(writes.iter().map(|write| self.durable.apply(write)).collect())
    }

    /// The open work.
    ///
    /// # Errors
    /// When the real store hands out something else than was written.
    pub(crate) fn load(&self) -> Result<(Snapshot, Steady), String> {
        let expected = (self.durable.snapshot(), self.steady);
        let Some(real) = &self.real else { return Ok(expected) };
        let found = real.store.load().map_err(|error| format!("the store can't be read: {error}"))?;
        if found == expected {
            return Ok(found);
        }
        Err(format!("the store hands out {found:#?}\n  instead of {expected:#?}"))
    }
}

/// A store whose database is in memory and whose journal nobody waits for: rows and tables are the real ones.
struct RealStore {
    store: Store,
    _directory: TempDir,
}

impl std::fmt::Debug for RealStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.store.fmt(f)
    }
}

/// A disk that never makes anybody wait.
struct Hasty;

impl stampmill_store::Disk for Hasty {
    fn sync(&self, _: &File) -> io::Result<()> {
        Ok(())
    }
}

/// What takes the place of the database's file.
#[derive(Clone, Debug, Default)]
struct Memory(Arc<InMemoryBackend>);

impl StorageBackend for Memory {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

impl RealStore {
    fn open() -> Result<Self, String> {
        let directory = TempDir::new().map_err(|error| format!("there is no temporary directory: {error}"))?;
        // A database is opened more than once, and is the same each time.
        let memory = Memory::default();
        let in_memory = move |_| redb::Builder::new().create_with_backend(memory.clone());
        let store = Store::open_on(directory.path(), in_memory, Arc::new(Hasty));
        Ok(Self { store: store.map_err(|error| format!("there is no store: {error}"))?, _directory: directory })
    }
}

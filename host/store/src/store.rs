//! The store itself: opening, committing, loading.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::WriteTransaction;
use stampmill_engine::{Snapshot, Write};
use stampmill_model::{Steady, Wall};

use crate::commit::Batch;
use crate::database::{Database, open_file};
use crate::lock::DirectoryLock;
use crate::logs::LogFiles;
use crate::people::KnownAuthors;
use crate::reader::View;
use crate::rows::Row as _;
use crate::{Disk, Reader, RealDisk, StoreError, journal};

/// The data directory of a host. Cheap to clone; the directory is free again when the last clone is gone.
///
/// Every call blocks on the disk: an async caller uses a blocking thread.
#[derive(Clone)]
pub struct Store {
    database: Arc<Database>,
    known: Arc<KnownAuthors>,
    logs: LogFiles,
    directory: Arc<Path>,
    _lock: Arc<DirectoryLock>,
}

/// What [`Store::gc`] has taken away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Collected {
    /// Deliveries beyond the horizon.
    pub deliveries: usize,
    /// Sessions that have expired.
    pub sessions: usize,
}

impl Store {
    /// Opens the data directory, which is made if need be, and keeps every other process out of it.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it; [`StoreError::Format`] when a later release has written it;
    /// [`StoreError::Damaged`] when the database is not what was stored there.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        Self::open_on(directory, open_file, Arc::new(RealDisk))
    }

    /// As [`Store::open`], with another way to make a database of the open file and another disk below the journal and the logs: for tests of what happens
    /// when the disk fails.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_on(
        directory: &Path,
        opener: impl Fn(File) -> Result<redb::Database, redb::DatabaseError> + Send + Sync + 'static,
        disk: Arc<dyn Disk>,
    ) -> Result<Self, StoreError> {
        let lock = DirectoryLock::take(directory)?;
        let database = Database::open(directory, Box::new(opener), Arc::clone(&disk))?;
        Ok(Self {
            database: Arc::new(database),
            known: Arc::default(),
            logs: LogFiles::open_on(directory, disk)?,
            directory: directory.into(),
            _lock: Arc::new(lock),
        })
    }

    /// The data directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The path of the database file.
    #[must_use]
    pub fn database_path(&self) -> PathBuf {
        self.database.path().to_owned()
    }

    /// The logs of builds.
    #[must_use]
    pub fn logs(&self) -> &LogFiles {
        &self.logs
    }

    /// Stores all of the writes in one transaction, which is durable on return. Of several writes of one key the last counts. `steady`
    /// is kept as the last steady time. With no writes it stores that alone, in the database itself: a question to the disk whether it takes
    /// anything.
    ///
    /// # Errors
    /// Nothing was stored, as far as readers of now can see. An error of the disk may hit after the decisive write, so that all of it turns
    /// out to be stored when the database is opened again, which has happened when this returns: load the open work anew, as at start.
    pub fn commit(&self, writes: &[Write], steady: Steady) -> Result<(), StoreError> {
        let batch = Batch::gather(writes, steady)?;
        if writes.is_empty() {
            return self.write(|transaction| batch.apply(transaction, &self.known));
        }
        let record = |transaction: &WriteTransaction| journal::record_of(&batch, transaction)?.encode();
        let done = self.database.write_ahead(record, |transaction| batch.apply(transaction, &self.known));
        if done.is_err() {
            self.known.forget();
        }
        done
    }

    /// Everything that is not finished, and the last steady time.
    pub fn load(&self) -> Result<(Snapshot, Steady), StoreError> {
        self.read()?.load()
    }

    /// A consistent view of what is stored now.
    pub fn read(&self) -> Result<Reader, StoreError> {
        Reader::new(Arc::clone(&self.database))
    }

    /// Closes the database file and opens it anew. Seldom needed: after an error this happens by itself.
    pub fn reopen(&self) -> Result<(), StoreError> {
        self.database.reopen()
    }

    /// Takes away what is beyond its horizon: old deliveries, and sessions that have expired.
    pub fn gc(&self, now: Wall) -> Result<Collected, StoreError> {
        self.write(|transaction| {
            Ok(Collected {
                deliveries: crate::commit::trim_deliveries(transaction, now, usize::MAX)?,
                sessions: crate::accounts::trim_sessions(transaction, now)?,
            })
        })
    }

    pub(crate) fn known_authors(&self) -> &KnownAuthors {
        &self.known
    }

    pub(crate) fn write<T>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.database.write(work)
    }

    pub(crate) fn view<T>(&self, question: impl FnOnce(&View) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.read()?.ask(question)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("directory", &self.directory).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod damage;
#[cfg(test)]
mod tests;

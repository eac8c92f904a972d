//! The open database file, and opening it again: redb refuses everything after one I/O error until then.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use redb::{ReadTransaction, ReadableDatabase as _, WriteTransaction};

use crate::StoreError;
use crate::limits::DATABASE_CACHE_BYTES;

/// Makes a database of an open file.
pub(crate) type Opener = dyn Fn(File) -> Result<redb::Database, redb::DatabaseError> + Send + Sync;

/// The database of a data directory.
pub(crate) struct Database {
    path: PathBuf,
    opener: Box<Opener>,
    /// `None` while it could not be opened again after a failure.
    open: RwLock<Option<redb::Database>>,
    /// One write at a time; also held while the database is opened again, when no write may be under way.
    writer: Mutex<()>,
    /// A read has failed in a way that only opening again mends.
    suspect: AtomicBool,
}

impl Database {
    pub(crate) fn open(path: PathBuf, opener: Box<Opener>) -> Result<Self, StoreError> {
        let database =
            Self { path, opener, open: RwLock::new(None), writer: Mutex::new(()), suspect: AtomicBool::new(false) };
        database.reopen()?;
        Ok(database)
    }

    /// Closes the file and opens it anew. Reads that are under way fail.
    pub(crate) fn reopen(&self) -> Result<(), StoreError> {
        let writer = self.lock_writer();
        self.reopen_as_writer(&writer)
    }

    fn reopen_as_writer(&self, _writer: &MutexGuard<'_, ()>) -> Result<(), StoreError> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        // Closed first: the file is locked while it is open.
        *open = None;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&self.path)
            .map_err(StoreError::io("open", &self.path))?;
        *open = Some((self.opener)(file)?);
        self.suspect.store(false, Ordering::Release);
        Ok(())
    }

    /// A view of what is committed now.
    pub(crate) fn begin_read(&self) -> Result<ReadTransaction, StoreError> {
        loop {
            if !self.suspect.load(Ordering::Acquire)
                && let Some(database) = &*self.open.read().unwrap_or_else(PoisonError::into_inner)
            {
                return Ok(database.begin_read()?);
            }
            self.mend(&self.lock_writer())?;
        }
    }

    /// Says that a read has failed with this; the next call opens the database again where that helps.
    pub(crate) fn read_failed(&self, error: &StoreError) {
        if error.needs_reopening() {
            self.suspect.store(true, Ordering::Release);
        }
    }

    /// One durable transaction: all of what `work` did, or nothing. After an I/O error the database is opened again before this returns,
    /// or at the next call if that fails too.
    pub(crate) fn write<T>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let writer = self.lock_writer();
        self.mend(&writer)?;
        let result = self.try_write(work);
        if let Err(error) = &result
            && error.needs_reopening()
            && self.reopen_as_writer(&writer).is_err()
        {
            // Left closed: the next call tries again and says why it can't.
            *self.open.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
        result
    }

    fn try_write<T>(&self, work: impl FnOnce(&WriteTransaction) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let transaction = match &*self.open.read().unwrap_or_else(PoisonError::into_inner) {
            Some(database) => database.begin_write()?,
            None => return Err(redb::StorageError::DatabaseClosed.into()),
        };
        let value = work(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }

    fn mend(&self, writer: &MutexGuard<'_, ()>) -> Result<(), StoreError> {
        let closed = self.open.read().unwrap_or_else(PoisonError::into_inner).is_none();
        if closed || self.suspect.load(Ordering::Acquire) {
            self.reopen_as_writer(writer)?;
        }
        Ok(())
    }

    fn lock_writer(&self) -> MutexGuard<'_, ()> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the host opens its database.
pub(crate) fn open_file(file: File) -> Result<redb::Database, redb::DatabaseError> {
    redb::Builder::new()
        .set_cache_size(DATABASE_CACHE_BYTES)
        .create_with_backend(redb::backends::FileBackend::new(file)?)
}

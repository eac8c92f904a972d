//! The open database file, and opening it again: redb refuses everything after one I/O error until then.

mod opening;
mod overlay;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use redb::{ReadTransaction, ReadableDatabase as _, WriteTransaction};

use crate::StoreError;

pub(crate) use opening::open_file;

/// Makes a database of an open file.
pub(crate) type Opener = dyn Fn(File) -> Result<redb::Database, redb::DatabaseError> + Send + Sync;

/// The database of a data directory.
pub(crate) struct Database {
    path: PathBuf,
    opener: Box<Opener>,
    open: RwLock<Open>,
    /// One write at a time; also held while the database is opened again, when no write may be under way.
    writer: Mutex<()>,
    /// A read has failed in a way that only opening again mends.
    suspect: AtomicBool,
}

/// How the file is open.
enum Open {
    /// Not at all: it could not be opened again after a failure.
    Closed,
    /// As it was stored last, while it can't be written: so that people can read meanwhile.
    ForReading(redb::Database),
    /// For reading and writing.
    ForWriting(redb::Database),
}

impl Database {
    /// Opens the database in this directory; a new one is made in a directory that has held none.
    pub(crate) fn open(directory: &Path, opener: Box<Opener>) -> Result<Self, StoreError> {
        let path = opening::prepare(directory, &*opener)?;
        let open = RwLock::new(Open::ForWriting(opening::open(&path, &*opener)?));
        Ok(Self { path, opener, open, writer: Mutex::new(()), suspect: AtomicBool::new(false) })
    }

    /// The database file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Closes the file and opens it anew. Reads that are under way fail.
    pub(crate) fn reopen(&self) -> Result<(), StoreError> {
        let writer = self.lock_writer();
        self.reopen_as_writer(&writer)
    }

    /// On an error what is stored can still be read, unless the disk fails at that too.
    fn reopen_as_writer(&self, _writer: &MutexGuard<'_, ()>) -> Result<(), StoreError> {
        if !matches!(*self.state(), Open::ForReading(_)) {
            // Closed first: the file is locked while it is open.
            opening::close(std::mem::replace(&mut *self.state_mut(), Open::Closed));
        }
        match opening::open_from_disk(&self.path, &*self.opener) {
            Ok(database) => {
                let old = std::mem::replace(&mut *self.state_mut(), Open::ForWriting(database));
                opening::close(old);
                self.suspect.store(false, Ordering::Release);
                Ok(())
            }
            Err(error) => {
                self.open_for_reading();
                Err(error)
            }
        }
    }

    fn open_for_reading(&self) {
        if matches!(*self.state(), Open::ForReading(_)) && !self.suspect.load(Ordering::Acquire) {
            return;
        }
        // If this fails too, the next call tries again and says why it can't.
        let next = opening::open_for_reading(&self.path).map_or(Open::Closed, Open::ForReading);
        opening::close(std::mem::replace(&mut *self.state_mut(), next));
        self.suspect.store(false, Ordering::Release);
    }

    /// A view of what is committed now.
    pub(crate) fn begin_read(&self) -> Result<ReadTransaction, StoreError> {
        loop {
            if !self.suspect.load(Ordering::Acquire) {
                let state = self.state();
                if let Open::ForReading(database) | Open::ForWriting(database) = &*state {
                    return self.guarded(|| Ok(database.begin_read()?));
                }
            }
            let writer = self.lock_writer();
            if (self.suspect.load(Ordering::Acquire) || matches!(*self.state(), Open::Closed))
                && let Err(error) = self.reopen_as_writer(&writer)
                && matches!(*self.state(), Open::Closed)
            {
                return Err(error);
            }
        }
    }

    /// Asks something of an open view; what only opening again mends is noticed, for the next call.
    pub(crate) fn ask<T>(&self, question: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let result = self.guarded(question);
        if result.as_ref().is_err_and(StoreError::needs_reopening) {
            self.suspect.store(true, Ordering::Release);
        }
        result
    }

    /// One durable transaction: all of what `work` did, or nothing. After an I/O error the database is opened again before this returns,
    /// or at the next call if that fails too.
    pub(crate) fn write<T>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let writer = self.lock_writer();
        if self.suspect.load(Ordering::Acquire) || !matches!(*self.state(), Open::ForWriting(_)) {
            self.reopen_as_writer(&writer)?;
        }
        let result = self.try_write(work);
        if result.as_ref().is_err_and(StoreError::needs_reopening) {
            // The error of the write says more than the one of opening, which the next call has again.
            let _ = self.reopen_as_writer(&writer);
        }
        result
    }

    fn try_write<T>(&self, work: impl FnOnce(&WriteTransaction) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let transaction = match &*self.state() {
            Open::ForWriting(database) => self.guarded(|| Ok(database.begin_write()?))?,
            Open::ForReading(_) | Open::Closed => return Err(redb::StorageError::DatabaseClosed.into()),
        };
        self.guarded(move || {
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })
    }

    /// Says of damage where it is. A damaged page can make redb panic: that is an error here, and the database is opened again.
    fn guarded<T>(&self, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        match opening::caught(work) {
            Ok(result) => result.map_err(|error| error.in_file(&self.path)),
            Err(panicked) => {
                self.suspect.store(true, Ordering::Release);
                Err(StoreError::damaged(&self.path, panicked))
            }
        }
    }

    fn state(&self) -> RwLockReadGuard<'_, Open> {
        self.open.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, Open> {
        self.open.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_writer(&self) -> MutexGuard<'_, ()> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

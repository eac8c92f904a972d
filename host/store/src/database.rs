//! The open database file, and opening it again: redb refuses everything after one I/O error until then.

mod opening;
mod overlay;

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use redb::{Durability, ReadTransaction, ReadableDatabase as _, WriteTransaction};

use crate::journal::Journal;
use crate::tables::{LAST_RECORD, META};
use crate::{Disk, StoreError};
use opening::Place;

pub(crate) use opening::open_file;

/// Makes a database of an open file.
pub(crate) type Opener = dyn Fn(File) -> Result<redb::Database, redb::DatabaseError> + Send + Sync;

/// The database of a data directory.
pub(crate) struct Database {
    place: Place,
    open: RwLock<Open>,
    /// One write at a time; also held while the database is opened again, when no write may be under way. There is a journal while the
    /// database is open for writing.
    writer: Mutex<Option<Journal>>,
    /// A read has failed in a way that only opening again mends.
    suspect: AtomicBool,
}

/// Makes the record of a commit, in its transaction.
type MakeRecord<'a> = dyn Fn(&WriteTransaction) -> Result<Vec<u8>, StoreError> + 'a;

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
    pub(crate) fn open(directory: &Path, opener: Box<Opener>, disk: Arc<dyn Disk>) -> Result<Self, StoreError> {
        let place = Place::prepare(directory, opener, disk)?;
        let (database, journal) = place.open()?;
        let (open, writer) = (RwLock::new(Open::ForWriting(database)), Mutex::new(Some(journal)));
        Ok(Self { place, open, writer, suspect: AtomicBool::new(false) })
    }

    /// The database file.
    pub(crate) fn path(&self) -> &Path {
        self.place.path()
    }

    /// Closes the file and opens it anew. Reads that are under way fail.
    pub(crate) fn reopen(&self) -> Result<(), StoreError> {
        self.reopen_as_writer(&mut self.lock_writer())
    }

    /// On an error what is stored can still be read, unless the disk fails at that too.
    fn reopen_as_writer(&self, writer: &mut Option<Journal>) -> Result<(), StoreError> {
        *writer = None;
        if !matches!(*self.state(), Open::ForReading(_)) {
            // Closed first: the file is locked while it is open.
            opening::close(std::mem::replace(&mut *self.state_mut(), Open::Closed));
        }
        match self.place.open_again() {
            Ok((database, journal)) => {
                let old = std::mem::replace(&mut *self.state_mut(), Open::ForWriting(database));
                opening::close(old);
                *writer = Some(journal);
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
        // Also in the place of another one: the files may have been written since.
        // If this fails too, the next call tries again and says why it can't.
        let next = self.place.open_for_reading().map_or(Open::Closed, Open::ForReading);
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
            let mut writer = self.lock_writer();
            if (self.suspect.load(Ordering::Acquire) || matches!(*self.state(), Open::Closed))
                && let Err(error) = self.reopen_as_writer(&mut writer)
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
        self.write_with(None, work)
    }

    /// As [`Self::write`], of work that a record of the journal stands for.
    pub(crate) fn write_ahead<T>(
        &self,
        record: impl Fn(&WriteTransaction) -> Result<Vec<u8>, StoreError>,
        work: impl FnOnce(&WriteTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.write_with(Some(&record), work)
    }

    fn write_with<T>(
        &self,
        record: Option<&MakeRecord<'_>>,
        work: impl FnOnce(&WriteTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut writer = self.lock_writer();
        if self.suspect.load(Ordering::Acquire) || writer.is_none() {
            self.reopen_as_writer(&mut writer)?;
        }
        let Some(journal) = &mut *writer else { return Err(redb::StorageError::DatabaseClosed.into()) };
        let next = journal.next();
        let result = self.try_write(journal, record, work);
        // A record may be in the journal although its commit failed.
        if result.as_ref().is_err_and(|error| error.needs_reopening() || journal.next() > next) {
            // The error of the write says more than the one of opening, which the next call has again.
            let _ = self.reopen_as_writer(&mut writer);
        }
        result
    }

    fn try_write<T>(
        &self,
        journal: &mut Journal,
        record: Option<&MakeRecord<'_>>,
        work: impl FnOnce(&WriteTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let state = self.state();
        let Open::ForWriting(database) = &*state else { return Err(redb::StorageError::DatabaseClosed.into()) };
        self.guarded(|| {
            let mut transaction = database.begin_write()?;
            let record = record.map(|record| record(&transaction)).transpose()?;
            let record = record.filter(|record| journal.has_room_for(record));
            let value = match &record {
                Some(record) => {
                    opening::begin(&mut transaction, Durability::None)?;
                    let value = work(&transaction)?;
                    transaction.open_table(META)?.insert(LAST_RECORD, journal.next())?;
                    // Last of all: what can't be done is not to come back at each opening.
                    journal.append(record)?;
                    value
                }
                None => {
                    opening::begin(&mut transaction, Durability::Immediate)?;
                    work(&transaction)?
                }
            };
            transaction.commit()?;
            if record.is_none() {
                journal.restart();
            }
            Ok(value)
        })
    }

    /// Says of damage where it is. A damaged page can make redb panic: that is an error here, and the database is opened again.
    fn guarded<T>(&self, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        match opening::caught(work) {
            Ok(result) => result.map_err(|error| error.in_file(self.path())),
            Err(panicked) => {
                self.suspect.store(true, Ordering::Release);
                Err(StoreError::damaged(self.path(), panicked))
            }
        }
    }

    fn state(&self) -> RwLockReadGuard<'_, Open> {
        self.open.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, Open> {
        self.open.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_writer(&self) -> MutexGuard<'_, Option<Journal>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

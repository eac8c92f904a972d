//! Making the database file of a new directory, and opening one that is there.

use std::any::Any;
use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use redb::{Durability, ReadableDatabase as _, WriteTransaction};

use super::overlay::Overlay;
use super::{Open, Opener};
use crate::commit::Batch;
use crate::disk::{forget_what_is_remembered, sync_directory};
use crate::journal::{self, Journal, Newer};
use crate::limits::DATABASE_CACHE_BYTES;
use crate::people::KnownAuthors;
use crate::reader::View;
use crate::tables::{FORMAT, FORMAT_WITHOUT_JOURNAL, LAST_RECORD, META, make_all};
use crate::{Disk, StoreError};

/// Name of the database file in the data directory.
const FILE: &str = "stampmill.redb";
/// Name of a database that is being made: a file of the other name is always whole.
const NEW_FILE: &str = "stampmill.redb.new";

/// How the host opens its database.
pub(crate) fn open_file(file: File) -> Result<redb::Database, redb::DatabaseError> {
    redb::Builder::new()
        .set_cache_size(DATABASE_CACHE_BYTES)
        .create_with_backend(redb::backends::FileBackend::new(file)?)
}

/// Where a database is, and how its files are used.
pub(super) struct Place {
    directory: PathBuf,
    path: PathBuf,
    opener: Box<Opener>,
    disk: Arc<dyn Disk>,
}

impl Place {
    /// Sees to it that there is a database in the directory. A directory that has logs had a database: it is not begun anew in silence.
    pub(super) fn prepare(directory: &Path, opener: Box<Opener>, disk: Arc<dyn Disk>) -> Result<Self, StoreError> {
        let place = Self { directory: directory.to_owned(), path: directory.join(FILE), opener, disk };
        let path = &place.path;
        match fs::metadata(path) {
            Ok(found) if found.len() > 0 => {}
            Ok(_) => return Err(StoreError::damaged(path, "it is empty")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let logs = directory.join("logs");
                if fs::read_dir(&logs).is_ok_and(|mut entries| entries.next().is_some()) {
                    return Err(StoreError::damaged(path, format!("it is not there, and {} has logs", logs.display())));
                }
                place.make()?;
            }
            Err(error) => return Err(StoreError::io("read", path)(error)),
        }
        Ok(place)
    }

    /// The database file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn make(&self) -> Result<(), StoreError> {
        Journal::make(&self.directory, &*self.disk)?;
        let path = self.directory.join(NEW_FILE);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).mode(0o600).open(&path);
        let database = (self.opener)(file.map_err(StoreError::io("make", &path))?)?;
        let transaction = database.begin_write()?;
        make_all(&transaction)?;
        put_format(&transaction)?;
        transaction.commit()?;
        drop(database);
        fs::rename(&path, &self.path).map_err(StoreError::io("rename", &path))?;
        sync_directory(&self.directory)
    }

    /// Opens the files for reading and writing.
    pub(super) fn open(&self) -> Result<(redb::Database, Journal), StoreError> {
        self.open_for_writing(false)
    }

    /// As [`Self::open`], after something has failed.
    pub(super) fn open_again(&self) -> Result<(redb::Database, Journal), StoreError> {
        self.open_for_writing(true)
    }

    fn open_for_writing(&self, again: bool) -> Result<(redb::Database, Journal), StoreError> {
        let file = OpenOptions::new().read(true).write(true).open(&self.path);
        let file = file.map_err(StoreError::io("open", &self.path))?;
        // After a sync that failed the kernel may show pages that never reached the disk and never will, also to the next process.
        forget_what_is_remembered(&file);
        self.checked(|| {
            let database = (self.opener)(file)?;
            let known = match last_record(&database)? {
                Some(known) => known,
                None => self.add_journal(&database)?,
            };
            let (mut journal, newer) = Journal::open(&self.directory, Arc::clone(&self.disk), known)?;
            if again || newer.last.is_some() {
                // A record that failed may not be there and reach the disk yet.
                let last = known + newer.records.len() as u64 + 1;
                take_over(&database, &newer.records, last, Durability::Immediate)?;
                journal.restart_after(last);
            }
            Ok((database, journal))
        })
    }

    /// Opens the database so that it can be read as it is; whatever would be written stays in memory.
    pub(super) fn open_for_reading(&self) -> Result<redb::Database, StoreError> {
        let file = File::open(&self.path).map_err(StoreError::io("open", &self.path))?;
        self.checked(|| {
            let overlay = Overlay::new(file).map_err(StoreError::io("read", &self.path))?;
            let database = redb::Builder::new().set_cache_size(DATABASE_CACHE_BYTES).create_with_backend(overlay)?;
            if let Some(known) = last_record(&database)? {
                let Newer { records, .. } = Journal::look(&self.directory, known)?;
                take_over(&database, &records, known + records.len() as u64, Durability::None)?;
            }
            Ok(database)
        })
    }

    /// A host of format 1 had no journal.
    fn add_journal(&self, database: &redb::Database) -> Result<u64, StoreError> {
        Journal::make(&self.directory, &*self.disk)?;
        let transaction = database.begin_write()?;
        put_format(&transaction)?;
        transaction.commit()?;
        Ok(0)
    }

    fn checked<T>(&self, open: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let opened = caught(open);
        let path = &self.path;
        opened.unwrap_or_else(|panicked| Err(StoreError::damaged(path, panicked))).map_err(|error| error.in_file(path))
    }
}

fn put_format(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let mut meta = transaction.open_table(META)?;
    meta.insert("format", FORMAT)?;
    meta.insert(LAST_RECORD, 0)?;
    Ok(())
}

/// The last record of the journal that the database has; `None` in a database of format 1.
fn last_record(database: &redb::Database) -> Result<Option<u64>, StoreError> {
    let transaction = database.begin_read()?;
    let meta = transaction.open_table(META)?;
    match meta.get("format")?.map(|format| format.value()) {
        Some(FORMAT) => match meta.get(LAST_RECORD)? {
            Some(last) => Ok(Some(last.value())),
            None => Err(StoreError::Missing { what: "its last record".to_owned() }),
        },
        Some(FORMAT_WITHOUT_JOURNAL) => Ok(None),
        Some(found) => Err(StoreError::Format { found, known: FORMAT }),
        None => Err(StoreError::Missing { what: "its format".to_owned() }),
    }
}

/// Puts the records of a journal into the database.
fn take_over(
    database: &redb::Database,
    records: &[Vec<u8>],
    last: u64,
    durability: Durability,
) -> Result<(), StoreError> {
    let stored = View { transaction: database.begin_read()? };
    let (writes, steady) = journal::decode(records, &|key| stored.patch(key))?;
    let mut transaction = database.begin_write()?;
    begin(&mut transaction, durability)?;
    Batch::gather(&writes, steady)?.apply(&transaction, &KnownAuthors::default())?;
    transaction.open_table(META)?.insert(LAST_RECORD, last)?;
    Ok(transaction.commit()?)
}

/// Says how durable a transaction is. A database that is durable up to the journal's beginning is opened after a crash without a walk over
/// all of it: that costs a second sync, of one commit in some hundred.
pub(super) fn begin(transaction: &mut WriteTransaction, durability: Durability) -> Result<(), StoreError> {
    transaction.set_quick_repair(matches!(durability, Durability::Immediate));
    // Refused only where there are savepoints, or several processes.
    transaction.set_durability(durability).map_err(|error| redb::StorageError::Corrupted(error.to_string()).into())
}

thread_local! {
    /// Whether a panic of this thread becomes an error, and is no news.
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs what calls redb, which panics at some kinds of damage; answers what it said then.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let tell = panic::take_hook();
        panic::set_hook(Box::new(move |panicked| {
            if !IS_GUARDED.get() {
                tell(panicked);
            }
        }));
    });
    let was_guarded = IS_GUARDED.replace(true);
    // What the work leaves half done is redb's, and the database is opened again before it is used again.
    let result = panic::catch_unwind(AssertUnwindSafe(work)).map_err(|panicked| said(&*panicked));
    IS_GUARDED.set(was_guarded);
    result
}

fn said(panicked: &(dyn Any + Send)) -> String {
    let text = panicked.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panicked.downcast_ref::<&str>().copied()).unwrap_or("the database code panicked").to_owned()
}

/// Closes a database, whatever state it is in.
pub(super) fn close(open: Open) {
    // One that has panicked may do so again.
    let _ = caught(move || drop(open));
}

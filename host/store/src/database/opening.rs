//! Making the database file of a new directory, and opening one that is there.

use std::any::Any;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use redb::{ReadableDatabase as _, WriteTransaction};

use super::overlay::Overlay;
use super::{Open, Opener};
use crate::StoreError;
use crate::limits::DATABASE_CACHE_BYTES;
use crate::tables::{FORMAT, META, make_all};

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

/// Sees to it that there is a database in the directory, and answers its path. A directory that has logs had a database: it is not
/// begun anew in silence.
pub(super) fn prepare(directory: &Path, opener: &Opener) -> Result<PathBuf, StoreError> {
    let path = directory.join(FILE);
    match fs::metadata(&path) {
        Ok(found) if found.len() > 0 => Ok(path),
        Ok(_) => Err(StoreError::damaged(&path, "it is empty")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let logs = directory.join("logs");
            if fs::read_dir(&logs).is_ok_and(|mut entries| entries.next().is_some()) {
                return Err(StoreError::damaged(&path, format!("it is not there, and {} has logs", logs.display())));
            }
            make(directory, opener)?;
            Ok(path)
        }
        Err(error) => Err(StoreError::io("read", &path)(error)),
    }
}

fn make(directory: &Path, opener: &Opener) -> Result<(), StoreError> {
    let path = directory.join(NEW_FILE);
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(true).mode(0o600).open(&path);
    let database = opener(file.map_err(StoreError::io("make", &path))?)?;
    let transaction = database.begin_write()?;
    make_tables(&transaction)?;
    transaction.commit()?;
    drop(database);
    fs::rename(&path, directory.join(FILE)).map_err(StoreError::io("rename", &path))?;
    // A name is durable only once its directory is.
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(StoreError::io("sync the directory", directory))
}

fn make_tables(transaction: &WriteTransaction) -> Result<(), StoreError> {
    transaction.open_table(META)?.insert("format", FORMAT)?;
    make_all(transaction)
}

/// Opens the file for reading and writing.
pub(super) fn open(path: &Path, opener: &Opener) -> Result<redb::Database, StoreError> {
    let file = for_writing(path)?;
    checked(path, move || opener(file))
}

/// As [`open`], with what is on the disk, whatever the kernel remembers: after a sync that failed it may still show pages that never reached
/// the disk and never will.
pub(super) fn open_from_disk(path: &Path, opener: &Opener) -> Result<redb::Database, StoreError> {
    let file = for_writing(path)?;
    // Where this is not possible, nothing is lost but that caution.
    let _ = posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    checked(path, move || opener(file))
}

fn for_writing(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new().read(true).write(true).open(path).map_err(StoreError::io("open", path))
}

/// Opens the file so that it can be read as it is; whatever would be written stays in memory.
pub(super) fn open_for_reading(path: &Path) -> Result<redb::Database, StoreError> {
    let file = File::open(path).map_err(StoreError::io("open", path))?;
    checked(path, move || {
        let overlay = Overlay::new(file)?;
        redb::Builder::new().set_cache_size(DATABASE_CACHE_BYTES).create_with_backend(overlay)
    })
}

fn checked(
    path: &Path,
    open: impl FnOnce() -> Result<redb::Database, redb::DatabaseError>,
) -> Result<redb::Database, StoreError> {
    let opened = caught(move || {
        let database = open()?;
        check_format(&database)?;
        Ok(database)
    });
    opened.unwrap_or_else(|panicked| Err(StoreError::damaged(path, panicked))).map_err(|error| error.in_file(path))
}

fn check_format(database: &redb::Database) -> Result<(), StoreError> {
    let transaction = database.begin_read()?;
    match transaction.open_table(META)?.get("format")?.map(|format| format.value()) {
        Some(FORMAT) => Ok(()),
        Some(found) => Err(StoreError::Format { found, known: FORMAT }),
        None => Err(StoreError::Missing { what: "its format".to_owned() }),
    }
}

/// Runs what calls redb, which panics at some kinds of damage; answers what it said then.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    // What the work leaves half done is redb's, and the database is opened again before it is used again.
    catch_unwind(AssertUnwindSafe(work)).map_err(|panicked| said(&*panicked))
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

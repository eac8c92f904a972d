//! Why the store could not do something.

use std::io;
use std::path::{Path, PathBuf};

/// Why the store could not do something. Nothing in it is the fault of whoever asked: [`StoreError::Locked`], [`StoreError::Format`] and
/// [`StoreError::RowVersion`] are for the operator, [`StoreError::Io`] and [`StoreError::Database`] may pass, the rest is our bug or a
/// damaged disk.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the data directory.
    #[error(
        "the data directory {} is in use by another host{}; stop that one or choose another directory",
        directory.display(),
        process(*pid)
    )]
    Locked {
        /// The directory.
        directory: PathBuf,
        /// The process that has it, where it could be read.
        pid: Option<u32>,
    },
    /// A file or directory can't be used.
    #[error("can't {action} {}: {source}", path.display())]
    Io {
        /// A verb.
        action: &'static str,
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database refused.
    #[error("the database failed: {0}")]
    Database(#[source] Box<redb::Error>),
    /// The database was made by a later release.
    #[error(
        "the database has format {found} and this release knows up to {known}; use the release that wrote it, or a later one"
    )]
    Format {
        /// What it is.
        found: u64,
        /// The highest that can be read.
        known: u64,
    },
    /// A row was written by a later release.
    #[error(
        "a row of {table} has version {found} and this release knows up to {known}; use the release that wrote it, or a later one"
    )]
    RowVersion {
        /// Which table.
        table: &'static str,
        /// Its version.
        found: u8,
        /// The highest that can be read.
        known: u8,
    },
    /// A row can't be understood.
    #[error("a row of {table} is damaged: {problem}")]
    Row {
        /// Which table.
        table: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A row that another names is not there.
    #[error("the database is damaged: {what} is not there")]
    Missing {
        /// Such as `request 7 of buildset 3`.
        what: String,
    },
    /// The logs can't be used.
    #[error(transparent)]
    Logs(#[from] crate::logs::LogError),
}

impl StoreError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// Whether the database answers nothing more until it is opened again.
    pub(crate) fn needs_reopening(&self) -> bool {
        let Self::Database(error) = self else { return false };
        matches!(
            **error,
            redb::Error::Io(_) | redb::Error::PreviousIo | redb::Error::DatabaseClosed | redb::Error::LockPoisoned(_)
        )
    }
}

fn process(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

macro_rules! from_redb {
    ($($error:ident),+ $(,)?) => {$(
        impl From<redb::$error> for StoreError {
            fn from(error: redb::$error) -> Self {
                Self::Database(Box::new(error.into()))
            }
        }
    )+};
}

from_redb!(StorageError, TableError, TransactionError, CommitError, DatabaseError);

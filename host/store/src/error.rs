//! Why the store could not do something.

use std::io;
use std::path::{Path, PathBuf};

/// Why the store could not do something. Nothing in it is the fault of whoever asked: [`StoreError::Locked`], [`StoreError::Format`] and
/// [`StoreError::RowVersion`] are for the operator, [`StoreError::Io`] and [`StoreError::Database`] may pass, the rest is a damaged disk
/// or our bug.
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
    #[error("can't {action} {}: {source}{}", path.display(), mend(source))]
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
    /// The database file is not what was written.
    #[error(
        "the database {} is damaged: {problem}; put the data directory back from a backup, or move it away to begin anew",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
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
    #[error("a row of {table} can't be read: {problem}")]
    Row {
        /// Which table.
        table: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A row that another names is not there.
    #[error("{what} is not there")]
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

    pub(crate) fn damaged(path: &Path, problem: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), problem: problem.into() }
    }

    /// As it is, with the file when it is damage that a read or write has come upon.
    pub(crate) fn in_file(self, path: &Path) -> Self {
        match self {
            Self::Row { .. } | Self::Missing { .. } => Self::damaged(path, self.to_string()),
            Self::Database(error) => match *error {
                redb::Error::Corrupted(problem) => Self::damaged(path, problem),
                // Such as a file that never was a database.
                redb::Error::Io(error) if is_nonsense(error.kind()) => Self::damaged(path, error.to_string()),
                error => Self::Database(Box::new(error)),
            },
            other => other,
        }
    }

    /// What is wrong with the disk, in the few words that may be told to anybody; `None` when it is not the disk, or damage that does not
    /// pass.
    #[must_use]
    pub fn disk_trouble(&self) -> Option<&'static str> {
        match self {
            Self::Io { source, .. } => Some(words(source.kind())),
            Self::Logs(error) => error.disk_trouble(),
            Self::Database(error) => Some(match &**error {
                redb::Error::Io(error) => words(error.kind()),
                _ => words(io::ErrorKind::Other),
            }),
            Self::Damaged { .. }
            | Self::Locked { .. }
            | Self::Format { .. }
            | Self::RowVersion { .. }
            | Self::Row { .. }
            | Self::Missing { .. } => None,
        }
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

/// The few words for an error of the disk.
pub(crate) fn words(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::StorageFull => "its disk is full",
        io::ErrorKind::QuotaExceeded => "its disk quota is used up",
        io::ErrorKind::ReadOnlyFilesystem => "its disk is read-only",
        io::ErrorKind::PermissionDenied => "its data directory is not its own",
        _ => "its disk fails",
    }
}

/// What the operator does about an error of the disk.
pub(crate) fn mend(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room on that disk",
        io::ErrorKind::ReadOnlyFilesystem => {
            "; the data directory must be writable: mount it so, or choose another directory"
        }
        io::ErrorKind::PermissionDenied => "; the data directory must belong to the user of the host",
        _ => "",
    }
}

fn is_nonsense(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
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

//! What the journal and log files need of a disk.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use crate::StoreError;

/// What the journal and log files need of a disk. Each method does it for real; tests of disks that fail replace some.
pub trait Disk: Send + Sync + 'static {
    /// Makes a file, which must not be there.
    ///
    /// # Errors
    /// As the disk has them.
    fn make(&self, options: &mut OpenOptions, path: &Path) -> io::Result<File> {
        options.create_new(true).open(path)
    }

    /// Writes all of the bytes from this place on.
    ///
    /// # Errors
    /// As the disk has them; some of the bytes may be written then.
    fn write_all_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }

    /// Cuts a file.
    ///
    /// # Errors
    /// As the disk has them.
    fn set_len(&self, file: &File, len: u64) -> io::Result<()> {
        file.set_len(len)
    }

    /// Makes durable what was written to a file.
    ///
    /// # Errors
    /// As the disk has them; what was written since the last time may be gone then.
    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

/// The disk as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(directory: &Path) -> Result<(), StoreError> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(StoreError::io("sync the directory", directory))
}

/// Drops what the kernel remembers of a file, as far as it is on the disk. After a sync that failed it may show pages that never reached it.
pub(crate) fn forget_what_is_remembered(file: &File) {
    // Where this is not possible, nothing is lost but that caution.
    let _ = posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
}

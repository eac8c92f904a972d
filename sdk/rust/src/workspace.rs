//! A directory: a step's work directory, or the one that a change source keeps between polls. Permission: `workspace`.
//!
//! Paths are relative to it, with `/`; none leads out of it.

use crate::Fault;
use crate::bindings::capabilities::stampmill::host::workspace as wit;

/// What a directory holds. `directory` is false for a symbolic link, wherever it points.
pub use wit::Entry;

/// At most so many bytes of a file, from an offset.
pub fn read(path: &str, offset: u64, most: u64) -> Result<Vec<u8>, Fault> {
    Ok(wit::read(path, offset, most)?)
}

/// Writes a file anew.
pub fn write(path: &str, bytes: &[u8]) -> Result<(), Fault> {
    Ok(wit::write(path, bytes)?)
}

/// Writes at the end of a file.
pub fn append(path: &str, bytes: &[u8]) -> Result<(), Fault> {
    Ok(wit::append(path, bytes)?)
}

/// What is in a directory; `.` is the workspace itself.
pub fn entries(path: &str) -> Result<Vec<Entry>, Fault> {
    Ok(wit::entries(path)?)
}

/// Makes a directory and those above it.
pub fn make_directory(path: &str) -> Result<(), Fault> {
    Ok(wit::make_directory(path)?)
}

/// Removes a file, or a directory with everything in it.
pub fn remove(path: &str) -> Result<(), Fault> {
    Ok(wit::remove(path)?)
}

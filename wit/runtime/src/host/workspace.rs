//! The directory of a use or a build. The directory handle itself keeps every path below it: no `..`, no absolute name and no symbolic link
//! leads out, whatever another process does to the tree meanwhile.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path};
use std::sync::Arc;

use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt};

use crate::bindings::stampmill::host::workspace::{Entry, Host};
use crate::bindings::types;
use crate::host::{HostSide, answer, not_offered, too_large};
use crate::limits;
use crate::records::Fault;
use crate::tree::remove_tree;

/// O_NONBLOCK of Linux: a named pipe that a build left there must not hold a thread of ours.
const NONBLOCK: i32 = 0o4000;

impl Host for HostSide {
    async fn read(&mut self, path: String, offset: u64, most: u64) -> wasmtime::Result<Result<Vec<u8>, types::Fault>> {
        Ok(answer(self.below("workspace.read", path, move |dir, path| read(dir, path, offset, most)).await))
    }

    async fn write(&mut self, path: String, bytes: Vec<u8>) -> wasmtime::Result<Result<(), types::Fault>> {
        if let Err(fault) = self.may_write(&bytes) {
            return Ok(answer(Err(fault)));
        }
        let options = || OpenOptions::new().write(true).create(true).truncate(true).to_owned();
        Ok(answer(self.below("workspace.write", path, move |dir, path| write(dir, path, options(), &bytes)).await))
    }

    async fn append(&mut self, path: String, bytes: Vec<u8>) -> wasmtime::Result<Result<(), types::Fault>> {
        if let Err(fault) = self.may_write(&bytes) {
            return Ok(answer(Err(fault)));
        }
        let options = || OpenOptions::new().append(true).create(true).to_owned();
        Ok(answer(self.below("workspace.append", path, move |dir, path| write(dir, path, options(), &bytes)).await))
    }

    async fn entries(&mut self, path: String) -> wasmtime::Result<Result<Vec<Entry>, types::Fault>> {
        Ok(answer(self.below("workspace.entries", path, entries).await))
    }

    async fn make_directory(&mut self, path: String) -> wasmtime::Result<Result<(), types::Fault>> {
        let make =
            |dir: &Dir, path: &str| dir.create_dir_all(path).map_err(|error| failed("make directory", path, &error));
        Ok(answer(self.below("workspace.make-directory", path, make).await))
    }

    async fn remove(&mut self, path: String) -> wasmtime::Result<Result<(), types::Fault>> {
        Ok(answer(self.below("workspace.remove", path, remove).await))
    }
}

impl HostSide {
    /// Runs `work` on a thread that may wait for the disk.
    async fn below<T: Send + 'static>(
        &mut self,
        call: &'static str,
        path: String,
        work: impl FnOnce(&Dir, &str) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        check_path(&path)?;
        let dir: Arc<Dir> = self.surroundings.workspace.clone().ok_or_else(|| not_offered("workspace"))?;
        let job = tokio::task::spawn_blocking(move || work(&dir, &path));
        let ended = |error| Fault::unavailable(format!("`{call}` ended: {error}"));
        self.patience().wait(call, async { job.await.map_err(ended).flatten() }).await
    }

    fn may_write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if bytes.len() as u64 > limits::WORKSPACE_CHUNK_BYTES_MAX {
            return Err(too_large("bytes in one write", bytes.len() as u64, limits::WORKSPACE_CHUNK_BYTES_MAX));
        }
        self.count_written(bytes.len())
    }
}

/// Says at once what the directory handle would refuse in the kernel's words.
fn check_path(path: &str) -> Result<(), Fault> {
    let inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if path.is_empty() || path.len() > limits::PATH_BYTES_MAX || path.contains('\0') || !inside {
        let shown = super::log::cut(path, 200);
        return Err(Fault::Refused(format!("{shown:?} is no path below the workspace")));
    }
    Ok(())
}

fn failed(what: &str, path: &str, error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Fault::unavailable(format!("{what} `{path}`: {error}"))
        }
        _ => Fault::Refused(format!("{what} `{path}`: {error}")),
    }
}

/// Opens an ordinary file and nothing else.
fn open(dir: &Dir, path: &str, mut options: OpenOptions, what: &str) -> Result<File, Fault> {
    let file = dir.open_with(path, options.custom_flags(NONBLOCK)).map_err(|error| failed(what, path, &error))?;
    let metadata = file.metadata().map_err(|error| failed(what, path, &error))?;
    if metadata.is_file() {
        Ok(file)
    } else {
        Err(Fault::Refused(format!("{what} `{path}`: it is not an ordinary file")))
    }
}

fn read(dir: &Dir, path: &str, offset: u64, most: u64) -> Result<Vec<u8>, Fault> {
    let mut file = open(dir, path, OpenOptions::new().read(true).to_owned(), "read")?;
    let mut bytes = Vec::new();
    let work = || -> io::Result<Vec<u8>> {
        file.seek(SeekFrom::Start(offset))?;
        file.take(most.min(limits::WORKSPACE_CHUNK_BYTES_MAX)).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    work().map_err(|error| failed("read", path, &error))
}

fn write(dir: &Dir, path: &str, options: OpenOptions, bytes: &[u8]) -> Result<(), Fault> {
    let mut file = open(dir, path, options, "write")?;
    file.write_all(bytes).map_err(|error| failed("write", path, &error))
}

fn entries(dir: &Dir, path: &str) -> Result<Vec<Entry>, Fault> {
    let fail = |error: io::Error| failed("list", path, &error);
    let mut entries = Vec::new();
    for entry in dir.read_dir(path).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        // A file may go away while its directory is listed, and a name that isn't UTF-8 could not be asked for.
        let (Ok(metadata), Ok(name)) = (entry.metadata(), entry.file_name().into_string()) else { continue };
        if entries.len() >= limits::WORKSPACE_ENTRIES_MAX {
            let limit = limits::WORKSPACE_ENTRIES_MAX as u64;
            return Err(too_large("entries of one directory", limit + 1, limit));
        }
        entries.push(Entry { name, directory: metadata.is_dir(), size: metadata.len() });
    }
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(entries)
}

fn remove(dir: &Dir, path: &str) -> Result<(), Fault> {
    let fail = |error: io::Error| failed("remove", path, &error);
    if Path::new(path).components().all(|part| part == Component::CurDir) {
        return Err(Fault::Refused("the workspace itself can't be removed".to_owned()));
    }
    // The link itself, not what it leads to.
    if dir.symlink_metadata(path).map_err(fail)?.is_dir() {
        remove_tree(dir, Path::new(path)).map_err(fail)
    } else {
        dir.remove_file(path).map_err(fail)
    }
}

//! Open log files with their indexes; the ones used least lately are closed when there are too many.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stampmill_model::BuildId;

use super::index::Index;
use super::{Disk, LogError};
use crate::limits::OPEN_LOG_FILES;

/// Open log files by build.
#[derive(Default)]
pub(super) struct Cache {
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    logs: HashMap<BuildId, (u64, Arc<OpenLog>)>,
    /// Counts uses; the entry with the smallest number is the one used least lately.
    uses: u64,
}

impl Cache {
    /// The entry of a build, if there is one.
    pub(super) fn get(&self, build: BuildId) -> Option<Arc<OpenLog>> {
        self.lock().logs.get(&build).map(|(_, log)| Arc::clone(log))
    }

    /// The entry of a build; a new one is closed as yet.
    pub(super) fn get_or_open(&self, build: BuildId) -> Arc<OpenLog> {
        let mut entries = self.lock();
        entries.uses += 1;
        let used = entries.uses;
        if let Some((last, log)) = entries.logs.get_mut(&build) {
            *last = used;
            return Arc::clone(log);
        }
        while entries.logs.len() >= OPEN_LOG_FILES && entries.evict() {}
        let log = Arc::new(OpenLog::default());
        entries.logs.insert(build, (used, Arc::clone(&log)));
        log
    }

    /// How many files are open.
    pub(super) fn len(&self) -> usize {
        self.lock().logs.len()
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    /// Closes the file that was used least lately. One that is in use, or has something to sync, stays: two entries of one file would
    /// each believe to know its end. So there may be more than the limit for a moment. Says whether there was one to close.
    fn evict(&mut self) -> bool {
        let oldest = self
            .logs
            .iter()
            .filter(|(_, (_, log))| Arc::strong_count(log) == 1 && !log.lock().is_dirty())
            .min_by_key(|(_, (used, _))| *used)
            .map(|(build, _)| *build);
        oldest.is_some_and(|build| self.logs.remove(&build).is_some())
    }
}

/// The log file of one build.
#[derive(Default)]
pub(super) struct OpenLog {
    state: Mutex<State>,
    /// Held from an append to the end of its sync.
    writer: Mutex<()>,
}

impl OpenLog {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets one writer at a time append and sync: who finds that a frame was appended before must not take it for durable while the sync of
    /// whoever did that is under way, and may fail.
    pub(super) fn write(&self) -> MutexGuard<'_, ()> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes durable what was appended. Readers and appends don't wait for it.
    pub(super) fn sync(&self, disk: &dyn Disk, path: &Path) -> Result<(), LogError> {
        let (file, len) = match &*self.lock() {
            State::Writing(open) if open.synced < open.len => (Arc::clone(&open.file), open.len),
            // What the caller has appended may be among what was cut away when another's write or sync failed.
            State::Failed => return Err(cut_away(path)),
            State::Closed | State::Reading(_) | State::Writing(_) => return Ok(()),
        };
        let result = disk.sync(&file);
        let mut state = self.lock();
        let State::Writing(open) = &mut *state else { return Err(cut_away(path)) };
        match result {
            Ok(()) => {
                open.synced = open.synced.max(len);
                Ok(())
            }
            Err(error) => {
                // What the kernel still shows may never reach the disk, so it must not count as there: the sender has it yet.
                // If this fails too, the next append finds out by checking the whole file.
                let _ = disk.set_len(&open.file, open.synced);
                *state = State::Failed;
                Err(LogError::io("sync", path)(error))
            }
        }
    }
}

fn cut_away(path: &Path) -> LogError {
    LogError::io("sync", path)(std::io::Error::other("an earlier write or sync of it has failed"))
}

/// How a file is open.
#[derive(Default)]
pub(super) enum State {
    /// Not, or it was never written.
    #[default]
    Closed,
    /// Not: a write or a sync has failed, and what was not durable was cut away.
    Failed,
    /// For reading; bodies are not checked as yet.
    Reading(Open),
    /// For both; every frame was checked.
    Writing(Open),
}

/// An open file.
pub(super) struct Open {
    pub(super) file: Arc<File>,
    pub(super) index: Index,
    /// Where the last frame ends.
    pub(super) len: u64,
    /// Up to where it is durable.
    pub(super) synced: u64,
}

impl State {
    fn is_dirty(&self) -> bool {
        match self {
            Self::Closed | Self::Failed | Self::Reading(_) => false,
            Self::Writing(open) => open.synced < open.len,
        }
    }
}

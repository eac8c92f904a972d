//! The journal of one build: everything that the host has not acknowledged, in order, on disk.
//!
//! A build never talks to the connection. It appends to its journal, which gives each message the build's next sequence; the connection reads
//! from there whatever the host has not had, as often as it takes. Nothing is synced to disk: when the machine dies the build is lost anyway;
//! when only the worker is restarted, what it wrote is in the kernel's hands.

mod file;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stampmill_protocol::{Event, LogFrame, WorkerMessage};
use tokio::sync::Notify;

use crate::limits::SPOOL_EVENTS_IN_MEMORY;
use file::SpoolFile;

/// Why a build cannot go on record.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk is full or broken.
    #[error("the worker cannot write to its spool {path}: {source}")]
    Disk {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A message is larger than the protocol carries.
    #[error(transparent)]
    Encode(#[from] stampmill_protocol::EncodeError),
    /// The host wants to hear no more of the build, or it has ended.
    #[error("nobody listens to this build any more")]
    Closed,
}

/// The journal of one build.
pub struct Journal {
    build: u64,
    bytes_max: u64,
    state: Mutex<State>,
    /// Told when there is something new to send.
    outbox: Arc<Notify>,
    /// Told when the host has taken something.
    room: Notify,
}

struct State {
    file: SpoolFile,
    next_sequence: u64,
    /// What is not acknowledged; sequences without a gap.
    waiting: VecDeque<Record>,
    course: Course,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Course {
    Open,
    /// The last message is in it.
    Finished,
    Forgotten,
}

struct Record {
    sequence: u64,
    place: Place,
}

enum Place {
    Disk { offset: u64, length: u32 },
    Memory(Vec<u8>),
}

impl Journal {
    /// Begins the journal of a build.
    pub(crate) fn create(
        directory: &Path,
        build: u64,
        bytes_max: u64,
        outbox: Arc<Notify>,
    ) -> Result<Self, JournalError> {
        let path = file::path(directory, build);
        let file = SpoolFile::create(&path).map_err(|source| JournalError::Disk { path, source })?;
        let state = State { file, next_sequence: 1, waiting: VecDeque::new(), course: Course::Open };
        Ok(Self::with(build, bytes_max, outbox, state))
    }

    /// The journals of builds that the host has not heard all of before the worker was started anew. One that did not end died with the
    /// worker, for this `reason`: it ends here, to be tried again, so that what it did and wrote is not lost and is not done a second time
    /// under the same number. One of which nothing is left is removed: the host sees that when it is not in the greeting.
    pub(crate) fn recover(
        directory: &Path,
        bytes_max: u64,
        outbox: &Arc<Notify>,
        reason: &str,
    ) -> io::Result<Vec<Self>> {
        let mut found = Vec::new();
        for (build, path) in file::list(directory)? {
            match file::read(&path) {
                Ok(Some(spool)) => {
                    let course = if ends(&spool.last) { Course::Finished } else { Course::Open };
                    let state = State::found(spool, course);
                    let journal = Self::with(build, bytes_max, Arc::clone(outbox), state);
                    if course == Course::Open {
                        journal.end_for_retry(reason);
                    }
                    found.push(journal);
                }
                Ok(None) => remove(&path),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a spool cannot be read and is dropped");
                    remove(&path);
                }
            }
        }
        Ok(found)
    }

    fn end_for_retry(&self, reason: &str) {
        let outcome = stampmill_protocol::Outcome::Retry;
        let at = crate::build::now().0;
        let end = Event::Finished { outcome, summary: reason.to_owned(), at, program: None };
        if let Err(error) = self.tell(end) {
            tracing::warn!(build = self.build, %error, "the end of a build that was killed cannot be recorded");
        }
    }

    fn with(build: u64, bytes_max: u64, outbox: Arc<Notify>, state: State) -> Self {
        Self { build, bytes_max, state: Mutex::new(state), outbox, room: Notify::new() }
    }

    /// Which build.
    pub(crate) fn build(&self) -> u64 {
        self.build
    }

    /// Records something that happened. Never waits: events are few and small.
    pub(crate) fn tell(&self, event: Event) -> Result<(), JournalError> {
        let last = matches!(event, Event::Finished { .. } | Event::Declined { .. });
        let mut state = self.lock();
        let sequence = state.open()?;
        let message = WorkerMessage::Told { build: self.build, sequence, event };
        let bytes = message.encode()?;
        state.append(bytes, true)?;
        if last {
            state.course = Course::Finished;
        }
        drop(state);
        self.outbox.notify_one();
        Ok(())
    }

    /// Waits, while the host is away and the spool is full, until there is room for pieces of logs. Dropping the future loses nothing.
    pub(crate) async fn room(&self) -> Result<(), JournalError> {
        loop {
            let room = self.room.notified();
            {
                let state = self.lock();
                state.open()?;
                if self.has_room(&state) {
                    return Ok(());
                }
            }
            room.await;
        }
    }

    /// Records a piece of a log; gives it back when there is no room for it (any more).
    pub(crate) fn log(&self, frame: LogFrame) -> Result<Option<LogFrame>, JournalError> {
        let mut state = self.lock();
        let sequence = state.open()?;
        if !self.has_room(&state) {
            return Ok(Some(frame));
        }
        let message = WorkerMessage::Logs { build: self.build, sequence, frames: vec![frame] };
        let bytes = message.encode()?;
        state.append(bytes, false)?;
        drop(state);
        self.outbox.notify_one();
        Ok(None)
    }

    fn has_room(&self, state: &State) -> bool {
        state.waiting.is_empty() || state.file.length() < self.bytes_max
    }

    /// The bytes of the first message after `sequence`, and its sequence.
    pub(crate) fn after(&self, sequence: u64) -> Result<Option<(u64, Vec<u8>)>, JournalError> {
        let state = self.lock();
        let Some(first) = state.waiting.front() else {
            return Ok(None);
        };
        let skip = (sequence + 1).saturating_sub(first.sequence);
        let Some(record) = usize::try_from(skip).ok().and_then(|skip| state.waiting.get(skip)) else {
            return Ok(None);
        };
        let bytes = match &record.place {
            Place::Memory(bytes) => bytes.clone(),
            Place::Disk { offset, length } => state.file.read(*offset, *length)?,
        };
        Ok(Some((record.sequence, bytes)))
    }

    /// The highest sequence given out.
    pub(crate) fn last_sequence(&self) -> u64 {
        self.lock().next_sequence - 1
    }

    /// The host has everything up to here. Answers whether it has everything there will ever be; the spool is removed then.
    pub(crate) fn acknowledge(&self, sequence: u64) -> bool {
        let mut state = self.lock();
        while state.waiting.front().is_some_and(|record| record.sequence <= sequence) {
            state.waiting.pop_front();
        }
        if state.waiting.is_empty() {
            if state.course == Course::Finished {
                state.file.remove();
                return true;
            }
            state.file.clear();
        }
        drop(state);
        self.room.notify_waiters();
        false
    }

    /// Whether there is nothing left to hand in.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.lock();
        state.course != Course::Open && state.waiting.is_empty()
    }

    /// The host wants to hear no more of it.
    pub(crate) fn forget(&self) {
        let mut state = self.lock();
        state.course = Course::Forgotten;
        state.waiting.clear();
        state.file.remove();
        drop(state);
        self.room.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The state of a build in another life of the worker.
    fn found(spool: file::Found, course: Course) -> Self {
        let record = |found: file::FoundRecord| Record {
            sequence: found.sequence,
            place: Place::Disk { offset: found.offset, length: found.length },
        };
        let waiting: VecDeque<Record> = spool.records.into_iter().map(record).collect();
        Self { file: spool.file, next_sequence: waiting.back().map_or(1, |last| last.sequence + 1), waiting, course }
    }

    fn open(&self) -> Result<u64, JournalError> {
        match self.course {
            Course::Open => Ok(self.next_sequence),
            Course::Finished | Course::Forgotten => Err(JournalError::Closed),
        }
    }

    fn append(&mut self, bytes: Vec<u8>, in_any_case: bool) -> Result<(), JournalError> {
        let sequence = self.next_sequence;
        let place = match self.file.append(sequence, &bytes) {
            Ok((offset, length)) => Place::Disk { offset, length },
            Err(error) => {
                let in_memory = self.waiting.iter().filter(|record| matches!(record.place, Place::Memory(_)));
                if !in_any_case || in_memory.count() >= SPOOL_EVENTS_IN_MEMORY {
                    return Err(error);
                }
                Place::Memory(bytes)
            }
        };
        self.waiting.push_back(Record { sequence, place });
        self.next_sequence += 1;
        Ok(())
    }
}

fn ends(last: &[u8]) -> bool {
    matches!(
        WorkerMessage::decode(last),
        Ok(WorkerMessage::Told { event: Event::Finished { .. } | Event::Declined { .. }, .. })
    )
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "a spool cannot be removed");
    }
}

#[cfg(test)]
mod tests;

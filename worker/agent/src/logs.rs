//! The logs of one step: masked, cut into frames, compressed, recorded in the build's journal.
//!
//! Bytes go from a [`Stream`] (which masks; one for each writer) into a log (which counts lines and cuts frames; one for each name). A frame is
//! cut when it is full, or a moment after its first byte by a task that lives as long as the step.

mod frame;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use stampmill_protocol::Event;
use stampmill_protocol::limits::LOG_NAME_BYTES_MAX;
use stampmill_runtime::{Fault, LogWriter, Logs};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::command::{OutputLog, OutputLogs};
use crate::journal::{Journal, JournalError};
use crate::limits::{FRAME_AGE, FRAME_AGE_LEAST, LOGS_MAX};
use crate::mask::{Masker, Patterns};
use frame::Framer;

/// The logs of one step. Cloning gives another handle.
#[derive(Clone)]
pub(crate) struct StepLogs {
    shared: Arc<Shared>,
}

struct Shared {
    journal: Arc<Journal>,
    step: u32,
    patterns: Arc<Patterns>,
    logs: Mutex<BTreeMap<String, Arc<Log>>>,
    /// Bytes that the step may still write.
    left: AtomicU64,
    output_bytes: u64,
    cut: AtomicBool,
    /// Told when a frame has its first byte.
    begun: Arc<Notify>,
}

struct Log {
    framer: tokio::sync::Mutex<Framer>,
    /// What streams held back when they were dropped.
    tails: Mutex<Vec<u8>>,
}

impl StepLogs {
    pub(crate) fn new(journal: Arc<Journal>, step: u32, patterns: Arc<Patterns>, output_bytes: u64) -> Self {
        let shared = Shared {
            journal,
            step,
            patterns,
            logs: Mutex::new(BTreeMap::new()),
            left: AtomicU64::new(output_bytes),
            output_bytes,
            cut: AtomicBool::new(false),
            begun: Arc::new(Notify::new()),
        };
        Self { shared: Arc::new(shared) }
    }

    /// A new writer to a log, which is opened if there is none of this name.
    pub(crate) fn stream(&self, name: &str) -> Result<Stream, Fault> {
        Ok(Stream {
            shared: Arc::clone(&self.shared),
            log: self.shared.open(name)?,
            masker: Masker::new(Arc::clone(&self.shared.patterns)),
        })
    }

    /// Writes a line of the worker's own.
    pub(crate) async fn line(&self, name: &str, text: &str) -> Result<(), Fault> {
        let mut stream = self.stream(name)?;
        stream.write(text.as_bytes()).await?;
        stream.write(b"\n").await?;
        stream.finish().await
    }

    /// Cuts frames a moment after they have begun, for as long as the step runs.
    pub(crate) async fn flush_in_time(&self) {
        let mut cut: Option<Instant> = None;
        loop {
            self.shared.begun.notified().await;
            let since = cut.map_or(FRAME_AGE, |cut| cut.elapsed());
            tokio::time::sleep(FRAME_AGE.saturating_sub(since).max(FRAME_AGE_LEAST)).await;
            if self.flush().await.is_err() {
                return;
            }
            cut = Some(Instant::now());
        }
    }

    /// Cuts all frames now.
    pub(crate) async fn flush(&self) -> Result<(), JournalError> {
        for log in self.shared.all() {
            self.shared.flush(&log).await?;
        }
        Ok(())
    }
}

impl Shared {
    fn open(&self, name: &str) -> Result<Arc<Log>, Fault> {
        if name.is_empty() || name.len() > LOG_NAME_BYTES_MAX || name.chars().any(|c| c.is_control() || c == '/') {
            let shown: String = name.chars().take(40).collect();
            return Err(Fault::Refused(format!(
                "log name {shown:?} must have 1 to {LOG_NAME_BYTES_MAX} bytes, none of them a slash or a control character"
            )));
        }
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = logs.get(name) {
            return Ok(Arc::clone(log));
        }
        if logs.len() >= LOGS_MAX {
            return Err(Fault::Refused(format!("a step has at most {LOGS_MAX} logs; `{name}` is one more")));
        }
        let opened = Event::LogOpened { step: self.step, log: name.to_owned() };
        self.journal.tell(opened).map_err(unavailable)?;
        let log = Arc::new(Log {
            framer: tokio::sync::Mutex::new(Framer::new(self.step, name)),
            tails: Mutex::new(Vec::new()),
        });
        logs.insert(name.to_owned(), Arc::clone(&log));
        Ok(log)
    }

    fn all(&self) -> Vec<Arc<Log>> {
        let logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        logs.values().cloned().collect()
    }

    /// Puts masked bytes into a log, as many as the step may still write.
    async fn append(&self, log: &Log, bytes: &[u8]) -> Result<(), JournalError> {
        let asked = bytes.len() as u64;
        let take = |left: u64| Some(left.saturating_sub(asked));
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).unwrap_or_default();
        let allowed = usize::try_from(asked.min(left)).unwrap_or(bytes.len());
        self.put(log, &bytes[..allowed]).await?;
        if allowed < bytes.len() && !self.cut.swap(true, Ordering::Relaxed) {
            let note = format!(
                "\n[stampmill: the logs of this step are longer than {} bytes; the rest is cut]\n",
                self.output_bytes
            );
            self.put(log, note.as_bytes()).await?;
        }
        Ok(())
    }

    async fn put(&self, log: &Log, bytes: &[u8]) -> Result<(), JournalError> {
        let mut framer = log.framer.lock().await;
        let mut rest = bytes;
        while !rest.is_empty() {
            let was_empty = framer.is_empty();
            rest = framer.fill(rest);
            if was_empty {
                self.begun.notify_one();
            }
            while framer.is_full() {
                self.cut(&mut framer).await?;
            }
        }
        Ok(())
    }

    async fn flush(&self, log: &Log) -> Result<(), JournalError> {
        let tails = std::mem::take(&mut *log.tails.lock().unwrap_or_else(PoisonError::into_inner));
        if !tails.is_empty() {
            self.append(log, &tails).await?;
        }
        let mut framer = log.framer.lock().await;
        while !framer.is_empty() {
            self.cut(&mut framer).await?;
        }
        Ok(())
    }

    /// Records one frame. While the journal has no room this waits, and with it whoever writes; whoever gives up waiting leaves the frame to
    /// the next.
    async fn cut(&self, framer: &mut Framer) -> Result<(), JournalError> {
        loop {
            self.journal.room().await?;
            let Some(frame) = framer.cut() else {
                return Ok(());
            };
            match self.journal.log(frame)? {
                None => return Ok(()),
                Some(frame) => framer.give_back(frame),
            }
        }
    }
}

/// One writer to a log. Dropped, it is closed.
pub(crate) struct Stream {
    shared: Arc<Shared>,
    log: Arc<Log>,
    masker: Masker,
}

impl Stream {
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let masked = self.masker.push(bytes);
        self.shared.append(&self.log, &masked).await.map_err(unavailable)
    }

    /// Writes what was held back.
    pub(crate) async fn finish(&mut self) -> Result<(), Fault> {
        let rest = self.masker.finish();
        self.shared.append(&self.log, &rest).await.map_err(unavailable)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let rest = self.masker.finish();
        if !rest.is_empty() {
            let mut tails = self.log.tails.lock().unwrap_or_else(PoisonError::into_inner);
            tails.extend(rest);
            drop(tails);
            self.shared.begun.notify_one();
        }
    }
}

fn unavailable(error: JournalError) -> Fault {
    Fault::Unavailable { reason: error.to_string(), retry_after: None }
}

#[async_trait]
impl LogWriter for Stream {
    async fn write(&mut self, bytes: Vec<u8>) -> Result<(), Fault> {
        Self::write(self, &bytes).await
    }
}

#[async_trait]
impl Logs for StepLogs {
    async fn open(&self, name: &str) -> Result<Box<dyn LogWriter>, Fault> {
        Ok(Box::new(self.stream(name)?))
    }

    async fn link(&self, name: &str, url: &str) -> Result<(), Fault> {
        self.line("links", &format!("{name}: {url}")).await
    }
}

#[async_trait]
impl OutputLog for Stream {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        Self::write(self, bytes).await
    }

    async fn finish(&mut self) -> Result<(), Fault> {
        Self::finish(self).await
    }
}

impl OutputLogs for StepLogs {
    fn output(&self, name: &str) -> Result<Box<dyn OutputLog>, Fault> {
        Ok(Box::new(self.stream(name)?))
    }
}

#[cfg(test)]
mod tests;

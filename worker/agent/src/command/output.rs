//! Where one output stream of a program goes.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use stampmill_runtime::{Fault, ProcessEvent, Sink};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{OutputLog, OutputLogs};
use crate::limits::CHUNK_BYTES;

/// An event with the room that it takes up until it is fetched.
pub(super) type Waiting = (ProcessEvent, Option<OwnedSemaphorePermit>);

/// When the program last wrote something, for the limit on silence.
#[derive(Clone)]
pub(super) struct LastWords {
    begun: Instant,
    after_ms: Arc<AtomicU64>,
}

impl LastWords {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), after_ms: Arc::new(AtomicU64::new(0)) }
    }

    fn now(&self) {
        let after = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.after_ms.store(after, Ordering::Relaxed);
    }

    /// How long ago.
    pub(super) fn ago(&self) -> std::time::Duration {
        let after = std::time::Duration::from_millis(self.after_ms.load(Ordering::Relaxed));
        self.begun.elapsed().saturating_sub(after)
    }
}

/// What a plugin gets of a stream.
enum Capture {
    Nothing,
    /// As events; the semaphore bounds the bytes that wait.
    Events {
        room: Arc<Semaphore>,
        most: usize,
    },
    /// Collected until the end.
    Whole {
        limit: u64,
        bytes: Vec<u8>,
    },
}

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Stdout,
    Stderr,
}

impl Which {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Stdout => "standard output",
            Self::Stderr => "standard error",
        }
    }

    fn event(self, bytes: Vec<u8>) -> ProcessEvent {
        match self {
            Self::Stdout => ProcessEvent::Stdout(bytes),
            Self::Stderr => ProcessEvent::Stderr(bytes),
        }
    }
}

/// Why reading a stream ended before the program did.
pub(super) enum Broken {
    /// More than may be captured.
    TooMuch(String),
    /// The log takes no more.
    Log(Fault),
}

pub(super) struct Output {
    which: Which,
    log: Option<Box<dyn OutputLog>>,
    capture: Capture,
    last_words: LastWords,
}

impl Output {
    pub(super) fn new(
        which: Which,
        sink: &Sink,
        events: bool,
        logs: &dyn OutputLogs,
        last_words: LastWords,
    ) -> Result<Self, Fault> {
        let log = match sink {
            Sink::Log(name) | Sink::LogAndCapture(name, _) => Some(logs.output(name)?),
            Sink::Capture(_) | Sink::Discard => None,
        };
        let capture = match sink {
            Sink::Capture(limit) | Sink::LogAndCapture(_, limit) if events => {
                let most = usize::try_from(*limit).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS);
                Capture::Events { room: Arc::new(Semaphore::new(most)), most: most.min(CHUNK_BYTES) }
            }
            Sink::Capture(limit) | Sink::LogAndCapture(_, limit) => Capture::Whole { limit: *limit, bytes: Vec::new() },
            Sink::Log(_) | Sink::Discard => Capture::Nothing,
        };
        Ok(Self { which, log, capture, last_words })
    }

    /// Reads until the stream ends; answers what was collected.
    pub(super) async fn pump(mut self, fd: OwnedFd, events: mpsc::Sender<Waiting>) -> (Vec<u8>, Result<(), Broken>) {
        let result = self.read(fd, &events).await;
        if let Some(log) = &mut self.log {
            // A log that takes no more has said so before.
            let _ = log.finish().await;
        }
        let collected = match self.capture {
            Capture::Whole { bytes, .. } => bytes,
            Capture::Nothing | Capture::Events { .. } => Vec::new(),
        };
        (collected, result)
    }

    async fn read(&mut self, fd: OwnedFd, events: &mpsc::Sender<Waiting>) -> Result<(), Broken> {
        let Ok(mut pipe) = pipe::Receiver::from_owned_fd(fd) else {
            return Ok(());
        };
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let length = match pipe.read(&mut buffer).await {
                Ok(0) | Err(_) => return Ok(()),
                Ok(length) => length,
            };
            self.last_words.now();
            let bytes = &buffer[..length];
            if let Some(log) = &mut self.log {
                log.write(bytes).await.map_err(Broken::Log)?;
            }
            self.capture(bytes, events).await?;
        }
    }

    async fn capture(&mut self, bytes: &[u8], events: &mpsc::Sender<Waiting>) -> Result<(), Broken> {
        match &mut self.capture {
            Capture::Nothing => {}
            Capture::Whole { limit, bytes: all } => {
                if (all.len() + bytes.len()) as u64 > *limit {
                    let name = self.which.name();
                    return Err(Broken::TooMuch(format!("{name} has more than the {limit} bytes that are captured")));
                }
                all.extend(bytes);
            }
            Capture::Events { room, most } => {
                for chunk in bytes.chunks(*most) {
                    let size = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
                    let Ok(permit) = Arc::clone(room).acquire_many_owned(size).await else {
                        return Ok(());
                    };
                    if events.send((self.which.event(chunk.to_vec()), Some(permit))).await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }
}

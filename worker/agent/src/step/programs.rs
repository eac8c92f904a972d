//! How the native programs of a step ended: the host may try a build again for that.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use stampmill_model::ProgramEnd;
use stampmill_runtime::{CommandSpec, End, Fault, Process, ProcessEvent, Processes};

/// The end of the program that ended last. One that was stopped from here says nothing of itself.
#[derive(Clone, Default)]
pub(super) struct LastEnd(Arc<Mutex<Option<ProgramEnd>>>);

impl LastEnd {
    pub(super) fn get(&self) -> Option<ProgramEnd> {
        *self.end()
    }

    fn note(&self, end: &End) {
        *self.end() = match end {
            End::Exited(code) => Some(ProgramEnd::Exited(*code)),
            End::Signalled(signal) => Some(ProgramEnd::Signalled(*signal)),
            End::Stopped(_) => None,
        };
    }

    fn end(&self) -> MutexGuard<'_, Option<ProgramEnd>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts programs as another does, and notes how they end.
pub(super) struct NotedProcesses<P> {
    pub(super) processes: P,
    pub(super) last: LastEnd,
}

#[async_trait]
impl<P: Processes> Processes for NotedProcesses<P> {
    async fn spawn(&self, command: CommandSpec) -> Result<Box<dyn Process>, Fault> {
        let process = self.processes.spawn(command).await?;
        Ok(Box::new(NotedProcess { process, last: self.last.clone() }))
    }
}

struct NotedProcess {
    process: Box<dyn Process>,
    last: LastEnd,
}

#[async_trait]
impl Process for NotedProcess {
    async fn next_event(&mut self, wait: Duration) -> ProcessEvent {
        let event = self.process.next_event(wait).await;
        if let ProcessEvent::Finished(finished) = &event {
            self.last.note(&finished.end);
        }
        event
    }

    async fn write_stdin(&mut self, bytes: Vec<u8>) -> Result<(), Fault> {
        self.process.write_stdin(bytes).await
    }

    async fn close_stdin(&mut self) {
        self.process.close_stdin().await;
    }

    async fn stop(&mut self) {
        self.process.stop().await;
    }
}

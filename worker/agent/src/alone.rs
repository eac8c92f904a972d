//! One build without a host. All is as with one: the build writes into its journal, and what a connection would send is handed to the caller.

use std::sync::Arc;

use stampmill_model::{BuildEvent, BuildOrder, TriggerState};
use stampmill_protocol::limits::FRAME_RAW_BYTES_MAX;
use stampmill_protocol::{DecodeError, LogFrame, Secret, WorkerMessage};
use stampmill_sandbox::Helper;
use tokio::sync::mpsc;

use crate::agent::{AgentError, Shared};
use crate::config::WorkerConfig;
use crate::convert;
use crate::journal::{Journal, JournalError};

/// What a build without a host tells, in order.
#[derive(Clone, PartialEq, Debug)]
pub enum Told {
    /// Something happened.
    Event(BuildEvent),
    /// A log has grown.
    Log {
        /// Number of the step.
        step: u32,
        /// Name of the log.
        log: String,
        /// Any bytes, without the values of secrets.
        bytes: Vec<u8>,
    },
}

/// Why a build without a host broke off.
#[derive(Debug, thiserror::Error)]
pub enum AloneError {
    /// What it told cannot be read again.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What it told is no message: a bug.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A piece of a log cannot be decompressed: a bug, or a broken disk.
    #[error("a piece of the log `{log}` cannot be read: {source}")]
    Frame {
        /// Name of the log.
        log: String,
        /// Why.
        source: std::io::Error,
    },
    /// It could not begin; what is wrong was logged.
    #[error("the build could not begin")]
    NotBegun,
}

/// A worker without a host.
pub struct Alone {
    agent: Arc<Shared>,
}

impl Alone {
    /// Takes the state directory. The connection's part of the configuration (host and token) is not looked at.
    ///
    /// # Errors
    /// When the state directory cannot be used, or is used by another process.
    pub async fn open(config: WorkerConfig, helper: Helper) -> Result<Self, AgentError> {
        let agent = Shared::new(config, helper).await?;
        for left in agent.held() {
            agent.forget(left.build);
        }
        Ok(Self { agent: Arc::new(agent) })
    }

    /// Runs one build to its end and tells `told` of it. `component` has the bytes of a plugin by its digest. Each reason that comes by `cancel`
    /// asks the build to end, the second one at once.
    ///
    /// # Errors
    /// When it cannot begin, or the disk fails.
    pub async fn run(
        self,
        order: BuildOrder,
        secrets: Vec<Secret>,
        component: impl Fn(&str) -> Option<Vec<u8>>,
        mut cancel: mpsc::Receiver<String>,
        mut told: impl FnMut(Told),
    ) -> Result<(), AloneError> {
        let agent = self.agent;
        agent.dispatch(convert::order_to_wire(&order), secrets);
        let journal = agent.journals().into_iter().next().ok_or(AloneError::NotBegun)?;
        loop {
            for (_, digest) in agent.components.wanted() {
                let bytes = component(&digest).ok_or_else(|| "no plugin of the configuration has it".to_owned());
                agent.components.arrived(&digest, bytes);
            }
            if hand_over(&agent, &journal, &mut told)? {
                agent.at_rest().await;
                return Ok(());
            }
            tokio::select! {
                () = agent.outbox.notified() => {}
                Some(reason) = cancel.recv() => agent.cancel(journal.build(), &reason),
            }
        }
    }
}

/// Hands over what is new; answers whether that was all there will ever be.
fn hand_over(agent: &Shared, journal: &Journal, told: &mut impl FnMut(Told)) -> Result<bool, AloneError> {
    let mut last = 0;
    while let Some((sequence, bytes)) = journal.after(last)? {
        match WorkerMessage::decode(&bytes)? {
            WorkerMessage::Told { event, .. } => {
                let event = convert::event_from_wire(event);
                match &event {
                    BuildEvent::Triggered { wish, .. } => {
                        let reason =
                            format!("there is no host here: scheduler `{}` can't be triggered", wish.scheduler);
                        agent.triggered(journal.build(), wish.number, TriggerState::Refused { reason });
                    }
                    // Nobody else is here to have them.
                    BuildEvent::LocksWanted { step } => agent.locks_taken(journal.build(), *step),
                    _ => {}
                }
                let over = matches!(event, BuildEvent::Finished { .. } | BuildEvent::Declined { .. });
                told(Told::Event(event));
                if over {
                    agent.acknowledge(journal.build(), sequence);
                    return Ok(true);
                }
            }
            WorkerMessage::Logs { frames, .. } => {
                for LogFrame { step, log, body, .. } in frames {
                    match zstd::bulk::decompress(&body, FRAME_RAW_BYTES_MAX as usize) {
                        Ok(bytes) => told(Told::Log { step, log, bytes }),
                        Err(source) => return Err(AloneError::Frame { log, source }),
                    }
                }
            }
            // No build tells these.
            WorkerMessage::Hello { .. }
            | WorkerMessage::GetComponent { .. }
            | WorkerMessage::Goodbye { .. }
            | WorkerMessage::Pong { .. } => {}
        }
        last = sequence;
    }
    agent.acknowledge(journal.build(), last);
    Ok(false)
}

//! One worker's connection, from hello to its end.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use axum::extract::ws::{Message, WebSocket};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use stampmill_agent::convert;
use stampmill_engine::Input;
use stampmill_model::{BuildId, BuildState, WorkerName};
use stampmill_protocol::{Event as Told, HostMessage, LogFrame, PROTOCOL, RefusalCause, WorkerMessage};
use stampmill_service::Event;
use stampmill_store::logs::Frame;
use tokio::sync::mpsc;

use super::connections::{Acknowledgements, Generation};
use crate::limits::{HELLO_WITHIN, LAST_WORDS_WITHIN, MESSAGES_A_BATCH, MESSAGES_TO_WORKER, WORKER_SILENT};
use crate::shared::Shared;

type Incoming = SplitStream<WebSocket>;

/// What a worker is told whose token was ended under it.
const REVOKED: &str = "its token was revoked or renewed";

/// Runs a connection to its end and tells the engine of its beginning and its end.
pub(super) async fn run(
    shared: Arc<Shared>,
    worker: WorkerName,
    mut socket: WebSocket,
    revoked: impl Future<Output = ()>,
) {
    let mut revoked = pin!(revoked);
    let greeted = tokio::select! {
        biased;
        () = &mut revoked => Err((RefusalCause::BadToken, REVOKED.to_owned())),
        () = shared.stop.cancelled() => return,
        greeted = hello(&shared, &worker, &mut socket) => greeted,
    };
    let hello = match greeted {
        Ok(hello) => hello,
        Err((cause, reason)) => {
            tracing::warn!(%worker, "connection refused: {reason}");
            if let Ok(bytes) = (HostMessage::Refused { cause, reason }).encode() {
                // It may be gone already.
                let _ = socket.send(Message::binary(bytes)).await;
            }
            return;
        }
    };
    let (sink, incoming) = socket.split();
    let (outgoing, messages) = mpsc::channel(MESSAGES_TO_WORKER);
    let welcome = HostMessage::Welcome { host_version: env!("CARGO_PKG_VERSION").to_owned(), acknowledged: Vec::new() };
    // The channel is empty.
    let _ = outgoing.try_send(welcome);
    let mut reader = Reader {
        shared: Arc::clone(&shared),
        worker: worker.clone(),
        // The table has the only lasting sender: when it drops that, the connection ends.
        outgoing: outgoing.downgrade(),
        own: BTreeMap::new(),
        leaves: false,
    };
    let acknowledgements = Arc::<Acknowledgements>::default();
    let generation = shared.connections.insert(&worker, outgoing, Arc::clone(&acknowledgements));
    shared.driver.tell(hello).await;
    shared.publish(Event::WorkerChanged { worker: worker.clone() });
    tracing::info!(%worker, "connected");

    let end = tokio::select! {
        end = talk(&mut reader, incoming, sink, (messages, &acknowledgements)) => end,
        () = &mut revoked => Err(anyhow::anyhow!(REVOKED)),
        () = shared.stop.cancelled() => Ok(()),
    };
    if let Err(error) = end {
        tracing::info!(%worker, "connection lost: {error:#}");
    }
    // However the connection of a worker ends that has said goodbye: it does not come back.
    ended(&shared, &worker, generation, reader.leaves).await;
}

/// Reads and writes until either has ended.
async fn talk(
    reader: &mut Reader,
    incoming: Incoming,
    sink: SplitSink<WebSocket, Message>,
    outgoing: Outgoing<'_>,
) -> anyhow::Result<()> {
    let mut reading = pin!(reader.read(incoming));
    let written = tokio::select! {
        end = &mut reading => return end,
        written = write(sink, outgoing) => written,
    };
    match written {
        Written::Dropped => Ok(()),
        // What the worker said before it went, such as its goodbye, may still have to be read.
        Written::Broken => tokio::time::timeout(LAST_WORDS_WITHIN, reading).await.unwrap_or(Ok(())),
    }
}

async fn ended(shared: &Shared, worker: &WorkerName, generation: Generation, goodbye: bool) {
    if shared.connections.remove(worker, generation) {
        tracing::info!(%worker, goodbye, "disconnected");
        shared.driver.tell(Input::WorkerLeft { worker: worker.clone(), goodbye }).await;
        shared.publish(Event::WorkerChanged { worker: worker.clone() });
    }
}

/// Waits for the first message and checks it.
async fn hello(shared: &Shared, worker: &WorkerName, socket: &mut WebSocket) -> Result<Input, (RefusalCause, String)> {
    let protocol = |reason: String| (RefusalCause::Protocol, reason);
    let first = tokio::time::timeout(HELLO_WITHIN, socket.recv()).await;
    let first = first.map_err(|_| protocol("no hello came in time".to_owned()))?;
    let Some(Ok(Message::Binary(bytes))) = first else {
        return Err(protocol("the first message was not a hello".to_owned()));
    };
    let message = WorkerMessage::decode(&bytes).map_err(|error| protocol(error.to_string()))?;
    let WorkerMessage::Hello { protocol: version, name, info, builds } = message else {
        return Err(protocol(format!("the first message was `{}`, not `hello`", message.kind())));
    };
    if version != PROTOCOL {
        return Err(protocol(format!(
            "the worker speaks protocol {version} and this host {PROTOCOL}; install the host's version {} on the worker",
            env!("CARGO_PKG_VERSION")
        )));
    }
    if name != worker.as_str() {
        let reason = format!("the token belongs to worker `{worker}`, and the worker calls itself `{name}`");
        return Err((RefusalCause::BadToken, reason));
    }
    let composition = shared.composition();
    if !composition.loaded.engine.workers.iter().any(|known| known.name == *worker) {
        let reason = format!("worker `{worker}` is not in the host's configuration; add `[[worker]]` with its name");
        return Err((RefusalCause::UnknownWorker, reason));
    }
    let info = convert::info_from_wire(info);
    let builds = builds.into_iter().map(|held| BuildId(held.build)).collect();
    Ok(Input::WorkerConnected { worker: worker.clone(), info, builds })
}

/// Why no more is sent.
enum Written {
    /// The table of connections has dropped this one.
    Dropped,
    /// The worker takes nothing any more.
    Broken,
}

/// What is to be sent: messages in order, and acknowledgements.
type Outgoing<'a> = (mpsc::Receiver<HostMessage>, &'a Acknowledgements);

/// Sends what is to be sent, and a ping when there is nothing, until the channel or the connection is closed.
async fn write(mut sink: SplitSink<WebSocket, Message>, (mut messages, acknowledgements): Outgoing<'_>) -> Written {
    let mut number = 0;
    loop {
        let batch = tokio::select! {
            // The welcome comes before everything else.
            biased;
            message = messages.recv() => match message {
                Some(message) => vec![message],
                None => return Written::Dropped,
            },
            batch = acknowledgements.take() => batch,
            () = tokio::time::sleep(WORKER_SILENT / 3) => {
                number += 1;
                vec![HostMessage::Ping { number }]
            }
        };
        let sent = tokio::time::timeout(WORKER_SILENT, send(&mut sink, batch)).await;
        if !matches!(sent, Ok(Ok(()))) {
            return Written::Broken;
        }
    }
}

async fn send(sink: &mut SplitSink<WebSocket, Message>, batch: Vec<HostMessage>) -> Result<(), axum::Error> {
    for message in batch {
        match message.encode() {
            Ok(bytes) => sink.feed(Message::binary(bytes)).await?,
            Err(error) => tracing::error!("a message for a worker can't be encoded: {error}"),
        }
    }
    sink.flush().await
}

struct Reader {
    shared: Arc<Shared>,
    worker: WorkerName,
    outgoing: mpsc::WeakSender<HostMessage>,
    /// Builds that this connection has sent logs of, and whether they are this worker's and open.
    own: BTreeMap<BuildId, bool>,
    /// Whether it has said goodbye: what follows is what it still has to hand in.
    leaves: bool,
}

impl Reader {
    async fn read(&mut self, incoming: Incoming) -> anyhow::Result<()> {
        let mut chunks = incoming.ready_chunks(MESSAGES_A_BATCH);
        loop {
            let chunk =
                tokio::time::timeout(WORKER_SILENT, chunks.next()).await.context("it was silent for too long")?;
            let Some(chunk) = chunk else { return Ok(()) };
            let mut batch = Vec::with_capacity(chunk.len());
            for message in chunk {
                match message? {
                    Message::Binary(bytes) => batch.push(WorkerMessage::decode(&bytes)?),
                    Message::Close(_) => return Ok(()),
                    Message::Ping(_) | Message::Pong(_) => {}
                    Message::Text(_) => bail!("a text message came; only binary ones are spoken here"),
                }
            }
            self.take(batch).await?;
        }
    }

    /// Takes messages in order. Log frames of the whole batch are synced once, before anything goes to the engine.
    async fn take(&mut self, batch: Vec<WorkerMessage>) -> anyhow::Result<()> {
        let logged = self.store_logs(&batch).await?;
        for message in batch {
            match message {
                WorkerMessage::Told { build, sequence, event } => self.tell(BuildId(build), sequence, event).await?,
                WorkerMessage::Logs { .. } | WorkerMessage::Pong { .. } => {}
                WorkerMessage::GetComponent { digest } => self.component(digest).await,
                WorkerMessage::Goodbye { reason } => {
                    tracing::info!(worker = %self.worker, "goodbye: {reason}");
                    self.leaves = true;
                    self.shared.driver.tell(Input::WorkerLeaves { worker: self.worker.clone() }).await;
                }
                WorkerMessage::Hello { .. } => bail!("a second hello came"),
            }
        }
        for (build, sequence) in logged {
            self.shared.connections.logged(&self.worker, build, sequence);
        }
        Ok(())
    }

    async fn tell(&mut self, build: BuildId, sequence: u64, event: Told) -> anyhow::Result<()> {
        let previous = self.shared.connections.told(&self.worker, build, sequence);
        let step = match &event {
            Told::StepFinished { step, .. } => Some(Some(*step)),
            Told::Finished { .. } => Some(None),
            _ => None,
        };
        if let Some(step) = step
            && self.is_own(build).await?
        {
            let logs = self.shared.logs.clone();
            let close = move || logs.finish(build, step).and_then(|()| logs.sync(&[build]));
            tokio::task::spawn_blocking(close).await.context("closing the log was interrupted")??;
        }
        if matches!(event, Told::Finished { .. } | Told::Declined { .. }) {
            self.own.remove(&build);
        }
        let event = convert::event_from_wire(event);
        let worker = self.worker.clone();
        self.shared.driver.tell(Input::BuildTold { worker, build, sequence, previous, event }).await;
        Ok(())
    }

    /// Appends and syncs the frames of a batch; answers the highest number of each build whose frames are safe.
    async fn store_logs(&mut self, batch: &[WorkerMessage]) -> anyhow::Result<BTreeMap<BuildId, u64>> {
        let mut frames: BTreeMap<BuildId, Vec<Frame>> = BTreeMap::new();
        let mut logged = BTreeMap::new();
        for message in batch {
            if let WorkerMessage::Logs { build, sequence, frames: sent } = message {
                let build = BuildId(*build);
                logged.insert(build, *sequence);
                if self.is_own(build).await? {
                    frames.entry(build).or_default().extend(sent.iter().cloned().map(frame));
                }
            }
        }
        if frames.is_empty() {
            return Ok(logged);
        }
        let logs = self.shared.logs.clone();
        let store = move || -> anyhow::Result<Vec<Event>> {
            let mut grown = Vec::new();
            for (build, frames) in &frames {
                logs.append(*build, frames).with_context(|| format!("a log of build {build} can't be stored"))?;
                grown.extend(frames.iter().map(|frame| Event::LogGrew {
                    build: *build,
                    step: frame.step,
                    log: frame.log.clone(),
                    lines: frame.first_line + u64::from(frame.newlines),
                }));
            }
            let builds: Vec<BuildId> = frames.into_keys().collect();
            logs.sync(&builds)?;
            Ok(grown)
        };
        let grown = tokio::task::spawn_blocking(store).await.context("storing logs was interrupted")??;
        for event in grown {
            self.shared.publish(event);
        }
        Ok(logged)
    }

    /// Whether a build is open and this worker's: only then may it add to its logs.
    async fn is_own(&mut self, build: BuildId) -> anyhow::Result<bool> {
        if let Some(own) = self.own.get(&build) {
            return Ok(*own);
        }
        let store = self.shared.store.clone();
        let found = tokio::task::spawn_blocking(move || store.read()?.build(build))
            .await
            .context("reading the build was interrupted")??;
        let own = found
            .is_some_and(|found| found.worker == self.worker && !matches!(found.state, BuildState::Finished { .. }));
        self.own.insert(build, own);
        Ok(own)
    }

    async fn component(&self, digest: String) {
        let composition = self.shared.composition();
        let file = composition.loaded.plugins.values().find(|file| *file.digest.0 == *digest);
        let message = match file {
            Some(file) => HostMessage::Component { digest, bytes: file.bytes.to_vec() },
            None => HostMessage::NoComponent {
                reason: "no plugin of the host's configuration has this digest; it may have been replaced by a reload"
                    .to_owned(),
                digest,
            },
        };
        // A closed channel means that the connection is ending.
        if let Some(outgoing) = self.outgoing.upgrade() {
            let _ = outgoing.send(message).await;
        }
    }
}

fn frame(frame: LogFrame) -> Frame {
    let LogFrame { step, log, ordinal, first_line, newlines, raw_len, body } = frame;
    Frame { step, log, ordinal, first_line, newlines, raw_len, body }
}

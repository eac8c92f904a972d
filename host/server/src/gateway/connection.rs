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
use stampmill_store::LogError;
use stampmill_store::logs::{Frame, LogFiles};
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
        known: BTreeMap::new(),
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
    /// Builds that this connection has told of.
    known: BTreeMap<BuildId, Known>,
    /// Whether it has said goodbye: what follows is what it still has to hand in.
    leaves: bool,
}

/// What is known of a build that a connection tells of.
#[derive(Clone, Copy)]
struct Known {
    /// Whether it is this worker's and open: only then may it add to its logs.
    own: bool,
    /// Whether it may have logs that no end was written to.
    logs: bool,
}

/// What is to be done to the logs of one build, in order.
enum Part {
    Frames(Vec<Frame>),
    /// The logs of a step, or of the build, have ended.
    End(Option<u32>),
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

    /// Takes messages in order. The logs of the whole batch are synced once, before anything goes to the engine.
    #[tracing::instrument(target = "stampmill::stage", name = "messages", level = "debug", skip_all)]
    async fn take(&mut self, mut batch: Vec<WorkerMessage>) -> anyhow::Result<()> {
        let logged = self.store_logs(&mut batch).await?;
        for message in batch {
            match message {
                WorkerMessage::Told { build, sequence, event } => self.tell(BuildId(build), sequence, event).await,
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

    async fn tell(&mut self, build: BuildId, sequence: u64, event: Told) {
        let previous = self.shared.connections.told(&self.worker, build, sequence);
        if matches!(event, Told::Finished { .. } | Told::Declined { .. }) {
            self.known.remove(&build);
            self.shared.connections.ended(&self.worker, build);
        }
        let event = convert::event_from_wire(event);
        let worker = self.worker.clone();
        self.shared.driver.tell(Input::BuildTold { worker, build, sequence, previous, event }).await;
    }

    /// Writes and syncs the logs of a batch; answers the highest number of each build whose frames are safe.
    #[tracing::instrument(target = "stampmill::stage", name = "logs", level = "debug", skip_all)]
    async fn store_logs(&mut self, batch: &mut [WorkerMessage]) -> anyhow::Result<BTreeMap<BuildId, u64>> {
        let mut parts: BTreeMap<BuildId, Vec<Part>> = BTreeMap::new();
        let mut logged = BTreeMap::new();
        for message in batch {
            match message {
                WorkerMessage::Logs { build, sequence, frames } => {
                    let build = BuildId(*build);
                    logged.insert(build, *sequence);
                    let known = self.known(build).await?;
                    if known.own {
                        known.logs = true;
                        add_frames(parts.entry(build).or_default(), std::mem::take(frames));
                    }
                }
                WorkerMessage::Told { build, event, .. } => {
                    let step = match event {
                        Told::StepFinished { step, .. } => Some(*step),
                        Told::Finished { .. } => None,
                        _ => continue,
                    };
                    let build = BuildId(*build);
                    let known = self.known(build).await?;
                    if known.own && known.logs {
                        parts.entry(build).or_default().push(Part::End(step));
                    }
                }
                _ => {}
            }
        }
        if parts.is_empty() {
            return Ok(logged);
        }
        let logs = self.shared.logs.clone();
        let grown = tokio::task::spawn_blocking(move || write_logs(&logs, &parts));
        for event in grown.await.context("storing logs was interrupted")?? {
            self.shared.publish(event);
        }
        Ok(logged)
    }

    /// What is known of a build: of one that was given on this connection, without looking into the store.
    async fn known(&mut self, build: BuildId) -> anyhow::Result<&mut Known> {
        let known = match self.known.get(&build) {
            Some(known) => *known,
            None if self.shared.connections.gave(&self.worker, build) => Known { own: true, logs: false },
            None => {
                let store = self.shared.store.clone();
                let found = tokio::task::spawn_blocking(move || store.read()?.build(build))
                    .await
                    .context("reading the build was interrupted")??;
                let open = |state: &BuildState| !matches!(state, BuildState::Finished { .. });
                let own = found.is_some_and(|found| found.worker == self.worker && open(&found.state));
                Known { own, logs: true }
            }
        };
        Ok(self.known.entry(build).or_insert(known))
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

/// Adds frames to what is to be done: those of several messages are written at once.
fn add_frames(parts: &mut Vec<Part>, sent: Vec<LogFrame>) {
    let frames = sent.into_iter().map(frame);
    match parts.last_mut() {
        Some(Part::Frames(before)) => before.extend(frames),
        _ => parts.push(Part::Frames(frames.collect())),
    }
}

/// Writes what came for the logs of one build.
fn write_parts(logs: &LogFiles, build: BuildId, parts: &[Part], grown: &mut Vec<Event>) -> Result<(), LogError> {
    for part in parts {
        let frames = match part {
            Part::Frames(frames) => frames,
            Part::End(step) => {
                logs.finish(build, *step)?;
                continue;
            }
        };
        let taken = logs.take(build, frames)?;
        if taken.torn_bytes > 0 {
            tracing::warn!(%build, bytes = taken.torn_bytes, "the end of its log file was not whole and is cut away");
        }
        if taken.lost > 0 {
            tracing::warn!(%build, frames = taken.lost, "pieces of a log that can't go on were dropped");
        }
        if taken.written == 0 {
            continue;
        }
        grown.extend(frames.iter().map(|frame| Event::LogGrew {
            build,
            step: frame.step,
            log: frame.log.clone(),
            lines: frame.first_line + u64::from(frame.newlines),
        }));
    }
    Ok(())
}

/// Writes the logs of a batch and syncs them; answers what watchers are to be told.
fn write_logs(logs: &LogFiles, parts: &BTreeMap<BuildId, Vec<Part>>) -> anyhow::Result<Vec<Event>> {
    let mut grown = Vec::new();
    for (build, parts) in parts {
        logs.store(*build, |logs| write_parts(logs, *build, parts, &mut grown))
            .with_context(|| format!("a log of build {build} can't be stored"))?;
    }
    Ok(grown)
}

fn frame(frame: LogFrame) -> Frame {
    let LogFrame { step, log, ordinal, first_line, newlines, raw_len, body } = frame;
    Frame { step, log, ordinal, first_line, newlines, raw_len, body }
}

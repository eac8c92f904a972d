//! The connection to the host: dials, greets, carries messages both ways, and begins again when it breaks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use stampmill_protocol::limits::{HOST_MESSAGE_BYTES_MAX, WORKER_MESSAGE_BYTES_MAX};
use stampmill_protocol::{DecodeError, EncodeError, HostMessage, PROTOCOL, SUBPROTOCOL, WorkerMessage};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::sync::CancellationToken;

use crate::agent::Shared;
use crate::components::Question;
use crate::config::ConfigError;
use crate::convert::{info_to_wire, trigger_state_from_wire};
use crate::journal::JournalError;
use crate::limits::{GREETING, PING_EVERY, REASON_CHARS, RECONNECT_FIRST, RECONNECT_MOST, SILENCE_MAX};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum ConnectionError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("the token has characters that no HTTP header carries")]
    Token,
    #[error("{0}")]
    Socket(#[from] Box<tungstenite::Error>),
    #[error("the host answers {status}: {reason}")]
    TurnedAway { status: u16, reason: String },
    #[error("the host does not answer")]
    Silent,
    #[error("the host closed the connection")]
    Closed,
    #[error("the host refuses this worker ({cause}): {reason}")]
    Refused { cause: String, reason: String },
    #[error("the host speaks before its welcome (`{0}`)")]
    Unwelcome(&'static str),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl From<tungstenite::Error> for ConnectionError {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            // The host says what to mend.
            tungstenite::Error::Http(response) if response.body().as_ref().is_some_and(|body| !body.is_empty()) => {
                let text = String::from_utf8_lossy(response.body().as_deref().unwrap_or_default()).into_owned();
                let line = text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control());
                Self::TurnedAway { status: response.status().as_u16(), reason: line.take(REASON_CHARS).collect() }
            }
            error => Self::Socket(Box::new(error)),
        }
    }
}

/// Connects, again and again, until `end`.
pub(crate) async fn keep(shared: Arc<Shared>, end: CancellationToken) {
    // Another part of the program may have chosen a provider already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut pause = RECONNECT_FIRST;
    let mut told = String::new();
    while !end.is_cancelled() {
        let begun = Instant::now();
        let result = tokio::select! {
            result = connect_and_talk(&shared) => result,
            () = end.cancelled() => return,
        };
        // Only a host that holds longer than it was waited for is worth hurrying for again; one that is started often is such a host.
        if shared.parted() && begun.elapsed() > pause {
            pause = RECONNECT_FIRST;
            told.clear();
        }
        if let Err(error) = result {
            let text = error.to_string();
            // The same trouble every half a minute is told once.
            if text == told {
                tracing::debug!(host = shared.config.named_host(), error = text, "no connection to the host");
            } else {
                tracing::warn!(host = shared.config.named_host(), error = text, "no connection to the host");
                told = text;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(jitter(pause)) => {}
            () = end.cancelled() => return,
        }
        pause = (pause * 2).min(RECONNECT_MOST);
    }
}

/// Between half and all of a pause, so that workers do not come all at once after the host was away.
fn jitter(pause: Duration) -> Duration {
    let mut random = [0; 1];
    // Without randomness the pause is simply whole.
    if getrandom::fill(&mut random).is_err() {
        return pause;
    }
    pause / 2 + pause / 2 * u32::from(random[0]) / 255
}

async fn connect_and_talk(shared: &Arc<Shared>) -> Result<(), ConnectionError> {
    let (mut sink, mut stream) = connect(shared).await?.split();
    let sent = greet(shared, &mut sink, &mut stream).await?;
    shared.met();
    tracing::info!(host = shared.config.named_host(), "connected");
    let (answers, to_answer) = mpsc::channel(8);
    tokio::select! {
        result = receive(shared, &mut stream, &answers) => result,
        result = send(shared, &mut sink, to_answer, sent) => result,
    }
}

async fn connect(shared: &Shared) -> Result<Socket, ConnectionError> {
    let mut request = shared.config.url()?.into_client_request()?;
    let bearer = format!("Bearer {}", shared.config.read_token()?);
    let mut bearer = HeaderValue::from_str(&bearer).map_err(|_| ConnectionError::Token)?;
    bearer.set_sensitive(true);
    request.headers_mut().insert("Authorization", bearer);
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
    let config = WebSocketConfig::default()
        .max_message_size(Some(HOST_MESSAGE_BYTES_MAX))
        .max_frame_size(Some(HOST_MESSAGE_BYTES_MAX))
        .max_write_buffer_size(4 * WORKER_MESSAGE_BYTES_MAX);
    let connecting = tokio_tungstenite::connect_async_with_config(request, Some(config), true);
    let (socket, _) = timeout(GREETING, connecting).await.map_err(|_| ConnectionError::Silent)??;
    Ok(socket)
}

/// What of each build the host has, by the end of the greeting.
type Sent = BTreeMap<u64, u64>;

async fn greet(
    shared: &Arc<Shared>,
    sink: &mut SplitSink<Socket, Message>,
    stream: &mut SplitStream<Socket>,
) -> Result<Sent, ConnectionError> {
    let hello = WorkerMessage::Hello {
        protocol: PROTOCOL,
        name: shared.config.name.clone(),
        info: info_to_wire(shared.info.clone()),
        builds: shared.held(),
    };
    sink.send(Message::binary(hello.encode()?)).await?;
    let first = timeout(GREETING, next(stream)).await.map_err(|_| ConnectionError::Silent)??;
    match first {
        Some(HostMessage::Welcome { host_version, acknowledged }) => {
            tracing::debug!(host_version, "welcome");
            for known in &acknowledged {
                shared.acknowledge(known.build, known.sequence);
            }
            Ok(acknowledged.into_iter().map(|known| (known.build, known.sequence)).collect())
        }
        Some(HostMessage::Refused { cause, reason }) => {
            Err(ConnectionError::Refused { cause: cause.to_string(), reason })
        }
        Some(other) => Err(ConnectionError::Unwelcome(other.kind())),
        None => Err(ConnectionError::Closed),
    }
}

/// The next message of the host; `None` at the end.
async fn next(stream: &mut SplitStream<Socket>) -> Result<Option<HostMessage>, ConnectionError> {
    loop {
        match timeout(SILENCE_MAX, stream.next()).await.map_err(|_| ConnectionError::Silent)? {
            None => return Ok(None),
            Some(message) => match message? {
                Message::Binary(bytes) => return Ok(Some(HostMessage::decode(&bytes)?)),
                Message::Close(_) => return Ok(None),
                Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            },
        }
    }
}

async fn receive(
    shared: &Arc<Shared>,
    stream: &mut SplitStream<Socket>,
    answers: &mpsc::Sender<WorkerMessage>,
) -> Result<(), ConnectionError> {
    while let Some(message) = next(stream).await? {
        match message {
            HostMessage::Dispatch { order, secrets } => shared.dispatch(*order, secrets),
            HostMessage::CancelBuild { build, reason } => shared.cancel(build, &reason),
            HostMessage::Forget { build } => shared.forget(build),
            HostMessage::Triggered { build, number, state } => {
                shared.triggered(build, number, trigger_state_from_wire(state));
            }
            HostMessage::LocksTaken { build, step } => shared.locks_taken(build, step),
            HostMessage::Acknowledge { build, sequence } => shared.acknowledge(build, sequence),
            HostMessage::Component { digest, bytes } => shared.components.arrived(&digest, Ok(bytes)),
            HostMessage::NoComponent { digest, reason } => shared.components.arrived(&digest, Err(reason)),
            HostMessage::Ping { number } => {
                // A host that asks more often than it is answered gets fewer answers.
                let _ = answers.try_send(WorkerMessage::Pong { number });
            }
            HostMessage::Refused { cause, reason } => {
                let cause = cause.to_string();
                return Err(ConnectionError::Refused { cause, reason });
            }
            HostMessage::Welcome { .. } => return Err(ConnectionError::Unwelcome("welcome")),
        }
    }
    Err(ConnectionError::Closed)
}

/// Sends answers, questions for components, and of every journal what the host has not had, in order.
async fn send(
    shared: &Arc<Shared>,
    sink: &mut SplitSink<Socket, Message>,
    mut answers: mpsc::Receiver<WorkerMessage>,
    mut sent: Sent,
) -> Result<(), ConnectionError> {
    let mut asked: Vec<Question> = Vec::new();
    let mut ping = tokio::time::interval(PING_EVERY);
    ping.tick().await;
    let mut farewell = false;
    loop {
        if !farewell && shared.is_stopping() {
            // First of all: the host must not answer the end of a build with the next one.
            let reason = format!("worker `{}` was stopped", shared.config.name);
            feed(sink, WorkerMessage::Goodbye { reason }.encode()?).await?;
            sink.flush().await?;
            farewell = true;
            shared.said_goodbye();
        }
        let wanted = shared.components.wanted();
        for (_, digest) in wanted.iter().filter(|question| !asked.contains(question)) {
            let digest = digest.clone();
            feed(sink, WorkerMessage::GetComponent { digest }.encode()?).await?;
        }
        asked = wanted;
        let mut more = false;
        let journals = shared.journals();
        sent.retain(|build, _| journals.iter().any(|journal| journal.build() == *build));
        for journal in journals {
            let had = sent.entry(journal.build()).or_default();
            if let Some((sequence, bytes)) = journal.after(*had)? {
                feed(sink, bytes).await?;
                *had = sequence;
                more = true;
            }
        }
        while let Ok(answer) = answers.try_recv() {
            feed(sink, answer.encode()?).await?;
        }
        if more {
            continue;
        }
        sink.flush().await?;
        tokio::select! {
            () = shared.outbox.notified() => {}
            answer = answers.recv() => match answer {
                Some(answer) => feed(sink, answer.encode()?).await?,
                None => return Err(ConnectionError::Closed),
            },
            _ = ping.tick() => sink.send(Message::Ping(Vec::new().into())).await?,
        }
    }
}

async fn feed(sink: &mut SplitSink<Socket, Message>, bytes: Vec<u8>) -> Result<(), ConnectionError> {
    // A host that takes nothing for so long is gone, whatever the kernel says.
    let feeding = sink.feed(Message::binary(bytes));
    Ok(timeout(SILENCE_MAX, feeding).await.map_err(|_| ConnectionError::Silent)??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_between_half_and_all_of_what_they_may_be_and_not_all_the_same() {
        let most = Duration::from_secs(8);
        let pauses: Vec<Duration> = (0..100).map(|_| jitter(most)).collect();
        assert!(pauses.iter().all(|pause| (most / 2..=most).contains(pause)), "{pauses:?}");
        assert!(pauses.iter().any(|pause| *pause != pauses[0]), "workers would come all at once: {pauses:?}");
    }
}

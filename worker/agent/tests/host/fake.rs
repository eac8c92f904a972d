//! A host to test against: accepts one worker at a time, says what it is told to say, remembers what it hears.
#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use sha2::{Digest as _, Sha256};
use stampmill_agent::{Agent, Allow, WorkerConfig};
use stampmill_protocol::*;
use stampmill_sandbox::Helper;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_util::sync::CancellationToken;

/// Longer than anything takes on a busy machine; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Host {
    listener: TcpListener,
    /// Components by digest.
    components: BTreeMap<String, Vec<u8>>,
    /// What is recorded of each build.
    pub(crate) builds: BTreeMap<u64, Record>,
}

#[derive(Default, Debug)]
pub(crate) struct Record {
    /// The highest sequence recorded.
    pub(crate) sequence: u64,
    /// How often a message came that was recorded already.
    pub(crate) doubled: usize,
    pub(crate) events: Vec<Event>,
    /// Bytes of each log by step and name.
    pub(crate) logs: BTreeMap<(u32, String), Vec<u8>>,
}

impl Record {
    pub(crate) fn text(&self, step: u32, log: &str) -> String {
        let bytes = self.logs.get(&(step, log.to_owned())).cloned().unwrap_or_default();
        String::from_utf8(bytes).unwrap()
    }

    pub(crate) fn finished(&self) -> Option<(Outcome, &str)> {
        match self.events.last() {
            Some(Event::Finished { outcome, summary, .. }) => Some((*outcome, summary)),
            _ => None,
        }
    }

    fn take(&mut self, sequence: u64, message: WorkerMessage) {
        if sequence <= self.sequence {
            self.doubled += 1;
            return;
        }
        assert_eq!(sequence, self.sequence + 1, "a gap");
        self.sequence = sequence;
        match message {
            WorkerMessage::Told { event, .. } => self.events.push(event),
            WorkerMessage::Logs { frames, .. } => {
                for frame in frames {
                    let raw = zstd::bulk::decompress(&frame.body, limits::FRAME_RAW_BYTES_MAX as usize).unwrap();
                    assert_eq!(raw.len(), frame.raw_len as usize);
                    self.logs.entry((frame.step, frame.log)).or_default().extend(raw);
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) struct Connection {
    socket: WebSocketStream<TcpStream>,
    pub(crate) authorization: String,
    pub(crate) hello: WorkerMessage,
}

impl Host {
    pub(crate) async fn new() -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            components: BTreeMap::new(),
            builds: BTreeMap::new(),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }

    /// Installs a component; answers its digest.
    pub(crate) fn install(&mut self, bytes: &[u8]) -> String {
        let digest = hex::encode(Sha256::digest(bytes));
        self.components.insert(digest.clone(), bytes.to_vec());
        digest
    }

    /// Installs a first-party plugin.
    pub(crate) fn bundled(&mut self, name: &str) -> String {
        let plugin = stampmill_bundle::plugin(name).expect("a bundled plugin");
        self.install(plugin.bytes)
    }

    /// Waits for the worker and its greeting; does not welcome it yet.
    pub(crate) async fn accept(&self) -> Connection {
        let accepting = async {
            // A connection that a worker gave up before it greeted may come first.
            loop {
                if let Some(connection) = self.accept_one().await {
                    return connection;
                }
            }
        };
        tokio::time::timeout(PATIENCE, accepting).await.expect("the worker connects")
    }

    async fn accept_one(&self) -> Option<Connection> {
        let (stream, _) = self.listener.accept().await.unwrap();
        let mut authorization = String::new();
        #[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
        let look = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
            let header = |name: &str| request.headers()[name].clone();
            assert_eq!(request.uri().path(), PATH);
            assert_eq!(header("sec-websocket-protocol"), SUBPROTOCOL);
            authorization = header("authorization").to_str().unwrap().to_owned();
            response.headers_mut().insert("sec-websocket-protocol", header("sec-websocket-protocol"));
            Ok(response)
        };
        let mut socket = tokio_tungstenite::accept_hdr_async(stream, look).await.ok()?;
        let first = socket.next().await?.ok()?;
        let hello = WorkerMessage::decode(&first.into_data()).unwrap();
        Some(Connection { socket, authorization, hello })
    }

    /// Accepts the worker and welcomes it.
    pub(crate) async fn welcome(&self) -> Connection {
        let mut connection = self.accept().await;
        let acknowledged =
            self.builds.iter().map(|(build, record)| Acknowledged { build: *build, sequence: record.sequence });
        let welcome = HostMessage::Welcome { host_version: "test".to_owned(), acknowledged: acknowledged.collect() };
        connection.say(welcome).await;
        connection
    }

    /// Records what the worker says, acknowledging it, until `enough`.
    pub(crate) async fn listen(&mut self, connection: &mut Connection, enough: impl Fn(&Self) -> bool) {
        while !enough(self) {
            let message = connection.hear().await;
            match &message {
                WorkerMessage::Told { build, sequence, .. } | WorkerMessage::Logs { build, sequence, .. } => {
                    let (build, sequence) = (*build, *sequence);
                    self.builds.entry(build).or_default().take(sequence, message);
                    connection.say(HostMessage::Acknowledge { build, sequence }).await;
                }
                WorkerMessage::GetComponent { digest } => {
                    let digest = digest.clone();
                    let answer = match self.components.get(&digest).cloned() {
                        Some(bytes) => HostMessage::Component { digest, bytes },
                        None => HostMessage::NoComponent { digest, reason: "not installed".to_owned() },
                    };
                    connection.say(answer).await;
                }
                WorkerMessage::Pong { .. } | WorkerMessage::Goodbye { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Records what the worker says until a build has ended.
    pub(crate) async fn listen_to_the_end(&mut self, connection: &mut Connection, build: u64) -> &Record {
        let over = |host: &Self| {
            let last = host.builds.get(&build).and_then(|record| record.events.last());
            matches!(last, Some(Event::Finished { .. } | Event::Declined { .. }))
        };
        self.listen(connection, over).await;
        &self.builds[&build]
    }
}

impl Connection {
    pub(crate) async fn say(&mut self, message: HostMessage) {
        let bytes = message.encode().unwrap();
        self.socket.send(Message::binary(bytes)).await.unwrap();
    }

    pub(crate) async fn hear(&mut self) -> WorkerMessage {
        let hearing = async {
            loop {
                match self.socket.next().await.expect("the worker stays").unwrap() {
                    Message::Binary(bytes) => return WorkerMessage::decode(&bytes).unwrap(),
                    Message::Ping(_) | Message::Pong(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        };
        tokio::time::timeout(PATIENCE, hearing).await.expect("the worker speaks")
    }

    /// The next message of a build.
    pub(crate) async fn hear_told(&mut self) -> WorkerMessage {
        loop {
            let message = self.hear().await;
            if matches!(message, WorkerMessage::Told { .. } | WorkerMessage::Logs { .. }) {
                return message;
            }
        }
    }

    pub(crate) async fn dispatch(&mut self, order: Order, secrets: &[(&str, &str)]) {
        let secret =
            |(name, value): &(&str, &str)| Secret { name: (*name).to_owned(), value: SecretValue::new(*value) };
        let secrets = secrets.iter().map(secret).collect();
        let order = Box::new(order);
        self.say(HostMessage::Dispatch { order, secrets }).await;
    }
}

/// A worker that runs beside the test.
pub(crate) struct Worker {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Worker {
    pub(crate) fn start(config: WorkerConfig) -> Self {
        let stop = CancellationToken::new();
        let shutdown = stop.clone();
        let helper = Helper::at(Path::new(env!("CARGO_BIN_EXE_agent-test-helper")));
        let task = tokio::spawn(async move { Agent::run(config, helper, shutdown).await.unwrap() });
        Self { task, stop }
    }

    /// As SIGTERM does.
    pub(crate) fn ask_to_stop(&self) {
        self.stop.cancel();
    }

    pub(crate) async fn stopped(self) {
        tokio::time::timeout(PATIENCE, self.task).await.expect("the worker stops").unwrap();
    }

    pub(crate) async fn stop(self) {
        self.ask_to_stop();
        self.stopped().await;
    }
}

/// The configuration of a worker that allows everything.
pub(crate) fn config(host: &Host, state: &Path) -> WorkerConfig {
    WorkerConfig { allow: Allow::everything(), ..WorkerConfig::new("w1", &host.url(), "t0ken", state) }
}

/// A directory that the ids of a step may enter as far as the sandbox's helper needs to.
pub(crate) fn state() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("w").tempdir().unwrap()
}

/// A step that runs argv in the sandbox.
pub(crate) fn shell(digest: &str, name: &str, command: &[&str]) -> StepPlan {
    StepPlan {
        name: name.to_owned(),
        plugin: "shell".to_owned(),
        digest: digest.to_owned(),
        config: serde_json::json!({ "command": command }),
        grant: Grant { command: vec!["*".to_owned()], ..Grant::default() },
        limits: PluginLimits::default(),
        when: None,
        locks: Vec::new(),
        halt_on_failure: true,
        flunk_on_failure: true,
        warn_on_failure: true,
        flunk_on_warnings: false,
        warn_on_warnings: true,
        always_run: false,
        time_limit_ms: 60_000,
    }
}

pub(crate) fn order(id: u64, steps: Vec<StepPlan>) -> Order {
    Order {
        build: Build {
            id,
            number: id,
            builder: "linux".to_owned(),
            project: String::new(),
            request: id,
            buildset: id,
            attempt: 1,
            worker: "w1".to_owned(),
            reason: "a test".to_owned(),
            owner: None,
            stamps: vec![SourceStamp {
                codebase: String::new(),
                repository: "/srv/git/app.git".to_owned(),
                project: String::new(),
                branch: Some("main".to_owned()),
                revision: Some("0123".to_owned()),
                patch: None,
                trusted: true,
                changes: vec![],
            }],
            blamelist: vec![],
            properties: BTreeMap::new(),
            started_at: 0,
        },
        changes: vec![],
        job: Job { name: "job".to_owned(), steps },
    }
}

/// Waits until something is so.
pub(crate) async fn eventually(what: &str, so: impl Fn() -> bool) {
    let so = Arc::new(so);
    let waiting = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what}"));
}

//! Attack 18: a worker that answers for builds that are not its own, or not any more.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use stampmill_e2e::{Host, Place};
use stampmill_protocol::{
    Event, HostMessage, Info, LogFrame, Outcome, PATH, PROTOCOL, SUBPROTOCOL, Tier, WorkerMessage,
};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Far beyond every limit in here: who takes this long hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A worker written by hand.
struct Rogue {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Rogue {
    async fn connect(host: &Host, name: &str) -> anyhow::Result<Self> {
        let said = host.typed(&["worker-token", name]).await?;
        ensure!(said.code == 0, "{said:?}");
        let mut request = format!("{}{PATH}", host.url.replace("http://", "ws://")).into_client_request()?;
        request.headers_mut().insert("authorization", format!("Bearer {}", said.line()).parse()?);
        request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse()?);
        let mut rogue = Self { socket: connect_async(request).await?.0 };
        let info = Info {
            version: "0.1.0".into(),
            os: "linux".into(),
            arch: "x86_64".into(),
            uname: Vec::new(),
            cores: 1,
            max_builds: 1,
            tier: Tier::Sandboxed,
            mechanisms: Vec::new(),
            tools: [].into(),
        };
        rogue.say(&WorkerMessage::Hello { protocol: PROTOCOL, name: name.into(), info, builds: Vec::new() }).await?;
        let first = rogue.hears().await?;
        ensure!(matches!(first, HostMessage::Welcome { .. }), "{first:?}");
        Ok(rogue)
    }

    async fn say(&mut self, message: &WorkerMessage) -> anyhow::Result<()> {
        Ok(self.socket.send(Message::binary(message.encode()?)).await?)
    }

    /// The next message that is no ping.
    async fn hears(&mut self) -> anyhow::Result<HostMessage> {
        let hearing = async {
            while let Some(message) = self.socket.next().await {
                if let Message::Binary(bytes) = message? {
                    match HostMessage::decode(&bytes)? {
                        HostMessage::Ping { .. } => {}
                        message => return Ok(message),
                    }
                }
            }
            bail!("the connection has ended")
        };
        tokio::time::timeout(PATIENCE, hearing).await.context("the host says nothing")?
    }

    /// The next build that it is given.
    async fn is_given(&mut self) -> anyhow::Result<u64> {
        loop {
            if let HostMessage::Dispatch { order, .. } = self.hears().await? {
                return Ok(order.build.id);
            }
        }
    }

    async fn tells(&mut self, build: u64, sequence: u64, event: Event) -> anyhow::Result<()> {
        self.say(&WorkerMessage::Told { build, sequence, event }).await
    }

    /// A build from beginning to end, as it never happened, with a log.
    async fn forges(&mut self, build: u64) -> anyhow::Result<()> {
        let frame = LogFrame {
            step: 0,
            log: "stdio".into(),
            ordinal: 0,
            first_line: 0,
            newlines: 1,
            raw_len: 7,
            // One raw block in a zstd frame (RFC 8878): `forged` and a line end.
            body: b"\x28\xb5\x2f\xfd\x20\x07\x39\x00\x00forged\n".to_vec(),
        };
        self.tells(build, 1, Event::Accepted).await?;
        self.tells(build, 2, Event::StepStarted { step: 0, at: 1 }).await?;
        self.tells(build, 3, Event::LogOpened { step: 0, log: "stdio".into() }).await?;
        self.say(&WorkerMessage::Logs { build, sequence: 4, frames: vec![frame] }).await?;
        let value = json!("forged");
        self.tells(build, 5, Event::PropertySet { name: "forged".into(), value, step: 0 }).await?;
        let outcome = Outcome::Success;
        self.tells(build, 6, Event::StepFinished { step: 0, outcome, summary: "forged".into(), at: 2 }).await?;
        self.tells(build, 7, Event::Finished { outcome, summary: "forged".into(), at: 3, program: None }).await
    }

    /// Waits until the host has read all that was said.
    async fn is_heard(&mut self) -> anyhow::Result<()> {
        self.say(&WorkerMessage::GetComponent { digest: "0".repeat(64) }).await?;
        while !matches!(self.hears().await?, HostMessage::NoComponent { .. }) {}
        Ok(())
    }
}

const CONFIG: &str = r#"
[limits]
worker-lost-after = "1s"
[[scheduler]]
name = "by-hand"
kind = "force"
builders = ["guarded"]
[[job]]
name = "job"
[[job.step]]
plugin = "shell"
config = { script = "true" }
grant = { command = ["/bin/sh"] }
[[builder]]
name = "guarded"
job = "job"
[[worker]]
name = "honest"
tags = ["honest"]
[[worker]]
name = "rogue"
"#;

fn running(build: &Value) -> Option<()> {
    (build["state"] == "running").then_some(())
}

/// That nothing of what was forged is in a build.
async fn is_unforged(host: &Host, build: u64) -> anyhow::Result<Value> {
    let found = host.get(&format!("/api/v1/builds/{build}")).await?;
    ensure!(!found.to_string().contains("forged"), "{found:#}");
    let log = host.client().get(format!("{}/api/v1/builds/{build}/steps/0/logs/stdio", host.url)).send().await?;
    ensure!(!log.text().await?.contains("forged"), "the log was forged");
    Ok(found)
}

#[tokio::test]
async fn attack_18_a_worker_can_not_answer_for_a_build_of_another_nor_for_one_that_was_given_away() -> anyhow::Result<()>
{
    let place = Place::new()?;
    std::fs::write(place.path().join("stampmill.toml"), CONFIG)?;
    let host = Host::start(place.path(), "host").await?;
    let mut honest = Rogue::connect(&host, "honest").await?;
    let forced = host.typed(&["force", "guarded", "--worker", "honest"]).await?;
    ensure!(forced.code == 0, "{forced:?}");
    let first = honest.is_given().await?;
    honest.tells(first, 1, Event::Accepted).await?;
    let path = format!("/api/v1/builds/{first}");
    host.wait_for(&path, running).await?;

    // Another worker, with a token of its own, speaks of that build, of none, and of builds to come.
    let mut rogue = Rogue::connect(&host, "rogue").await?;
    for build in [first, 0, first + 1, u64::MAX] {
        rogue.forges(build).await?;
    }
    rogue.is_heard().await?;
    ensure!(is_unforged(&host, first).await?["state"] == "running");

    // The honest one is away for too long: its request goes to another attempt, and it comes back and speaks of the old one.
    drop(honest);
    host.wait_for(&path, |build| (build["result"] == "retry").then_some(())).await?;
    let mut late = Rogue::connect(&host, "honest").await?;
    let second = late.is_given().await?;
    ensure!(second != first, "another attempt is another build");
    late.tells(second, 1, Event::Accepted).await?;
    host.wait_for(&format!("/api/v1/builds/{second}"), running).await?;
    late.forges(first).await?;
    late.is_heard().await?;
    let old = is_unforged(&host, first).await?;
    ensure!(old["result"] == "retry" && old["attempt"] == 1, "{old:#}");
    let new = is_unforged(&host, second).await?;
    ensure!(new["state"] == "running" && new["attempt"] == 2, "{new:#}");
    // What it says of its own counts: so the host did listen.
    late.tells(
        second,
        2,
        Event::Finished { outcome: Outcome::Failure, summary: "honest".into(), at: 9, program: None },
    )
    .await?;
    host.wait_for(&format!("/api/v1/builds/{second}"), |build| (build["result"] == "failure").then_some(())).await?;
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

//! Connections whose right or whose other end is gone.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use nix::sys::signal::Signal;
use stampmill_e2e::command::typed_with;
use stampmill_e2e::{Browser, Host, Place, Repository, main_job};
use stampmill_protocol::{Event, HostMessage, Info, PATH, PROTOCOL, SUBPROTOCOL, Tier, WorkerMessage};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Far beyond every limit in here: who takes this long hangs.
const PATIENCE: Duration = Duration::from_secs(60);

fn config(repository: &Repository) -> String {
    main_job(&repository.bare, "http://127.0.0.1:9/report", "echo built")
}

async fn worker_is(host: &Host, state: &str) -> anyhow::Result<()> {
    let found = |workers: &serde_json::Value| (workers["items"][0]["state"] == state).then_some(());
    host.wait_for("/api/v1/workers", found).await
}

/// Whether a worker process with this configuration is alive.
fn runs(config: &Path) -> anyhow::Result<bool> {
    Ok(Command::new("pgrep").arg("-f").arg(config).output().context("pgrep")?.status.success())
}

/// A worker written by hand: it holds a token and says what the test wants.
struct Worker {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Worker {
    /// Dials with a token and says nothing yet.
    async fn dial(host: &Host, token: &str) -> anyhow::Result<Self> {
        let mut request = format!("{}{PATH}", host.url.replace("http://", "ws://")).into_client_request()?;
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse()?);
        request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse()?);
        Ok(Self { socket: connect_async(request).await?.0 })
    }

    async fn say(&mut self, message: &WorkerMessage) -> anyhow::Result<()> {
        Ok(self.socket.send(Message::binary(message.encode()?)).await?)
    }

    async fn hello(&mut self, name: &str) -> anyhow::Result<()> {
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
        self.say(&WorkerMessage::Hello { protocol: PROTOCOL, name: name.into(), info, builds: Vec::new() }).await
    }

    /// The next message that is no ping; `None` at the end of the connection.
    async fn hears(&mut self) -> anyhow::Result<Option<HostMessage>> {
        let hearing = async {
            loop {
                // A connection that is torn off has ended as well.
                let Some(Ok(message)) = self.socket.next().await else { return Ok(None) };
                match message {
                    Message::Binary(bytes) => match HostMessage::decode(&bytes)? {
                        HostMessage::Ping { .. } => {}
                        message => return Ok(Some(message)),
                    },
                    Message::Close(_) => return Ok(None),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, hearing).await.context("the host neither speaks nor ends the connection")?
    }

    async fn is_welcome(&mut self, name: &str) -> anyhow::Result<()> {
        self.hello(name).await?;
        let first = self.hears().await?;
        ensure!(matches!(first, Some(HostMessage::Welcome { .. })), "{first:?}");
        Ok(())
    }
}

/// Makes the token of a worker; answers its secret. The worker's other tokens end with it.
async fn worker_token(host: &Host, name: &str) -> anyhow::Result<String> {
    let said = host.typed(&["worker-token", name]).await?;
    ensure!(said.code == 0, "{said:?}");
    Ok(said.line().to_owned())
}

/// Revokes the tokens of this name that there are now.
async fn revoke(host: &Host, name: &str) -> anyhow::Result<()> {
    let listed = host.typed(&["token", "list", "--json"]).await?.json()?;
    let tokens = listed["items"].as_array().or(listed.as_array()).context("a list")?.clone();
    let named: Vec<_> = tokens.iter().filter(|token| token["name"] == name).collect();
    ensure!(!named.is_empty(), "there is no token `{name}`: {listed}");
    for token in named {
        let id = token["id"].as_str().context("an id is text")?;
        let revoked = host.typed(&["token", "revoke", id]).await?;
        ensure!(revoked.code == 0, "{revoked:?}");
    }
    Ok(())
}

/// A host without a worker of its own, for workers written by hand.
async fn with_far_worker(place: &Place) -> anyhow::Result<Host> {
    let config = r#"
[limits]
worker-lost-after = "1h"
[[scheduler]]
name = "by-hand"
kind = "force"
builders = ["far"]
[[job]]
name = "job"
[[job.step]]
plugin = "shell"
config = { script = "true" }
grant = { command = ["/bin/sh"] }
[[builder]]
name = "far"
job = "job"
[[worker]]
name = "far"
"#;
    std::fs::write(place.path().join("stampmill.toml"), config)?;
    Host::start(place.path(), "host").await
}

#[tokio::test]
async fn attack_18_a_connection_that_has_not_said_hello_does_not_outlive_its_token() -> anyhow::Result<()> {
    let place = Place::new()?;
    let host = with_far_worker(&place).await?;
    for deed in ["revoked", "renewed"] {
        let token = worker_token(&host, "far").await?;
        let mut silent = Worker::dial(&host, &token).await?;
        match deed {
            "revoked" => revoke(&host, "worker far").await?,
            _ => drop(worker_token(&host, "far").await?),
        }
        // It may have been ended already, before this is said.
        let _ = silent.hello("far").await;
        let first = silent.hears().await?;
        ensure!(matches!(first, None | Some(HostMessage::Refused { .. })), "{deed}: {first:?}");
        ensure!(Worker::dial(&host, &token).await.is_err(), "{deed}: the token opens the door");
    }
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

#[tokio::test]
async fn attack_18_a_workers_connection_ends_with_its_token_or_when_it_comes_again_and_for_nobody_elses_sake()
-> anyhow::Result<()> {
    let place = Place::new()?;
    let host = with_far_worker(&place).await?;
    let token = worker_token(&host, "far").await?;
    let mut older = Worker::dial(&host, &token).await?;
    older.is_welcome("far").await?;
    let mut newer = Worker::dial(&host, &token).await?;
    newer.is_welcome("far").await?;
    let last = older.hears().await?;
    ensure!(last.is_none(), "{last:?}");
    // Not because it was silent: that would have ended the newer one as well.
    host.token("watcher", "viewer").await?;
    newer.say(&WorkerMessage::GetComponent { digest: "0".repeat(64) }).await?;
    let answer = newer.hears().await?;
    ensure!(matches!(answer, Some(HostMessage::NoComponent { .. })), "{answer:?}");
    revoke(&host, "worker far").await?;
    let last = newer.hears().await?;
    ensure!(last.is_none(), "{last:?}");
    let away = |workers: &serde_json::Value| (workers["items"][0]["state"] == "away").then_some(());
    host.wait_for("/api/v1/workers", away).await?;
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

#[tokio::test]
async fn a_workers_goodbye_counts_however_its_connection_ends() -> anyhow::Result<()> {
    let place = Place::new()?;
    let host = with_far_worker(&place).await?;
    let token = worker_token(&host, "far").await?;
    let mut worker = Worker::dial(&host, &token).await?;
    worker.is_welcome("far").await?;
    let forced = host.typed(&["force", "far", "--reason", "the test asks"]).await?;
    ensure!(forced.code == 0, "{forced:?}");
    let Some(HostMessage::Dispatch { order, .. }) = worker.hears().await? else { bail!("no build came") };
    let build = order.build.id;
    worker.say(&WorkerMessage::Told { build, sequence: 1, event: Event::Accepted }).await?;
    let running = |found: &serde_json::Value| (found["state"] == "running").then_some(());
    host.wait_for(&format!("/api/v1/builds/{build}"), running).await?;

    worker.say(&WorkerMessage::Goodbye { reason: "the test ends it".into() }).await?;
    // What is answered after it shows that it was read.
    worker.say(&WorkerMessage::GetComponent { digest: "0".repeat(64) }).await?;
    while !matches!(worker.hears().await?.context("it is still connected")?, HostMessage::NoComponent { .. }) {}
    revoke(&host, "worker far").await?;
    // Not an hour later, as for a worker that may come back.
    let ended = |found: &serde_json::Value| (found["state"] == "finished").then(|| found["result"].clone());
    assert_eq!(host.wait_for(&format!("/api/v1/builds/{build}"), ended).await?, "retry");
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

#[tokio::test]
async fn attack_18_the_local_worker_gets_another_token_when_its_own_is_ended_and_its_old_one_is_dead()
-> anyhow::Result<()> {
    let place = Place::new()?;
    let repository = Repository::make(place.path())?;
    let host = Host::up(place.path(), &config(&repository)).await?;
    worker_is(&host, "connected").await?;
    let file = place.path().join("data/worker/token");
    let came = |workers: &serde_json::Value| {
        let worker = &workers["items"][0];
        (worker["state"] == "connected").then(|| worker["since"].clone())
    };
    for what in ["renewed", "revoked"] {
        let (old, since) = (std::fs::read_to_string(&file)?, host.wait_for("/api/v1/workers", came).await?);
        let given = match what {
            "renewed" => Some(worker_token(&host, "local").await?),
            _ => revoke(&host, "worker local").await.map(|()| None)?,
        };
        let again = |workers: &serde_json::Value| came(workers).filter(|now| *now != since);
        host.wait_for("/api/v1/workers", again).await.context(what)?;
        ensure!(std::fs::read_to_string(&file)? != old, "{what}: it came back with the old token");
        ensure!(Worker::dial(&host, &old).await.is_err(), "{what}: the old token opens the door");
        if let Some(given) = given {
            Worker::dial(&host, &given).await.context("what the operator was given does not hold")?;
        }
    }
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

#[tokio::test]
async fn attack_18_a_stream_ends_at_once_when_its_token_is_revoked() -> anyhow::Result<()> {
    let place = Place::new()?;
    let host = with_far_worker(&place).await?;
    let token = host.token("watcher", "viewer").await?;
    let url = format!("{}/api/v1/events", host.url);
    let watching = || host.client().get(&url).bearer_auth(&token).send();
    let mut stream = watching().await?.error_for_status()?;
    ensure!(stream.chunk().await?.is_some(), "the stream greets");
    revoke(&host, "watcher").await?;
    let ended = async {
        while stream.chunk().await?.is_some() {}
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, ended).await.context("the revoked stream goes on")??;
    assert_eq!(watching().await?.status(), 401);
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

#[tokio::test]
async fn a_page_whose_session_has_ended_says_that_one_must_log_in_again_and_asks_no_more() -> anyhow::Result<()> {
    const PASSWORD: &str = "correct horse battery";
    let Some(browser) = Browser::start().await? else { return Ok(()) };
    let place = Place::new()?;
    let host = with_far_worker(&place).await?;
    let added = typed_with(place.path(), &["user", "add", "ann", "--role", "viewer"], &format!("{PASSWORD}\n")).await?;
    ensure!(added.code == 0, "{added:?}");
    let tab = browser.visitor().await?;
    // By a name that somebody could point here nothing is shown without a login.
    let page = format!("{}/builders", host.url.replace("127.0.0.1", "ci.example"));
    tab.go(&page).await?;
    tab.fill("input[name=name]", "ann").await?;
    tab.fill("input[name=password]", PASSWORD).await?;
    tab.leads_on(tab.click("main button[type=submit]")).await?;
    let lamp = "document.querySelector('#live-state').innerText";
    tab.until(&format!("{lamp} === 'live'")).await?;

    let deleted = host.typed(&["user", "remove", "ann"]).await?;
    ensure!(deleted.code == 0, "{deleted:?}");
    tab.until(&format!("{lamp} === 'log in again'")).await?;
    let link = tab.text("document.querySelector('#live-state a').getAttribute('href')").await?;
    assert_eq!(link, "/login?next=%2Fbuilders");
    // Not even when it is looked at again.
    let asked = tab.requests().len();
    tab.eval("document.dispatchEvent(new Event('visibilitychange'))").await?;
    tab.eval("fetch('/login').then((answer) => answer.text())").await?;
    assert_eq!(tab.requests().len(), asked + 1, "{:?}", tab.requests());
    tab.leads_on(tab.click("#live-state a")).await?;
    ensure!(tab.has("input[name=password]").await?, "the link leads to the login");
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

#[tokio::test]
async fn a_worker_whose_host_was_killed_ends_by_itself_after_the_time_that_the_configuration_names()
-> anyhow::Result<()> {
    let place = Place::new()?;
    let repository = Repository::make(place.path())?;
    let config = format!("{}\n[limits]\nlocal-worker-alone = \"1s\"\n", config(&repository));
    let host = Host::up(place.path(), &config).await?;
    worker_is(&host, "connected").await?;
    let worker = place.path().join("data/worker/worker.toml");
    ensure!(runs(&worker)?, "there is a worker process");
    host.end(Signal::SIGKILL).await?;
    let killed = Instant::now();
    while runs(&worker)? {
        ensure!(killed.elapsed() < PATIENCE, "the worker goes on for ever");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The next start has a worker again.
    let host = Host::start(place.path(), "up").await?;
    worker_is(&host, "connected").await?;
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

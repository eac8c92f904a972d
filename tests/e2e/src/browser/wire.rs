//! The DevTools protocol as far as the tests need it (<https://chromedevtools.github.io/devtools-protocol/>): commands with their answers, and
//! what each tab tells of itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::PATIENCE;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A connection to one browser.
pub(super) struct Wire {
    sink: tokio::sync::Mutex<SplitSink<Socket, Message>>,
    told: Arc<Told>,
    reader: JoinHandle<()>,
}

/// What has come in.
#[derive(Default)]
struct Told {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Default)]
struct State {
    last_id: u64,
    waiting: HashMap<u64, oneshot::Sender<Value>>,
    /// Events by the session that they are of, in the order in which they came.
    events: HashMap<String, Vec<Value>>,
    ended: bool,
}

impl Told {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, message: Value) {
        if let Some(id) = message["id"].as_u64() {
            let waiting = self.state().waiting.remove(&id);
            // Whoever asked may have given up.
            let _ = waiting.map(|waiting| waiting.send(message));
            return;
        }
        let session = message["sessionId"].as_str().unwrap_or_default().to_owned();
        self.state().events.entry(session).or_default().push(message);
        self.news.notify_waiters();
    }

    fn end(&self) {
        let mut state = self.state();
        state.ended = true;
        state.waiting.clear();
        drop(state);
        self.news.notify_waiters();
    }
}

impl Wire {
    pub(super) async fn connect(url: &str) -> anyhow::Result<Arc<Self>> {
        // A picture of a page comes in one message.
        let config = WebSocketConfig::default().max_message_size(Some(64 << 20)).max_frame_size(Some(64 << 20));
        let (socket, _) = connect_async_with_config(url, Some(config), true).await.context("the browser's port")?;
        let (sink, stream) = socket.split();
        let told = Arc::new(Told::default());
        let reader = tokio::spawn(read(stream, Arc::clone(&told)));
        Ok(Arc::new(Self { sink: tokio::sync::Mutex::new(sink), told, reader }))
    }

    /// Runs a command of the browser, or of a tab when a session is named.
    pub(super) async fn call(&self, session: &str, method: &str, params: Value) -> anyhow::Result<Value> {
        let (sender, answer) = oneshot::channel();
        let id = {
            let mut state = self.told.state();
            if state.ended {
                bail!("{method}: the browser has ended");
            }
            state.last_id += 1;
            let id = state.last_id;
            state.waiting.insert(id, sender);
            id
        };
        let mut command = json!({ "id": id, "method": method, "params": params });
        if !session.is_empty() {
            command["sessionId"] = session.into();
        }
        self.sink.lock().await.send(Message::text(command.to_string())).await.context("the browser has ended")?;
        let mut answer = tokio::time::timeout(PATIENCE, answer)
            .await
            .with_context(|| format!("{method}: the browser does not answer"))?
            .with_context(|| format!("{method}: the browser has ended"))?;
        match answer.get("error") {
            Some(error) => bail!("{method}: {}", error["message"].as_str().unwrap_or_default()),
            None => Ok(answer["result"].take()),
        }
    }

    /// Looks at all that a session has told, now and each time that something new is told, until it is there.
    pub(super) async fn until<T>(
        &self,
        session: &str,
        what: &str,
        mut found: impl FnMut(&[Value]) -> Option<T>,
    ) -> anyhow::Result<T> {
        let look = async {
            loop {
                let news = self.told.news.notified();
                tokio::pin!(news);
                news.as_mut().enable();
                if let Some(found) = self.events(session, &mut found) {
                    return Ok(found);
                }
                if self.told.state().ended {
                    bail!("{what}: the browser has ended");
                }
                news.await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.with_context(|| format!("{what}: it did not happen"))?
    }

    /// Looks at all that a session has told so far.
    pub(super) fn events<T>(&self, session: &str, look: impl FnOnce(&[Value]) -> T) -> T {
        look(self.told.state().events.get(session).map_or(&[], Vec::as_slice))
    }

    /// Forgets what a session has told.
    pub(super) fn forget(&self, session: &str) {
        self.told.state().events.remove(session);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read(mut stream: SplitStream<Socket>, told: Arc<Told>) {
    while let Some(Ok(message)) = stream.next().await {
        let Ok(text) = message.to_text() else { continue };
        if let Ok(message) = serde_json::from_str(text) {
            told.take(message);
        }
    }
    told.end();
}

/// How long to wait before the next look at something that tells nothing by itself.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(50);

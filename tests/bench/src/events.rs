//! The host's event stream, with the moment at which each event was heard.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures_util::StreamExt as _;
use serde_json::Value;
use tokio::sync::mpsc;

/// How long anything may take before a run is given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// Something that the host told.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) at: Instant,
    pub(crate) kind: String,
    pub(crate) data: Value,
}

/// A stream that is read in the background, so that the moments are right.
pub(crate) struct Events {
    heard: mpsc::UnboundedReceiver<Event>,
}

impl Events {
    /// Opens a stream, and waits until the host says that it is open.
    pub(crate) async fn open(client: &reqwest::Client, url: &str) -> anyhow::Result<Self> {
        let response = client.get(url).send().await?.error_for_status()?;
        let (sender, heard) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut bytes = response.bytes_stream();
            let mut text = Vec::new();
            while let Some(Ok(chunk)) = bytes.next().await {
                let at = Instant::now();
                text.extend_from_slice(&chunk);
                while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
                    let event: Vec<u8> = text.drain(..end + 2).collect();
                    let Some(event) = parse(at, &event) else { continue };
                    if sender.send(event).is_err() {
                        return;
                    }
                }
            }
        });
        let mut events = Self { heard };
        events.until(|event| event.kind == "hello").await?;
        Ok(events)
    }

    /// The next event of which this is true; those before are passed over.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> anyhow::Result<Event> {
        let waiting = async {
            while let Some(event) = self.heard.recv().await {
                if wanted(&event) {
                    return Ok(event);
                }
            }
            bail!("the event stream has ended")
        };
        tokio::time::timeout(PATIENCE, waiting).await.context("the event never came")?
    }

    /// Waits until this many builds have finished; answers when the last one did.
    pub(crate) async fn finished(&mut self, builds: usize) -> anyhow::Result<Instant> {
        let mut seen = std::collections::BTreeSet::new();
        let mut last = Instant::now();
        while seen.len() < builds {
            let event = self.until(|event| event.kind == "build" && event.data["finished"] == true).await?;
            seen.insert(event.data["id"].as_u64());
            last = event.at;
        }
        Ok(last)
    }
}

fn parse(at: Instant, event: &[u8]) -> Option<Event> {
    let text = std::str::from_utf8(event).ok()?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim_start);
    Some(Event {
        at,
        kind: field("event:")?.to_owned(),
        data: serde_json::from_str(field("data:").unwrap_or("null")).unwrap_or_default(),
    })
}

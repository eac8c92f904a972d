//! An HTTP listener that keeps what reporters post to it.

use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Listens on loopback.
pub struct Listener {
    /// Where to post.
    pub url: String,
    bodies: mpsc::Receiver<serde_json::Value>,
    task: JoinHandle<()>,
}

impl Listener {
    /// Starts to listen.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start() -> anyhow::Result<Self> {
        let (sender, bodies) = mpsc::channel(1000);
        let take = move |body: String| {
            let sender = sender.clone();
            async move {
                let body = serde_json::from_str(&body).unwrap_or(serde_json::Value::String(body));
                // A full queue is a test that has stopped looking.
                let _ = sender.try_send(body);
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/report", listener.local_addr()?);
        let router = Router::new().route("/report", post(take));
        let task = tokio::spawn(async move {
            // It ends with the test.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { url, bodies, task })
    }

    /// The next body that is posted.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn next(&mut self) -> anyhow::Result<serde_json::Value> {
        let next = tokio::time::timeout(Duration::from_secs(60), self.bodies.recv()).await;
        next.context("no report came")?.context("the listener has ended")
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

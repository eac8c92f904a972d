//! A network that can be cut: a forwarder between a worker and its host.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Listens on loopback and hands bytes on, until it is cut; then every connection is dropped in the middle of whatever it carries, and new
/// ones are dropped as soon as they come.
pub struct Forwarder {
    /// Where to connect.
    pub url: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    /// Where the bytes go; `None` while it is cut.
    target: watch::Sender<Option<String>>,
    /// When somebody came in vain.
    refused: Mutex<Vec<Instant>>,
}

impl Forwarder {
    /// Starts to forward to the host at this URL.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(url: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let shared = Arc::new(Shared { target: watch::channel(Some(address(url))).0, refused: Mutex::default() });
        let url = format!("http://{}", listener.local_addr()?);
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { url, shared, task })
    }

    /// Cuts it; what has been refused so far is forgotten.
    pub fn cut(&self) {
        self.shared.target.send_replace(None);
        self.shared.refused.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Forwards again, to the host at this URL.
    pub fn mend(&self, url: &str) {
        self.shared.target.send_replace(Some(address(url)));
    }

    /// When somebody came in vain since it was cut.
    #[must_use]
    pub fn refused(&self) -> Vec<Instant> {
        self.shared.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.cut();
        self.task.abort();
    }
}

fn address(url: &str) -> String {
    url.trim_start_matches("http://").trim_end_matches('/').to_owned()
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((near, _)) = listener.accept().await {
        let mut target = shared.target.subscribe();
        let Some(address) = target.borrow_and_update().clone() else {
            shared.refused.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
            continue;
        };
        tokio::spawn(async move {
            tokio::select! {
                () = forward(near, &address) => {}
                _ = target.changed() => {}
            }
        });
    }
}

async fn forward(mut near: TcpStream, address: &str) {
    // Whatever ends it ends it for both.
    if let Ok(mut far) = TcpStream::connect(address).await {
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    }
}

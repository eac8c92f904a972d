//! The receiver of reports, which is as moody as real ones: now and then it refuses, or takes its time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;
use stampmill_e2e::Random;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How long a slow answer takes: long enough for a host to be killed meanwhile.
const SLOW: Duration = Duration::from_millis(400);

/// One delivery.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    /// Its id, as the header has it.
    pub(crate) id: String,
    pub(crate) body: Value,
    /// Whether it was answered with 200.
    pub(crate) taken: bool,
}

struct Shared {
    random: Random,
    deliveries: Vec<Delivery>,
    moody: bool,
}

/// Listens on loopback until it is dropped.
pub(crate) struct Receiver {
    pub(crate) url: String,
    shared: Arc<Mutex<Shared>>,
    task: JoinHandle<()>,
}

impl Receiver {
    pub(crate) async fn start(random: Random) -> anyhow::Result<Self> {
        let shared = Arc::new(Mutex::new(Shared { random, deliveries: Vec::new(), moody: true }));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/report", listener.local_addr()?);
        let router = Router::new().route("/report", post(receive)).with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            // It ends with the test.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { url, shared, task })
    }

    /// From now on it takes everything at once.
    pub(crate) fn calm(&self) {
        lock(&self.shared).moody = false;
    }

    pub(crate) fn deliveries(&self) -> Vec<Delivery> {
        lock(&self.shared).deliveries.clone()
    }

    pub(crate) fn count(&self) -> usize {
        lock(&self.shared).deliveries.len()
    }

    /// How many builds of this builder it was told have succeeded.
    pub(crate) fn succeeded(&self, builder: &str) -> usize {
        let shared = lock(&self.shared);
        let told = shared.deliveries.iter().filter(|delivery| {
            delivery.body["build"]["builder"] == builder && delivery.body["build"]["result"] == "success"
        });
        told.map(|delivery| &delivery.id).collect::<std::collections::BTreeSet<_>>().len()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn receive(State(shared): State<Arc<Mutex<Shared>>>, headers: HeaderMap, body: String) -> StatusCode {
    let id = headers.get("x-stampmill-delivery").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
    let body = serde_json::from_str(&body).unwrap_or(Value::String(body));
    let (mood, place) = {
        let mut shared = lock(&shared);
        let mood = if shared.moody { shared.random.below(10) } else { 9 };
        shared.deliveries.push(Delivery { id, body, taken: false });
        (mood, shared.deliveries.len() - 1)
    };
    if mood == 0 {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    if mood <= 2 {
        tokio::time::sleep(SLOW).await;
    }
    lock(&shared).deliveries[place].taken = true;
    StatusCode::OK
}

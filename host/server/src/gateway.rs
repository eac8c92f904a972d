//! The gateway: workers' connections.
//!
//! A worker dials in over one WebSocket. What it tells of its builds has one sequence per build; log frames are appended to the build's
//! log and synced before anything that follows them goes to the engine, so that an acknowledgement of a number covers all before it.

mod connection;
mod connections;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use stampmill_agent::convert;
use stampmill_model::{BuildOrder, Change, WorkerName};
use stampmill_protocol::{HostMessage, PATH, SUBPROTOCOL, limits};
use stampmill_service::Accounts;
use stampmill_store::StoreError;
use tokio::sync::watch;

pub(crate) use self::connections::Connections;
use crate::secrets;
use crate::shared::Shared;

/// The route that workers dial.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new().route(PATH, get(connect)).with_state(shared)
}

/// The message that gives a build to its worker, with the secrets that its steps were granted.
#[tracing::instrument(target = "stampmill::stage", name = "dispatch", level = "debug", skip_all)]
pub(crate) fn dispatch(shared: &Shared, mut order: BuildOrder) -> HostMessage {
    let changes = changes(shared, &order);
    order.changes = changes.unwrap_or_else(|error| {
        tracing::error!("the changes of build {} can't be read: {error}", order.build.id);
        std::mem::take(&mut order.changes)
    });
    HostMessage::Dispatch {
        secrets: secrets::of_build(&shared.composition().loaded, &order),
        order: Box::new(convert::order_to_wire(&order)),
    }
}

/// The changes of a build. The engine has those of open buildsets; a rebuild names older ones too.
fn changes(shared: &Shared, order: &BuildOrder) -> Result<Vec<Change>, StoreError> {
    let named: Vec<_> = order.build.stamps.iter().flat_map(|stamp| &stamp.changes).collect();
    if order.changes.len() == named.len() {
        return Ok(order.changes.clone());
    }
    let reader = shared.store.read()?;
    named.into_iter().filter_map(|id| reader.change(*id).transpose()).collect()
}

async fn connect(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let token = bearer(&headers).unwrap_or_default().to_owned();
    // Before the token is looked at: an end that comes after that is noticed.
    let ends = shared.accounts.ends();
    let worker = match shared.accounts.worker_of(&token) {
        Ok(worker) => worker,
        Err(error) => {
            tracing::error!("a worker's token can't be looked up: {error}");
            return (StatusCode::SERVICE_UNAVAILABLE, "the host can't answer now; try again\n").into_response();
        }
    };
    let Some(worker) = worker else {
        let mend = "the worker's token is missing or wrong; `stampmill worker-token NAME` prints a new one\n";
        return (StatusCode::UNAUTHORIZED, mend).into_response();
    };
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    upgrade
        .protocols([SUBPROTOCOL])
        .read_buffer_size(crate::limits::READ_BUFFER_BYTES)
        .max_message_size(limits::WORKER_MESSAGE_BYTES_MAX)
        .max_frame_size(limits::WORKER_MESSAGE_BYTES_MAX)
        .on_upgrade(async move |socket| {
            let tasks = shared.tasks.clone();
            let revoked = revoked(ends, shared.accounts.clone(), worker.clone(), token);
            let run = connection::run(shared, worker, socket, revoked);
            // A panic in one connection must not take the others with it, and the host waits for it at its end.
            let _ = tasks.spawn(run).await;
        })
}

/// Waits until a token is no longer the worker's, or nobody can say whether it is: a worker whose token holds comes again.
async fn revoked(mut ends: watch::Receiver<u64>, accounts: Accounts, worker: WorkerName, token: String) {
    while ends.changed().await.is_ok() {
        match accounts.worker_of(&token) {
            Ok(owner) if owner.as_ref() == Some(&worker) => {}
            Ok(_) => return,
            Err(error) => {
                tracing::error!(%worker, "a worker's token can't be looked up: {error}");
                return;
            }
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

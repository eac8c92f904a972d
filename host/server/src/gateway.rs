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
use stampmill_model::{BuildOrder, Change};
use stampmill_protocol::{HostMessage, PATH, SUBPROTOCOL, limits};
use stampmill_service::Accounts;
use stampmill_store::StoreError;

pub(crate) use self::connections::Connections;
use crate::secrets;
use crate::shared::Shared;

/// What the route needs.
#[derive(Clone)]
struct Gateway {
    shared: Arc<Shared>,
    accounts: Arc<Accounts>,
}

/// The route that workers dial.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let accounts = Accounts::new(shared.store.clone());
    Router::new().route(PATH, get(connect)).with_state(Gateway { shared, accounts: Arc::new(accounts) })
}

/// The message that gives a build to its worker, with the secrets that its steps were granted.
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
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let worker = match bearer(&headers).map(|token| gateway.accounts.worker_of(token)).transpose() {
        Ok(worker) => worker.flatten(),
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
    let shared = gateway.shared;
    upgrade
        .protocols([SUBPROTOCOL])
        .max_message_size(limits::WORKER_MESSAGE_BYTES_MAX)
        .max_frame_size(limits::WORKER_MESSAGE_BYTES_MAX)
        .on_upgrade(async move |socket| {
            let tasks = shared.tasks.clone();
            let run = connection::run(shared, worker, socket);
            // A panic in one connection must not take the others with it, and the host waits for it at its end.
            let _ = tasks.spawn(run).await;
        })
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

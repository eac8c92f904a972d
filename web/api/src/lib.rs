//! The JSON API, the event stream and the addresses that machines call. It decides nothing and asks the store nothing: every question goes
//! through [`stampmill_service::Service`], which knows who may ask.
//!
//! Modules in reading order: [`routes`] is the table of every route, from which the router, [`openapi`] and the test of permissions are made;
//! `guard` stands in front of each; `body` takes in what is sent; `builds`, `logs`, `work`, `house`, `people`, `events` and `machines` answer; `wire` holds
//! the shapes and `convert` the way there.

mod body;
mod builds;
mod convert;
mod error;
mod events;
mod guard;
mod house;
mod limits;
mod logs;
mod machines;
pub mod openapi;
mod page;
mod people;
pub mod routes;
mod wire;
mod work;

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use stampmill_service::Service;
use tokio::sync::Semaphore;

use crate::error::ApiError;
use crate::guard::{Guard, guard};

/// What every handler gets.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) service: Arc<Service>,
    pub(crate) streams: Arc<Semaphore>,
}

/// The router of `/api/v1/…`, `/hooks/…`, `/metrics` and `/healthz`. It has no fallback of its own, so that it can be merged with the pages.
///
/// Each request must carry a [`stampmill_service::Peer`] in its extensions.
pub fn router(service: Arc<Service>) -> Router {
    let door = Door { service, streams: Arc::new(Semaphore::new(limits::STREAMS_MAX)) };
    let mut router = Router::new();
    for route in routes::routes() {
        let guarded = Guard { door: door.clone(), permission: route.permission };
        router = router.route(route.path, route.handler.route_layer(from_fn_with_state(guarded, guard)));
    }
    router
        .route("/api", any(nothing_here))
        .route("/api/{*rest}", any(nothing_here))
        .method_not_allowed_fallback(wrong_method)
        .with_state(door)
}

async fn nothing_here(uri: Uri) -> Response {
    let message = format!("there is nothing at {}; /api/v1/openapi.json lists what there is", uri.path());
    ApiError::new(StatusCode::NOT_FOUND, "unknown", message).into_response()
}

async fn wrong_method(method: Method, uri: Uri) -> Response {
    let message = format!("{} does not answer {method}; /api/v1/openapi.json lists what it answers", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "wrong-method", message).into_response()
}

//! Pages made by the server: readable without a script, live with one. They decide nothing and ask the store nothing: every question goes
//! through [`stampmill_service::Service`], which knows who may ask.
//!
//! Modules in reading order: [`routes`] is the table of every page and form; `guard` stands in front of each; `form` takes in what is sent;
//! `pages` draw, in the frame of `layout` and with the `words` that all share; `assets` are the style sheet and the script.

mod assets;
mod error;
mod form;
mod guard;
mod layout;
mod limits;
mod pages;
pub mod routes;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use stampmill_service::{Identity, Service, ServiceError};

use crate::error::PageError;
use crate::guard::{Guard, guard};

/// What every page gets.
#[derive(Clone)]
pub(crate) struct Ui {
    pub(crate) service: Arc<Service>,
}

/// The router of all pages, with a page for addresses where nothing is: so it is the one to give a fallback where routers are merged.
///
/// Each request must carry a [`stampmill_service::Peer`] in its extensions.
pub fn router(service: Arc<Service>) -> Router {
    let ui = Ui { service };
    let mut router = Router::new();
    for route in routes::routes() {
        let guarded = Guard { ui: ui.clone(), permission: route.permission };
        router = router.route(route.path, route.handler.route_layer(from_fn_with_state(guarded, guard)));
    }
    let lost = ui.clone();
    router.fallback(async move |request: Request| nothing_here(lost, &request)).with_state(ui)
}

fn nothing_here(ui: Ui, request: &Request) -> Response {
    let path: String = request.uri().path().chars().take(200).collect();
    let error = ServiceError::Unknown(format!("there is no page at {path}"));
    PageError { ui, who: Identity::Anonymous { may_read: false }, error }.into_response()
}

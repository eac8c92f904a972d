//! The guard in front of each route: who asks, may they, and did a page of ours send it.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use stampmill_service::access::is_safe;
use stampmill_service::{Peer, Permission};

use crate::Door;
use crate::error::ApiError;

/// The header by which a script of ours proves that it could read a page of ours.
pub(crate) const CSRF_HEADER: &str = "x-stampmill-csrf";

/// What the guard of one route knows.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) door: Door,
    pub(crate) permission: Permission,
}

pub(crate) async fn guard(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    match admit(&guard, &mut request) {
        Ok(()) => hardened(next.run(request).await),
        Err(error) => hardened(error.into_response()),
    }
}

fn admit(guard: &Guard, request: &mut Request) -> Result<(), ApiError> {
    if guard.permission == Permission::CheckedByPlugin || guard.permission == Permission::Open {
        return Ok(());
    }
    let Some(peer) = request.extensions().get::<Peer>().copied() else {
        return Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "broken", "the connection has no peer"));
    };
    let service = &guard.door.service;
    let who = service.identify(peer, request.headers())?;
    who.permitted(guard.permission)?;
    service.check_origin(&who, request.method(), request.headers())?;
    if !is_safe(request.method()) {
        let token = request.headers().get(CSRF_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
        service.check_csrf(&who, token)?;
    }
    request.extensions_mut().insert(who);
    Ok(())
}

/// Headers that keep a browser from making more of an answer than it is.
fn hardened(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox"),
    );
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

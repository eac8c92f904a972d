//! The guard in front of each page: who asks, may they, and did a page of ours send it.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use stampmill_service::{ErrorKind, Identity, Peer, Permission, ServiceError};

use crate::Ui;
use crate::error::PageError;
use crate::words::encoded;

/// What a page may load and do. Nothing but our own files; no inline script or style.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What the guard of one page knows.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) ui: Ui,
    pub(crate) permission: Permission,
}

pub(crate) async fn guard(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    match admit(&guard, &mut request) {
        Ok(()) => hardened(next.run(request).await),
        Err(error) => hardened(refused(&guard.ui, &request, error)),
    }
}

fn admit(guard: &Guard, request: &mut Request) -> Result<(), ServiceError> {
    let peer = request.extensions().get::<Peer>().copied();
    let peer = peer.ok_or_else(|| ServiceError::Broken("the connection has no peer".into()))?;
    let who = guard.ui.service.identify(peer, request.headers())?;
    who.permitted(guard.permission)?;
    guard.ui.service.check_origin(&who, request.method(), request.headers())?;
    request.extensions_mut().insert(who);
    Ok(())
}

/// Whoever only has to log in is led there.
fn refused(ui: &Ui, request: &Request, error: ServiceError) -> Response {
    if error.kind() == ErrorKind::LoginNeeded && request.method() == Method::GET {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        return Redirect::to(&format!("/login?next={}", encoded(path))).into_response();
    }
    PageError { who: Identity::Anonymous { may_read: false }, ui: ui.clone(), error }.into_response()
}

/// Headers that hold for every page.
pub(crate) fn hardened(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The status for an error's kind.
pub(crate) const fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::LoginNeeded => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::Unknown => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::TooMany => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Broken => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

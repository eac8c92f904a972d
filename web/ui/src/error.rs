//! Errors as pages.

use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use maud::html;
use stampmill_service::limits::RETRY_AFTER_SECONDS;
use stampmill_service::{ErrorKind, Identity, ServiceError};

use crate::Ui;
use crate::guard::{hardened, status_of};
use crate::layout::Page;

/// An error with what its page needs.
pub(crate) struct PageError {
    pub(crate) ui: Ui,
    pub(crate) who: Identity,
    pub(crate) error: ServiceError,
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        if let ServiceError::Broken(cause) = &self.error {
            tracing::error!(%cause, "a page failed inside the host");
        }
        let kind = self.error.kind();
        let title = match kind {
            ErrorKind::Invalid => "That makes no sense",
            ErrorKind::LoginNeeded => "Log in first",
            ErrorKind::Forbidden => "Not allowed",
            ErrorKind::Unknown => "Nothing here",
            ErrorKind::Conflict => "Not now",
            ErrorKind::TooMany => "Too often",
            ErrorKind::Unavailable => "Try again in a moment",
            ErrorKind::Broken => "Our fault",
        };
        let body = html! {
            h1 { (title) }
            p.error role="alert" { (self.error.to_string()) }
            p { a href="/" { "To the first page" } }
        };
        let page = Page { title, active: "", events: None, body };
        let mut response =
            hardened((status_of(kind), Html(page.draw(&self.ui, &self.who).into_string())).into_response());
        if kind == ErrorKind::Unavailable {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        response
    }
}

/// An answer in place of a page; boxed, as it travels as the error of many results.
pub(crate) struct Refused(Box<Response>);

impl From<PageError> for Refused {
    fn from(error: PageError) -> Self {
        Self(Box::new(error.into_response()))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        *self.0
    }
}

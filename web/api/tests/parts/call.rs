//! Calls a router without a socket.

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Response;
use serde_json::Value;
use stampmill_service::Peer;
use tower::ServiceExt as _;

use crate::house::House;

pub(crate) const PEER: Peer =
    Peer::Tcp(std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4000));

/// A call in the making.
pub(crate) struct Call {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Body,
    peer: Option<Peer>,
}

pub(crate) fn call(method: &str, path: &str) -> Call {
    Call { method: method.into(), path: path.into(), headers: vec![], body: Body::empty(), peer: Some(PEER) }
}

impl Call {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn bearer(self, secret: &str) -> Self {
        self.header("authorization", &format!("Bearer {secret}"))
    }

    pub(crate) fn json(self, text: &str) -> Self {
        let body = text.to_owned().into();
        Self { body, ..self.header("content-type", "application/json") }
    }

    pub(crate) fn body(self, bytes: Vec<u8>) -> Self {
        Self { body: bytes.into(), ..self }
    }

    pub(crate) fn from(self, peer: Option<Peer>) -> Self {
        Self { peer, ..self }
    }

    /// The answer, its body not yet read.
    pub(crate) async fn open(self, house: &House) -> Response {
        let mut request = Request::builder().method(self.method.as_str()).uri(&self.path);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut request = request.body(self.body).expect("a well-formed request");
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(peer);
        }
        let answer = stampmill_api::router(house.service.clone()).oneshot(request).await;
        answer.expect("a router does not fail")
    }

    pub(crate) async fn answer(self, house: &House) -> (StatusCode, HeaderMap, Vec<u8>) {
        let answer = self.open(house).await;
        let (parts, body) = answer.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.expect("the body comes");
        (parts.status, parts.headers, bytes.into())
    }

    pub(crate) async fn value(self, house: &House) -> (StatusCode, Value) {
        let (status, _, bytes) = self.answer(house).await;
        let value = serde_json::from_slice(&bytes);
        (status, value.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&bytes))))
    }
}

/// The message of an error.
pub(crate) fn message(value: &Value) -> &str {
    value["error"]["message"].as_str().unwrap_or_else(|| panic!("no error: {value}"))
}

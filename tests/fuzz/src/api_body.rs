//! What is posted to the API: a first line such as `POST /api/v1/changes`, and the body behind it.

#[path = "../../../host/service/tests/fake/house.rs"]
#[expect(dead_code, reason = "it is for other tests too")]
mod house;

use std::cell::RefCell;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, Uri};
use serde_json::Value;
use stampmill_service::{Access, Ask, Peer, Role};
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

use house::House;

const PEER: Peer = Peer::Tcp(std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4000));
/// Posts to one house: what they leave there makes it slower.
const POSTS: u32 = 2_000;

thread_local! {
    static HOUSE: RefCell<Option<Visited>> = const { RefCell::new(None) };
}

struct Visited {
    runtime: Runtime,
    house: House,
    viewer: String,
    admin: String,
    posts: u32,
}

impl Visited {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let house = House::new(Access::default());
        let (viewer, admin) = (house.token(Role::Viewer), house.token(Role::Admin));
        Self { runtime, house, viewer, admin, posts: 0 }
    }

    fn post(&self, method: &Method, uri: &Uri, token: Option<&str>, body: &[u8]) -> (StatusCode, Vec<u8>) {
        let mut request = Request::builder().method(method).uri(uri).header("content-type", "application/json");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut request = request.body(Body::from(body.to_vec())).expect("its parts are right");
        request.extensions_mut().insert(PEER);
        self.runtime.block_on(async {
            let answer =
                stampmill_api::router(self.house.service.clone()).oneshot(request).await.expect("a router answers");
            let (parts, body) = answer.into_parts();
            let bytes = axum::body::to_bytes(body, 1 << 20).await.expect("an answer is small");
            (parts.status, bytes.into())
        })
    }
}

/// Posts the bytes without a token, with one that may only look, and with one that may do everything.
pub fn run(bytes: &[u8]) {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return };
    let (Ok(head), body) = (std::str::from_utf8(&bytes[..end]), &bytes[end + 1..]) else { return };
    let Some((method, path)) = head.split_once(' ') else { return };
    let (Ok(method), Ok(uri)) = (method.parse::<Method>(), path.parse::<Uri>()) else { return };
    let changes = matches!(method, Method::POST | Method::PATCH | Method::DELETE);
    if !changes || uri.scheme().is_some() || !uri.path().starts_with("/api/") {
        return;
    }
    HOUSE.with_borrow_mut(|visited| {
        let visited = visited.get_or_insert_with(Visited::new);
        for token in [None, Some(visited.viewer.as_str())] {
            let (status, answer) = visited.post(&method, &uri, token, body);
            assert!(status.is_client_error(), "{status} for one who may not: {}", String::from_utf8_lossy(&answer));
            nothing_happened(&visited.house, status, &answer);
        }
        let (status, answer) = visited.post(&method, &uri, Some(&visited.admin), body);
        judge(&visited.house, status, &answer, &uri, body);
        visited.posts += 1;
    });
    HOUSE.with_borrow_mut(|visited| {
        // Whoever revoked their own token, or filled the house, gets a new one.
        let check = |visited: &Visited| {
            let uri = Uri::from_static("/api/v1/whoami");
            let seen = |token: &str| visited.post(&Method::GET, &uri, Some(token), b"").0;
            visited.posts < POSTS && seen(&visited.admin) == StatusCode::OK && seen(&visited.viewer) == StatusCode::OK
        };
        if !visited.as_ref().is_some_and(check) {
            *visited = None;
        }
    });
}

fn nothing_happened(house: &House, status: StatusCode, answer: &[u8]) {
    let (asks, calls) = house.host.asked();
    assert!(asks.is_empty() && calls.is_empty(), "{status} was answered, and yet {asks:?} {calls:?}");
    if status == StatusCode::NOT_FOUND && answer.is_empty() {
        // No route of the API's: in a host the pages answer.
        return;
    }
    let answer: Value = serde_json::from_slice(answer).expect("an error is JSON");
    let message = answer["error"]["message"].as_str().unwrap_or_default();
    assert!(!message.is_empty() && answer["error"]["code"].is_string(), "{status} says nothing: {answer}");
}

fn judge(house: &House, status: StatusCode, answer: &[u8], uri: &Uri, body: &[u8]) {
    assert!(!status.is_server_error(), "{status}: {}", String::from_utf8_lossy(answer));
    if !status.is_success() {
        return nothing_happened(house, status, answer);
    }
    let answer: Value = serde_json::from_slice(answer).expect("an answer is JSON");
    assert!(answer.is_object(), "{answer}");
    let sent: Value = match body {
        [] => Value::Object(serde_json::Map::new()),
        body => serde_json::from_slice(body).unwrap_or_else(|error| panic!("no JSON was taken: {error}")),
    };
    for ask in house.host.asked().0 {
        if let Ask::SendChange { change, trusted, .. } = ask {
            assert_eq!(uri.path(), "/api/v1/changes");
            assert_eq!(sent["author"].as_str(), Some(change.author.as_str()));
            assert_eq!(sent["revision"].as_str(), change.revision.as_deref());
            assert_eq!(sent["branch"].as_str(), change.branch.as_deref());
            assert_eq!(sent["trusted"].as_bool().unwrap_or(false), trusted, "trust that nobody gave");
        }
    }
}

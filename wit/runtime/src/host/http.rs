//! One brokered HTTP exchange: the origin is held against the grant and so is the address that is connected to, a credential is attached here,
//! and redirects are the guest's to follow, each as a request of its own.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use wasmtime::component::Resource;

use crate::bindings::stampmill::host::http::{Host, HostRequest, HostResponse};
use crate::bindings::types;
use crate::egress::{Attempt, AttemptEnd, Host as Destination, NoWay, Places, Protocol, Target, way};
use crate::host::{Held, HostSide, answer, not_offered, too_large};
use crate::limits;
use crate::records::Fault;

/// Headers that belong to the connection, which is ours.
const OURS: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];
/// Longer waits for a connection are no answer either.
const CONNECT: Duration = Duration::from_secs(10);

/// The clients of a runtime. Each is bound to the addresses that one host was found at, so that a connection that it keeps is as good for
/// whoever may go there as one of its own, and no second look-up leads elsewhere.
#[derive(Default)]
pub(crate) struct Client(Mutex<VecDeque<(Bound, reqwest::Client)>>);

/// What a client is bound to.
#[derive(Clone, PartialEq, Eq)]
struct Bound {
    target: Target,
    addresses: Vec<SocketAddr>,
}

impl Client {
    fn get(&self, mut bound: Bound) -> Result<reqwest::Client, Fault> {
        bound.addresses.sort_unstable();
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(position) = clients.iter().position(|(known, _)| *known == bound) {
            let found = clients.remove(position);
            clients.extend(found);
        } else {
            let made = Self::make(&bound)
                .map_err(|error| Fault::unavailable(format!("no HTTP client: {}", describe(&error))))?;
            clients.push_back((bound, made));
            if clients.len() > limits::HTTP_CLIENTS_MAX {
                clients.pop_front();
            }
        }
        clients.back().map(|(_, client)| client.clone()).ok_or_else(|| Fault::unavailable("no HTTP client"))
    }

    fn make(bound: &Bound) -> reqwest::Result<reqwest::Client> {
        // A second runtime in the process finds a provider installed, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT)
            .user_agent(concat!("stampmill/", env!("CARGO_PKG_VERSION")));
        match &bound.target.host {
            Destination::Name(name) => builder.resolve_to_addrs(name, &bound.addresses).build(),
            Destination::Address(_) => builder.build(),
        }
    }
}

/// A request while it is collected.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Request {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    header_bytes: usize,
    body: Vec<u8>,
    credential: Option<String>,
    limit: Option<Duration>,
    held: Held,
}

/// A response; its body arrives when it is first asked for, and stays.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Response {
    response: reqwest::Response,
    arrived: Vec<u8>,
    ended: bool,
    held: Held,
}

/// A request that may be sent, if its host is where it may be.
struct Allowed {
    method: Method,
    url: Url,
    target: Target,
    headers: HeaderMap,
}

/// A request that may be sent, with what goes along.
struct Prepared {
    allowed: Allowed,
    body: Vec<u8>,
    credential: Option<String>,
    limit: Duration,
}

impl Request {
    /// Parses everything once and holds the parsed address against the grant: what is checked is what is sent.
    fn allowed(&self, side: &HostSide) -> Result<Allowed, Fault> {
        let method = Method::from_bytes(self.method.as_bytes())
            .map_err(|_| Fault::Refused(format!("{:?} is no HTTP method", super::log::cut(&self.method, 80))))?;
        if matches!(method, Method::CONNECT | Method::TRACE) {
            return Err(Fault::Refused(format!("method `{method}` is not available to plugins")));
        }
        if self.url.len() > limits::HTTP_URL_BYTES_MAX {
            return Err(too_large("bytes of URL", self.url.len() as u64, limits::HTTP_URL_BYTES_MAX as u64));
        }
        let shown = super::log::cut(&self.url, 200);
        let url = Url::parse(&self.url).map_err(|error| Fault::Refused(format!("{shown:?} is no URL: {error}")))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Fault::Refused(
                "a URL with a user name or password in it is not sent: name a credential".to_owned(),
            ));
        }
        let target = target(&url);
        if let Err(fault) = side.grant.allows_url(&url) {
            let origin = || target.map_or_else(|_| url.origin().ascii_serialization(), |target| target.to_string());
            side.tried(|| Attempt::refused(Protocol::Plugin, origin(), fault.to_string()));
            return Err(fault);
        }
        let target = target?;
        if let Some(name) = &self.credential {
            side.grant.allows_credential(name, &url)?;
        }
        if self.header_bytes > limits::HTTP_HEADER_BYTES_MAX {
            return Err(too_large(
                "bytes of request headers",
                self.header_bytes as u64,
                limits::HTTP_HEADER_BYTES_MAX as u64,
            ));
        }
        if self.body.len() > limits::HTTP_REQUEST_BYTES_MAX {
            return Err(too_large(
                "bytes of request body",
                self.body.len() as u64,
                limits::HTTP_REQUEST_BYTES_MAX as u64,
            ));
        }
        Ok(Allowed { method, url, target, headers: self.header_map()? })
    }

    fn header_map(&self) -> Result<HeaderMap, Fault> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let shown = super::log::cut(name, 80);
            let parsed = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| Fault::Refused(format!("{shown:?} is no name of a header")))?;
            if OURS.contains(&parsed.as_str()) {
                return Err(Fault::Refused(format!("header `{parsed}` is the host's to set")));
            }
            if parsed == AUTHORIZATION && self.credential.is_some() {
                return Err(Fault::Refused(
                    "a request has either a credential or an `authorization` header of its own".to_owned(),
                ));
            }
            let value = HeaderValue::from_str(value)
                .map_err(|_| Fault::Refused(format!("the value of header `{parsed}` can't be sent")))?;
            headers.append(parsed, value);
        }
        Ok(headers)
    }
}

/// Where a URL leads: its host in the spelling that the client looks up.
fn target(url: &Url) -> Result<Target, Fault> {
    let nowhere = || Fault::Refused(format!("a URL of `{}` has no host to ask", url.scheme()));
    let (host, port) = url.host_str().zip(url.port_or_known_default()).ok_or_else(nowhere)?;
    let host = Destination::parse(host).map_err(|why| Fault::Refused(format!("{host:?} can't be asked: {why}")))?;
    Ok(Target { host, port })
}

impl HostSide {
    fn tried(&self, attempt: impl FnOnce() -> Attempt) {
        if let Some(record) = &self.surroundings.network {
            record.tried(attempt());
        }
    }

    fn request(&mut self, request: &Resource<Request>) -> wasmtime::Result<&mut Request> {
        Ok(self.table.get_mut(request)?)
    }

    /// Everything about a request that needs the handle, so that nothing of it is held while the world is waited for.
    fn prepare(&self, request: &Resource<Request>) -> wasmtime::Result<Result<Prepared, Fault>> {
        let request = self.table.get(request)?;
        let most = self.limits.host_call;
        Ok(request.allowed(self).map(|allowed| Prepared {
            allowed,
            body: request.body.clone(),
            credential: request.credential.clone(),
            limit: request.limit.unwrap_or(most).min(most),
        }))
    }

    async fn exchange(&mut self, prepared: Prepared) -> Result<reqwest::Response, Fault> {
        let Prepared { allowed: Allowed { method, mut url, target, mut headers }, body, credential, limit } = prepared;
        let patience = self.patience();
        let places = Places::of_origins(&self.grant.http, url.scheme());
        let found = patience.outside(tokio::time::timeout(limit.min(CONNECT), way(&places, &target))).await;
        let late = |_| Err(NoWay::Unknown { target: target.clone(), why: "it took too long to look it up".to_owned() });
        let addresses = match found.unwrap_or_else(late) {
            Ok(addresses) => addresses,
            Err(no) => {
                self.tried(|| Attempt::no_way(Protocol::Plugin, &target, &no));
                let text = no.to_string();
                return Err(if no.is_refusal() { Fault::Refused(text) } else { Fault::unavailable(text) });
            }
        };
        if let Destination::Name(name) = &target.host {
            // One spelling for the look-up that was done and for the one that the client would do.
            url.set_host(Some(name)).map_err(|error| Fault::Refused(format!("{name:?} can't be asked: {error}")))?;
        }
        let client = self.http.get(Bound { target: target.clone(), addresses })?;
        if let Some(name) = credential {
            let secrets = self.surroundings.secrets.clone().ok_or_else(|| not_offered("secret"))?;
            let secret = patience.clone().wait("http.credential", secrets.reveal(&name)).await?;
            let mut value = HeaderValue::from_str(&format!("Bearer {secret}"))
                .map_err(|_| Fault::Refused(format!("secret `{name}` can't be sent in a header")))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let origin = url.origin().ascii_serialization();
        // The limit runs from here to the last byte of the body.
        let call = client.request(method, url).headers(headers).body(body).timeout(limit);
        let answered = patience.outside(call.send()).await;
        let response = answered.map_err(|error| {
            let why = format!("{origin} did not answer: {}", describe(&error));
            self.tried(|| Attempt::failed(Protocol::Plugin, &target, None, why.clone()));
            Fault::unavailable(why)
        })?;
        let address = response.remote_addr().map(|address| address.ip());
        self.tried(|| Attempt { address, ..reached(&target) });
        Ok(response)
    }
}

fn reached(target: &Target) -> Attempt {
    let (protocol, target) = (Protocol::Plugin, target.to_string());
    Attempt { protocol, target, address: None, end: AttemptEnd::Connected, why: String::new() }
}

/// The innermost cause, without the address: a query may hold what doesn't belong into a log.
fn describe(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it took too long".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let text = cause.to_string();
    match error.url() {
        Some(url) if text.contains(url.as_str()) => "the exchange failed".to_owned(),
        _ => text,
    }
}

impl Host for HostSide {}

impl HostRequest for HostSide {
    async fn new(&mut self, method: String, url: String) -> wasmtime::Result<Resource<Request>> {
        let held = self.hold(method.len() + url.len())?;
        let request = Request {
            method,
            url,
            headers: Vec::new(),
            header_bytes: 0,
            body: Vec::new(),
            credential: None,
            limit: None,
            held,
        };
        Ok(self.table.push(request)?)
    }

    async fn header(&mut self, request: Resource<Request>, name: String, value: String) -> wasmtime::Result<()> {
        let request = self.request(&request)?;
        request.held.grow(name.len() + value.len())?;
        request.header_bytes += name.len() + value.len();
        request.headers.push((name, value));
        Ok(())
    }

    async fn body(&mut self, request: Resource<Request>, bytes: Vec<u8>) -> wasmtime::Result<()> {
        let request = self.request(&request)?;
        request.held.grow(bytes.len())?;
        request.body = bytes;
        Ok(())
    }

    async fn credential(&mut self, request: Resource<Request>, name: String) -> wasmtime::Result<()> {
        let request = self.request(&request)?;
        request.held.grow(name.len())?;
        request.credential = Some(name);
        Ok(())
    }

    async fn limit(&mut self, request: Resource<Request>, limit: u64) -> wasmtime::Result<()> {
        self.request(&request)?.limit = Some(Duration::from_millis(limit));
        Ok(())
    }

    async fn send(&mut self, request: Resource<Request>) -> wasmtime::Result<Result<Resource<Response>, types::Fault>> {
        let exchanged = match self.prepare(&request)? {
            Ok(prepared) => self.exchange(prepared).await,
            Err(fault) => Err(fault),
        };
        match exchanged {
            Ok(response) => {
                let held = self.hold(0)?;
                Ok(Ok(self.table.push(Response { response, arrived: Vec::new(), ended: false, held })?))
            }
            Err(fault) => Ok(Err(fault.into())),
        }
    }

    async fn drop(&mut self, request: Resource<Request>) -> wasmtime::Result<()> {
        self.table.delete(request)?;
        Ok(())
    }
}

impl HostResponse for HostSide {
    async fn status(&mut self, response: Resource<Response>) -> wasmtime::Result<u16> {
        Ok(self.table.get(&response)?.response.status().as_u16())
    }

    async fn header(&mut self, response: Resource<Response>, name: String) -> wasmtime::Result<Option<String>> {
        let value = self.table.get(&response)?.response.headers().get(&name);
        Ok(value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()))
    }

    async fn body(
        &mut self,
        response: Resource<Response>,
        most: u64,
    ) -> wasmtime::Result<Result<Vec<u8>, types::Fault>> {
        let patience = self.patience();
        let response = self.table.get_mut(&response)?;
        Ok(answer(patience.outside(response.whole(most)).await?))
    }

    async fn drop(&mut self, response: Resource<Response>) -> wasmtime::Result<()> {
        self.table.delete(response)?;
        Ok(())
    }
}

impl Response {
    /// The whole body, when it has at most so many bytes. What has arrived stays, so that it can be asked for again and with more patience.
    /// The exchange's own limit ends the wait.
    async fn whole(&mut self, most: u64) -> wasmtime::Result<Result<Vec<u8>, Fault>> {
        let most = most.min(limits::HTTP_RESPONSE_BYTES_MAX);
        while !self.ended && self.arrived.len() as u64 <= most {
            match self.response.chunk().await {
                Ok(Some(chunk)) => {
                    self.held.grow(chunk.len())?;
                    self.arrived.extend_from_slice(&chunk);
                }
                Ok(None) => self.ended = true,
                Err(error) => {
                    return Ok(Err(Fault::unavailable(format!("the response broke off: {}", describe(&error)))));
                }
            }
        }
        let found = self.arrived.len() as u64;
        Ok(if found > most { Err(too_large("bytes of response body", found, most)) } else { Ok(self.arrived.clone()) })
    }
}

//! One brokered HTTP exchange: the origin is held against the grant, a credential is attached here, and redirects are the guest's to follow.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use wasmtime::component::Resource;

use crate::bindings::stampmill::host::http::{Host, HostRequest, HostResponse};
use crate::bindings::types;
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

/// The one client of a runtime, made when first needed.
#[derive(Default)]
pub(crate) struct Client(OnceLock<Result<reqwest::Client, String>>);

impl Client {
    fn get(&self) -> Result<reqwest::Client, Fault> {
        let made = self.0.get_or_init(|| {
            // A second runtime in the process finds a provider installed, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
            reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .referer(false)
                .connect_timeout(CONNECT)
                .user_agent(concat!("stampmill/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(|error| describe(&error))
        });
        made.clone().map_err(|why| Fault::unavailable(format!("no HTTP client: {why}")))
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

/// A request that may be sent.
struct Allowed {
    method: Method,
    url: Url,
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
        let shown = super::log::cut(&self.url, 200);
        let url = Url::parse(&self.url).map_err(|error| Fault::Refused(format!("{shown:?} is no URL: {error}")))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Fault::Refused(
                "a URL with a user name or password in it is not sent: name a credential".to_owned(),
            ));
        }
        side.grant.allows_url(&url)?;
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
        Ok(Allowed { method, url, headers: self.header_map()? })
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

impl HostSide {
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
        let Prepared { allowed: Allowed { method, url, mut headers }, body, credential, limit } = prepared;
        let (patience, client) = (self.patience(), self.http.get()?);
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
        let response =
            answered.map_err(|error| Fault::unavailable(format!("{origin} did not answer: {}", describe(&error))))?;
        Ok(response)
    }
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

//! Reaching a host: through the administrator's socket in its data directory, or at an address with a token.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde_json::Value;

use super::arguments::Target;
use super::failure::Failure;
use super::limits::{ANSWER_BYTES_MAX, ANSWER_WITHIN, CONNECT_WITHIN};
use crate::config::DATA_DIRECTORY;
use crate::listen::ADMIN_SOCKET;

/// A way to a host.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
    /// For messages.
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Socket(PathBuf),
    Address(String),
}

impl Connection {
    /// Prepares the way; nothing is sent yet.
    pub(crate) fn new(target: &Target) -> anyhow::Result<Self> {
        install_crypto();
        match &target.host {
            Some(host) => Self::to_address(host, target.token.clone()),
            None => Self::to_socket(&data_directory(target.data.as_deref())),
        }
    }

    fn to_address(host: &str, token: Option<String>) -> anyhow::Result<Self> {
        let refused = |why: String| {
            Failure::refused(format!(
                "--host is `{host}`, which is no web address: {why}; write it as `https://ci.example`"
            ))
        };
        let text = if host.contains("://") { host.to_owned() } else { format!("http://{host}") };
        let mut base = Url::parse(&text).map_err(|error| refused(error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(refused("it is neither http nor https".to_owned()));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(refused("it has a user in it, and --token says who asks".to_owned()));
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        if token.is_some() && readable_on_the_way(&base) {
            eprintln!(
                "warning: the token goes to {} unencrypted, and whoever is on the way can read it; use https",
                base.origin().ascii_serialization()
            );
        }
        let http =
            reqwest::Client::builder().connect_timeout(CONNECT_WITHIN).redirect(reqwest::redirect::Policy::none());
        Ok(Self { http: http.build()?, base, token, place: Place::Address(host.to_owned()) })
    }

    fn to_socket(data: &Path) -> anyhow::Result<Self> {
        let socket = data.join(ADMIN_SOCKET);
        let http = reqwest::Client::builder().connect_timeout(CONNECT_WITHIN).unix_socket(socket.clone()).build()?;
        let base = Url::parse("http://localhost/")?;
        Ok(Self { http, base, token: None, place: Place::Socket(socket) })
    }

    /// Whether a host answers at the administrator's socket; an address is taken as answering.
    pub(crate) async fn is_there(&self) -> bool {
        match &self.place {
            Place::Address(_) => true,
            Place::Socket(socket) => tokio::net::UnixStream::connect(socket).await.is_ok(),
        }
    }

    fn request(&self, method: Method, path: &[&str], query: &[(&str, String)]) -> anyhow::Result<RequestBuilder> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| Failure::refused("the address of the host has no path"))?
            .pop_if_empty()
            .extend(["api", "v1"])
            // Each part is encoded, so that a builder's name can't become another address.
            .extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.http.request(method, url);
        Ok(match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    }

    /// Asks for something.
    pub(crate) async fn get(&self, path: &[&str], query: &[(&str, String)]) -> anyhow::Result<Value> {
        self.json(self.request(Method::GET, path, query)?).await
    }

    /// Asks for something to be done.
    pub(crate) async fn post(&self, path: &[&str], body: &Value) -> anyhow::Result<Value> {
        self.json(self.request(Method::POST, path, &[])?.json(body)).await
    }

    /// Changes a part of something.
    pub(crate) async fn patch(&self, path: &[&str], body: &Value) -> anyhow::Result<Value> {
        self.json(self.request(Method::PATCH, path, &[])?.json(body)).await
    }

    /// Removes something.
    pub(crate) async fn delete(&self, path: &[&str]) -> anyhow::Result<Value> {
        self.json(self.request(Method::DELETE, path, &[])?).await
    }

    /// Opens an answer that may be long or without end.
    pub(crate) async fn open(&self, path: &[&str], query: &[(&str, String)]) -> anyhow::Result<Response> {
        let request = self.request(Method::GET, path, query)?;
        let response = tokio::time::timeout(ANSWER_WITHIN, request.send())
            .await
            .map_err(|_| self.silent())?
            .map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() { Ok(response) } else { Err(self.refusal(response).await) }
    }

    async fn json(&self, request: RequestBuilder) -> anyhow::Result<Value> {
        let response = request.timeout(ANSWER_WITHIN).send().await.map_err(|error| self.unreachable(&error))?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let bytes = self.body(response).await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            Failure::Broken(format!("what answers at {} is no Stampmill host: {error}", self.shown())).into()
        })
    }

    async fn body(&self, mut response: Response) -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(Failure::Broken(format!(
                    "the answer has more than {ANSWER_BYTES_MAX} bytes; ask for less"
                ))
                .into());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn shown(&self) -> String {
        match &self.place {
            Place::Socket(socket) => socket.display().to_string(),
            Place::Address(address) => address.clone(),
        }
    }

    fn silent(&self) -> anyhow::Error {
        Failure::unavailable(format!(
            "the host at {} does not answer within {} s",
            self.shown(),
            ANSWER_WITHIN.as_secs()
        ))
    }

    fn unreachable(&self, error: &reqwest::Error) -> anyhow::Error {
        if error.is_timeout() && !error.is_connect() {
            return self.silent();
        }
        let why = innermost(error);
        Failure::unavailable(match &self.place {
            Place::Socket(socket) if error.is_connect() => format!(
                "no host answers at {}: {why}; start one with `stampmill up`, or name another with --data DIR or --host URL",
                socket.display()
            ),
            Place::Socket(_) | Place::Address(_) => format!("the host at {} can't be reached: {why}", self.shown()),
        })
    }

    /// The host's own sentence, by whose fault it is.
    async fn refusal(&self, response: Response) -> anyhow::Error {
        let status = response.status();
        let bytes = self.body(response).await.unwrap_or_default();
        let told = serde_json::from_slice::<Value>(&bytes).ok();
        let message = told.as_ref().and_then(|told| told.pointer("/error/message")).and_then(Value::as_str);
        let mut text = match fields_of(told.as_ref()).as_slice() {
            several @ [_, _, ..] => format!("{} answers can't be taken:\n  {}", several.len(), several.join("\n  ")),
            _ => message.map_or_else(|| format!("the host at {} answers {status}", self.shown()), clean_lines),
        };
        if status == StatusCode::UNAUTHORIZED {
            text.push_str(match self.token {
                None => "; give it with --token or STAMPMILL_TOKEN, made by `stampmill token create`",
                Some(_) => "; `stampmill token create` on the host's machine makes another",
            });
        }
        match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::BAD_GATEWAY
            | StatusCode::GATEWAY_TIMEOUT => Failure::Unavailable(text),
            status if status.is_server_error() => Failure::Broken(text),
            _ => Failure::Refused(text),
        }
        .into()
    }
}

/// What is wrong with each answer to a form.
fn fields_of(told: Option<&Value>) -> Vec<String> {
    let fields = told.and_then(|told| told.pointer("/error/fields")).and_then(Value::as_array);
    let message = |field: &Value| field["message"].as_str().map(clean_lines);
    fields.into_iter().flatten().filter_map(message).collect()
}

/// Whether others may read what is sent there: plain HTTP that leaves this machine. A name other than `localhost` may lead anywhere.
fn readable_on_the_way(base: &Url) -> bool {
    let host = base.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let stays_here = match address {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    };
    base.scheme() == "http" && !stays_here
}

/// Chooses the implementation of TLS for this process.
pub(crate) fn install_crypto() {
    // The first call sets it and the others are told so; all choose the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Errors of a configuration have several lines.
fn clean_lines(text: &str) -> String {
    text.lines().map(super::output::clean).collect::<Vec<_>>().join("\n")
}

fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// The data directory: as told, else the configuration's, else the default. A configuration with errors is no hindrance here.
pub(crate) fn data_directory(told: Option<&Path>) -> PathBuf {
    if let Some(told) = told {
        return told.to_owned();
    }
    let config = configuration();
    let text = std::fs::read_to_string(&config).unwrap_or_default();
    let configured = toml::from_str::<toml::Table>(&text).ok();
    let configured = configured.as_ref().and_then(|table| table.get("data")?.as_str());
    config.parent().unwrap_or(Path::new("")).join(configured.unwrap_or(DATA_DIRECTORY))
}

/// The configuration that a host would take from here.
pub(crate) fn configuration() -> PathBuf {
    std::env::var_os("STAMPMILL_CONFIG").map_or_else(|| PathBuf::from("stampmill.toml"), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_on_this_machine_or_is_encrypted_nobody_reads_on_the_way() {
        for quiet in [
            "https://ci.example/",
            "http://127.0.0.1:8010/",
            "http://127.1.2.3/",
            "http://[::1]:8010/",
            "http://[::ffff:127.0.0.1]/",
            "http://localhost/",
            "http://LOCALHOST:1/",
            "http://ci.localhost/",
        ] {
            assert!(!readable_on_the_way(&Url::parse(quiet).unwrap()), "{quiet}");
        }
        for open in [
            "http://ci.example/",
            "http://192.0.2.7:8010/",
            "http://0.0.0.0/",
            "http://[2001:db8::1]/",
            "http://localhost.example/",
            "http://notlocalhost/",
            "http://127.0.0.1.example/",
        ] {
            assert!(readable_on_the_way(&Url::parse(open).unwrap()), "{open}");
        }
    }
}

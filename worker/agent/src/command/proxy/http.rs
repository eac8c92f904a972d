//! HTTP/1.1 as proxies speak it: CONNECT (RFC 9110, section 9.3.6), and plain requests with a whole URL (RFC 9112, section 3.2.2). Of the
//! latter one is carried on each connection: it goes to the target with `Connection: close`, so that none follows to anywhere else.

use std::io;

use stampmill_runtime::egress::{BadTarget, Protocol, Target};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

use super::reach::Unreached;
use super::{Inside, Shared, carry};
use crate::limits::{PROXY_HEAD_BYTES, PROXY_TIMEOUT};

/// Headers that are between the program and the proxy alone (RFC 9110, section 7.6.1), and the one that is made from the URL.
const OURS: [&str; 8] = [
    "connection",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "upgrade",
];

/// The port of a URL without one.
const HTTP_PORT: u16 = 80;

/// A request line, and the headers as they came, each with its line end.
struct Head {
    method: String,
    target: String,
    version: String,
    headers: Vec<Vec<u8>>,
}

/// What a head asks for.
enum Asked {
    /// A connection.
    Connect,
    /// A request: the head of it that the target gets.
    Plain(Vec<u8>),
}

pub(super) async fn serve(mut inside: Inside, shared: &Shared) -> io::Result<()> {
    let head = match tokio::time::timeout(PROXY_TIMEOUT, read_head(&mut inside)).await {
        Ok(Ok(Some(head))) => head,
        Ok(Ok(None) | Err(_)) | Err(_) => return answer(&mut inside, "400 Bad Request", "not an HTTP request").await,
    };
    let (protocol, target, asked) = match understood(&head) {
        Ok(understood) => understood,
        Err(why) => {
            let unreached = shared.refuse(Protocol::Http, short(&head.target), why).await;
            return refuse(&mut inside, &unreached).await;
        }
    };
    let mut upstream = match shared.reach(protocol, target).await {
        Ok(upstream) => upstream,
        Err(unreached) => return refuse(&mut inside, &unreached).await,
    };
    match asked {
        Asked::Connect => inside.writer.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?,
        Asked::Plain(head) => upstream.write_all(&head).await?,
    }
    carry(inside, upstream).await
}

/// Where a request leads and how, or why it is none for a proxy.
fn understood(head: &Head) -> Result<(Protocol, Result<Target, BadTarget>, Asked), String> {
    if head.method == "CONNECT" {
        return Ok((Protocol::Connect, Target::parse(&head.target, None), Asked::Connect));
    }
    let shown = short(&head.target);
    let Some((scheme, rest)) = head.target.split_once("://") else {
        return Err(format!("{} {shown}: a whole URL is expected by a proxy", head.method));
    };
    if !scheme.eq_ignore_ascii_case("http") {
        return Err(format!("{} {shown}: only http is carried in this way, so use CONNECT", head.method));
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let path = path.split('#').next().unwrap_or_default();
    let target = Target::parse(authority, Some(HTTP_PORT));
    let host = target.as_ref().map(|target| match target.port {
        HTTP_PORT => target.host.to_string(),
        _ => target.to_string(),
    });
    let head = head.onward(path, &host.unwrap_or_default());
    Ok((Protocol::Http, target, Asked::Plain(head)))
}

impl Head {
    /// As the target gets it.
    fn onward(&self, path: &str, host: &str) -> Vec<u8> {
        let slash = if path.starts_with('/') { "" } else { "/" };
        let mut onward = format!("{} {slash}{path} {}\r\nHost: {host}\r\n", self.method, self.version).into_bytes();
        for header in &self.headers {
            let name = header.split(|byte| *byte == b':').next().unwrap_or_default();
            if !OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours.as_bytes())) {
                onward.extend_from_slice(header);
            }
        }
        onward.extend_from_slice(b"Connection: close\r\n\r\n");
        onward
    }
}

/// The head of a request; `None` when it is none, or one that two readers could understand in two ways (RFC 9112, sections 2.2 and 5.1).
async fn read_head(inside: &mut Inside) -> io::Result<Option<Head>> {
    let mut reader = (&mut inside.reader).take(PROXY_HEAD_BYTES as u64);
    let mut lines = Vec::new();
    loop {
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line).await?;
        let Some(text) = line.strip_suffix(b"\n") else { return Ok(None) };
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.contains(&b'\r') || text.contains(&0) {
            return Ok(None);
        }
        if text.is_empty() {
            break;
        }
        lines.push([text, b"\r\n"].concat());
    }
    let mut lines = lines.into_iter();
    let first = lines.next().and_then(|line| String::from_utf8(line).ok()).unwrap_or_default();
    let words: Vec<&str> = first.trim_end().split(' ').collect();
    let [method, target, version @ ("HTTP/1.1" | "HTTP/1.0")] = words[..] else { return Ok(None) };
    let headers: Vec<Vec<u8>> = lines.collect();
    let method_ok = !method.is_empty() && method.bytes().all(is_token);
    if !method_ok || !headers.iter().all(|header| is_header(header)) {
        return Ok(None);
    }
    let owned = |text: &str| text.to_owned();
    Ok(Some(Head { method: owned(method), target: owned(target), version: owned(version), headers }))
}

/// A name, and the colon right behind it.
fn is_header(line: &[u8]) -> bool {
    let name = line.iter().position(|byte| *byte == b':').map(|colon| &line[..colon]);
    name.is_some_and(|name| !name.is_empty() && name.iter().copied().all(is_token))
}

/// A letter of a token (RFC 9110, section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn short(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

async fn refuse(inside: &mut Inside, unreached: &Unreached) -> io::Result<()> {
    let status = match unreached {
        Unreached::Refused(_) => "403 Forbidden",
        Unreached::Unknown(_) | Unreached::Unreachable(..) => "502 Bad Gateway",
        Unreached::Late(_) => "504 Gateway Timeout",
    };
    answer(inside, status, unreached.why()).await
}

async fn answer(inside: &mut Inside, status: &str, why: &str) -> io::Result<()> {
    let body = format!("stampmill: {why}\n");
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    inside.writer.write_all(head.as_bytes()).await?;
    inside.writer.write_all(body.as_bytes()).await?;
    inside.writer.shutdown().await
}

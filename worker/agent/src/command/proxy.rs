//! The way out of the sandbox for a program with a `net` grant: a proxy that speaks HTTP CONNECT (RFC 9110 §9.3.6) and nothing else, on a Unix
//! socket that the sandbox carries `127.0.0.1:3128` to. It decides by the exact `host:port` of the grant.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stampmill_sandbox::Identity;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::OutputLog;
use crate::limits::{PROXY_CONNECTIONS, PROXY_HEAD_BYTES, PROXY_TIMEOUT};

/// Why a proxy could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("the proxy's socket {path} cannot be made: {source}")]
pub struct ProxyError {
    /// Where it should have been.
    pub path: PathBuf,
    /// Why not.
    pub source: io::Error,
}

/// A listening proxy. Dropped, it and its connections end and the socket is removed.
#[derive(Debug)]
pub struct Proxy {
    path: PathBuf,
    _end: DropGuard,
}

struct Shared {
    granted: Vec<String>,
    log: Mutex<Box<dyn OutputLog>>,
    room: Semaphore,
    end: CancellationToken,
}

impl Proxy {
    /// Listens on `path` for programs of this identity. `granted` are `host:port`; what is refused is told in `log`.
    ///
    /// # Errors
    /// When the socket cannot be made, for example because its path is longer than the 107 bytes that a socket's may have.
    pub fn open(
        path: &Path,
        identity: Identity,
        granted: &[String],
        log: Box<dyn OutputLog>,
    ) -> Result<Self, ProxyError> {
        let failed = |source| ProxyError { path: path.to_owned(), source };
        let listener = UnixListener::bind(path).map_err(failed)?;
        let end = CancellationToken::new();
        let proxy = Self { path: path.to_owned(), _end: end.clone().drop_guard() };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        if let (Identity::Ids { uid, gid }, true) = (identity, nix::unistd::geteuid().is_root()) {
            std::os::unix::fs::chown(path, Some(uid), Some(gid)).map_err(failed)?;
        }
        let shared = Arc::new(Shared {
            granted: granted.iter().map(|target| target.to_ascii_lowercase()).collect(),
            log: Mutex::new(log),
            room: Semaphore::new(PROXY_CONNECTIONS),
            end,
        });
        tokio::spawn(accept(listener, shared));
        Ok(proxy)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may be gone with its directory.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn accept(listener: UnixListener, shared: Arc<Shared>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.end.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let Ok(_room) = shared.room.try_acquire() else {
                return;
            };
            tokio::select! {
                // A broken connection is the program's business, which sees it.
                _ = serve(stream, &shared) => {}
                () = shared.end.cancelled() => {}
            }
        });
    }
}

async fn serve(stream: UnixStream, shared: &Shared) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let request = match tokio::time::timeout(PROXY_TIMEOUT, read_head(&mut reader)).await {
        Ok(Ok(request)) => request,
        Ok(Err(_)) | Err(_) => return answer(&mut writer, "400 Bad Request", "not an HTTP request").await,
    };
    let target = match target(&request) {
        Ok(target) => target,
        Err(why) => {
            shared.tell(&format!("refused: {why}")).await;
            return answer(&mut writer, "403 Forbidden", &why).await;
        }
    };
    if !shared.granted.contains(&target) {
        let why = format!("`{target}` is not granted; the grant `net = [{target:?}]` would allow it");
        shared.tell(&format!("refused: {why}")).await;
        return answer(&mut writer, "403 Forbidden", &why).await;
    }
    let mut upstream = match tokio::time::timeout(PROXY_TIMEOUT, TcpStream::connect(&target)).await {
        Ok(Ok(upstream)) => upstream,
        Ok(Err(error)) => {
            let why = format!("`{target}` cannot be reached: {error}");
            shared.tell(&why).await;
            return answer(&mut writer, "502 Bad Gateway", &why).await;
        }
        Err(_) => {
            let why = format!("`{target}` does not answer");
            shared.tell(&why).await;
            return answer(&mut writer, "504 Gateway Timeout", &why).await;
        }
    };
    writer.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    carry(reader, writer, &mut upstream).await
}

async fn carry(
    mut reader: BufReader<OwnedReadHalf>,
    mut writer: OwnedWriteHalf,
    upstream: &mut TcpStream,
) -> io::Result<()> {
    let (mut from_upstream, mut to_upstream) = upstream.split();
    let out = async {
        tokio::io::copy(&mut reader, &mut to_upstream).await?;
        to_upstream.shutdown().await
    };
    let back = async {
        tokio::io::copy(&mut from_upstream, &mut writer).await?;
        writer.shutdown().await
    };
    tokio::try_join!(out, back).map(|_| ())
}

/// The request line; the headers are read and dropped.
async fn read_head(reader: &mut BufReader<OwnedReadHalf>) -> io::Result<String> {
    let mut head = reader.take(PROXY_HEAD_BYTES as u64);
    let mut request = String::new();
    head.read_line(&mut request).await?;
    loop {
        let mut header = String::new();
        if head.read_line(&mut header).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if header == "\r\n" || header == "\n" {
            return Ok(request);
        }
    }
}

fn target(request: &str) -> Result<String, String> {
    let mut words = request.split_ascii_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if method != "CONNECT" {
        let shown: String = target.chars().take(200).collect();
        return Err(format!("{method} {shown}: only CONNECT is carried, so use https"));
    }
    let target = target.to_ascii_lowercase();
    let Some((host, port)) = target.rsplit_once(':') else {
        return Err(format!("`{target}` has no port"));
    };
    let sane =
        !host.is_empty() && host.len() < 256 && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._[]:".contains(c));
    if !sane || port.parse::<u16>().is_err() {
        return Err("the target is no `host:port`".to_owned());
    }
    Ok(target)
}

async fn answer(writer: &mut OwnedWriteHalf, status: &str, why: &str) -> io::Result<()> {
    let body = format!("stampmill: {why}\n");
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    writer.write_all(head.as_bytes()).await?;
    writer.write_all(body.as_bytes()).await?;
    writer.shutdown().await
}

impl Shared {
    async fn tell(&self, text: &str) {
        let line = format!("[stampmill network: {text}]\n");
        // A log that takes no more has said so to whoever writes the program's output.
        let _ = self.log.lock().await.write(line.as_bytes()).await;
    }
}

//! The way out of the sandbox for a program with a `net` grant: a proxy on a Unix socket that the sandbox carries `127.0.0.1:3128` to. It speaks
//! HTTP (CONNECT and plain requests) and SOCKS5 on the same port, told apart by the first byte. Where a connection may lead is decided by
//! [`stampmill_runtime::egress`], and every attempt is recorded.

mod http;
mod reach;
mod socks;

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stampmill_runtime::egress::{NetworkRecord, Places};
use stampmill_sandbox::Identity;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use self::reach::Teller;
use super::OutputLog;
use crate::limits::{PROXY_CONNECTIONS, PROXY_TIMEOUT};

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

/// What a proxy needs to know, and whom it tells.
pub struct Errand<'a> {
    /// The entries of a grant of `net`.
    pub granted: &'a [String],
    /// Is told what is refused.
    pub log: Box<dyn OutputLog>,
    /// Is told of every attempt.
    pub record: Option<Arc<dyn NetworkRecord>>,
    /// Owns the tasks; when none of them is left, everything has been told.
    pub tasks: &'a TaskTracker,
}

/// What all connections of a program share.
struct Shared {
    granted: Places,
    teller: Teller,
    room: Semaphore,
    end: CancellationToken,
}

/// The two directions of a connection from inside.
struct Inside {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Proxy {
    /// Listens on `path` for programs of this identity.
    ///
    /// # Errors
    /// When the socket cannot be made, for example because its path is longer than the 107 bytes that a socket's may have.
    pub fn open(path: &Path, identity: Identity, errand: Errand<'_>) -> Result<Self, ProxyError> {
        let failed = |source| ProxyError { path: path.to_owned(), source };
        let listener = UnixListener::bind(path).map_err(failed)?;
        let end = CancellationToken::new();
        let proxy = Self { path: path.to_owned(), _end: end.clone().drop_guard() };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        if let (Identity::Ids { uid, gid }, true) = (identity, nix::unistd::geteuid().is_root()) {
            std::os::unix::fs::chown(path, Some(uid), Some(gid)).map_err(failed)?;
        }
        let shared = Arc::new(Shared {
            granted: Places::of_net(errand.granted),
            teller: Teller::new(errand.log, errand.record),
            room: Semaphore::new(PROXY_CONNECTIONS),
            end,
        });
        errand.tasks.spawn(accept(listener, shared, errand.tasks.clone()));
        Ok(proxy)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may be gone with its directory.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn accept(listener: UnixListener, shared: Arc<Shared>, tasks: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.end.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        let shared = Arc::clone(&shared);
        tasks.spawn(async move {
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

/// SOCKS5 begins with its version, and no method of HTTP with that byte.
async fn serve(stream: UnixStream, shared: &Shared) -> io::Result<()> {
    let (reader, writer) = stream.into_split();
    let mut inside = Inside { reader: BufReader::new(reader), writer };
    let first = tokio::time::timeout(PROXY_TIMEOUT, inside.reader.fill_buf()).await;
    match first.unwrap_or(Ok(&[]))?.first() {
        Some(&socks::VERSION) => socks::serve(inside, shared).await,
        Some(_) => http::serve(inside, shared).await,
        None => Ok(()),
    }
}

/// Bytes in both directions, until both have ended.
async fn carry(inside: Inside, mut upstream: TcpStream) -> io::Result<()> {
    let Inside { mut reader, mut writer } = inside;
    let (mut from_upstream, mut to_upstream) = upstream.split();
    let out = async {
        tokio::io::copy_buf(&mut reader, &mut to_upstream).await?;
        to_upstream.shutdown().await
    };
    let back = async {
        tokio::io::copy(&mut from_upstream, &mut writer).await?;
        writer.shutdown().await
    };
    tokio::try_join!(out, back).map(|_| ())
}

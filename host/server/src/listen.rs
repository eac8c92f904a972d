//! Listening: one address for people, forges and workers, and a socket in the data directory for the administrator.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::serve::ListenerExt as _;
use stampmill_service::Peer;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

/// Name of the administrator's socket in the data directory.
pub(crate) const ADMIN_SOCKET: &str = "admin.sock";

/// Binds the address; port 0 picks a free one.
pub(crate) async fn tcp(address: &str) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("can't listen on `{address}`; is another host running? `--listen` names another address")
    })?;
    let address = listener.local_addr().context("the listener has no address")?;
    Ok((listener, address))
}

/// Binds the administrator's socket with mode 0600. The store's lock is held: a socket that is there already was left by a dead host.
pub(crate) fn admin(data: &Path) -> anyhow::Result<(UnixListener, PathBuf)> {
    let path = data.join(ADMIN_SOCKET);
    match std::fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("can't remove the old socket `{}`", path.display())),
    }
    // The data directory is 0700: nobody else can reach the socket before its mode is set.
    let listener = UnixListener::bind(&path).with_context(|| format!("can't make the socket `{}`", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))
        .with_context(|| format!("can't restrict the socket `{}`", path.display()))?;
    Ok((listener, path))
}

/// Serves the address until `stop`, then lets running requests end.
pub(crate) async fn serve_tcp(listener: TcpListener, router: Router, stop: CancellationToken) -> std::io::Result<()> {
    let router = router.layer(middleware::from_fn(tcp_peer));
    // Messages are small and somebody waits for each: held back for the peer's acknowledgement, one takes 40 ms.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("a connection keeps its delay: {error}");
        }
    });
    axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

/// Serves the administrator's socket until `stop`.
pub(crate) async fn serve_admin(
    listener: UnixListener,
    router: Router,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let router = router.layer(middleware::from_fn(admin_peer));
    axum::serve(listener, router.into_make_service()).with_graceful_shutdown(stop.cancelled_owned()).await
}

async fn tcp_peer(ConnectInfo(address): ConnectInfo<SocketAddr>, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(Peer::Tcp(address));
    next.run(request).await
}

async fn admin_peer(mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(Peer::AdminSocket);
    next.run(request).await
}

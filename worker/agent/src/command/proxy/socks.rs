//! SOCKS5 (RFC 1928): no authentication, and connections only.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use stampmill_runtime::egress::{BadTarget, Host, Protocol, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::reach::Unreached;
use super::{Inside, Shared, carry};
use crate::limits::PROXY_TIMEOUT;

/// The first byte of everything.
pub(super) const VERSION: u8 = 5;

/// The method that asks for no name and password, and the answer to whoever offers no such (section 3).
const NO_AUTHENTICATION: u8 = 0;
const NO_METHOD: u8 = 0xff;

/// The one command that is served (section 4).
const CONNECT: u8 = 1;

/// Kinds of addresses (section 5).
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Answers (section 6).
const GRANTED: u8 = 0;
const FAILED: u8 = 1;
const NOT_ALLOWED: u8 = 2;
const NETWORK_UNREACHABLE: u8 = 3;
const HOST_UNREACHABLE: u8 = 4;
const CONNECTION_REFUSED: u8 = 5;
const TOO_LATE: u8 = 6;
const NO_SUCH_COMMAND: u8 = 7;
const NO_SUCH_ADDRESS: u8 = 8;

/// What is asked for.
enum Asked {
    Connect(Result<Target, BadTarget>),
    /// Nothing that is served here: the answer to it, and why.
    Other(u8, String),
}

pub(super) async fn serve(mut inside: Inside, shared: &Shared) -> io::Result<()> {
    let Ok(asked) = tokio::time::timeout(PROXY_TIMEOUT, greet(&mut inside)).await else {
        return Ok(());
    };
    let reached = match asked? {
        None => return Ok(()),
        Some(Asked::Connect(target)) => shared.reach(Protocol::Socks5, target).await,
        Some(Asked::Other(code, why)) => {
            shared.refuse(Protocol::Socks5, String::new(), why).await;
            return answer(&mut inside, code).await;
        }
    };
    match reached {
        Ok(upstream) => {
            answer(&mut inside, GRANTED).await?;
            carry(inside, upstream).await
        }
        Err(unreached) => answer(&mut inside, code(&unreached)).await,
    }
}

/// Up to the request; `None` when the two have nothing in common.
async fn greet(inside: &mut Inside) -> io::Result<Option<Asked>> {
    let reader = &mut inside.reader;
    let [_, methods] = read(reader).await?;
    let mut offered = vec![0; usize::from(methods)];
    reader.read_exact(&mut offered).await?;
    if !offered.contains(&NO_AUTHENTICATION) {
        inside.writer.write_all(&[VERSION, NO_METHOD]).await?;
        inside.writer.shutdown().await?;
        return Ok(None);
    }
    inside.writer.write_all(&[VERSION, NO_AUTHENTICATION]).await?;
    let [version, command, _, kind] = read(reader).await?;
    if version != VERSION {
        return Ok(Some(Asked::Other(FAILED, format!("a request of version {version} of SOCKS: only 5 is served"))));
    }
    let host = match kind {
        IPV4 => Ok(Host::Address(Ipv4Addr::from(read::<4>(reader).await?).into())),
        IPV6 => Ok(Host::Address(Ipv6Addr::from(read::<16>(reader).await?).into())),
        NAME => {
            let [length] = read(reader).await?;
            let mut name = vec![0; usize::from(length)];
            reader.read_exact(&mut name).await?;
            Err(String::from_utf8_lossy(&name).into_owned())
        }
        other => {
            return Ok(Some(Asked::Other(NO_SUCH_ADDRESS, format!("SOCKS addresses of kind {other} are unknown"))));
        }
    };
    let port = u16::from_be_bytes(read(reader).await?);
    if command != CONNECT {
        return Ok(Some(Asked::Other(
            NO_SUCH_COMMAND,
            format!("SOCKS command {command}: only connections are served"),
        )));
    }
    Ok(Some(Asked::Connect(match host {
        Ok(host) => Ok(Target { host, port }),
        // Some programs write an address of version 6 as a name, without its brackets.
        Err(name) => match name.parse::<Ipv6Addr>() {
            Ok(address) => Ok(Target { host: Host::Address(address.into()), port }),
            Err(_) => Target::parse(&format!("{name}:{port}"), None),
        },
    })))
}

async fn read<const LENGTH: usize>(reader: &mut (impl AsyncReadExt + Unpin)) -> io::Result<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    reader.read_exact(&mut bytes).await?;
    Ok(bytes)
}

fn code(unreached: &Unreached) -> u8 {
    match unreached {
        Unreached::Refused(_) => NOT_ALLOWED,
        Unreached::Unknown(_) => HOST_UNREACHABLE,
        Unreached::Late(_) => TOO_LATE,
        Unreached::Unreachable(kind, _) => match kind {
            io::ErrorKind::ConnectionRefused => CONNECTION_REFUSED,
            io::ErrorKind::HostUnreachable => HOST_UNREACHABLE,
            io::ErrorKind::NetworkUnreachable => NETWORK_UNREACHABLE,
            io::ErrorKind::TimedOut => TOO_LATE,
            _ => FAILED,
        },
    }
}

/// The answer; the address that it has room for is nobody's business in there.
async fn answer(inside: &mut Inside, code: u8) -> io::Result<()> {
    inside.writer.write_all(&[VERSION, code, 0, IPV4, 0, 0, 0, 0, 0, 0]).await?;
    if code != GRANTED {
        inside.writer.shutdown().await?;
    }
    Ok(())
}

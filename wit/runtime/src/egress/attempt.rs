//! What somebody tried to reach, for whoever keeps a record of it.

use std::net::IpAddr;

use super::{NoWay, Target};

/// One attempt to reach something over the network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// How.
    pub protocol: Protocol,
    /// Where to: `host:port` in its one spelling, or the beginning of what was said where that is no place.
    pub target: String,
    /// The address that was connected to, or that was the reason for not doing so.
    pub address: Option<IpAddr>,
    /// What came of it.
    pub end: AttemptEnd,
    /// One line; empty for a connection.
    pub why: String,
}

/// How a connection is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// A native program, by HTTP CONNECT.
    Connect,
    /// A native program, by SOCKS5.
    Socks5,
    /// A native program, by a plain HTTP request to a proxy.
    Http,
    /// The plugin itself, by its `http`.
    Plugin,
}

/// What came of an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AttemptEnd {
    /// There was a connection.
    Connected,
    /// It was not allowed.
    Refused,
    /// It was allowed, and the world did not answer.
    Failed,
}

/// Keeps a record of attempts.
pub trait NetworkRecord: Send + Sync {
    /// Takes one attempt. There may be very many of them; must not block.
    fn tried(&self, attempt: Attempt);
}

impl Attempt {
    /// A connection to this address.
    #[must_use]
    pub fn connected(protocol: Protocol, target: &Target, address: IpAddr) -> Attempt {
        let (target, address) = (target.to_string(), Some(address));
        Attempt { protocol, target, address, end: AttemptEnd::Connected, why: String::new() }
    }

    /// No way.
    #[must_use]
    pub fn no_way(protocol: Protocol, target: &Target, no: &NoWay) -> Attempt {
        let end = if no.is_refusal() { AttemptEnd::Refused } else { AttemptEnd::Failed };
        Attempt { protocol, target: target.to_string(), address: no.address(), end, why: no.to_string() }
    }

    /// A way, and nobody at its end.
    #[must_use]
    pub fn failed(protocol: Protocol, target: &Target, address: Option<IpAddr>, why: String) -> Attempt {
        Attempt { protocol, target: target.to_string(), address, end: AttemptEnd::Failed, why }
    }

    /// Something that was refused before it was known where it would lead.
    #[must_use]
    pub fn refused(protocol: Protocol, target: String, why: String) -> Attempt {
        Attempt { protocol, target, address: None, end: AttemptEnd::Refused, why }
    }
}

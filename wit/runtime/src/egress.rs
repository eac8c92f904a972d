//! The way out: whether somebody may connect to a place, decided by the grant and by the address that is really connected to. The proxy of
//! native programs and the `http` of plugins both ask here.
//!
//! A grant names hosts. A host that is named as an address, as a range of addresses or as `localhost` is meant as it stands; any other name
//! stands for public addresses only, because whoever runs the name's server says where it leads. A name that is to lead to a private address
//! is granted together with that address.
//!
//! [`way`] looks a name up once and answers the addresses that were judged: whoever connects to those is not led elsewhere by a second answer.

mod address;
mod attempt;
mod target;

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::limits::ADDRESSES_MAX;

pub use address::{Special, special};
pub use attempt::{Attempt, AttemptEnd, NetworkRecord, Protocol};
pub use target::{BadTarget, Host, Target};

/// Where a use of a plugin may connect to.
#[derive(Clone, Debug)]
pub struct Places {
    form: Form,
    places: Vec<Place>,
}

/// How the grant is written that names the places.
#[derive(Clone, Debug)]
enum Form {
    /// `net`, with hosts and ports.
    Net,
    /// `http`, with origins; this is the scheme.
    Origins(String),
}

/// One of them.
#[derive(Clone, Debug)]
struct Place {
    whom: Whom,
    /// `None` is any.
    port: Option<u16>,
}

#[derive(Clone, Debug)]
enum Whom {
    Host(Host),
    Range(IpNet),
}

/// Why there is no way to a place.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoWay {
    /// The grant does not name it.
    #[error("`{target}`{what} is not granted; the grant `{grant}` would allow it", what = named(*.special))]
    NotGranted {
        /// Where to.
        target: Target,
        /// What is special about it, where it is an address.
        special: Option<Special>,
        /// The grant that would do.
        grant: String,
    },
    /// The name leads to an address that it may not stand for.
    #[error("`{target}` leads to {address}, {special}; the grant `{grant}` beside it would allow that")]
    NotThere {
        /// Where to.
        target: Target,
        /// Where that is.
        address: IpAddr,
        /// What it is.
        special: Special,
        /// The grant that would do.
        grant: String,
    },
    /// Nobody knows the name.
    #[error("`{target}` is not known: {why}")]
    Unknown {
        /// Where to.
        target: Target,
        /// What was answered.
        why: String,
    },
}

fn named(special: Option<Special>) -> String {
    special.map(|special| format!(", {special},")).unwrap_or_default()
}

impl NoWay {
    /// Whether it was decided so, and not the world's doing.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        !matches!(self, Self::Unknown { .. })
    }

    /// The address that it was about, where there is one.
    #[must_use]
    pub const fn address(&self) -> Option<IpAddr> {
        match self {
            Self::NotThere { address, .. }
            | Self::NotGranted { target: Target { host: Host::Address(address), .. }, .. } => Some(*address),
            Self::NotGranted { .. } | Self::Unknown { .. } => None,
        }
    }
}

/// Whether a text can be meant as a grant of `net`: `host:port`, `address:port`, `network/length:port` or `[network/length]:port`; the port may
/// be `*`.
#[must_use]
pub fn is_place(text: &str) -> bool {
    Place::of_net(text).is_some()
}

/// Whether a grant of `net` names this machine: `localhost`, an address of loopback, or a range of such.
#[must_use]
pub fn names_loopback(text: &str) -> bool {
    let loopback = |address: IpAddr| special(address) == Some(Special::Loopback);
    Place::of_net(text).is_some_and(|place| match place.whom {
        Whom::Host(Host::Name(name)) => name == LOCALHOST,
        Whom::Host(Host::Address(address)) => loopback(address),
        Whom::Range(range) => loopback(range.network()),
    })
}

/// The one name that means this machine by itself (RFC 6761, section 6.3).
const LOCALHOST: &str = "localhost";

impl Place {
    fn of_net(text: &str) -> Option<Place> {
        let (host, port) = text.rsplit_once(':')?;
        let (port, digits) = if port == "*" { (None, "1") } else { (Some(()), port) };
        let network = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let (whom, number) = if network.contains('/') {
            let range: IpNet = network.parse().ok()?;
            (Whom::Range(range.trunc()), Target::parse(&format!("localhost:{digits}"), None).ok()?.port)
        } else {
            let target = Target::parse(&format!("{host}:{digits}"), None).ok()?;
            (Whom::Host(target.host), target.port)
        };
        Some(Place { whom, port: port.map(|()| number) })
    }

    fn of_origin(text: &str) -> Option<Place> {
        let url = reqwest::Url::parse(text).ok()?;
        let host = Host::parse(url.host_str()?).ok()?;
        Some(Place { whom: Whom::Host(host), port: Some(url.port_or_known_default()?) })
    }

    fn has(&self, host: &Host, port: u16) -> bool {
        let fits = match (&self.whom, host) {
            (Whom::Host(mine), host) => mine == host,
            (Whom::Range(range), Host::Address(address)) => range.contains(address),
            (Whom::Range(_), Host::Name(_)) => false,
        };
        fits && self.port.is_none_or(|mine| mine == port)
    }
}

impl Places {
    /// Those of a grant of `net`. What can't be meant names nothing.
    #[must_use]
    pub fn of_net(grant: &[String]) -> Places {
        Places { form: Form::Net, places: grant.iter().filter_map(|text| Place::of_net(text)).collect() }
    }

    /// Those of a grant of `http`, for a request with this scheme.
    pub(crate) fn of_origins(grant: &[String], scheme: &str) -> Places {
        let places = grant.iter().filter_map(|text| Place::of_origin(text)).collect();
        Places { form: Form::Origins(scheme.to_owned()), places }
    }

    /// Whether the grant names the place.
    ///
    /// # Errors
    /// When it does not.
    pub fn name(&self, target: &Target) -> Result<(), NoWay> {
        if self.names(&target.host, target.port) {
            return Ok(());
        }
        let special = match target.host {
            Host::Address(address) => special(address),
            Host::Name(_) => None,
        };
        Err(NoWay::NotGranted { target: target.clone(), special, grant: self.grant(target) })
    }

    /// Whether the place may be connected to at this address.
    ///
    /// # Errors
    /// When it may not.
    pub fn judge(&self, target: &Target, address: IpAddr) -> Result<(), NoWay> {
        let Some(special) = special(address) else { return Ok(()) };
        let at_home = special == Special::Loopback && target.host == Host::Name(LOCALHOST.to_owned());
        if at_home || self.names(&Host::Address(address), target.port) {
            return Ok(());
        }
        let there = Target { host: Host::Address(address), port: target.port };
        Err(NoWay::NotThere { target: target.clone(), address, special, grant: self.grant(&there) })
    }

    /// Those of the addresses that may be connected to.
    ///
    /// # Errors
    /// When none of them may.
    fn fitting(&self, target: &Target, found: impl IntoIterator<Item = IpAddr>) -> Result<Vec<SocketAddr>, NoWay> {
        let (mut fitting, mut why) = (Vec::new(), None);
        for address in found {
            let there = SocketAddr::new(address, target.port);
            match self.judge(target, address) {
                Ok(()) if fitting.contains(&there) => {}
                Ok(()) => fitting.push(there),
                Err(no) => why = why.or(Some(no)),
            }
        }
        fitting.truncate(ADDRESSES_MAX);
        match why {
            Some(why) if fitting.is_empty() => Err(why),
            None if fitting.is_empty() => {
                Err(NoWay::Unknown { target: target.clone(), why: "it has no address".to_owned() })
            }
            Some(_) | None => Ok(fitting),
        }
    }

    fn names(&self, host: &Host, port: u16) -> bool {
        self.places.iter().any(|place| place.has(host, port))
    }

    fn grant(&self, target: &Target) -> String {
        match &self.form {
            Form::Net => format!("net = [\"{target}\"]"),
            Form::Origins(scheme) => format!("http = [\"{scheme}://{target}\"]"),
        }
    }
}

/// Where to connect for a target: every address that the grant lets it have, and no other. A name that is not granted is not looked up, since
/// a question tells its server something too.
///
/// # Errors
/// When there is no way.
pub async fn way(places: &Places, target: &Target) -> Result<Vec<SocketAddr>, NoWay> {
    places.name(target)?;
    match &target.host {
        Host::Address(address) => places.fitting(target, [*address]),
        Host::Name(name) => {
            let found = tokio::net::lookup_host((name.as_str(), target.port)).await;
            let found = found.map_err(|error| NoWay::Unknown { target: target.clone(), why: error.to_string() })?;
            places.fitting(target, found.map(|address| address.ip()))
        }
    }
}

#[cfg(test)]
mod tests;

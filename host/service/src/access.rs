//! Where a request came from, and whether a browser was led to send it by a page that is not ours.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, Method, header};

/// Who is at the other end of the connection. The server puts it into the request's extensions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peer {
    /// Somebody on the network.
    Tcp(SocketAddr),
    /// Whoever can open the socket in the data directory: the administrator.
    AdminSocket,
}

impl Peer {
    /// The address, for throttling; none on the socket.
    #[must_use]
    pub const fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(address) => Some(address.ip()),
            Self::AdminSocket => None,
        }
    }
}

/// How the host can be reached; the server decides it from the address that it listens on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Access {
    /// Whether reading needs no login: true when the host listens on loopback only.
    pub reading_open: bool,
    /// Whether browsers reach the host by https, so that cookies are marked `Secure`.
    pub https: bool,
    /// Names besides `localhost` and plain addresses by which the host may be reached without a login, in lower case, without port.
    pub names: Vec<String>,
}

impl Access {
    /// Whether somebody without a login may read.
    ///
    /// The name that the request was sent to must be an address, `localhost` or one of [`Self::names`]: a page of `evil.example` can point that name
    /// at 127.0.0.1 and would else read everything with the visitor's browser (DNS rebinding).
    #[must_use]
    pub fn may_read_without_login(&self, headers: &HeaderMap) -> bool {
        if !self.reading_open {
            return false;
        }
        let Some(host) = host_header(headers) else { return false };
        let name = name_of_authority(host);
        name.parse::<IpAddr>().is_ok()
            || name == "localhost"
            || name.ends_with(".localhost")
            || self.names.contains(&name)
    }
}

/// Whether a request with this method changes nothing, by RFC 9110 §9.2.1.
#[must_use]
pub fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

/// Whether the browser says that a page of ours sent this request. Asked of each request that changes something and carries no bearer token.
///
/// Both headers can't be set by a page: `Sec-Fetch-Site` (W3C Fetch Metadata) and `Origin` (RFC 6454). One must be there, and each that is there
/// must agree.
pub fn check_origin(headers: &HeaderMap, https: bool) -> Result<(), CrossSite> {
    let site = headers.get("sec-fetch-site").map(|value| value.as_bytes());
    let origin = headers.get(header::ORIGIN).map(|value| value.to_str().unwrap_or("null"));
    if site.is_none() && origin.is_none() {
        return Err(CrossSite::NoOrigin);
    }
    if site.is_some_and(|site| site != b"same-origin") {
        return Err(CrossSite::OtherSite);
    }
    let Some(origin) = origin else { return Ok(()) };
    let authority = match origin.split_once("://") {
        Some(("https", authority)) => authority,
        Some(("http", authority)) if !https => authority,
        _ => return Err(CrossSite::OtherSite),
    };
    match host_header(headers) {
        Some(host) if host.eq_ignore_ascii_case(authority) => Ok(()),
        _ => Err(CrossSite::OtherSite),
    }
}

/// Why a request that changes something is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CrossSite {
    /// Neither header.
    #[error("a request that changes something needs an origin header that names this host, or a bearer token")]
    NoOrigin,
    /// Another site's page sent it.
    #[error("this request was sent by a page of another site, and is refused")]
    OtherSite,
    /// The form's token is missing or that of another session.
    #[error("the form's csrf token is missing or stale; load the page again and repeat")]
    BadToken,
}

fn host_header(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::HOST).and_then(|value| value.to_str().ok())
}

/// Lower-case name or address without port and brackets.
fn name_of_authority(authority: &str) -> String {
    let name = if let Some(rest) = authority.strip_prefix('[') {
        rest.split(']').next().unwrap_or_default()
    } else {
        authority.rsplit_once(':').map_or(authority, |(name, _)| name)
    };
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_request_of_our_own_page_passes() {
        for https in [false, true] {
            let own = headers(&[("host", "ci.example:8010"), ("origin", "https://ci.example:8010")]);
            assert_eq!(check_origin(&own, https), Ok(()));
        }
        let own = headers(&[("host", "127.0.0.1:8010"), ("sec-fetch-site", "same-origin")]);
        assert_eq!(check_origin(&own, false), Ok(()));
    }

    #[test]
    fn a_request_of_another_page_is_refused() {
        for bad in [
            &[("host", "ci.example"), ("origin", "https://evil.example")][..],
            &[("host", "ci.example"), ("origin", "https://ci.example.evil.example")],
            &[("host", "ci.example"), ("origin", "https://ci.example:444")],
            &[("host", "ci.example"), ("origin", "null")],
            &[("host", "ci.example"), ("origin", "file://ci.example")],
            &[("host", "ci.example"), ("sec-fetch-site", "cross-site")],
            &[("host", "ci.example"), ("sec-fetch-site", "same-site"), ("origin", "https://ci.example")],
            &[("host", "ci.example"), ("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")],
            &[("origin", "https://ci.example")],
        ] {
            assert_eq!(check_origin(&headers(bad), false), Err(CrossSite::OtherSite), "{bad:?}");
        }
        assert_eq!(check_origin(&headers(&[("host", "ci.example")]), false), Err(CrossSite::NoOrigin));
        let plain = headers(&[("host", "ci.example"), ("origin", "http://ci.example")]);
        assert_eq!(check_origin(&plain, true), Err(CrossSite::OtherSite), "plain http where https is the rule");
    }

    #[test]
    fn reading_without_login_needs_a_name_that_cannot_be_rebound() {
        let access = Access { reading_open: true, https: false, names: vec!["ci.lan".into()] };
        for good in
            ["127.0.0.1:8010", "[::1]:8010", "localhost", "LOCALHOST:8010", "app.localhost:1", "ci.lan", "ci.lan.:80"]
        {
            assert!(access.may_read_without_login(&headers(&[("host", good)])), "{good}");
        }
        for bad in ["evil.example:8010", "localhost.evil.example", "127.0.0.1.evil.example", "", "[evil.example]"] {
            assert!(!access.may_read_without_login(&headers(&[("host", bad)])), "{bad}");
        }
        assert!(!access.may_read_without_login(&HeaderMap::new()));
        let closed = Access { reading_open: false, ..access };
        assert!(!closed.may_read_without_login(&headers(&[("host", "127.0.0.1:8010")])));
    }
}

//! Where somebody wants to go, in the one spelling that is compared and looked up.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// A host and a port.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Target {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
}

/// A host, as a URL of the web names it (WHATWG URL, section 3): lower case, international names in their ASCII form, and whatever spells an
/// address of version 4, such as `0x7f.1` or `2130706433`, is that address.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Host {
    /// A name to look up, without a dot at its end.
    Name(String),
    /// An address.
    Address(IpAddr),
}

/// Why a text names no place to go.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{text}` is no place to connect to: {why}")]
pub struct BadTarget {
    /// What was said, cut to a sane length.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// What the longest name in the system of names has (RFC 1035, section 2.3.4).
const NAME_BYTES_MAX: usize = 253;
/// What is shown of a text that is no target.
const SHOWN_CHARS: usize = 200;

impl Target {
    /// A host and a port of their own, as `git.example:443` or `[::1]:443`; a port that is missing is the `usual` one, if there is one.
    ///
    /// # Errors
    /// When it is something else.
    pub fn parse(text: &str, usual: Option<u16>) -> Result<Target, BadTarget> {
        let bad = |why| BadTarget { text: shown(text), why };
        if text.contains('@') {
            return Err(bad("a user name has no place in it"));
        }
        let (host, port) = match text.rfind(']') {
            Some(end) => text.split_at(end + 1),
            None => text.split_at(text.rfind(':').unwrap_or(text.len())),
        };
        let port = match (port.strip_prefix(':'), usual) {
            (Some(digits), _) => port_of(digits).ok_or(bad("the port is no number from 1 to 65535"))?,
            (None, Some(usual)) if port.is_empty() => usual,
            (None, _) => return Err(bad("a port is missing")),
        };
        Ok(Target { host: Host::parse(host).map_err(bad)?, port })
    }
}

fn port_of(digits: &str) -> Option<u16> {
    let plain = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    digits.parse().ok().filter(|port| plain && *port != 0)
}

fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN_CHARS).collect()
}

impl Host {
    /// A name, or an address; one of version 6 is in brackets.
    ///
    /// # Errors
    /// When it can be neither, with what is wrong.
    pub fn parse(text: &str) -> Result<Host, &'static str> {
        let wrong = "the host is neither a name nor an address";
        match url::Host::parse(text).map_err(|_| wrong)? {
            url::Host::Ipv4(address) => Ok(Host::Address(address.into())),
            url::Host::Ipv6(address) => Ok(Host::Address(address.into())),
            url::Host::Domain(name) => {
                let name = name.strip_suffix('.').unwrap_or(&name);
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
                if name.len() > NAME_BYTES_MAX || !name.bytes().all(plain) || name.split('.').any(str::is_empty) {
                    return Err(wrong);
                }
                Ok(Host::Name(name.to_owned()))
            }
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{}]", plain(*address)),
        }
    }
}

/// Without the digits of version 4 at the end, so that there is one spelling.
fn plain(address: Ipv6Addr) -> String {
    match address.to_ipv4_mapped() {
        Some(_) => {
            let [.., high, low] = address.segments();
            format!("::ffff:{high:x}:{low:x}")
        }
        None => address.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        Target::parse(text, None).unwrap().to_string()
    }

    #[test]
    fn each_place_has_one_spelling() {
        for (text, canonical) in [
            ("Git.Example:443", "git.example:443"),
            ("git.example.:443", "git.example:443"),
            ("git%2Eexample:443", "git.example:443"),
            ("bücher.example:443", "xn--bcher-kva.example:443"),
            ("XN--BCHER-KVA.example:443", "xn--bcher-kva.example:443"),
            ("ｇit.example:443", "git.example:443"),
            ("git。example:443", "git.example:443"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("127.0.0.1.:80", "127.0.0.1:80"),
            ("2130706433:80", "127.0.0.1:80"),
            ("0x7f000001:80", "127.0.0.1:80"),
            ("0X7F.1:80", "127.0.0.1:80"),
            ("0177.0.0.1:80", "127.0.0.1:80"),
            ("017700000001:80", "127.0.0.1:80"),
            ("127.1:80", "127.0.0.1:80"),
            ("①②⑦.⓪.⓪.①:80", "127.0.0.1:80"),
            ("2852039166:80", "169.254.169.254:80"),
            ("0xa9fea9fe:80", "169.254.169.254:80"),
            ("[::1]:80", "[::1]:80"),
            ("[0:0:0:0:0:0:0:1]:80", "[::1]:80"),
            ("[::FFFF:127.0.0.1]:80", "[::ffff:7f00:1]:80"),
            ("[FD00:EC2::254]:80", "[fd00:ec2::254]:80"),
        ] {
            assert_eq!(parsed(text), canonical, "{text}");
            assert_eq!(parsed(canonical), canonical, "{text}");
        }
    }

    #[test]
    fn what_is_no_host_and_port_is_refused() {
        for text in [
            "",
            ":",
            ":443",
            "git.example",
            "git.example:",
            "git.example:0",
            "git.example:65536",
            "git.example:+1",
            "git.example: 1",
            "git.example:443 ",
            " git.example:443",
            "git example:443",
            "user@git.example:443",
            "git.example:443@evil.example:443",
            "git.example/x:443",
            "git.example\\x:443",
            "git.example?x:443",
            "git.example#x:443",
            "git.example\n:443",
            "git.example\0:443",
            "git.example%00:443",
            "git.example%2fx:443",
            "git..example:443",
            ".git.example:443",
            "git.example..:443",
            "256.1.1.1:80",
            "1.2.3.4.5:80",
            "*.example:80",
            "git.$example:80",
            "::1:80",
            "[::1:80",
            "[::1]80",
            "[::1]:80]:90",
            "[fe80::1%eth0]:80",
            "[fe80::1%25eth0]:80",
            "[127.0.0.1]:80",
            "http://git.example:443",
        ] {
            let error = Target::parse(text, None).expect_err(text);
            assert!(error.to_string().contains("is no place to connect to"), "{error}");
        }
        let long = format!("{}:443", "a.".repeat(200));
        assert!(Target::parse(&long, None).is_err());
        assert!(Target::parse("x\u{7}:y", None).unwrap_err().text.chars().all(|c| !c.is_control()));
    }

    #[test]
    fn a_missing_port_is_the_usual_one_where_there_is_one() {
        assert_eq!(Target::parse("git.example", Some(80)).unwrap().port, 80);
        assert_eq!(Target::parse("[::1]", Some(80)).unwrap().to_string(), "[::1]:80");
        assert_eq!(Target::parse("git.example:81", Some(80)).unwrap().port, 81);
        assert!(Target::parse("git.example:", Some(80)).is_err());
        assert!(Target::parse("[::1]x", Some(80)).is_err());
    }
}

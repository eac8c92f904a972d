//! Which addresses are not the public internet's, by the registries of special-purpose addresses (IANA; RFC 6890, RFC 8190).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is for, where it is not a public one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Special {
    /// `0.0.0.0/8` and `::`: this machine or this network.
    Unspecified,
    /// `127.0.0.0/8` and `::1`.
    Loopback,
    /// RFC 1918 and unique local addresses (RFC 4193), and the site-local ones that those replaced.
    Private,
    /// `100.64.0.0/10` (RFC 6598): a provider's own network.
    Shared,
    /// `169.254.0.0/16` and `fe80::/10`.
    LinkLocal,
    /// Where clouds answer with the credentials of the machine.
    Metadata,
    /// A group of machines, or all of them.
    Multicast,
    /// Kept for documentation, for measurements, for translation, or for later.
    Reserved,
}

impl fmt::Display for Special {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "an unspecified address",
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::Shared => "an address of a provider's own network",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "the address of a cloud's metadata service",
            Self::Multicast => "a multicast address",
            Self::Reserved => "a reserved address",
        })
    }
}

/// What is special about an address; `None` is a public one. An address of version 6 that stands for one of version 4 is judged as that one.
#[must_use]
pub fn special(address: IpAddr) -> Option<Special> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<Special> {
    match address.octets() {
        // AWS and most others, AWS' containers and pods, Alibaba, Azure's wire server, Oracle.
        [169, 254, 169, 254]
        | [169, 254, 170, 2 | 23]
        | [100, 100, 100, 200]
        | [168, 63, 129, 16]
        | [192, 0, 0, 192] => Some(Special::Metadata),
        [0, ..] => Some(Special::Unspecified),
        [127, ..] => Some(Special::Loopback),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Some(Special::Private),
        [100, 64..=127, ..] => Some(Special::Shared),
        [169, 254, ..] => Some(Special::LinkLocal),
        [224..=239, ..] | [255, 255, 255, 255] => Some(Special::Multicast),
        [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => {
            Some(Special::Reserved)
        }
        [240..=255, ..] => Some(Special::Reserved),
        _ => None,
    }
}

fn special_v6(address: Ipv6Addr) -> Option<Special> {
    if address.is_unspecified() {
        return Some(Special::Unspecified);
    }
    if address.is_loopback() {
        return Some(Special::Loopback);
    }
    if let Some(meant) = meant_v4(address) {
        return special_v4(meant);
    }
    match address.segments() {
        // AWS' instances and pods, Google.
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254 | 0x23] | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] => Some(Special::Metadata),
        [0xfe80..=0xfebf, ..] => Some(Special::LinkLocal),
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Some(Special::Private),
        [0xff00..=0xffff, ..] => Some(Special::Multicast),
        // Teredo and the protocols beside it, documentation.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Some(Special::Reserved),
        // An address made from one of version 4 inside its network (ISATAP, RFC 5214).
        [0x2000..=0x3fff, _, _, _, 0 | 0x200, 0x5efe, high, low] => special_v4(joined(high, low)),
        [0x2000..=0x3fff, ..] => None,
        // All that is public today is in 2000::/3 (RFC 4291, section 2.4, and the registry of IANA).
        _ => Some(Special::Reserved),
    }
}

/// The address of version 4 that one of version 6 leads to: mapped, compatible, translated (RFC 4291, RFC 2765, RFC 6052) or 6to4 (RFC 3056).
fn meant_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(joined(high, low)),
        _ => None,
    }
}

fn joined(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<Special> {
        special(text.parse().unwrap())
    }

    #[test]
    fn every_range_that_is_not_public_is_known_to_its_edges() {
        for (kind, addresses) in [
            (Special::Unspecified, &["0.0.0.0", "0.255.255.255", "::"] as &[&str]),
            (Special::Loopback, &["127.0.0.1", "127.0.0.0", "127.255.255.255", "::1"]),
            (
                Special::Private,
                &[
                    "10.0.0.0",
                    "10.255.255.255",
                    "172.16.0.0",
                    "172.31.255.255",
                    "192.168.0.0",
                    "192.168.255.255",
                    "fc00::",
                    "fd12:3456::1",
                    "fdff:ffff::",
                    "fec0::1",
                ],
            ),
            (Special::Shared, &["100.64.0.0", "100.127.255.255"]),
            (Special::LinkLocal, &["169.254.0.0", "169.254.255.255", "fe80::1", "febf::1"]),
            (
                Special::Metadata,
                &[
                    "169.254.169.254",
                    "169.254.170.2",
                    "169.254.170.23",
                    "100.100.100.200",
                    "168.63.129.16",
                    "192.0.0.192",
                    "fd00:ec2::254",
                    "fd00:ec2::23",
                    "fd20:ce::254",
                ],
            ),
            (Special::Multicast, &["224.0.0.0", "239.255.255.255", "255.255.255.255", "ff00::", "ff02::1", "ffff::"]),
            (
                Special::Reserved,
                &[
                    "192.0.0.1",
                    "192.0.2.1",
                    "192.88.99.1",
                    "198.18.0.0",
                    "198.19.255.255",
                    "198.51.100.1",
                    "203.0.113.1",
                    "240.0.0.0",
                    "255.255.255.254",
                    "2001::1",
                    "2001:1ff::1",
                    "2001:db8::1",
                    "3fff:fff::1",
                    "64:ff9b:1::1",
                    "100::1",
                    "4000::1",
                    "5f00::1",
                ],
            ),
        ] {
            for address in addresses {
                assert_eq!(of(address), Some(kind), "{address}");
            }
        }
    }

    #[test]
    fn an_address_of_version_6_that_leads_to_version_4_is_judged_as_that_one() {
        for (meant, kind) in [
            ("127.0.0.1", Some(Special::Loopback)),
            ("10.1.2.3", Some(Special::Private)),
            ("169.254.169.254", Some(Special::Metadata)),
            ("0.0.0.0", Some(Special::Unspecified)),
            ("100.64.0.1", Some(Special::Shared)),
            ("8.8.8.8", None),
        ] {
            let [a, b, c, d] = meant.parse::<Ipv4Addr>().unwrap().octets();
            let hex = format!("{:x}:{:x}", u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            for form in [
                format!("::ffff:{meant}"),
                format!("::ffff:0:{meant}"),
                format!("64:ff9b::{meant}"),
                format!("2002:{hex}::1"),
                format!("2400:cb00:1:2:0:5efe:{hex}"),
                format!("2400:cb00:1:2:200:5efe:{hex}"),
            ] {
                assert_eq!(of(&form), kind, "{form}");
            }
        }
        assert_eq!(of("::10.1.2.3"), Some(Special::Private));
        assert_eq!(of("::0.0.0.2"), Some(Special::Unspecified));
        assert_eq!(of("::8.8.8.8"), None);
    }

    #[test]
    fn public_addresses_are_public_up_to_the_next_range() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "3fff:1000::1",
        ] {
            assert_eq!(of(address), None, "{address}");
        }
    }
}

//! Where a program in the sandbox says that it wants to go: what the head of a proxy's request names.

use stampmill_runtime::egress::{Host, Target, is_place, names_loopback};

/// The longest that is read: the proxy takes no longer head.
const TEXT_BYTES_MAX: usize = 16 << 10;
/// The longest error: what was said is shown cut.
const ERROR_BYTES: usize = 1200;

/// Reads the bytes, if they are text, as a place.
pub fn run(bytes: &[u8]) {
    let Some(text) = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= TEXT_BYTES_MAX) else { return };
    for usual in [None, Some(80)] {
        match Target::parse(text, usual) {
            Ok(target) => has_one_spelling(&target),
            Err(bad) => {
                let said = bad.to_string();
                assert!(said.len() <= ERROR_BYTES && !said.contains(char::is_control), "{said:?}");
            }
        }
    }
    assert!(is_place(text) || !names_loopback(text), "{text:?} names this machine and is no place");
}

/// Whatever is compared with a grant, looked up and shown is the same text for the same place.
fn has_one_spelling(target: &Target) {
    let spelled = target.to_string();
    assert!(spelled.is_ascii() && !spelled.contains(char::is_whitespace), "{spelled:?}");
    assert!(!spelled.contains(['/', '@', '?', '#', '%', '\\']), "{spelled:?}");
    assert_ne!(target.port, 0, "{spelled:?}");
    assert_eq!(Target::parse(&spelled, None).as_ref(), Ok(target), "{spelled:?} is read as another place");
    assert!(is_place(&spelled), "{spelled:?} can't be granted");
    if let Host::Name(name) = &target.host {
        assert!(name.parse::<std::net::IpAddr>().is_err(), "{name:?} is an address");
        assert_eq!(name.to_ascii_lowercase(), *name);
    }
}

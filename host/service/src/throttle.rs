//! Failed logins are counted by name and by address; too many, and the next ones are refused unseen for a while.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::limits::{LOGIN_ENTRIES_MAX, LOGIN_FAILURES_OF_ADDRESS_MAX, LOGIN_FAILURES_OF_NAME_MAX, LOGIN_WINDOW};

/// Counts failed logins.
#[derive(Default)]
pub(crate) struct Throttle {
    counts: Mutex<HashMap<Key, Count>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Name(String),
    Address(IpAddr),
}

impl Key {
    const fn most(&self) -> u32 {
        match self {
            Self::Name(_) => LOGIN_FAILURES_OF_NAME_MAX,
            Self::Address(_) => LOGIN_FAILURES_OF_ADDRESS_MAX,
        }
    }
}

struct Count {
    failures: u32,
    since: Instant,
}

impl Throttle {
    /// Whether a login may be tried; if so it counts as failed until [`Self::succeeded`] says otherwise, so that many at once don't slip by.
    pub(crate) fn admit(&self, name: &str, address: Option<IpAddr>, now: Instant) -> bool {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= LOGIN_ENTRIES_MAX {
            make_room(&mut counts, now);
        }
        let keys = keys(name, address);
        for key in &keys {
            if let Some(count) = counts.get(key)
                && now.duration_since(count.since) < LOGIN_WINDOW
                && count.failures >= key.most()
            {
                return false;
            }
        }
        for key in keys {
            let count = counts.entry(key).or_insert(Count { failures: 0, since: now });
            if now.duration_since(count.since) >= LOGIN_WINDOW {
                *count = Count { failures: 0, since: now };
            }
            count.failures += 1;
        }
        true
    }

    /// The login that was admitted was right: the name starts anew, the address gets its one back.
    pub(crate) fn succeeded(&self, name: &str, address: Option<IpAddr>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys(name, address) {
            match key {
                Key::Name(_) => {
                    counts.remove(&key);
                }
                Key::Address(_) => {
                    if let Some(count) = counts.get_mut(&key) {
                        count.failures = count.failures.saturating_sub(1);
                    }
                }
            }
        }
    }
}

fn keys(name: &str, address: Option<IpAddr>) -> Vec<Key> {
    let mut keys = vec![Key::Name(name.to_owned())];
    keys.extend(address.map(Key::Address));
    keys
}

fn make_room(counts: &mut HashMap<Key, Count>, now: Instant) {
    counts.retain(|_, count| now.duration_since(count.since) < LOGIN_WINDOW);
    if counts.len() >= LOGIN_ENTRIES_MAX {
        let mut starts: Vec<Instant> = counts.values().map(|count| count.since).collect();
        starts.sort_unstable();
        let middle = starts[starts.len() / 2];
        counts.retain(|_, count| count.since > middle);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_eleventh_failure_of_a_name_is_refused_until_the_window_has_passed() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        for _ in 0..LOGIN_FAILURES_OF_NAME_MAX {
            assert!(throttle.admit("ann", None, start));
        }
        assert!(!throttle.admit("ann", None, start + Duration::from_secs(1)));
        assert!(throttle.admit("bob", None, start), "another name is not held back");
        assert!(throttle.admit("ann", None, start + LOGIN_WINDOW));
    }

    #[test]
    fn an_address_that_tries_many_names_is_refused() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let address = Some(IpAddr::from([192, 0, 2, 1]));
        for number in 0..LOGIN_FAILURES_OF_ADDRESS_MAX {
            assert!(throttle.admit(&format!("user{number}"), address, start));
        }
        assert!(!throttle.admit("one more", address, start));
        assert!(throttle.admit("one more", Some(IpAddr::from([192, 0, 2, 2])), start));
    }

    #[test]
    fn a_right_login_is_not_counted() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let address = Some(IpAddr::from([192, 0, 2, 1]));
        for _ in 0..1000 {
            assert!(throttle.admit("ann", address, start));
            throttle.succeeded("ann", address);
        }
    }

    #[test]
    fn memory_is_bounded() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        for number in 0..(LOGIN_ENTRIES_MAX * 3) as u64 {
            throttle.admit(&format!("user{number}"), None, start + Duration::from_micros(number));
        }
        assert!(throttle.counts.lock().unwrap().len() <= LOGIN_ENTRIES_MAX + 1);
    }
}

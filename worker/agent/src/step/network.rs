//! What a step tried to reach: kept short, and told to the host while it runs.

use std::sync::{Mutex, PoisonError};

use stampmill_model::{BuildEvent, Network, NetworkAttempt};
use stampmill_protocol::limits::NETWORK_ATTEMPTS_MAX;
use stampmill_runtime::egress::{Attempt, NetworkRecord};
use tokio::sync::Notify;

use crate::build::Context;
use crate::convert::attempt_from_runtime;
use crate::limits::SUMMARY_EVERY;

/// The record of one step. An entry of a new kind is told soon, a count that has grown when the step ends: whoever tries a million times has
/// the host write a handful of rows.
pub(super) struct StepNetwork {
    context: Context,
    step: u32,
    list: Mutex<List>,
    longer: Notify,
}

#[derive(Default)]
struct List {
    network: Network,
    /// Whether the host knows of all this.
    told: bool,
}

impl StepNetwork {
    pub(super) fn new(context: Context, step: u32) -> Self {
        Self { context, step, list: Mutex::new(List { told: true, ..List::default() }), longer: Notify::new() }
    }

    /// Tells entries that are new, not too often, for as long as the step runs.
    pub(super) async fn tell_in_time(&self) {
        loop {
            self.longer.notified().await;
            tokio::time::sleep(SUMMARY_EVERY).await;
            if !self.tell() {
                return;
            }
        }
    }

    /// Tells how it stands, if the host does not know; answers whether it could be told.
    pub(super) fn tell(&self) -> bool {
        let network = {
            let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
            if std::mem::replace(&mut list.told, true) {
                return true;
            }
            list.network.clone()
        };
        // A program can put a secret into the name of a host.
        let masked = |attempt: NetworkAttempt| NetworkAttempt {
            target: self.context.one_line(&attempt.target),
            why: self.context.one_line(&attempt.why),
            ..attempt
        };
        let attempts = network.attempts.into_iter().map(masked).collect();
        let network = Network { attempts, ..network };
        self.context.tell(BuildEvent::NetworkTried { step: self.step, network }).is_ok()
    }
}

impl NetworkRecord for StepNetwork {
    fn tried(&self, attempt: Attempt) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.told = false;
        if note(&mut list.network, attempt_from_runtime(attempt)) {
            self.longer.notify_one();
        }
    }
}

/// Adds an attempt to those that are like it, or as an entry of its own while there is room; answers whether it made one.
fn note(network: &mut Network, attempt: NetworkAttempt) -> bool {
    if let Some(known) = network.attempts.iter_mut().find(|known| are_alike(known, &attempt)) {
        known.count = known.count.saturating_add(1);
        return false;
    }
    if network.attempts.len() < NETWORK_ATTEMPTS_MAX {
        network.attempts.push(attempt);
        return true;
    }
    network.unlisted = network.unlisted.saturating_add(1);
    false
}

fn are_alike(one: &NetworkAttempt, other: &NetworkAttempt) -> bool {
    let NetworkAttempt { protocol, target, address, end, why, count: _ } = one;
    (protocol, end, address) == (&other.protocol, &other.end, &other.address)
        && (target, why) == (&other.target, &other.why)
}

#[cfg(test)]
mod tests {
    use stampmill_model::{NetworkEnd, NetworkProtocol};

    use super::*;

    fn attempt(target: &str, end: NetworkEnd) -> NetworkAttempt {
        let (protocol, target) = (NetworkProtocol::Connect, target.to_owned());
        NetworkAttempt { protocol, target, address: None, end, why: String::new(), count: 1 }
    }

    #[test]
    fn a_loop_of_a_million_attempts_is_one_entry() {
        let mut network = Network::default();
        assert!(note(&mut network, attempt("a:1", NetworkEnd::Refused)));
        assert!(note(&mut network, attempt("a:1", NetworkEnd::Connected)));
        for _ in 1..1_000_000 {
            assert!(!note(&mut network, attempt("a:1", NetworkEnd::Refused)));
        }
        let counts: Vec<u64> = network.attempts.iter().map(|attempt| attempt.count).collect();
        assert_eq!((counts, network.unlisted), (vec![1_000_000, 1], 0));
    }

    #[test]
    fn a_list_is_no_longer_than_its_limit_and_counts_the_rest() {
        let mut network = Network::default();
        for number in 0..10_000 {
            note(&mut network, attempt(&format!("a{number}:1"), NetworkEnd::Refused));
        }
        assert_eq!((network.attempts.len(), network.unlisted), (NETWORK_ATTEMPTS_MAX, 10_000 - 64));
        assert!(!note(&mut network, attempt("a3:1", NetworkEnd::Refused)), "what is listed is still counted there");
        assert_eq!((network.attempts[3].count, network.unlisted), (2, 10_000 - 64));
    }
}

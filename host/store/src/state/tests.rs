//! State of plugins.

use super::*;

const QUOTA: StateQuota = StateQuota { entries: 2, bytes: 20 };

#[test]
fn state_is_apart_for_each_use_and_stays_within_its_quota() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    store.set_state("chat", "k1", b"12345678", QUOTA).unwrap();
    store.set_state("chat", "k2", b"12345678", QUOTA).unwrap();
    store.set_state("chat2", "k1", b"other", QUOTA).unwrap();
    assert_eq!(store.state_usage("chat").unwrap(), StateUsage { entries: 2, bytes: 20 });

    let error = store.set_state("chat", "k3", b"", QUOTA).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the state of chat would hold 3 entries and 22 bytes and may hold 2 and 20; delete what is no longer needed"
    );
    assert!(matches!(store.set_state("chat", "k2", b"123456789", QUOTA), Err(StateError::Full { .. })));
    assert_eq!(store.state("chat", "k2").unwrap().as_deref(), Some(&b"12345678"[..]));
    store.set_state("chat", "k2", b"x", QUOTA).unwrap();
    assert_eq!(store.state_usage("chat").unwrap(), StateUsage { entries: 2, bytes: 13 });

    assert_eq!(store.state_keys("chat").unwrap(), ["k1", "k2"]);
    assert!(store.delete_state("chat", "k1").unwrap());
    assert!(!store.delete_state("chat", "k1").unwrap());
    assert_eq!(store.state_usage("chat").unwrap(), StateUsage { entries: 1, bytes: 3 });
    store.clear_state("chat").unwrap();
    assert_eq!(store.state_usage("chat").unwrap(), StateUsage::default());
    assert_eq!(store.state("chat", "k2").unwrap(), None);
    assert_eq!(store.state("chat2", "k1").unwrap().as_deref(), Some(&b"other"[..]));
}

#[test]
fn a_quota_that_was_lowered_still_lets_a_value_shrink() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    store.set_state("chat", "k", &[0; 19], QUOTA).unwrap();
    let lower = StateQuota { entries: 1, bytes: 5 };
    store.set_state("chat", "k", &[0; 10], lower).unwrap();
    assert!(store.set_state("chat", "k", &[0; 11], lower).is_err());
}

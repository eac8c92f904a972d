//! Users, tokens, sessions.

use tempfile::TempDir;

use super::*;
use crate::samples::*;

fn open() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    (directory, store)
}

#[test]
fn a_user_goes_with_sessions_and_tokens_and_leaves_those_of_others() {
    let (_directory, store) = open();
    let of_bob = Session { user: "bob".to_owned(), ..session(2) };
    // A worker that happens to have the name of the user.
    let of_worker = Token { holder: "ann".to_owned(), ..worker_token() };
    store.put_user(&user("bob")).unwrap();
    store.put_user(&user("ann")).unwrap();
    store.put_session(&session(1)).unwrap();
    store.put_session(&of_bob).unwrap();
    store.put_token(&user_token()).unwrap();
    store.put_token(&of_worker).unwrap();
    assert_eq!(store.users().unwrap(), [user("ann"), user("bob")]);
    assert_eq!(store.tokens().unwrap(), [user_token(), of_worker.clone()]);
    assert_eq!(store.sessions_of("ann").unwrap(), [session(1)]);

    assert!(store.delete_user("ann").unwrap());
    assert!(!store.delete_user("ann").unwrap());
    assert_eq!(store.user("ann").unwrap(), None);
    assert_eq!(store.user("bob").unwrap(), Some(user("bob")));
    assert_eq!(store.session(&session(1).id_sha256).unwrap(), None);
    assert_eq!(store.session(&of_bob.id_sha256).unwrap(), Some(of_bob));
    assert_eq!(store.token_by_secret(&user_token().secret_sha256).unwrap(), None);
    assert_eq!(store.tokens().unwrap(), [of_worker]);
}

#[test]
fn a_token_with_a_new_secret_is_not_found_by_the_old_one() {
    let (_directory, store) = open();
    let new = Token { secret_sha256: [9; 32], ..user_token() };
    store.put_token(&user_token()).unwrap();
    store.put_token(&new).unwrap();
    assert_eq!(store.token_by_secret(&user_token().secret_sha256).unwrap(), None);
    assert_eq!(store.token_by_secret(&[9; 32]).unwrap(), Some(new.clone()));
    assert_eq!(store.token("t1").unwrap(), Some(new));
    assert!(store.delete_token("t1").unwrap());
    assert!(!store.delete_token("t1").unwrap());
    assert_eq!(store.token_by_secret(&[9; 32]).unwrap(), None);
}

#[test]
fn expired_sessions_are_collected() {
    let (_directory, store) = open();
    let later = Session { expires_at: Wall(31), ..session(2) };
    store.put_session(&session(1)).unwrap();
    store.put_session(&later).unwrap();
    assert_eq!(store.gc(Wall(29)).unwrap().sessions, 0);
    assert_eq!(store.gc(Wall(30)).unwrap().sessions, 1);
    assert_eq!(store.sessions_of("ann").unwrap(), std::slice::from_ref(&later));
    assert!(store.delete_session(&later.id_sha256).unwrap());
    assert!(!store.delete_session(&later.id_sha256).unwrap());
}

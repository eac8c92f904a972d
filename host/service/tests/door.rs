//! Who gets in, and what they may ask.

#[path = "fake/house.rs"]
mod house;

use house::{House, NOON};
use http::{HeaderMap, HeaderValue, Method, header};
use stampmill_model::{BuildId, Wall};
use stampmill_service::password::Password;
use stampmill_service::*;
use stampmill_store::Session;

const PEER: Peer =
    Peer::Tcp(std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 9)), 4000));

fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
}

fn bearer(secret: &str) -> HeaderMap {
    headers(&[(header::AUTHORIZATION, &format!("Bearer {secret}"))])
}

#[tokio::test]
async fn a_token_gives_its_role_until_it_is_revoked() {
    let house = House::new(Access::default());
    let secret = house.token(Role::Operator);
    let who = house.service.identify(PEER, &bearer(&secret)).unwrap();
    assert_eq!(who.role(), Some(Role::Operator));
    assert_eq!(who.name(), "operator");

    let accounts = house.accounts.clone();
    let id = accounts.tokens().unwrap().remove(0).id;
    accounts.revoke_token(&id).unwrap();
    assert!(matches!(house.service.identify(PEER, &bearer(&secret)), Err(ServiceError::BadToken)));
    assert!(matches!(accounts.revoke_token(&id), Err(ServiceError::Unknown(_))));
}

#[tokio::test]
async fn a_wrong_token_never_falls_back_to_a_cookie() {
    let house = House::new(Access::default());
    let (cookie, _) = house.log_in(Role::Admin).await;
    let both = headers(&[(header::AUTHORIZATION, "Bearer smt_wrong"), (header::COOKIE, &cookie)]);
    assert!(matches!(house.service.identify(PEER, &both), Err(ServiceError::BadToken)));
    let odd = headers(&[(header::AUTHORIZATION, "Basic YTpi"), (header::COOKIE, &cookie)]);
    assert!(matches!(house.service.identify(PEER, &odd), Err(ServiceError::BadToken)));
}

#[tokio::test]
async fn a_token_gives_no_more_than_its_user_has_now_and_ends_with_the_user() {
    let house = House::new(Access::default());
    let accounts = house.accounts.clone();
    accounts.add_user("ann", &Password::parse("correct horse".into()).unwrap(), Role::Developer).unwrap();
    let (_, secret) = accounts.add_token("laptop", "ann", Role::Admin, None).unwrap();
    let role = |service: &Service| service.identify(PEER, &bearer(secret.reveal())).map(|who| who.role());
    assert_eq!(role(&house.service).unwrap(), Some(Role::Developer));
    accounts.set_role("ann", Role::Viewer).unwrap();
    assert_eq!(role(&house.service).unwrap(), Some(Role::Viewer));
    accounts.delete_user("ann").unwrap();
    assert!(role(&house.service).is_err());
}

#[tokio::test]
async fn a_workers_token_opens_no_door_and_a_users_token_is_no_worker() {
    let house = House::new(Access::default());
    let accounts = house.accounts.clone();
    let (_, first) = accounts.add_worker_token(&"w1".into()).unwrap();
    assert!(house.service.identify(PEER, &bearer(first.reveal())).is_err());
    assert_eq!(accounts.worker_of(first.reveal()).unwrap(), Some("w1".into()));
    assert_eq!(accounts.worker_of(&house.token(Role::Admin)).unwrap(), None);

    let (_, second) = accounts.add_worker_token(&"w1".into()).unwrap();
    assert_eq!(accounts.worker_of(first.reveal()).unwrap(), None, "the new token ends the old one");
    assert_eq!(accounts.worker_of(second.reveal()).unwrap(), Some("w1".into()));
}

#[tokio::test]
async fn an_ended_token_is_refused() {
    let house = House::new(Access::default());
    let (_, secret) =
        house.accounts.clone().add_token("short", "short", Role::Admin, Some(std::time::Duration::ZERO)).unwrap();
    assert!(matches!(house.service.identify(PEER, &bearer(secret.reveal())), Err(ServiceError::BadToken)));
}

#[tokio::test]
async fn a_login_gives_a_session_that_ends_with_logout_password_change_and_time() {
    let house = House::new(Access { https: true, ..Access::default() });
    let (cookie, csrf) = house.log_in(Role::Developer).await;
    let session = headers(&[(header::COOKIE, &format!("other=1; {cookie}"))]);
    let who = house.service.identify(PEER, &session).unwrap();
    assert_eq!((who.name(), who.role()), ("developer", Some(Role::Developer)));
    assert!(!csrf.is_empty() && !cookie.contains(&csrf));

    let forget = house.service.log_out(&session).await.unwrap();
    assert!(forget.contains("Max-Age=0"), "{forget}");
    assert_eq!(house.service.identify(PEER, &session).unwrap().role(), None);

    let set = house.service.log_in("developer", "correct horse".into(), PEER).await.unwrap();
    for part in ["; Path=/", "; HttpOnly", "; SameSite=Lax", "; Secure"] {
        assert!(set.contains(part), "{set}");
    }
    let session = headers(&[(header::COOKIE, set.split(';').next().unwrap())]);
    assert!(house.service.identify(PEER, &session).unwrap().role().is_some());
    house.accounts.clone().set_password("developer", &Password::parse("another horse".into()).unwrap()).unwrap();
    assert_eq!(house.service.identify(PEER, &session).unwrap().role(), None);

    let ended = Session {
        id_sha256: secret::hash_of("old"),
        user: "developer".into(),
        csrf_token: "x".into(),
        created_at: Wall(0),
        expires_at: Wall(NOON),
    };
    house.store.put_session(&ended).unwrap();
    let old = headers(&[(header::COOKIE, "stampmill_session=old")]);
    assert_eq!(house.service.identify(PEER, &old).unwrap().role(), None);
    house.store.put_session(&Session { expires_at: Wall(u64::MAX), ..ended }).unwrap();
    assert_eq!(house.service.identify(PEER, &old).unwrap().role(), Some(Role::Developer));
}

#[tokio::test]
async fn too_many_wrong_passwords_close_the_login_even_for_the_right_one() {
    let house = House::new(Access::default());
    house.log_in(Role::Viewer).await;
    for _ in 0..limits::LOGIN_FAILURES_OF_NAME_MAX {
        let wrong = house.service.log_in("viewer", "wrong horse".into(), PEER).await;
        assert!(matches!(wrong, Err(ServiceError::WrongPassword)), "{wrong:?}");
    }
    let right = house.service.log_in("viewer", "correct horse".into(), PEER).await;
    assert!(matches!(right, Err(ServiceError::TooManyLogins)), "{right:?}");
}

#[tokio::test]
async fn a_form_needs_its_sessions_token_and_our_own_origin() {
    let house = House::new(Access::default());
    let (cookie, csrf) = house.log_in(Role::Admin).await;
    let own =
        headers(&[(header::COOKIE, &cookie), (header::HOST, "ci.example"), (header::ORIGIN, "http://ci.example")]);
    let evil =
        headers(&[(header::COOKIE, &cookie), (header::HOST, "ci.example"), (header::ORIGIN, "http://evil.example")]);
    let who = house.service.identify(PEER, &own).unwrap();
    assert!(house.service.check_origin(&who, &Method::POST, &own).is_ok());
    assert!(house.service.check_origin(&who, &Method::POST, &evil).is_err());
    assert!(house.service.check_origin(&who, &Method::GET, &evil).is_ok());
    assert!(house.service.check_csrf(&who, &csrf).is_ok());
    assert!(house.service.check_csrf(&who, "").is_err());
    assert!(house.service.check_csrf(&who, &csrf[1..]).is_err());
    let token = house.service.identify(PEER, &bearer(&house.token(Role::Admin))).unwrap();
    assert!(house.service.check_origin(&token, &Method::POST, &HeaderMap::new()).is_ok());
}

#[tokio::test]
async fn asks_name_who_asks_and_never_reach_the_host_without_the_role() {
    let house = House::new(Access { reading_open: true, ..Access::default() });
    let viewer = house.service.identify(PEER, &bearer(&house.token(Role::Viewer))).unwrap();
    let refused = house.service.cancel_build(&viewer, BuildId(2), String::new()).await;
    assert!(matches!(refused, Err(ServiceError::RoleTooLow { .. })), "{refused:?}");
    assert!(house.service.rebuild(&viewer, BuildId(1)).await.is_err());
    assert!(house.service.reload(&viewer).await.is_err());
    assert_eq!(house.host.asked(), (vec![], vec![]));

    house.service.cancel_build(&Identity::AdminSocket, BuildId(2), "too slow".into()).await.unwrap();
    let reason = "cancelled by administrator: too slow".to_owned();
    assert_eq!(house.host.asked().0, [Ask::CancelBuild { build: BuildId(2), reason }]);
}

#[tokio::test]
async fn nonsense_never_reaches_the_host() {
    let house = House::new(Access::default());
    let who = Identity::AdminSocket;
    let force = |ask: ForceAsk| house.service.force(&who, ask);
    let branch = |text: &str| stampmill_service::SourceChoice {
        branch: Some(text.into()),
        ..stampmill_service::SourceChoice::default()
    };
    let linux = || ForceAsk { builder: Some("linux".into()), ..ForceAsk::default() };
    let error = force(ForceAsk { builder: Some("linus".into()), ..ForceAsk::default() }).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no builder `linus`; did you mean `linux`?");
    assert!(force(ForceAsk::default()).await.is_err());
    assert!(force(ForceAsk { only: branch("a\nb"), ..linux() }).await.is_err());
    assert!(force(ForceAsk { worker: Some("w9".into()), ..linux() }).await.is_err());
    assert!(force(ForceAsk { reason: "x".repeat(5000), ..linux() }).await.is_err());
    assert!(force(ForceAsk { properties: [(String::new(), 1.into())].into(), ..linux() }).await.is_err());
    assert!(house.service.cancel_build(&who, BuildId(99), String::new()).await.is_err());
    assert!(house.service.poll_now(&who, "apq").await.is_err());
    assert_eq!(house.host.asked(), (vec![], vec![]));

    force(ForceAsk { only: branch("$(touch x)"), ..linux() }).await.unwrap();
    let asked = house.host.asked().0;
    let [Ask::Force(sent)] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(sent.stamps["app"].branch.as_deref(), Some("$(touch x)"), "the only codebase is found by itself");
    assert_eq!(sent.owner, "administrator");
}

#[tokio::test]
async fn a_name_that_does_not_fit_is_refused_and_a_doubled_user_too() {
    let house = House::new(Access::default());
    let accounts = house.accounts.clone();
    let password = Password::parse("correct horse".into()).unwrap();
    for bad in ["", " ann", "a/b", "a\nb", &"x".repeat(101)] {
        assert!(matches!(accounts.add_user(bad, &password, Role::Viewer), Err(ServiceError::Invalid(_))), "{bad:?}");
    }
    accounts.add_user("ann", &password, Role::Viewer).unwrap();
    assert!(matches!(accounts.add_user("ann", &password, Role::Admin), Err(ServiceError::Conflict(_))));
    assert_eq!(accounts.users().unwrap()[0].role, Role::Viewer);
}

#[tokio::test]
async fn a_revocation_is_felt_although_whoever_asked_for_it_has_gone_away() {
    let house = House::new(Access::default());
    house.token(Role::Viewer);
    let id = house.accounts.tokens().unwrap().remove(0).id;
    let mut ends = house.accounts.ends();
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let (go_on, may_go_on) = std::sync::mpsc::channel();
    let revoking = house.service.accounts(&Identity::AdminSocket, Action::ManageTokens, move |accounts| {
        begun.send(()).unwrap();
        may_go_on.recv().unwrap();
        accounts.revoke_token(&id)
    });
    tokio::select! {
        _ = revoking => panic!("it can't be done already"),
        begun = has_begun => begun.unwrap(),
    }
    assert!(!ends.has_changed().unwrap());
    go_on.send(()).unwrap();
    let patience = std::time::Duration::from_secs(60);
    tokio::time::timeout(patience, ends.changed()).await.expect("nobody is told").unwrap();
    assert!(house.accounts.tokens().unwrap().is_empty());
}

#[test]
fn who_is_new_ends_no_right_and_a_worker_token_that_replaces_another_does() {
    let house = House::new(Access::default());
    let ends = house.accounts.ends();
    house.accounts.add_user("ann", &Password::parse("correct horse".into()).unwrap(), Role::Viewer).unwrap();
    house.accounts.add_token("new", "ann", Role::Viewer, None).unwrap();
    house.accounts.add_worker_token(&"w1".into()).unwrap();
    house.accounts.add_another_worker_token(&"w1".into()).unwrap();
    house.accounts.revoke_token("nothing").unwrap_err();
    house.accounts.delete_user("nobody").unwrap_err();
    assert!(!ends.has_changed().unwrap());
    house.accounts.add_worker_token(&"w1".into()).unwrap();
    assert!(ends.has_changed().unwrap());
    assert_eq!(house.accounts.tokens().unwrap().len(), 2, "both earlier ones have ended");
}

//! Every route has a permission, and without it nothing happens.

use axum::http::StatusCode;
use stampmill_api::routes::{Route, Verb, routes};
use stampmill_service::{Access, Action, Peer, Permission, Role};

use super::call::{Call, call, message};
use crate::house::House;

fn address(route: &Route) -> String {
    let name = match route.path {
        path if path.contains("change-sources") => "app",
        path if path.contains("schedulers") => "force",
        path if path.contains("workers") => "w1",
        path if path.contains("users") => "nobody",
        _ => "linux",
    };
    let path = route.path.replace("{name}", name).replace("{id}", "2").replace("{number}", "1");
    path.replace("{step}", "1").replace("{log}", "stdio").replace("{source}", "forge").replace("{who}", "1")
}

fn to(route: &Route) -> Call {
    let call = call(route.verb.as_str(), &address(route));
    if route.verb == Verb::Get { call } else { call.json("{}") }
}

const TURNED_AWAY: [StatusCode; 2] = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];

#[tokio::test]
async fn without_its_permission_no_route_answers_and_the_host_is_not_asked() {
    let house = House::new(Access::default());
    let tokens = Role::ALL.map(|role| (role, house.token(role)));
    for route in routes() {
        let Permission::Needs(action) = route.permission else { continue };
        let place = format!("{} {}", route.verb.as_str(), route.path);
        let (status, body) = to(&route).value(&house).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{place}");
        assert!(message(&body).contains("login"), "{place}: {body}");
        let (status, _) = to(&route).bearer("smt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").value(&house).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{place} with a wrong token");
        for (role, token) in &tokens {
            house.host.asked();
            let status = to(&route).bearer(token).open(&house).await.status();
            if *role < action.least_role() {
                assert_eq!(status, StatusCode::FORBIDDEN, "{place} as {role}");
                assert_eq!(house.host.asked(), (vec![], vec![]), "{place} as {role}");
            } else {
                assert!(
                    !TURNED_AWAY.contains(&status) && status != StatusCode::INTERNAL_SERVER_ERROR,
                    "{place} as {role}: {status}"
                );
            }
        }
    }
}

#[tokio::test]
async fn what_changes_something_needs_more_than_reading() {
    for route in routes() {
        let place = format!("{} {}", route.verb.as_str(), route.path);
        match route.permission {
            Permission::Needs(Action::Read) => assert_eq!(route.verb, Verb::Get, "{place}"),
            Permission::Needs(_) => {}
            Permission::Open => {
                assert_eq!(route.verb, Verb::Get, "{place}");
                assert!(["/healthz", "/api/v1/openapi.json"].contains(&route.path), "{place}");
            }
            Permission::CheckedByPlugin => assert!(route.path.starts_with("/hooks/"), "{place}"),
        }
    }
}

#[tokio::test]
async fn a_cross_site_request_with_a_login_is_refused() {
    let house = House::new(Access::default());
    let (cookie, csrf) = house.log_in(Role::Admin).await;
    for route in
        routes().into_iter().filter(|route| route.verb != Verb::Get && route.permission != Permission::CheckedByPlugin)
    {
        let place = format!("{} {}", route.verb.as_str(), route.path);
        let with_cookie = || to(&route).header("cookie", &cookie).header("host", "ci.example");
        let own = || with_cookie().header("origin", "http://ci.example");
        for bad in [
            with_cookie().header("x-stampmill-csrf", &csrf),
            with_cookie().header("x-stampmill-csrf", &csrf).header("origin", "http://evil.example"),
            with_cookie().header("x-stampmill-csrf", &csrf).header("sec-fetch-site", "cross-site"),
            own(),
            own().header("x-stampmill-csrf", "wrong"),
        ] {
            let (status, body) = bad.value(&house).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{place}: {body}");
            assert_eq!(body["error"]["code"], "cross-site", "{place}");
        }
        assert_eq!(house.host.asked(), (vec![], vec![]), "{place}");
        let status = own().header("x-stampmill-csrf", &csrf).open(&house).await.status();
        assert!(!TURNED_AWAY.contains(&status), "{place}: {status}");
        house.host.asked();
    }
}

#[tokio::test]
async fn reading_is_open_on_loopback_but_not_to_a_page_that_points_its_name_there() {
    let house = House::new(Access { reading_open: true, ..Access::default() });
    for (host, expected) in [
        ("127.0.0.1:8010", StatusCode::OK),
        ("localhost", StatusCode::OK),
        ("evil.example:8010", StatusCode::UNAUTHORIZED),
    ] {
        let status = call("GET", "/api/v1/builds").header("host", host).open(&house).await.status();
        assert_eq!(status, expected, "{host}");
    }
    let (status, _) =
        call("POST", "/api/v1/builds/2/cancel").header("host", "127.0.0.1").json("{}").value(&house).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let (status, _) = call("GET", "/api/v1/users").header("host", "127.0.0.1").value(&house).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_administrators_socket_needs_no_token_and_an_unknown_peer_gets_nothing() {
    let house = House::new(Access::default());
    let (status, who) = call("GET", "/api/v1/whoami").from(Some(Peer::AdminSocket)).value(&house).await;
    assert_eq!((status, who["role"].as_str()), (StatusCode::OK, Some("admin")));
    assert_eq!(who["title"], "Mill & <i>Co", "the host says what it is called");
    let (status, _) = call("GET", "/api/v1/whoami").from(None).value(&house).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn a_token_made_by_the_api_works_until_it_is_revoked() {
    let house = House::new(Access::default());
    let admin = house.token(Role::Admin);
    let body = r#"{"name": "ci", "role": "developer", "days": 1}"#;
    let (status, made) = call("POST", "/api/v1/tokens").bearer(&admin).json(body).value(&house).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with("smt_"));
    let (_, who) = call("GET", "/api/v1/whoami").bearer(secret).value(&house).await;
    assert_eq!((who["name"].as_str(), who["role"].as_str()), (Some("ci"), Some("developer")));
    let (_, list) = call("GET", "/api/v1/tokens").bearer(&admin).value(&house).await;
    assert!(!list.to_string().contains(secret), "a list shows no secret");
    let path = format!("/api/v1/tokens/{}", made["token"]["id"].as_str().unwrap());
    assert_eq!(call("DELETE", &path).bearer(&admin).open(&house).await.status(), StatusCode::OK);
    assert_eq!(call("GET", "/api/v1/whoami").bearer(secret).open(&house).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_user_made_by_the_api_can_be_changed_and_removed() {
    let house = House::new(Access::default());
    let admin = house.token(Role::Admin);
    let add = |body: &str| call("POST", "/api/v1/users").bearer(&admin).json(body);
    let (status, user) = add(r#"{"name": "ann", "password": "correct horse", "role": "viewer"}"#).value(&house).await;
    assert_eq!((status, user["role"].as_str()), (StatusCode::CREATED, Some("viewer")));
    let (status, _) = add(r#"{"name": "ann", "password": "correct horse", "role": "viewer"}"#).value(&house).await;
    assert_eq!(status, StatusCode::CONFLICT);
    let (status, body) = add(r#"{"name": "bob", "password": "short", "role": "viewer"}"#).value(&house).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(message(&body).contains("shorter than 8"), "{body}");
    let (status, _) = add(r#"{"name": "bob", "password": "correct horse", "role": "root"}"#).value(&house).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let patch = |body: &str| call("PATCH", "/api/v1/users/ann").bearer(&admin).json(body);
    assert_eq!(patch(r#"{"role": "operator"}"#).open(&house).await.status(), StatusCode::OK);
    assert_eq!(patch("{}").open(&house).await.status(), StatusCode::BAD_REQUEST);
    let (_, users) = call("GET", "/api/v1/users").bearer(&admin).value(&house).await;
    assert_eq!(users["items"][0]["role"], "operator");
    assert!(!users.to_string().contains("argon2"), "a list shows no hash");
    assert_eq!(call("DELETE", "/api/v1/users/ann").bearer(&admin).open(&house).await.status(), StatusCode::OK);
    assert_eq!(call("DELETE", "/api/v1/users/ann").bearer(&admin).open(&house).await.status(), StatusCode::NOT_FOUND);
}

//! Logs and events.

use std::sync::Arc;
use std::time::Duration;

use axum::body::BodyDataStream;
use axum::http::StatusCode;
use futures_util::StreamExt as _;
use stampmill_model::BuildId;
use stampmill_service::password::Password;
use stampmill_service::{Access, Event, Peer, Role};

use super::call::{Call, call};
use crate::house::{House, frame};

/// Who takes this long hangs.
const PATIENCE: Duration = Duration::from_secs(60);

fn house() -> House {
    House::new(Access { reading_open: true, ..Access::default() })
}

fn get(path: &str) -> Call {
    call("GET", path).header("host", "localhost")
}

const LOG: &str = "/api/v1/builds/1/steps/1/logs/stdio";

#[tokio::test]
async fn a_log_is_served_by_range_by_tail_and_whole() {
    let house = house();
    let text = async |query: &str| {
        let (status, headers, body) = get(&format!("{LOG}{query}")).answer(&house).await;
        assert_eq!(status, StatusCode::OK, "{query}");
        assert_eq!(headers["content-type"], "text/plain; charset=utf-8");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(
            (&headers["x-log-lines"], &headers["x-log-complete"]),
            (&"1000".parse().unwrap(), &"true".parse().unwrap())
        );
        (headers, String::from_utf8(body).unwrap())
    };
    let (headers, part) = text("?first=999&count=1").await;
    assert_eq!((part.as_str(), &headers["x-log-first"]), ("line 999\n", &"999".parse().unwrap()));
    let (headers, tail) = text("?tail=2").await;
    assert_eq!(tail, "line 999\n\u{1b}[31merror\u{1b}[0m: <b>bold</b> & so on");
    assert_eq!((&headers["x-log-first"], &headers["x-log-count"]), (&"999".parse().unwrap(), &"2".parse().unwrap()));
    assert_eq!(text("?first=5000&count=10").await.1, "");
    let whole = text("").await.1;
    assert!(whole.starts_with("line 1\nline 2\n") && whole.ends_with(&tail));
}

#[tokio::test]
async fn a_whole_log_goes_out_as_it_is_stored_to_who_takes_it_so() {
    let house = house();
    let plain = get(LOG).answer(&house).await.2;
    for (takes, zstd) in [
        ("gzip, deflate, br, zstd", true),
        ("gzip;q=1.0, ZSTD; q=0.5", true),
        ("zstd;q=0", false),
        ("zstd;Q=0.0", false),
        ("zstd;x=1", false),
        ("zstdd, gzip, *", false),
        ("", false),
    ] {
        let (status, headers, body) = get(LOG).header("accept-encoding", takes).answer(&house).await;
        assert_eq!((status, &headers["vary"]), (StatusCode::OK, &"accept-encoding".parse().unwrap()), "{takes}");
        assert_eq!(headers.get("content-encoding"), zstd.then(|| "zstd".parse().unwrap()).as_ref(), "{takes}");
        let text = if zstd { zstd::decode_all(body.as_slice()).unwrap() } else { body };
        assert_eq!(text, plain, "{takes}");
    }
    let (_, headers, _) = get(&format!("{LOG}?tail=2")).header("accept-encoding", "zstd").answer(&house).await;
    assert_eq!(headers.get("content-encoding"), None, "a part is cut from within");
}

#[tokio::test]
async fn a_log_without_a_line_is_empty_and_not_missing() {
    let house = house();
    for query in ["", "?tail=5", "?first=1&count=5"] {
        let (status, headers, body) = get(&format!("/api/v1/builds/1/steps/1/logs/empty{query}")).answer(&house).await;
        assert_eq!(
            (status, body.len(), &headers["x-log-lines"]),
            (StatusCode::OK, 0, &"0".parse().unwrap()),
            "{query}"
        );
    }
    let (_, logs) = get("/api/v1/builds/1/logs").value(&house).await;
    assert_eq!(logs["items"].as_array().unwrap().len(), 3);
}

/// The next event of a stream that is no comment.
async fn next(stream: &mut BodyDataStream) -> Option<String> {
    let next = async {
        loop {
            let piece = stream.next().await?.expect("the stream does not break");
            let text = String::from_utf8(piece.to_vec()).expect("events are UTF-8");
            if !text.starts_with(':') {
                return Some(text);
            }
        }
    };
    tokio::time::timeout(PATIENCE, next).await.expect("the stream neither tells anything nor ends")
}

#[tokio::test]
async fn a_followed_log_gives_whole_lines_as_they_come_and_then_ends() {
    let house = house();
    let path = "/api/v1/builds/2/steps/1/logs/stdio/follow?from=2";
    let answer = get(path).open(&house).await;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut stream = answer.into_body().into_data_stream();
    assert_eq!(next(&mut stream).await.unwrap(), "event: hello\ndata: {}\n\n");
    assert_eq!(
        next(&mut stream).await.unwrap(),
        "event: lines\nid: 4\ndata: {\"first\":2,\"lines\":[\"two\",\"\u{fffd}\"]}\n\n"
    );

    house.store.logs().append(BuildId(2), &[frame(1, 1, 3, b"ne\nlast")]).unwrap();
    house
        .host
        .events
        .send(Arc::new(Event::LogGrew { build: BuildId(2), step: 1, log: "stdio".into(), lines: 4 }))
        .unwrap();
    assert_eq!(
        next(&mut stream).await.unwrap(),
        "event: lines\nid: 5\ndata: {\"first\":4,\"lines\":[\"half a line\"]}\n\n"
    );

    house.store.logs().finish(BuildId(2), None).unwrap();
    let ended = Event::BuildChanged { id: BuildId(2), builder: "linux".into(), project: "app".into(), finished: true };
    house.host.events.send(Arc::new(ended)).unwrap();
    assert_eq!(next(&mut stream).await.unwrap(), "event: lines\nid: 6\ndata: {\"first\":5,\"lines\":[\"last\"]}\n\n");
    assert_eq!(next(&mut stream).await.unwrap(), "event: end\ndata: {}\n\n");
    assert_eq!(next(&mut stream).await, None);

    let mut again = get(path).header("last-event-id", "6").open(&house).await.into_body().into_data_stream();
    assert!(next(&mut again).await.unwrap().contains("hello"));
    assert_eq!(
        next(&mut again).await.unwrap(),
        "event: end\ndata: {}\n\n",
        "a browser that comes back goes on where it was"
    );
}

#[tokio::test]
async fn a_log_that_is_not_there_is_not_followed() {
    let house = house();
    for (path, status) in [
        ("/api/v1/builds/2/steps/1/logs/nothing/follow", StatusCode::NOT_FOUND),
        ("/api/v1/builds/2/steps/1/logs/stdio/follow?from=0", StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(get(path).open(&house).await.status(), status, "{path}");
    }
}

#[tokio::test]
async fn events_are_told_to_those_who_want_them() {
    let house = house();
    let mut all = get("/api/v1/events").open(&house).await.into_body().into_data_stream();
    let mut of_build = get("/api/v1/events?build=2").open(&house).await.into_body().into_data_stream();
    for stream in [&mut all, &mut of_build] {
        assert!(next(stream).await.unwrap().contains("hello"));
    }
    for event in [
        Event::LogGrew { build: BuildId(2), step: 1, log: "stdio".into(), lines: 4 },
        Event::WorkerChanged { worker: "w1".into() },
        Event::BuildChanged { id: BuildId(2), builder: "linux".into(), project: "app".into(), finished: false },
    ] {
        house.host.events.send(Arc::new(event)).unwrap();
    }
    let build = "event: build\ndata: {\"id\":2,\"builder\":\"linux\",\"project\":\"app\",\"finished\":false}\n\n";
    assert_eq!(next(&mut all).await.unwrap(), "event: worker\ndata: {\"name\":\"w1\"}\n\n");
    assert_eq!(next(&mut all).await.unwrap(), build);
    assert_eq!(
        next(&mut of_build).await.unwrap(),
        "event: log\ndata: {\"build\":2,\"step\":1,\"log\":\"stdio\",\"lines\":4}\n\n"
    );
    assert_eq!(next(&mut of_build).await.unwrap(), build);
}

#[tokio::test]
async fn a_watcher_that_was_too_slow_is_told_so() {
    let house = house();
    let mut stream = get("/api/v1/events").open(&house).await.into_body().into_data_stream();
    for _ in 0..20 {
        house.host.events.send(Arc::new(Event::ConfigReloaded)).unwrap();
    }
    assert!(next(&mut stream).await.unwrap().contains("hello"));
    assert_eq!(next(&mut stream).await.unwrap(), "event: lagged\ndata: {\"missed\":4}\n\n");
}

#[tokio::test]
async fn every_stream_ends_with_the_host() {
    let house = house();
    for path in ["/api/v1/events", "/api/v1/events?build=2", "/api/v1/builds/2/steps/1/logs/stdio/follow?from=4"] {
        let mut stream = get(path).open(&house).await.into_body().into_data_stream();
        assert!(next(&mut stream).await.unwrap().contains("hello"), "{path}");
        house.host.ends.send_replace(true);
        assert_eq!(next(&mut stream).await, None, "{path}");
        house.host.ends.send_replace(false);
    }
}

/// A stream of somebody with a token, after its greeting.
async fn watching(house: &House, path: &str, secret: &str) -> BodyDataStream {
    let call = call("GET", path).header("host", "localhost").header("authorization", &format!("Bearer {secret}"));
    let mut stream = call.open(house).await.into_body().into_data_stream();
    assert!(next(&mut stream).await.unwrap().contains("hello"), "{path}");
    stream
}

/// Revokes the only token of this name.
fn revoke(house: &House, name: &str) {
    let token = house.accounts.tokens().unwrap().into_iter().find(|token| token.name == name).unwrap();
    house.accounts.revoke_token(&token.id).unwrap();
}

const GROWING: &str = "/api/v1/builds/2/steps/1/logs/stdio/follow?from=4";

#[tokio::test]
async fn attack_18_a_stream_ends_with_its_owners_right_and_no_other_does() {
    let house = house();
    for path in ["/api/v1/events", GROWING] {
        let (gone, other) = (house.token(Role::Viewer), house.token(Role::Operator));
        let mut stream = watching(&house, path, &gone).await;
        let mut others = watching(&house, "/api/v1/events", &other).await;
        // Who is new takes nothing from anybody.
        house.accounts.add_token("new", "new", Role::Viewer, None).unwrap();
        revoke(&house, "viewer");
        assert_eq!(next(&mut stream).await, None, "{path}");
        house.host.events.send(Arc::new(Event::ConfigReloaded)).unwrap();
        assert_eq!(next(&mut others).await.unwrap(), "event: config\ndata: {}\n\n", "{path}");
        revoke(&house, "operator");
        assert_eq!(next(&mut others).await, None, "{path}");
        revoke(&house, "new");
    }
}

#[tokio::test]
async fn attack_18_a_slow_watcher_and_a_busy_follower_end_with_their_right_too() {
    let house = house();
    let secret = house.token(Role::Viewer);
    let mut slow = watching(&house, "/api/v1/events", &secret).await;
    // More lines than one event of the stream holds, twice over.
    let mut busy = watching(&house, "/api/v1/builds/1/steps/1/logs/stdio/follow", &secret).await;
    let lines = next(&mut busy).await.unwrap();
    assert!(lines.contains("\"line 1\"") && !lines.contains("\"line 900\""), "there is more to tell");
    revoke(&house, "viewer");
    for _ in 0..20 {
        house.host.events.send(Arc::new(Event::ConfigReloaded)).unwrap();
    }
    assert_eq!(next(&mut slow).await, None, "what it lost is not told either");
    assert_eq!(next(&mut busy).await, None, "lines that are left are not told");
}

#[tokio::test]
async fn attack_18_a_right_that_ends_between_the_guard_and_the_stream_is_noticed() {
    let house = house();
    let secret = house.token(Role::Viewer);
    let headers = [(http::header::AUTHORIZATION, format!("Bearer {secret}").parse().unwrap())];
    let headers: http::HeaderMap = headers.into_iter().collect();
    let peer = Peer::Tcp(([127, 0, 0, 1], 40_000).into());
    let who = house.service.identify(peer, &headers).unwrap();
    revoke(&house, "viewer");
    let over = house.service.watch(&who, peer, headers).unwrap().over;
    tokio::time::timeout(PATIENCE, over).await.expect("the stream goes on");
}

#[tokio::test]
async fn a_stream_ends_at_a_log_out_a_new_password_another_role_and_the_end_of_the_user() {
    let deeds = ["log out", "password", "role", "user"];
    for deed in deeds {
        let house = house();
        let (cookie, _) = house.log_in(Role::Developer).await;
        let call = get("/api/v1/events").header("cookie", &cookie);
        let mut stream = call.open(&house).await.into_body().into_data_stream();
        assert!(next(&mut stream).await.unwrap().contains("hello"), "{deed}");
        match deed {
            "log out" => {
                let headers = [(http::header::COOKIE, cookie.parse().unwrap())].into_iter().collect();
                house.service.log_out(&headers).await.unwrap();
            }
            "password" => {
                let password = Password::parse("another horse".into()).unwrap();
                house.accounts.set_password("developer", &password).unwrap();
            }
            "role" => house.accounts.set_role("developer", Role::Viewer).unwrap(),
            _ => house.accounts.delete_user("developer").unwrap(),
        }
        assert_eq!(next(&mut stream).await, None, "{deed}");
    }
}

//! People: who is known by what, and who may say so.

use axum::http::StatusCode;
use serde_json::{Value, json};
use stampmill_service::{Access, Role};

use super::call::{Call, call, message};
use crate::house::{HOSTILE, House};

fn house() -> House {
    House::new(Access { reading_open: true, ..Access::default() })
}

fn get(path: &str) -> Call {
    call("GET", path).header("host", "localhost")
}

async fn people(house: &House) -> Value {
    get("/api/v1/people").value(house).await.1["items"].clone()
}

#[tokio::test]
async fn the_author_of_a_change_is_a_person_with_their_changes() {
    let house = house();
    let ann = json!({
        "id": 1,
        "name": format!("Ann{HOSTILE}"),
        "attributes": [{ "kind": "email", "value": "ann@example.org" }],
        "since": "2026-03-01T12:00:00.000Z",
        "last_change": { "id": 1, "arrived_at": "2026-03-01T12:00:00.000Z" },
    });
    assert_eq!(people(&house).await, json!([ann]));
    for who in ["1", "ann@example.org", "email:ANN@example.org", "Somebody%20Else%20%3Cann@example.org%3E"] {
        assert_eq!(get(&format!("/api/v1/people/{who}")).value(&house).await, (StatusCode::OK, ann.clone()), "{who}");
        let (status, changes) = get(&format!("/api/v1/changes?person={who}")).value(&house).await;
        assert_eq!((status, &changes["items"][0]["id"]), (StatusCode::OK, &json!(1)), "{who}");
    }
    let (status, nobody) = get("/api/v1/people/ann").value(&house).await;
    assert_eq!(
        (status, message(&nobody)),
        (StatusCode::NOT_FOUND, "nobody is known as `ann`; `stampmill person list` shows who is known by what")
    );
    let (status, mixed) = get("/api/v1/changes?person=1&branch=main").value(&house).await;
    assert_eq!(
        (status, message(&mixed)),
        (StatusCode::BAD_REQUEST, "`person` goes with no other filter; leave those out")
    );
}

#[tokio::test]
async fn a9_02_a_person_is_added_changed_merged_and_forgotten() {
    let house = house();
    let admin = house.token(Role::Admin);
    let ask = |verb: &str, path: &str, body: Value| {
        call(verb, &format!("/api/v1/people{path}")).bearer(&admin).json(&body.to_string())
    };
    let irc = json!({ "kind": "irc", "value": "bob_" });
    let (status, bob) = ask("POST", "", json!({ "name": "Bob", "attributes": [irc] })).value(&house).await;
    assert_eq!((status, &bob["id"], &bob["last_change"]), (StatusCode::CREATED, &json!(2), &Value::Null));
    let svn = json!({ "kind": "svn", "value": "rob" });
    let (status, bob) =
        ask("PATCH", "/irc:bob_", json!({ "name": "Robert", "add": [svn], "remove": [irc] })).value(&house).await;
    assert_eq!((status, &bob["name"], &bob["attributes"]), (StatusCode::OK, &json!("Robert"), &json!([svn])));
    let (status, ann) = ask("POST", "/ann@example.org/merge", json!({ "from": "rob" })).value(&house).await;
    assert_eq!((status, &ann["id"], &ann["attributes"][1]), (StatusCode::OK, &json!(1), &svn));
    assert_eq!(people(&house).await.as_array().unwrap().len(), 1);
    let (status, _) = ask("DELETE", "/rob", json!({})).value(&house).await;
    assert_eq!((status, people(&house).await), (StatusCode::OK, json!([])));
}

#[tokio::test]
async fn what_does_not_fit_a_person_is_refused_with_a_sentence_and_changes_nothing() {
    let house = house();
    let admin = house.token(Role::Admin);
    let ask = |verb: &str, path: &str, body: Value| {
        call(verb, &format!("/api/v1/people{path}")).bearer(&admin).json(&body.to_string())
    };
    let one = |kind: &str, value: &str| json!([{ "kind": kind, "value": value }]);
    let before = people(&house).await;
    for (verb, path, body, status, words) in [
        (
            "POST",
            "",
            json!({ "name": "Eve", "attributes": one("git", "Eve <ann@example.org>") }),
            409,
            "belongs to Ann",
        ),
        ("POST", "", json!({ "name": " " }), 422, "take 1 to 512 bytes"),
        ("POST", "", json!({ "name": "x".repeat(513) }), 422, "take 1 to 512 bytes"),
        ("POST", "", json!({ "name": "Eve", "attributes": one("IRC", "eve") }), 422, "lower-case letters"),
        ("POST", "", json!({ "name": "Eve", "attributes": one("irc", &"x".repeat(513)) }), 422, "take 1 to 512"),
        ("POST", "", json!({ "name": "Eve", "role": "admin" }), 400, "unknown field `role`"),
        ("PATCH", "/1", json!({ "add": one("email", "ann") }), 422, "which is no address"),
        ("PATCH", "/1", json!({ "add": one("user", "nobody") }), 404, "there is no user `nobody`"),
        ("PATCH", "/1", json!({ "remove": one("irc", "ann") }), 404, "has no attribute irc:ann"),
        ("PATCH", "/1", json!({}), 400, "none of `name`, `add` and `remove`"),
        ("PATCH", "/7", json!({ "name": "Eve" }), 404, "nobody is known as `7`"),
        ("POST", "/1/merge", json!({ "from": "1" }), 422, "can't be merged with themselves"),
        ("POST", "/1/merge", json!({ "from": "bob" }), 404, "nobody is known as `bob`"),
        ("DELETE", "/bob", json!({}), 404, "nobody is known as `bob`"),
    ] {
        let (found, answer) = ask(verb, path, body.clone()).value(&house).await;
        assert_eq!(found.as_u16(), status, "{verb} {path} {body}: {answer}");
        assert!(message(&answer).contains(words), "{verb} {path} {body}: {answer}");
    }
    assert_eq!(people(&house).await, before);
}

#[tokio::test]
async fn a_word_that_two_people_are_known_by_in_different_ways_needs_its_kind() {
    let house = house();
    let admin = house.token(Role::Admin);
    for (name, kind) in [("Bob", "irc"), ("Cy", "matrix")] {
        let body = json!({ "name": name, "attributes": [{ "kind": kind, "value": "neo" }] }).to_string();
        let status = call("POST", "/api/v1/people").bearer(&admin).json(&body).open(&house).await.status();
        assert_eq!(status, StatusCode::CREATED);
    }
    let (status, which) = get("/api/v1/people/neo").value(&house).await;
    assert_eq!(
        (status, message(&which)),
        (StatusCode::CONFLICT, "`neo` may be any of the people 2, 3; say which by id, or by KIND:VALUE")
    );
    assert_eq!(get("/api/v1/people/matrix:neo").value(&house).await.1["name"], "Cy");
}

#[tokio::test]
async fn a9_11_a_build_names_whom_its_builder_wants_told_beside_the_blamelist() {
    let house = house();
    let (_, build) = get("/api/v1/builds/1").value(&house).await;
    assert_eq!(build["blamelist"], json!([HOSTILE]));
    assert_eq!(build["interested"], json!([HOSTILE, "Sheriff <sheriff@example.org>"]));
    let (_, builder) = get("/api/v1/builders/linux").value(&house).await;
    assert_eq!(builder["interested"], json!(["Sheriff <sheriff@example.org>", HOSTILE]));
}

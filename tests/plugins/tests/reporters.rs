//! The reporters, against a real listener.

use crate::around::Place;
use crate::around::http::{Answer, Server};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use stampmill_runtime::{BuildFacts, Fault, Occasion, Outcome, PluginError, PluginErrorKind, SourceStamp, StepFacts};
use std::collections::BTreeMap;
use std::time::Duration;

fn build() -> BuildFacts {
    let step = StepFacts {
        name: "compile".to_owned(),
        outcome: Some(Outcome::Failure),
        summary: "make: exit 2".to_owned(),
        log_tails: BTreeMap::new(),
    };
    let stamp = SourceStamp {
        codebase: String::new(),
        repository: "https://git.example/app.git".to_owned(),
        project: String::new(),
        branch: Some("main".to_owned()),
        revision: Some("abc".to_owned()),
        patch: None,
        extra: Vec::new(),
    };
    BuildFacts {
        id: 7,
        number: 3,
        attempt: 1,
        builder: "linux".to_owned(),
        outcome: Some(Outcome::Failure),
        previous_outcome: Some(Outcome::Success),
        blamelist: vec!["Ann <ann@example>".to_owned()],
        interested: vec!["Ann <ann@example>".to_owned(), "sheriff@example".to_owned()],
        properties: BTreeMap::from([("got_revision".to_owned(), json!("abc"))]),
        started_at: 1_700_000_000_000,
        steps: vec![step],
        stamps: vec![stamp],
        ..BuildFacts::default()
    }
}

async fn report(
    place: &Place,
    plugin: &str,
    mut config: Value,
    server: &Server,
    grant: Value,
) -> Result<(), PluginError> {
    config["url"] = json!(format!("{}/hook", server.origin()));
    let mut reporter = place.start(plugin, config, grant).await.unwrap_or_else(|error| panic!("{error}"));
    reporter.report("event-9", 2, Occasion::BuildFinished(build())).await
}

fn fault(reported: Result<(), PluginError>) -> Fault {
    match reported.map_err(|error| *error.kind) {
        Err(PluginErrorKind::Fault(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_event_is_posted_as_json_with_its_id_and_attempt() {
    let server = Server::start(|_| Answer::status(202)).await;
    let grant = json!({"http": [server.origin()]});
    report(&Place::new(), "webhook", json!({"headers": {"x-team": "mill"}}), &server, grant)
        .await
        .expect("it is delivered");
    let [received] = server.received().try_into().expect("one request");
    assert_eq!((received.method.as_str(), received.path.as_str()), ("POST", "/hook"));
    for (name, value) in [
        ("content-type", "application/json"),
        ("x-stampmill-delivery", "event-9"),
        ("x-stampmill-attempt", "2"),
        ("x-stampmill-event", "build-finished"),
        ("x-team", "mill"),
    ] {
        assert_eq!(received.headers.get(name).map(String::as_str), Some(value), "{name}");
    }
    let body: Value = serde_json::from_slice(&received.body).expect("the body is JSON");
    assert_eq!(
        (&body["id"], &body["attempt"], &body["event"]),
        (&json!("event-9"), &json!(2), &json!("build-finished"))
    );
    let build = &body["build"];
    assert_eq!(
        (&build["builder"], &build["result"], &build["previous_result"]),
        (&json!("linux"), &json!("failure"), &json!("success"))
    );
    assert_eq!(build["steps"], json!([{"name": "compile", "result": "failure", "summary": "make: exit 2"}]));
    assert_eq!(build["source_stamps"][0]["branch"], "main");
    assert_eq!((&build["got_revision"], &build["blamelist"]), (&json!("abc"), &json!(["Ann <ann@example>"])));
    assert_eq!(build["interested"], json!(["Ann <ann@example>", "sheriff@example"]));
    assert_eq!(build["finished_at"], Value::Null);
}

#[tokio::test]
async fn a_busy_server_is_tried_again_when_it_says_and_a_refusal_is_not() {
    let busy =
        Server::start(|_| Answer { headers: vec![("retry-after", "120".to_owned())], ..Answer::status(503) }).await;
    let reported = report(&Place::new(), "webhook", json!({}), &busy, json!({"http": [busy.origin()]})).await;
    assert!(
        matches!(fault(reported), Fault::Unavailable { retry_after: Some(wait), .. } if wait == Duration::from_secs(120))
    );
    let gone = Server::start(|_| Answer::status(410)).await;
    let reported = report(&Place::new(), "webhook", json!({}), &gone, json!({"http": [gone.origin()]})).await;
    assert!(matches!(fault(reported), Fault::Refused(reason) if reason.contains("410")));
}

#[tokio::test]
async fn attack_12_a_redirect_is_not_followed() {
    let inner = Server::start(|_| Answer::status(200)).await;
    let target = format!("{}/inner", inner.origin());
    let outer =
        Server::start(move |_| Answer { headers: vec![("location", target.clone())], ..Answer::status(307) }).await;
    let reported = report(&Place::new(), "webhook", json!({}), &outer, json!({"http": [outer.origin()]})).await;
    assert!(matches!(fault(reported), Fault::Refused(reason) if reason.contains("redirect")));
    assert!(inner.received().is_empty());
}

#[tokio::test]
async fn an_origin_that_is_not_granted_is_not_asked() {
    let server = Server::start(|_| Answer::status(200)).await;
    let reported =
        report(&Place::new(), "webhook", json!({}), &server, json!({"http": ["https://other.example"]})).await;
    assert!(matches!(fault(reported), Fault::Refused(_)));
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn the_host_attaches_the_credential() {
    let server = Server::start(|_| Answer::status(200)).await;
    let place = Place::new();
    place.set_secret("api", "t0ken");
    let grant = json!({"http": [server.origin()], "credential": {"api": [server.origin()]}});
    report(&place, "webhook", json!({"credential": "api"}), &server, grant).await.expect("it is delivered");
    assert_eq!(server.received()[0].headers.get("authorization").map(String::as_str), Some("Bearer t0ken"));
}

#[tokio::test]
async fn a_signed_event_can_be_checked_by_its_receiver() {
    let server = Server::start(|_| Answer::status(200)).await;
    let place = Place::new();
    place.set_secret("deploy", "swordfish");
    let grant = json!({"http": [server.origin()], "secret": ["deploy"]});
    report(&place, "signed-webhook", json!({"secret": "deploy"}), &server, grant).await.expect("it is delivered");
    let received = &server.received()[0];
    let mac = Hmac::<Sha256>::new_from_slice(b"swordfish").expect("any length is a key").chain_update(&received.body);
    let expected = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    assert_eq!(received.headers.get("x-stampmill-signature"), Some(&expected));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let place = Place::new();
    // Port 9 of loopback: nobody listens there.
    let config = json!({"url": "http://127.0.0.1:9/hook"});
    let mut reporter =
        place.start("webhook", config, json!({"http": ["http://127.0.0.1:9"]})).await.expect("it starts");
    let reported = reporter.report("event-9", 1, Occasion::BuildFinished(build())).await;
    assert!(matches!(fault(reported), Fault::Unavailable { .. }));
}

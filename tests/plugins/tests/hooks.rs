//! The change sources that are told by HTTP.

use crate::around::Place;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use stampmill_runtime::{HookReply, HookRequest};

const KEY: &str = "swordfish";

fn signature(body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).expect("any length is a key").chain_update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

async fn send(plugin: &str, config: Value, body: &[u8], headers: &[(&str, &str)]) -> HookReply {
    let place = Place::new();
    // As a file has it.
    place.set_secret("key", &format!("{KEY}\n"));
    let mut hook =
        place.start(plugin, config, json!({"secret": ["key"]})).await.unwrap_or_else(|error| panic!("{error}"));
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let request = HookRequest {
        method: "POST".to_owned(),
        path: "/hooks/x".to_owned(),
        query: String::new(),
        headers,
        body: body.to_vec(),
    };
    hook.receive(request).await.unwrap_or_else(|error| panic!("{error}"))
}

fn config() -> Value {
    json!({"secret": "key", "repositories": ["https://git.example/app.git"]})
}

#[tokio::test]
async fn a_signed_delivery_is_taken_and_carries_its_id() {
    let body = br#"{"author": "Ann <ann@example>", "revision": "abc", "branch": "main", "files": ["a.c"], "properties": {"k": [1]}}"#;
    let headers = [("X-Stampmill-Signature", signature(body)), ("X-Stampmill-Delivery", "d-1".to_owned())];
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let reply = send("hook", config(), body, &headers).await;
    assert_eq!((reply.status, reply.delivery.as_deref(), reply.changes.len()), (202, Some("d-1"), 1));
    assert_eq!(reply.changes[0].properties[0].value, json!([1]));
    assert_eq!(reply.changes[0].repository, "https://git.example/app.git");
}

#[tokio::test]
async fn attack_14_what_is_forged_foreign_or_malformed_brings_no_change() {
    let right = br#"{"author": "x"}"#.as_slice();
    let foreign = br#"{"author": "x", "repository": "https://evil.example/x.git"}"#.as_slice();
    let cases: [(&[u8], Option<String>, u16); 5] = [
        (right, None, 401),
        (right, Some(signature(b"other")), 401),
        (right, Some("sha256=zz".to_owned()), 401),
        (b"{", Some(signature(b"{")), 400),
        (foreign, Some(signature(foreign)), 403),
    ];
    for (body, signature, status) in cases {
        let headers: Vec<_> = signature.iter().map(|value| ("X-Stampmill-Signature", value.as_str())).collect();
        let reply = send("hook", config(), body, &headers).await;
        assert_eq!((reply.status, reply.changes.len()), (status, 0), "{}", reply.body);
        assert!(!reply.body.is_empty());
    }
}

#[tokio::test]
async fn a_push_to_github_becomes_changes() {
    let body = json!({
        "ref": "refs/heads/main", "deleted": false,
        "commits": [{"id": "a1", "message": "Fix", "timestamp": "2023-11-14T23:13:20+01:00", "author": {"name": "Ann", "email": "ann@example"},
                     "added": ["n"], "removed": ["r"], "modified": ["m"]}],
        "head_commit": null,
        "repository": {"full_name": "mailinc/mailsuite", "clone_url": "https://github.com/mailinc/mailsuite.git"},
    })
    .to_string();
    let signature = signature(body.as_bytes());
    let headers = [
        ("X-GitHub-Event", "push"),
        ("X-GitHub-Delivery", "72d3"),
        ("X-Hub-Signature-256", &signature),
        ("Content-Type", "application/json"),
    ];
    let config = json!({"secret": "key", "repositories": ["mailinc/mailsuite"]});
    let reply = send("github-hook", config.clone(), body.as_bytes(), &headers).await;
    assert_eq!((reply.status, reply.delivery.as_deref()), (202, Some("72d3")));
    assert_eq!(reply.changes[0].files, ["n", "r", "m"]);
    assert_eq!(reply.changes[0].committed_at, Some(1_700_000_000_000));
    let unsigned = send("github-hook", config, body.as_bytes(), &headers[..2]).await;
    assert_eq!((unsigned.status, unsigned.changes.len()), (401, 0));
}

#[tokio::test]
async fn taking_unsigned_deliveries_has_to_be_said() {
    for plugin in ["hook", "github-hook"] {
        let started = Place::new().start(plugin, json!({"repositories": ["x/y"]}), json!({"secret": ["key"]})).await;
        let error = started.expect_err("it must not start").to_string();
        assert!(error.contains("insecure"), "{error}");
    }
}

#[tokio::test]
async fn without_a_grant_unsigned_deliveries_are_taken_and_signed_ones_can_not_be_checked() {
    let place = Place::new();
    place.set_secret("key", KEY);
    let request = || HookRequest {
        method: "POST".to_owned(),
        path: "/hooks/x".to_owned(),
        query: String::new(),
        headers: Vec::new(),
        body: br#"{"author": "x"}"#.to_vec(),
    };
    let open = json!({"insecure": true, "repositories": ["https://git.example/app.git"]});
    let mut hook = place.start("hook", open, json!({})).await.unwrap_or_else(|error| panic!("{error}"));
    let reply = hook.receive(request()).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((reply.status, reply.changes.len()), (202, 1));
    // The secret is there, and the use has no right to it.
    let mut hook = place.start("hook", config(), json!({})).await.unwrap_or_else(|error| panic!("{error}"));
    let refused = hook.receive(request()).await.expect_err("it is not granted").to_string();
    assert!(
        refused.contains("secret `key` is not granted; the grant `secret = [\"key\"]` would allow it"),
        "{refused}"
    );
}

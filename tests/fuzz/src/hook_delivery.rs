//! Bodies of webhooks, signed and not.

use std::sync::LazyLock;

use stampmill_plugin_github_hook::GithubHook;
use stampmill_plugin_hook::Hook;
use stampmill_sdk::signature::Key;
use stampmill_sdk::{HookReply, HookRequest, Plugin as _, serde_json};

use crate::memory;

const APP: &str = "https://git.example/app.git";
/// How many bytes of memory one byte of JSON may come to: a digit and a comma make a value of 72 bytes, in lists that grow by doubling.
const BYTES_A_BYTE: usize = 240;
/// What an answer holds besides.
const ANSWER_BYTES: usize = 64 << 10;

struct Door {
    own: Hook,
    github: GithubHook,
    key: Key,
    other_key: Key,
}

static DOOR: LazyLock<Door> = LazyLock::new(|| {
    let own = serde_json::json!({"secret": "k", "repositories": [APP, "/srv/git/lib.git"]});
    let github = serde_json::json!({"secret": "k", "repositories": ["octo/app"], "tags": true});
    Door {
        own: Hook::new(serde_json::from_value(own).expect("it is right")).expect("a hook"),
        github: GithubHook::new(serde_json::from_value(github).expect("it is right")).expect("a hook"),
        key: Key::new("k", "swordfish").expect("a key"),
        other_key: Key::new("k", "marlin").expect("a key"),
    }
});

/// Delivers the bytes to both hooks: without a signature, with wrong ones, with the right one.
pub fn run(body: &[u8]) {
    let door = &*DOOR;
    let right = door.key.sign(body);
    let mut changed = body.to_vec();
    changed.push(b' ');
    refused(door, body, None);
    refused(door, body, Some(&door.other_key.sign(body)));
    refused(door, body, Some(&right[..right.len() - 2]));
    refused(door, body, Some(&right.replacen("sha256", "sha1", 1)));
    refused(door, &changed, Some(&right));
    // A sender who signs with what they send.
    let own_words: String = String::from_utf8_lossy(body).chars().filter(|c| !c.is_control()).take(71).collect();
    refused(door, body, Some(&own_words));
    taken(door, body, &right);
}

fn request(body: &[u8], signature: Option<&str>) -> HookRequest {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut headers = vec![header("X-GitHub-Event", "push"), header("content-type", "application/json")];
    if let Some(signature) = signature {
        headers.push(header("x-stampmill-signature", signature));
        headers.push(header("X-Hub-Signature-256", signature));
    }
    HookRequest {
        method: "POST".to_owned(),
        path: "/hooks/app".to_owned(),
        query: String::new(),
        headers,
        body: body.to_vec(),
    }
}

fn refused(door: &Door, body: &[u8], signature: Option<&str>) {
    let request = request(body, signature);
    for reply in [door.own.answer(&request, Some(&door.key)), door.github.answer(&request, Some(&door.key))] {
        assert_eq!((reply.status, reply.changes.len()), (401, 0), "{signature:?}: {}", reply.body);
        assert_eq!(reply.delivery, None, "what nobody signed can't use up the id of a delivery");
    }
}

fn taken(door: &Door, body: &[u8], signature: &str) {
    let request = request(body, Some(signature));
    let most = ANSWER_BYTES + BYTES_A_BYTE * body.len();
    let own = memory::at_most(most, "the hook", || door.own.answer(&request, Some(&door.key)));
    let github = memory::at_most(most, "the hook for GitHub", || door.github.answer(&request, Some(&door.key)));
    for change in &own.changes {
        assert!([APP, "/srv/git/lib.git"].contains(&change.repository.as_str()), "{change:?}");
    }
    // Parts of a push that nobody reads may be what is no text, and then this can't read it.
    if github.status == 202
        && let Ok(sent) = serde_json::from_slice::<serde_json::Value>(body)
    {
        let name = sent["repository"]["full_name"].as_str().unwrap_or_default();
        assert!(name.eq_ignore_ascii_case("octo/app"), "{name:?}");
    }
    for reply in [own, github] {
        sound(&reply);
    }
}

fn sound(reply: &HookReply) {
    assert!([200, 202, 400, 403].contains(&reply.status), "{}: {}", reply.status, reply.body);
    assert!(reply.status == 202 || reply.changes.is_empty(), "{}: {}", reply.status, reply.body);
    assert!(!reply.body.is_empty());
    for setting in reply.changes.iter().flat_map(|change| &change.properties) {
        let value = serde_json::from_str::<serde_json::Value>(&setting.value);
        assert!(value.is_ok(), "property {:?} has the value {:?}", setting.name, setting.value);
    }
}

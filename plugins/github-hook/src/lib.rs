//! The change source `github-hook`: takes pushes from GitHub's webhooks.
//!
//! At GitHub: content type `application/json`, the secret, and the event "push". It checks `X-Hub-Signature-256`; the older SHA-1 header
//! counts for nothing. A push to a branch is one change for each commit; a deleted branch, and events other than `push`, are answered with
//! 200 and taken as nothing. GitHub lists at most 2048 commits of a push. Pull requests are not taken. Needs `grant = { secret = ["github-hook"] }`.

mod config;
mod push;
mod time;

use config::Config;
use push::Pushed;
use stampmill_sdk::signature::Key;
use stampmill_sdk::{ChangeHook, Fault, HookReply, HookRequest, Plugin, log, register, secret};

/// Longest id of a delivery; GitHub's have 36.
const DELIVERY_BYTES: usize = 200;

/// The change source.
#[derive(Debug)]
pub struct GithubHook(Config);

impl Plugin for GithubHook {
    type Config = Config;

    fn new(config: Config) -> Result<GithubHook, Fault> {
        match (&config.secret, config.insecure) {
            (None, false) => Err(Fault::refused(
                "no `secret` to check signatures with: name one, or write `insecure = true` to take anything",
            )),
            (Some(_), true) => Err(Fault::refused("both `secret` and `insecure = true` are given: keep one")),
            _ if config.repositories.is_empty() => {
                Err(Fault::refused("`repositories` is empty: list those that may push, as `owner/name`"))
            }
            _ => Ok(GithubHook(config)),
        }
    }
}

impl ChangeHook for GithubHook {
    fn receive(&self, request: &HookRequest) -> Result<HookReply, Fault> {
        let key = match &self.0.secret {
            Some(name) => Some(Key::new(name, &secret::reveal(name)?)?),
            None => None,
        };
        Ok(self.answer(request, key.as_ref()))
    }
}

impl GithubHook {
    /// Answers a request, whose signature is checked with this key; without a key nothing is checked.
    pub fn answer(&self, request: &HookRequest, key: Option<&Key>) -> HookReply {
        if request.method != "POST" {
            return HookReply::status(405, "send a POST");
        }
        if let Some(key) = key {
            let signature = request.header("X-Hub-Signature-256");
            if !signature.is_some_and(|signature| key.verify(&request.body, signature)) {
                return HookReply::status(401, "the signature in X-Hub-Signature-256 is missing or wrong");
            }
        }
        match request.header("X-GitHub-Event") {
            None => HookReply::status(400, "the header X-GitHub-Event is missing: this is for GitHub's webhooks"),
            Some("ping") => HookReply::status(200, "pong"),
            Some("push") => self.push(request),
            Some(_) => HookReply::status(200, "ignored: only push events are taken"),
        }
    }

    fn push(&self, request: &HookRequest) -> HookReply {
        if request.header("Content-Type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
            return HookReply::status(415, "choose the content type application/json for this webhook at GitHub");
        }
        let delivery = request.header("X-GitHub-Delivery").map(str::to_owned);
        if delivery.as_ref().is_some_and(|id| id.is_empty() || id.len() > DELIVERY_BYTES) {
            return HookReply::status(400, "the id in X-GitHub-Delivery is empty or too long");
        }
        match push::read(&self.0, &request.body) {
            Pushed::Changes(changes) => {
                let count = changes.len();
                HookReply {
                    status: 202,
                    body: format!("{count} {} taken", if count == 1 { "change" } else { "changes" }),
                    delivery,
                    changes,
                }
            }
            Pushed::Nothing(why) => HookReply { delivery, ..HookReply::status(200, format!("ignored: {why}")) },
            Pushed::Malformed(why) => HookReply::status(400, why),
            Pushed::NotListed(name) => {
                let name: String = name.chars().take(200).collect();
                log::warn(format!(
                    "a delivery was refused: repository `{}` is not in `repositories`",
                    name.escape_debug()
                ));
                HookReply::status(403, "the repository is not on the list of this change source")
            }
        }
    }
}

register!(change-hook: GithubHook);

#[cfg(test)]
mod tests {
    use super::*;
    use stampmill_sdk::serde_json::from_str;

    const BODY: &[u8] = br#"{"zen": "Keep it logically awesome."}"#;

    fn hook() -> GithubHook {
        let config = from_str(r#"{"secret": "k", "repositories": ["mailinc/mailsuite"]}"#).expect("a configuration");
        GithubHook::new(config).expect("a hook")
    }

    fn answer(event: &str, body: &[u8], key_value: &str, more: &[(&str, &str)]) -> HookReply {
        let signature = Key::new("k", key_value).expect("a key").sign(body);
        let mut headers =
            vec![("x-github-event".to_owned(), event.to_owned()), ("x-hub-signature-256".to_owned(), signature)];
        headers.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let request = HookRequest {
            method: "POST".to_owned(),
            path: String::new(),
            query: String::new(),
            headers,
            body: body.to_vec(),
        };
        hook().answer(&request, Some(&Key::new("k", "swordfish").expect("a key")))
    }

    #[test]
    fn a_ping_is_answered_and_other_events_are_ignored() {
        assert_eq!(answer("ping", BODY, "swordfish", &[]).body, "pong");
        for event in ["pull_request", "workflow_run", "star"] {
            let reply = answer(event, BODY, "swordfish", &[]);
            assert_eq!((reply.status, reply.changes.len()), (200, 0), "{event}");
            assert!(reply.body.starts_with("ignored"), "{}", reply.body);
        }
    }

    #[test]
    fn a_wrong_signature_is_answered_with_401_whatever_the_event() {
        for event in ["ping", "push", "star"] {
            assert_eq!(answer(event, BODY, "guess", &[]).status, 401, "{event}");
        }
    }

    #[test]
    fn the_sha1_header_counts_for_nothing() {
        let headers = vec![
            ("x-github-event".to_owned(), "push".to_owned()),
            ("x-hub-signature".to_owned(), "sha1=00".to_owned()),
        ];
        let request = HookRequest {
            method: "POST".to_owned(),
            path: String::new(),
            query: String::new(),
            headers,
            body: BODY.to_vec(),
        };
        assert_eq!(hook().answer(&request, Some(&Key::new("k", "swordfish").expect("a key"))).status, 401);
    }

    #[test]
    fn a_push_is_taken_with_its_delivery_id() {
        let body = br#"{"ref": "refs/heads/main", "deleted": false, "head_commit": null,
            "commits": [{"id": "a1", "author": {"name": "Ann"}}],
            "repository": {"full_name": "mailinc/mailsuite", "clone_url": "https://github.com/mailinc/mailsuite.git"}}"#;
        let reply = answer("push", body, "swordfish", &[("X-GitHub-Delivery", "72d3162e")]);
        assert_eq!(
            (reply.status, reply.body.as_str(), reply.delivery.as_deref()),
            (202, "1 change taken", Some("72d3162e"))
        );
        assert_eq!(reply.changes[0].revision.as_deref(), Some("a1"));
    }

    #[test]
    fn a_form_and_a_malformed_push_are_refused_with_a_sentence() {
        let form =
            answer("push", b"payload=%7B", "swordfish", &[("content-type", "application/x-www-form-urlencoded")]);
        assert_eq!(form.status, 415);
        let reply = answer("push", b"{}", "swordfish", &[]);
        assert_eq!(reply.status, 400);
        assert!(reply.body.contains("missing field"), "{}", reply.body);
    }

    #[test]
    fn taking_unsigned_deliveries_has_to_be_said() {
        let made = |config: &str| GithubHook::new(from_str(config).expect("a configuration"));
        assert!(
            matches!(made(r#"{"repositories": ["a/b"]}"#), Err(Fault::Refused(reason)) if reason.contains("insecure"))
        );
        assert!(made(r#"{"insecure": true, "repositories": ["a/b"]}"#).is_ok());
    }
}

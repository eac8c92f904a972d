//! The change source `hook`: takes changes as signed JSON over HTTP, from whatever can post.
//!
//! ```json
//! {"author": "Ann <ann@example>", "committer": null, "comments": "…", "files": ["src/a.c"],
//!  "repository": "https://git.example/app.git", "branch": "main", "revision": "…", "project": "app", "category": null,
//!  "link": "https://git.example/app/commit/…", "committed_at": 1700000000000, "properties": {"any": ["json"]}}
//! ```
//!
//! Only `author` is needed, and `repository` where several are configured. A list of such changes, or `{"changes": […]}`, is taken too; an
//! unknown key is an error. The header `X-Stampmill-Signature: sha256=<hex>` is the HMAC-SHA256 of the raw body, and
//! `X-Stampmill-Delivery` the sender's id of the delivery.
//!
//! | answer | when |
//! | --- | --- |
//! | 202 | taken |
//! | 400 | malformed, with a sentence |
//! | 401 | the signature is missing or wrong |
//! | 403 | a repository that is not on the list |
//! | 405 | not a POST |
//!
//! It takes all changes of a delivery or none. Needs `grant = { secret = ["hook-key"] }`, and nothing with `insecure = true`.

mod config;
mod delivery;

use config::Config;
use delivery::Unfit;
use stampmill_sdk::signature::Key;
use stampmill_sdk::{ChangeHook, Fault, HookReply, HookRequest, Plugin, log, register, secret};

/// Longest id of a delivery.
const DELIVERY_BYTES: usize = 200;

/// The change source.
#[derive(Debug)]
pub struct Hook(Config);

impl Plugin for Hook {
    type Config = Config;

    fn new(config: Config) -> Result<Hook, Fault> {
        match (&config.secret, config.insecure) {
            (None, false) => Err(Fault::refused(
                "no `secret` to check signatures with: name one, or write `insecure = true` to take anything",
            )),
            (Some(_), true) => Err(Fault::refused("both `secret` and `insecure = true` are given: keep one")),
            _ if config.repositories.is_empty() => {
                Err(Fault::refused("`repositories` is empty: list those that changes may name"))
            }
            _ => Ok(Hook(config)),
        }
    }
}

impl ChangeHook for Hook {
    fn receive(&self, request: &HookRequest) -> Result<HookReply, Fault> {
        let key = match &self.0.secret {
            Some(name) => Some(Key::new(name, &secret::reveal(name)?)?),
            None => None,
        };
        Ok(self.answer(request, key.as_ref()))
    }
}

impl Hook {
    /// Answers a request, whose signature is checked with this key; without a key nothing is checked.
    pub fn answer(&self, request: &HookRequest, key: Option<&Key>) -> HookReply {
        if request.method != "POST" {
            return HookReply::status(405, "send a POST");
        }
        if let Some(key) = key {
            let signature = request.header(&self.0.signature_header);
            if !signature.is_some_and(|signature| key.verify(&request.body, signature)) {
                return HookReply::status(
                    401,
                    format!("the signature in {} is missing or wrong", self.0.signature_header),
                );
            }
        }
        let delivery = request.header(&self.0.delivery_header).map(str::to_owned);
        if delivery.as_ref().is_some_and(|id| id.is_empty() || id.len() > DELIVERY_BYTES) {
            return HookReply::status(
                400,
                format!("the id in {} is empty or longer than {DELIVERY_BYTES} bytes", self.0.delivery_header),
            );
        }
        match delivery::read(&self.0, &request.body) {
            Ok(changes) => {
                let count = changes.len();
                HookReply {
                    status: 202,
                    body: format!("{count} {} taken", if count == 1 { "change" } else { "changes" }),
                    delivery,
                    changes,
                }
            }
            Err(Unfit::Malformed(why)) => HookReply::status(400, why),
            Err(Unfit::Repository(name)) => {
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

register!(change-hook: Hook);

#[cfg(test)]
mod tests {
    use super::*;
    use stampmill_sdk::serde_json::from_str;

    const BODY: &[u8] = br#"{"author": "Ann", "revision": "abc"}"#;

    fn hook() -> Hook {
        Hook::new(
            from_str(r#"{"secret": "k", "repositories": ["https://git.example/app.git"]}"#).expect("a configuration"),
        )
        .expect("a hook")
    }

    fn key() -> Key {
        Key::new("k", "swordfish").expect("a key")
    }

    fn request(body: &[u8], headers: &[(&str, &str)]) -> HookRequest {
        HookRequest {
            method: "POST".to_owned(),
            path: "/hooks/x".to_owned(),
            query: String::new(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            body: body.to_vec(),
        }
    }

    #[test]
    fn a_signed_delivery_is_taken_with_its_id() {
        let signature = key().sign(BODY);
        let headers = [("x-stampmill-signature", signature.as_str()), ("X-STAMPMILL-DELIVERY", "d-1")];
        let reply = hook().answer(&request(BODY, &headers), Some(&key()));
        assert_eq!(
            (reply.status, reply.body.as_str(), reply.delivery.as_deref()),
            (202, "1 change taken", Some("d-1"))
        );
        assert_eq!(reply.changes[0].revision.as_deref(), Some("abc"));
    }

    #[test]
    fn a_missing_wrong_or_foreign_signature_is_answered_with_401_and_no_change() {
        let of_another_body = key().sign(b"{}");
        let of_another_key = Key::new("k", "other").expect("a key").sign(BODY);
        for headers in [
            vec![],
            vec![("x-stampmill-signature", "sha256=00")],
            vec![("x-stampmill-signature", of_another_body.as_str())],
            vec![("x-stampmill-signature", of_another_key.as_str())],
            vec![("x-hub-signature-256", of_another_key.as_str())],
        ] {
            let reply = hook().answer(&request(BODY, &headers), Some(&key()));
            assert_eq!((reply.status, reply.changes.len()), (401, 0), "{headers:?}");
        }
    }

    #[test]
    fn the_signature_is_looked_at_before_anything_else_of_the_body() {
        let reply = hook().answer(&request(b"{ not json", &[]), Some(&key()));
        assert_eq!(reply.status, 401);
        let signature = key().sign(b"{ not json");
        let reply = hook().answer(&request(b"{ not json", &[("x-stampmill-signature", &signature)]), Some(&key()));
        assert_eq!(reply.status, 400);
        assert!(reply.body.contains("not JSON"), "{}", reply.body);
    }

    #[test]
    fn a_repository_that_is_not_listed_is_answered_with_403_and_no_change() {
        let body = br#"{"changes": [{"author": "x"}, {"author": "x", "repository": "https://evil.example/x"}]}"#;
        let reply = hook().answer(&request(body, &[("x-stampmill-signature", &key().sign(body))]), Some(&key()));
        assert_eq!((reply.status, reply.changes.len()), (403, 0));
    }

    #[test]
    fn other_methods_and_endless_ids_are_refused() {
        let mut get = request(BODY, &[]);
        get.method = "GET".to_owned();
        assert_eq!(hook().answer(&get, Some(&key())).status, 405);
        let (signature, id) = (key().sign(BODY), "x".repeat(DELIVERY_BYTES + 1));
        let headers = [("x-stampmill-signature", signature.as_str()), ("x-stampmill-delivery", id.as_str())];
        assert_eq!(hook().answer(&request(BODY, &headers), Some(&key())).status, 400);
    }

    #[test]
    fn taking_unsigned_deliveries_has_to_be_said() {
        let made = |config: &str| Hook::new(from_str(config).expect("a configuration"));
        assert!(
            matches!(made(r#"{"repositories": ["x"]}"#), Err(Fault::Refused(reason)) if reason.contains("insecure"))
        );
        assert!(matches!(made(r#"{"secret": "k", "insecure": true, "repositories": ["x"]}"#), Err(Fault::Refused(_))));
        let open = made(r#"{"insecure": true, "repositories": ["x"]}"#).expect("a hook");
        assert_eq!(open.answer(&request(BODY, &[]), None).status, 202);
    }
}

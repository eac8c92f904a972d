//! HMAC-SHA256 over a body, written `sha256=<hex>`: how GitHub and many others sign their webhooks. Feature `signature`.

use crate::Fault;
use hmac::{Hmac, Mac};
use sha2::Sha256;

const PREFIX: &str = "sha256=";

/// A key that signatures are made and checked with.
pub struct Key(Hmac<Sha256>);

impl Key {
    /// From a secret's value. Line ends after it, as files have them, do not count; an empty key would let anybody sign.
    pub fn new(secret_name: &str, value: &str) -> Result<Key, Fault> {
        let value = value.trim_end_matches(['\r', '\n']);
        if value.is_empty() {
            return Err(Fault::refused(format!("secret `{secret_name}` is empty: nothing can be signed with it")));
        }
        let mac = Hmac::new_from_slice(value.as_bytes())
            .map_err(|error| Fault::broken(format!("secret `{secret_name}`: {error}")))?;
        Ok(Key(mac))
    }

    /// The signature of a body.
    pub fn sign(&self, body: &[u8]) -> String {
        let mac = self.0.clone().chain_update(body);
        format!("{PREFIX}{}", hex::encode(mac.finalize().into_bytes()))
    }

    /// Whether this is the signature of the body. Takes the same time wherever they differ.
    pub fn verify(&self, body: &[u8], signature: &str) -> bool {
        let Some(Ok(claimed)) = signature.strip_prefix(PREFIX).map(hex::decode) else {
            return false;
        };
        self.0.clone().chain_update(body).verify_slice(&claimed).is_ok()
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Key(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of GitHub's documentation on validating deliveries.
    const SIGNATURE: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn key() -> Key {
        Key::new("hook", "It's a Secret to Everybody\n").expect("a key")
    }

    #[test]
    fn a_signature_is_what_github_makes() {
        assert_eq!(key().sign(b"Hello, World!"), SIGNATURE);
        assert!(key().verify(b"Hello, World!", SIGNATURE));
    }

    #[test]
    fn anything_else_is_no_signature() {
        for wrong in
            ["", "sha256=", &SIGNATURE[7..], &SIGNATURE[..70], &SIGNATURE.replace('7', "8"), "sha1=00", "sha256=zz"]
        {
            assert!(!key().verify(b"Hello, World!", wrong), "{wrong}");
        }
        assert!(!key().verify(b"Hello, World?", SIGNATURE));
    }

    #[test]
    fn an_empty_secret_is_no_key() {
        assert!(matches!(Key::new("hook", "\n"), Err(Fault::Refused(reason)) if reason.contains("`hook`")));
    }
}

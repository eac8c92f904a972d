//! Secrets of sessions and tokens: random text that is shown once and stored as its SHA-256.
//!
//! A plain hash is enough here, unlike for passwords: 256 random bits can't be guessed, however quick the hash.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::limits::SECRET_BYTES;

/// What a token begins with, so that people and scanners of leaked secrets know it.
pub const TOKEN_PREFIX: &str = "smt_";

/// Text of a secret. Never shown by `Debug`.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// A new token.
    pub fn token() -> Result<Self, NoRandomness> {
        Ok(Self(format!("{TOKEN_PREFIX}{}", random_text()?)))
    }

    /// A new session.
    pub fn session() -> Result<Self, NoRandomness> {
        random_text().map(Self)
    }

    /// The text, to be given to its owner once.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is stored.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        hash_of(&self.0)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// SHA-256 of a secret's text.
pub type SecretHash = [u8; 32];

/// What is stored of this text.
#[must_use]
pub fn hash_of(text: &str) -> SecretHash {
    Sha256::digest(text.as_bytes()).into()
}

/// Whether two texts are the same, in a time that does not depend on where they differ.
#[must_use]
pub fn same(left: &str, right: &str) -> bool {
    left.as_bytes().ct_eq(right.as_bytes()).into()
}

/// The kernel gave no random numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the kernel gave no random numbers")]
pub struct NoRandomness;

fn random_text() -> Result<String, NoRandomness> {
    let mut bytes = [0u8; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_random_and_marked() {
        let (one, two) = (Secret::token().unwrap(), Secret::token().unwrap());
        assert!(one.reveal().starts_with("smt_"));
        assert_eq!(one.reveal().len(), 4 + 43);
        assert_ne!(one.reveal(), two.reveal());
        assert_eq!(one.hash(), hash_of(one.reveal()));
        assert_ne!(one.hash(), two.hash());
        assert!(!format!("{one:?}").contains(one.reveal()));
    }

    #[test]
    fn same_compares_whole_texts() {
        assert!(same("abc", "abc"));
        assert!(!same("abc", "abd"));
        assert!(!same("abc", "ab"));
        assert!(!same("", "a"));
    }
}

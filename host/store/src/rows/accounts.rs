//! The rows of users, tokens and sessions.

use serde::{Deserialize, Serialize};

use super::blank;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct UserRow {
    pub(crate) name: String,
    pub(crate) password_hash: String,
    pub(crate) role: String,
    pub(crate) created_at: u64,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct TokenRow {
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) name: String,
    #[serde(with = "serde_bytes")]
    pub(crate) secret_sha256: [u8; 32],
    pub(crate) kind: TokenKindRow,
    pub(crate) holder: String,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) role: Option<String>,
    pub(crate) created_at: u64,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) expires_at: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TokenKindRow {
    User,
    Worker,
}

/// The key is the SHA-256 of the session's id.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct SessionRow {
    pub(crate) user: String,
    pub(crate) csrf_token: String,
    pub(crate) created_at: u64,
    pub(crate) expires_at: u64,
}

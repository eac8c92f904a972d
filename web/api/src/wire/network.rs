//! What a step tried to reach over the network.

use schemars::JsonSchema;
use serde::Serialize;

/// What a step tried to reach over the network. A step without a grant for it has no way to try, and nothing here.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Network {
    /// In order of the first of each; attempts that are alike are one entry.
    pub attempts: Vec<NetworkAttempt>,
    /// How many more attempts there were for which the list had no room.
    pub unlisted: u64,
}

/// Attempts to reach one place in one way, with one result.
#[derive(Serialize, JsonSchema)]
pub(crate) struct NetworkAttempt {
    /// `connect` or `socks5` or `http`: a native program through the proxy; `plugin`: the plugin itself.
    pub protocol: String,
    /// `host:port`, or the beginning of what was said where that was no place.
    pub target: String,
    /// The address that was connected to, or that was the reason for not doing so.
    pub address: Option<String>,
    /// `connected`, `refused` (it was not allowed) or `failed` (it was allowed, and nobody answered).
    pub result: String,
    /// One line; empty for a connection.
    pub why: String,
    /// How many there were.
    pub count: u64,
}

//! What a step tried to reach: part of the row of its build.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::blank;

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct NetworkRow {
    pub(crate) attempts: Vec<AttemptRow>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) unlisted: u64,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct AttemptRow {
    pub(crate) protocol: ProtocolRow,
    pub(crate) target: String,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) address: Option<IpAddr>,
    pub(crate) end: EndRow,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) why: String,
    pub(crate) count: u64,
}

#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ProtocolRow {
    Connect,
    Socks5,
    Http,
    Plugin,
}

#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum EndRow {
    Connected,
    Refused,
    Failed,
}

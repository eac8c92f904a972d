//! What reads strangers' bytes, with bytes that no friend would send.
//!
//! A target is a function that takes any bytes, gives them to the code that reads such bytes in earnest, and panics when a promise of that
//! code is broken. It decides nothing about which bytes: `tests/corpora.rs` plays the entries of `corpus/` and alterations of them in a plain
//! `cargo test`, and the program `stampmill-fuzz-guided` lets libFuzzer look for new ones by what they reach; the script `guided` in this
//! folder starts it. What a target found is kept as an entry of its corpus.
//!
//! | target | bytes | promise |
//! | --- | --- | --- |
//! | [`config`] | the operator's configuration | a remark's place is in the text; the same text, the same remarks |
//! | [`api_body`] | what is posted to the API | who may not, does nothing; no error of the server's own; a refusal says why and changes nothing |
//! | [`component`] | a plugin of a stranger | none that imports what the contract does not give it is taken; memory in proportion to the bytes |
//! | [`protocol`] | a message between host and worker | what is decoded can be encoded and is the same again; memory in proportion to the bytes |
//! | [`log_file`] | a log file on disk | every byte that is given out has passed its checksums; nothing before a torn end is lost; bounded pages |
//! | [`git_output`] | output of git | a change has a whole object name as its revision; the size of the pieces does not matter |
//! | [`hook_delivery`] | the body of a webhook | without the right signature no change; with it no change of a repository that is not listed |
//! | [`network_target`] | where a sandboxed program wants to go | each place has one spelling, which is read as that place |

pub mod api_body;
pub mod component;
pub mod config;
pub mod git_output;
pub mod hook_delivery;
pub mod log_file;
pub mod memory;
pub mod network_target;
pub mod protocol;

/// One target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, also of its corpus.
    pub name: &'static str,
    /// Panics when a promise is broken.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 8] = [
    Target { name: "config", run: config::run },
    Target { name: "api-body", run: api_body::run },
    Target { name: "component", run: component::run },
    Target { name: "protocol", run: protocol::run },
    Target { name: "log-file", run: log_file::run },
    Target { name: "git-output", run: git_output::run },
    Target { name: "hook-delivery", run: hook_delivery::run },
    Target { name: "network-target", run: network_target::run },
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}

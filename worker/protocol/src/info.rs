//! What a worker says of itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a worker is and can do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Info {
    /// Version of its program.
    pub version: String,
    /// Such as `linux`.
    pub os: String,
    /// Such as `x86_64`.
    pub arch: String,
    /// The five fields of `uname`, in order: system, node, release, version, machine.
    pub uname: Vec<String>,
    /// Processors that it may use.
    pub cores: u32,
    /// Builds that it will run at once, by its own configuration.
    pub max_builds: u32,
    /// How well it can fence a program in.
    pub tier: Tier,
    /// Each mechanism of the fence.
    pub mechanisms: Vec<Mechanism>,
    /// Tools and their versions, such as `git`.
    pub tools: BTreeMap<String, String>,
}

/// How well a machine can fence a native program in, best first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Every required mechanism of the sandbox is there.
    Sandboxed,
    /// Some mechanism is missing.
    Degraded,
    /// No native program can be fenced in: components only.
    WasmOnly,
}

/// One mechanism of the sandbox, and whether the kernel gives it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Mechanism {
    /// Such as `seccomp` or `landlock`.
    pub name: String,
    /// Whether it works there.
    pub works: bool,
    /// Version, or why not.
    pub detail: String,
}

//! Workers: machines that run builds.

use std::collections::BTreeMap;

/// How well a machine can fence a native program in, best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Every required mechanism of the sandbox is there.
    Sandboxed,
    /// Some mechanism is missing.
    Degraded,
    /// No native program can be fenced in: components only.
    WasmOnly,
}

impl Tier {
    /// The word, as in the API and the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sandboxed => "sandboxed",
            Self::Degraded => "degraded",
            Self::WasmOnly => "wasm-only",
        }
    }
}

/// One mechanism of the sandbox, and whether this kernel gives it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mechanism {
    /// Such as `seccomp` or `landlock`.
    pub name: String,
    /// Whether it works here.
    pub works: bool,
    /// Version, or why not.
    pub detail: String,
}

/// What a worker says of itself when it connects.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WorkerInfo {
    /// Version of its program.
    pub version: String,
    /// Such as `linux`.
    pub os: String,
    /// Such as `x86_64`.
    pub arch: String,
    /// The five fields of `uname`, in order.
    pub uname: Vec<String>,
    /// Processors that it may use.
    pub cores: u32,
    /// Builds that it will run at once, by its own configuration.
    pub max_builds: u32,
    /// How well it can fence a program in.
    pub tier: Tier,
    /// Each mechanism.
    pub mechanisms: Vec<Mechanism>,
    /// Tools and their versions, such as `git`.
    pub tools: BTreeMap<String, String>,
}

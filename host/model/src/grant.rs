//! Grants and limits: what the operator lets one use of a plugin do, and how much of the machine it gets.

use std::collections::BTreeMap;

use crate::Milliseconds;

/// Rights of one use of a plugin. The default is none.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Grant {
    /// Programs that it may start in the sandbox, by name or absolute path; `*` is any.
    pub command: Vec<String>,
    /// `host:port` that those programs may connect to.
    pub net: Vec<String>,
    /// Paths of the machine that those programs may read.
    pub read: Vec<String>,
    /// Paths of the machine that those programs may write.
    pub write: Vec<String>,
    /// Origins (`https://host:port`) that the host may ask on its behalf.
    pub http: Vec<String>,
    /// Secrets that it may name.
    pub secret: Vec<String>,
    /// Secrets that the host attaches to its requests, each with the origins that get to see it. The plugin itself never does.
    pub credential: BTreeMap<String, Vec<String>>,
    /// Triggerable schedulers that it may make buildsets of.
    pub trigger: Vec<String>,
}

impl Grant {
    /// Every secret that a use with this grant may need, seen by the plugin or not.
    pub fn secrets(&self) -> impl Iterator<Item = &String> {
        self.secret.iter().chain(self.credential.keys())
    }
}

/// Limits of one use of a plugin; `None` is the default of the plugin's kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PluginLimits {
    /// Memory of one instance.
    pub memory_bytes: Option<u64>,
    /// From the beginning of a call into the plugin to its end. A step has its `time_limit` instead.
    pub time: Option<Milliseconds>,
    /// Computing in the plugin itself during one call; programs that it starts don't count.
    pub compute: Option<Milliseconds>,
    /// One call out of the plugin that isn't waiting for a program, such as an HTTP exchange.
    pub host_call: Option<Milliseconds>,
}

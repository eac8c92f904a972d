//! Grants: what the operator lets one use of a plugin do.

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
}

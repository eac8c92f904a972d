//! What a plugin says about itself, carried inside the component.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The custom section that carries the manifest.
pub const MANIFEST_SECTION: &str = "stampmill:manifest";

/// Keyword of a configuration's schema that says what a text names: `"secret"`, one that the use needs under `grant.secret`, or
/// `"credential"`, one under `grant.credential` or `grant.secret`. For the host's check of a configuration; it is not what enforces grants.
pub const NAMES_KEYWORD: &str = "x-stampmill-names";

/// What a plugin is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Asks a repository for changes.
    ChangePoller,
    /// Takes changes from a webhook.
    ChangeHook,
    /// Says which codebase a change belongs to.
    CodebaseGenerator,
    /// Says which changes matter to a scheduler.
    SchedulerFilter,
    /// Says which requests may share a build.
    Merge,
    /// Does a piece of a build.
    Step,
    /// Tells the world.
    Reporter,
}

/// A capability that a plugin asks for; the name of an interface of `stampmill:host`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Permission {
    /// Start native programs in the sandbox; which ones is the operator's grant.
    Command,
    /// Make HTTP requests through the host, to granted origins.
    Http,
    /// See the value of granted secrets.
    Secret,
    /// A small store of this use of the plugin.
    State,
    /// A directory of this use or build.
    Workspace,
    /// The properties of the build.
    Properties,
    /// Logs of the step.
    Logs,
    /// Make buildsets of triggerable schedulers; which ones is the operator's grant.
    Trigger,
}

/// Text that names no kind or permission.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` is no {what}; known are {known}")]
pub struct UnknownName {
    name: String,
    what: &'static str,
    known: String,
}

impl Kind {
    /// All kinds, in the order in which data flows through them.
    pub const ALL: [Kind; 7] = [
        Kind::ChangePoller,
        Kind::ChangeHook,
        Kind::CodebaseGenerator,
        Kind::SchedulerFilter,
        Kind::Merge,
        Kind::Step,
        Kind::Reporter,
    ];

    /// The name in a manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::ChangePoller => "change-poller",
            Kind::ChangeHook => "change-hook",
            Kind::CodebaseGenerator => "codebase-generator",
            Kind::SchedulerFilter => "scheduler-filter",
            Kind::Merge => "merge",
            Kind::Step => "step",
            Kind::Reporter => "reporter",
        }
    }

    /// The permissions that a plugin of this kind may ask for at all.
    pub fn may_ask(self) -> &'static [Permission] {
        use Permission::{Command, Http, Logs, Properties, Secret, State, Trigger, Workspace};
        match self {
            Kind::ChangePoller => &[Command, Http, Secret, Workspace],
            Kind::ChangeHook => &[Secret],
            Kind::CodebaseGenerator | Kind::SchedulerFilter | Kind::Merge => &[],
            Kind::Step => &[Command, Http, Secret, Workspace, Properties, Logs, Trigger],
            Kind::Reporter => &[Http, Secret, State],
        }
    }

    /// Decision plugins are pure: records in, records out.
    pub fn is_decision(self) -> bool {
        matches!(self, Kind::CodebaseGenerator | Kind::SchedulerFilter | Kind::Merge)
    }
}

impl Permission {
    /// All permissions.
    pub const ALL: [Permission; 8] = [
        Permission::Command,
        Permission::Http,
        Permission::Secret,
        Permission::State,
        Permission::Workspace,
        Permission::Properties,
        Permission::Logs,
        Permission::Trigger,
    ];

    /// The name in a manifest and of the interface.
    pub fn as_str(self) -> &'static str {
        match self {
            Permission::Command => "command",
            Permission::Http => "http",
            Permission::Secret => "secret",
            Permission::State => "state",
            Permission::Workspace => "workspace",
            Permission::Properties => "properties",
            Permission::Logs => "logs",
            Permission::Trigger => "trigger",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Kind, UnknownName> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == name).ok_or_else(|| UnknownName {
            name: name.chars().take(80).collect(),
            what: "kind of plugin",
            known: Kind::ALL.map(Kind::as_str).join(", "),
        })
    }
}

impl FromStr for Permission {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Permission, UnknownName> {
        Permission::ALL.into_iter().find(|permission| permission.as_str() == name).ok_or_else(|| UnknownName {
            name: name.chars().take(80).collect(),
            what: "permission",
            known: Permission::ALL.map(Permission::as_str).join(", "),
        })
    }
}

/// A plugin's manifest, read and checked. The file format is `wit/manifest.schema.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The name by which the operator's configuration calls it: lower-case letters, digits and hyphens.
    pub id: String,
    /// The plugin's own version.
    pub version: String,
    /// What it is for.
    pub kind: Kind,
    /// One line for lists.
    pub summary: String,
    /// What it asks for, sorted, each once.
    pub permissions: Vec<Permission>,
    /// JSON Schema of its configuration.
    pub config_schema: Value,
    /// Configurations to start from.
    pub examples: Vec<Value>,
}

/// Why a manifest was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON, or a key is missing, unknown or of the wrong type.
    #[error("{0}")]
    Shape(#[from] serde_json::Error),
    /// A later host's manifest.
    #[error("it has format {0}, and this host reads format 1; a later host may know it")]
    Format(u64),
    /// A kind that doesn't exist.
    #[error("{0}")]
    Kind(UnknownName),
    /// A permission that doesn't exist.
    #[error("{0}")]
    Permission(UnknownName),
    /// A value that can't be.
    #[error("`{key}` is `{value}`: {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// What it holds.
        value: String,
        /// What it should hold.
        expected: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Raw {
    manifest: u64,
    id: String,
    version: String,
    kind: String,
    summary: String,
    #[serde(default)]
    permissions: Vec<String>,
    #[serde(default = "any_config")]
    config_schema: Value,
    #[serde(default)]
    examples: Vec<Value>,
}

#[derive(Deserialize)]
struct Format {
    manifest: u64,
}

fn any_config() -> Value {
    Value::Bool(true)
}

impl Manifest {
    /// Reads the text of the custom section.
    pub fn parse(text: &[u8]) -> Result<Manifest, ManifestError> {
        // The format first: a later one may have keys that this host would call unknown.
        let format: Format = serde_json::from_slice(text)?;
        if format.manifest != 1 {
            return Err(ManifestError::Format(format.manifest));
        }
        let raw: Raw = serde_json::from_slice(text)?;
        debug_assert_eq!(raw.manifest, 1);
        check("id", &raw.id, is_id, "1 to 64 lower-case letters, digits and single hyphens are expected")?;
        check("version", &raw.version, |text| is_line(text, 64), "one line of at most 64 bytes is expected")?;
        check("summary", &raw.summary, |text| is_line(text, 512), "one line of at most 512 bytes is expected")?;
        let kind = raw.kind.parse().map_err(ManifestError::Kind)?;
        let mut permissions = Vec::new();
        for name in &raw.permissions {
            permissions.push(name.parse().map_err(ManifestError::Permission)?);
        }
        permissions.sort();
        permissions.dedup();
        Ok(Manifest {
            id: raw.id,
            version: raw.version,
            kind,
            summary: raw.summary,
            permissions,
            config_schema: raw.config_schema,
            examples: raw.examples,
        })
    }

    /// Whether the plugin asks for it.
    pub fn asks(&self, permission: Permission) -> bool {
        self.permissions.contains(&permission)
    }

    /// Whether the schema says which keys of the configuration name secrets, by [`NAMES_KEYWORD`]. Then the configuration decides whether
    /// a use needs a secret at all, and asking for `secret` alone is no reason to grant one.
    pub fn says_where_secrets_are_named(&self) -> bool {
        let mut left = vec![&self.config_schema];
        while let Some(value) = left.pop() {
            match value {
                Value::Object(object) => {
                    if object.get(NAMES_KEYWORD).is_some_and(|names| names == "secret") {
                        return true;
                    }
                    left.extend(object.values());
                }
                Value::Array(items) => left.extend(items),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        false
    }
}

fn check(
    key: &'static str,
    value: &str,
    holds: impl Fn(&str) -> bool,
    expected: &'static str,
) -> Result<(), ManifestError> {
    if holds(value) {
        return Ok(());
    }
    Err(ManifestError::Value { key, value: value.chars().take(80).collect(), expected })
}

fn is_id(text: &str) -> bool {
    text.len() <= 64
        && text
            .split('-')
            .all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()))
}

fn is_line(text: &str, most: usize) -> bool {
    !text.is_empty() && text.len() <= most && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"manifest":1,"id":"git-poller","version":"0.1.0","kind":"change-poller","summary":"polls git",
        "permissions":["workspace","command","command"],"config-schema":{"type":"object"},"examples":[{}]}"#;

    #[test]
    fn a_manifest_reads_as_written() {
        let manifest = Manifest::parse(GOOD.as_bytes()).unwrap();
        assert_eq!(manifest.id, "git-poller");
        assert_eq!(manifest.kind, Kind::ChangePoller);
        assert_eq!(manifest.permissions, [Permission::Command, Permission::Workspace]);
        assert_eq!(manifest.config_schema, serde_json::json!({"type": "object"}));
    }

    #[test]
    fn each_wrong_manifest_is_refused_with_its_value() {
        let cases = [
            ("\"manifest\":1", "\"manifest\":2", "format 2"),
            ("change-poller", "change-pusher", "`change-pusher` is no kind of plugin"),
            ("\"workspace\"", "\"root\"", "`root` is no permission"),
            ("git-poller", "Git Poller", "`Git Poller`"),
            ("git-poller", "git--poller", "`git--poller`"),
            ("\"summary\"", "\"sumary\"", "sumary"),
            ("polls git", "", "`summary` is ``"),
        ];
        for (good, bad, expected) in cases {
            let error = Manifest::parse(GOOD.replace(good, bad).as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{bad}: {error}");
        }
    }

    #[test]
    fn kinds_and_permissions_have_one_spelling() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        for permission in Permission::ALL {
            assert_eq!(serde_json::to_value(permission).unwrap(), permission.as_str());
        }
    }

    #[test]
    fn the_published_schema_says_the_same_as_the_parser() {
        let schema = serde_json::from_str(include_str!("../../manifest.schema.json")).unwrap();
        let schema = jsonschema::validator_for(&schema).unwrap();
        let good: Value = serde_json::from_str(GOOD).unwrap();
        let with = |key: &str, value: Value| {
            let mut manifest = good.clone();
            manifest["permissions"] = serde_json::json!(["command"]);
            manifest[key] = value;
            manifest
        };
        let agree = |manifest: &Value, expected: bool| {
            let parsed = Manifest::parse(manifest.to_string().as_bytes());
            assert_eq!(parsed.is_ok(), expected, "{manifest}");
            assert_eq!(schema.is_valid(manifest), expected, "{manifest}");
        };
        for kind in Kind::ALL {
            agree(&with("kind", kind.as_str().into()), true);
        }
        for permission in Permission::ALL {
            agree(&with("permissions", serde_json::json!([permission])), true);
        }
        let wrong = [
            ("manifest", 2.into()),
            ("id", "Git".into()),
            ("id", "a--b".into()),
            ("id", "x".repeat(65).into()),
            ("kind", "pusher".into()),
            ("permissions", serde_json::json!(["root"])),
            ("summary", "".into()),
            ("version", Value::Null),
            ("unknown", 1.into()),
        ];
        for (key, value) in wrong {
            agree(&with(key, value), false);
        }
    }
}

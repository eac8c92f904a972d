//! The manifest, written by a plugin's build script.
//!
//! It travels in the component as the custom section `stampmill:manifest`: the file is the package. Not built for WebAssembly.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::Path;

/// The form of the manifest that this SDK writes.
const MANIFEST_VERSION: u32 = 1;

/// What a plugin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A change source that polls.
    ChangePoller,
    /// A change source that is told by HTTP.
    ChangeHook,
    /// Names the codebase of a change.
    CodebaseGenerator,
    /// Judges changes for a scheduler.
    SchedulerFilter,
    /// Says which requests may share a build.
    Merge,
    /// One step of a build.
    Step,
    /// Tells somebody of what happened.
    Reporter,
}

impl Kind {
    fn word(self) -> &'static str {
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
}

/// A capability that a plugin asks for. Ask for what the code calls and no more: the host compares it with the component's imports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Native programs in the sandbox.
    Command,
    /// Brokered HTTP.
    Http,
    /// The values of secrets.
    Secret,
    /// A small store.
    State,
    /// A directory.
    Workspace,
    /// The build's properties.
    Properties,
    /// The step's logs.
    Logs,
    /// Buildsets of triggerable schedulers.
    Trigger,
}

impl Permission {
    fn word(self) -> &'static str {
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

/// Collects the manifest and writes it. For `build.rs`: what is wrong panics, which stops the build with its text.
#[derive(Debug)]
pub struct Manifest {
    id: String,
    kind: Kind,
    permissions: Vec<Permission>,
    examples: Vec<Value>,
}

impl Manifest {
    /// A plugin of this id: lower case, digits and dashes, as an operator writes it in `plugin = "…"`.
    ///
    /// # Panics
    /// When the id is not such a word.
    pub fn new(id: &str, kind: Kind) -> Manifest {
        let plain = id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        assert!(
            plain && !id.is_empty() && !id.starts_with('-'),
            "`{id}` is no plugin id: use lower case letters, digits and dashes"
        );
        Manifest { id: id.to_owned(), kind, permissions: Vec::new(), examples: Vec::new() }
    }

    /// The capabilities that it asks for.
    #[must_use]
    pub fn permissions(mut self, permissions: &[Permission]) -> Manifest {
        self.permissions.extend_from_slice(permissions);
        self
    }

    /// A configuration that shows a use, as JSON.
    ///
    /// # Panics
    /// When it is not a configuration of this type: examples can't rot.
    #[must_use]
    pub fn example<C: DeserializeOwned>(mut self, title: &str, config: &str) -> Manifest {
        if let Err(error) = serde_json::from_str::<C>(config) {
            panic!("the example `{title}` of plugin {} is not a configuration of it: {error}", self.id);
        }
        let config: Value = serde_json::from_str(config).expect("it was read as JSON a line above");
        self.examples.push(json!({ "title": title, "config": config }));
        self
    }

    /// Writes `manifest.json` for `register!`. Version and summary are the package's `version` and `description`.
    ///
    /// # Panics
    /// Outside a build script, without a description, or when the file cannot be written.
    pub fn write<C: JsonSchema>(self) {
        let from_cargo = |name: &str| {
            std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: write the manifest from build.rs"))
        };
        let summary = from_cargo("CARGO_PKG_DESCRIPTION");
        assert!(
            !summary.is_empty(),
            "plugin {} has no `description` in Cargo.toml: it is the manifest's summary",
            self.id
        );
        let text = self.to_json::<C>(&from_cargo("CARGO_PKG_VERSION"), &summary).to_string();
        let path = Path::new(&from_cargo("OUT_DIR")).join("manifest.json");
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        println!("cargo::rerun-if-changed=build.rs");
        println!("cargo::rerun-if-changed=src/config.rs");
    }

    fn to_json<C: JsonSchema>(&self, version: &str, summary: &str) -> Value {
        let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<C>();
        json!({
            "manifest": MANIFEST_VERSION,
            "id": self.id,
            "version": version,
            "kind": self.kind.word(),
            "summary": summary,
            "permissions": self.permissions.iter().map(|permission| permission.word()).collect::<Vec<_>>(),
            "config-schema": schema,
            "examples": self.examples,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case", deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape is looked at")]
    struct Config {
        /// At most so long.
        wall_timeout: crate::config::Duration,
        words: Option<Vec<String>>,
    }

    #[test]
    fn the_manifest_has_the_schema_of_the_configuration() {
        let manifest = Manifest::new("sleeper", Kind::Step)
            .permissions(&[Permission::Command])
            .example::<Config>("a nap", r#"{"wall-timeout": "5s"}"#)
            .to_json::<Config>("1.2.3", "Sleeps");
        assert_eq!(manifest["id"], "sleeper");
        assert_eq!(manifest["kind"], "step");
        assert_eq!(manifest["permissions"], json!(["command"]));
        assert_eq!(manifest["examples"], json!([{"title": "a nap", "config": {"wall-timeout": "5s"}}]));
        let schema = &manifest["config-schema"];
        assert_eq!(schema["additionalProperties"], json!(false));
        assert_eq!(schema["required"], json!(["wall-timeout"]));
        assert_eq!(schema["properties"]["wall-timeout"]["type"], "string");
        assert_eq!(schema["properties"]["wall-timeout"]["description"], "At most so long.");
    }

    #[test]
    #[should_panic(expected = "a nap")]
    fn an_example_that_is_no_configuration_stops_the_build() {
        let _ = Manifest::new("sleeper", Kind::Step).example::<Config>("a nap", r#"{"wall-time": "5s"}"#);
    }
}

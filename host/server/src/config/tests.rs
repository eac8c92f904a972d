//! The configuration as operators meet it: what loads, and what each mistake says.

mod bad_input;
mod forms;
mod giving;
mod granting;
mod outline;
mod pinging;
mod pins;
mod places;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Bundled, ConfigError, Finding, Loaded, load_with};

/// A component that says what it is, and has nothing behind it: enough for everything that does not start it.
pub(super) fn component(id: &str, kind: &str, permissions: &[&str], schema: &Value) -> Vec<u8> {
    let interface = match kind {
        "change-poller" => "stampmill:change-source/poller",
        "change-hook" => "stampmill:change-source/hook",
        "codebase-generator" => "stampmill:codebase/generator",
        "scheduler-filter" => "stampmill:filter/filter",
        "merge" => "stampmill:merge/merge",
        "step" => "stampmill:step/step",
        _ => "stampmill:reporter/reporter",
    };
    let manifest = json!({
        "manifest": 1, "id": id, "version": "1.0.0", "kind": kind, "summary": "made for a test",
        "permissions": permissions, "config-schema": schema,
    });
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    let mut custom = sized(b"stampmill:manifest");
    custom.extend(manifest.to_string().bytes());
    bytes.push(0);
    bytes.extend(sized(&custom));
    // Two exports of an instance, by name; nothing looks behind the names here.
    let mut exports = vec![2];
    for name in [interface, "stampmill:plugin/configurable"] {
        exports.push(0);
        exports.extend(sized(format!("{name}@0.1.0").as_bytes()));
        exports.extend([5, 0, 0]);
    }
    bytes.push(11);
    bytes.extend(sized(&exports));
    bytes
}

/// Bytes with their length before them, in LEB128.
fn sized(bytes: &[u8]) -> Vec<u8> {
    let mut length = bytes.len();
    let mut out = Vec::new();
    while length >= 0x80 {
        out.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    out.push(u8::try_from(length).unwrap());
    out.extend(bytes);
    out
}

/// A component as if it were in the binary.
pub(super) fn in_binary(name: &'static str, bytes: Vec<u8>) -> Bundled {
    Bundled { name, bytes: Box::leak(bytes.into_boxed_slice()) }
}

/// One plugin of each kind.
pub(super) fn plugins() -> Vec<Bundled> {
    let poller = json!({
        "type": "object", "additionalProperties": false, "required": ["repository"],
        "properties": {
            "repository": { "type": "string" },
            "branches": { "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] },
        },
    });
    let shell = json!({
        "type": "object", "additionalProperties": false,
        "properties": {
            "command": { "type": "array", "items": { "type": "string" } },
            "script": { "type": "string" },
            "jobs": { "type": "integer" },
            "environment": { "type": "object", "additionalProperties": { "type": "string" } },
        },
    });
    let hook = json!({ "properties": { "secret": { "type": "string", "x-stampmill-names": "secret" } } });
    let webhook = json!({
        "type": "object", "required": ["url"],
        "properties": {
            "url": { "type": "string" }, "credential": { "type": "string", "x-stampmill-names": "credential" },
        },
    });
    vec![
        in_binary("git-poller", component("git-poller", "change-poller", &["command", "workspace"], &poller)),
        in_binary("hook", component("hook", "change-hook", &["secret"], &hook)),
        in_binary("sealed", component("sealed", "change-hook", &["secret"], &json!(true))),
        in_binary(
            "repository-map",
            component("repository-map", "codebase-generator", &[], &json!({ "type": "object" })),
        ),
        in_binary("path-filter", component("path-filter", "scheduler-filter", &[], &json!(true))),
        in_binary("merge-by-property", component("merge-by-property", "merge", &[], &json!({ "type": "object" }))),
        in_binary("git", component("git", "step", &["command"], &json!(true))),
        in_binary("shell", component("shell", "step", &["command", "properties"], &shell)),
        in_binary("webhook", component("webhook", "reporter", &["http"], &webhook)),
    ]
}

/// A directory with a configuration in it.
pub(super) struct Folder {
    pub(super) dir: tempfile::TempDir,
}

impl Folder {
    pub(super) fn with(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("stampmill.toml"), text).unwrap();
        Self { dir }
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn config(&self) -> PathBuf {
        self.path().join("stampmill.toml")
    }

    pub(super) fn load(&self, plugins: &[Bundled]) -> Result<Loaded, ConfigError> {
        load_with(&self.config(), plugins)
    }
}

/// What is wrong with a text.
pub(super) fn errors(text: &str) -> Vec<Finding> {
    match Folder::with(text).load(&plugins()) {
        Ok(loaded) => panic!("it loads: {:?}", loaded.engine),
        Err(ConfigError::Wrong(findings)) => findings,
        Err(other) => panic!("{other}"),
    }
}

/// What is doubtful in a text that loads.
pub(super) fn warnings(text: &str) -> Vec<Finding> {
    match Folder::with(text).load(&plugins()) {
        Ok(loaded) => loaded.warnings,
        Err(error) => panic!("{error}"),
    }
}

/// A job with the steps `one` and `two`, which are checkouts, with these lines more.
pub(super) fn two_checkouts(first: &str, second: &str) -> String {
    let step = |name: &str, lines: &str| {
        format!("[[job.step]]\nname = \"{name}\"\nplugin = \"git\"\n{lines}\ngrant = {{ command = [\"git\"] }}\n")
    };
    format!("[[job]]\nname = \"c\"\n{}{}", step("one", first), step("two", second))
}

//! What the bundled components are, read from their bytes.

use std::collections::BTreeSet;
use wasmparser::{ComponentTypeRef, Encoding, Parser, Payload};

/// What a component says and imports.
struct Seen {
    manifest: serde_json::Value,
    imports: BTreeSet<String>,
}

fn look(bytes: &[u8]) -> Seen {
    let mut manifests = Vec::new();
    let mut imports = BTreeSet::new();
    let mut depth = 0usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.expect("a well-formed component") {
            Payload::Version { encoding: Encoding::Component, .. }
            | Payload::Version { encoding: Encoding::Module, .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::CustomSection(section) if section.name() == "stampmill:manifest" => {
                manifests.push(section.data().to_vec())
            }
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    let import = import.expect("a well-formed import");
                    if matches!(import.ty, ComponentTypeRef::Instance(_)) {
                        imports.insert(import.name.name.to_owned());
                    }
                }
            }
            _ => {}
        }
    }
    assert_eq!(manifests.len(), 1, "exactly one manifest");
    Seen { manifest: serde_json::from_slice(&manifests[0]).expect("a manifest is JSON"), imports }
}

/// Imports that need no permission.
const FREE: [&str; 4] = [
    "stampmill:types/types@0.1.0",
    "stampmill:host/log@0.1.0",
    "stampmill:host/facts@0.1.0",
    "stampmill:host/running-build@0.1.0",
];

#[test]
fn each_plugin_imports_exactly_the_capabilities_that_its_manifest_asks_for() {
    for plugin in stampmill_bundle::plugins() {
        let seen = look(plugin.bytes);
        let asked: BTreeSet<String> = seen.manifest["permissions"]
            .as_array()
            .expect("permissions are a list")
            .iter()
            .map(|permission| format!("stampmill:host/{}@0.1.0", permission.as_str().expect("a permission is text")))
            .collect();
        let imported: BTreeSet<String> =
            seen.imports.into_iter().filter(|import| !FREE.contains(&import.as_str())).collect();
        assert_eq!(imported, asked, "plugin {}", plugin.name);
    }
}

#[test]
fn each_plugin_is_named_after_its_manifest_and_says_what_it_is() {
    for plugin in stampmill_bundle::plugins() {
        let manifest = look(plugin.bytes).manifest;
        assert_eq!(manifest["id"], plugin.name);
        assert_eq!(manifest["manifest"], 1);
        assert!(manifest["summary"].as_str().is_some_and(|summary| summary.len() > 10), "{manifest}");
        assert!(
            manifest["examples"].as_array().is_some_and(|examples| !examples.is_empty()),
            "plugin {} has no example",
            plugin.name
        );
        assert_eq!(manifest["config-schema"]["type"], "object", "plugin {}", plugin.name);
        assert!(
            !manifest["config-schema"]["additionalProperties"].is_null(),
            "plugin {} takes unknown keys",
            plugin.name
        );
    }
}

#[test]
fn the_plugins_stay_small() {
    const MOST: usize = 300 << 10;
    for plugin in stampmill_bundle::plugins() {
        println!("{:>7} {}", plugin.bytes.len(), plugin.name);
        assert!(plugin.bytes.len() < MOST, "plugin {} has {} bytes", plugin.name, plugin.bytes.len());
    }
    assert!(stampmill_bundle::plugin("shell").is_some() && stampmill_bundle::plugin("no-such").is_none());
}

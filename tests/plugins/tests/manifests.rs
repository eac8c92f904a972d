//! What the bundled plugins say about themselves.

use crate::around::Place;
use serde_json::json;
use stampmill_runtime::{Grant, Refusal, Use, inspect};

/// Something of everything, so that only the configuration can be wrong.
fn all() -> Grant {
    let grant = json!({"command": ["*"], "http": ["https://a.example"], "secret": ["x"], "trigger": ["x"]});
    serde_json::from_value(grant).expect("a grant")
}

#[tokio::test]
async fn every_plugin_loads_and_takes_its_own_examples() {
    let place = Place::new();
    for bundled in stampmill_bundle::plugins() {
        let plugin = place.load(bundled.bytes).await.unwrap_or_else(|error| panic!("{}: {error}", bundled.name));
        assert_eq!(plugin.manifest().id, bundled.name);
        assert!(!plugin.manifest().examples.is_empty(), "{} has no example", bundled.name);
        for example in &plugin.manifest().examples {
            let mut usage = Use::new("example", example["config"].clone());
            usage.grant = all();
            plugin.check(&usage).unwrap_or_else(|refusal| panic!("{}: {example}: {refusal}", bundled.name));
        }
    }
}

#[tokio::test]
async fn a_misspelt_key_and_a_wrong_type_are_found_by_the_schema() {
    let place = Place::new();
    for bundled in stampmill_bundle::plugins() {
        let plugin = place.load(bundled.bytes).await.unwrap_or_else(|error| panic!("{}: {error}", bundled.name));
        let mut config = plugin.manifest().examples[0]["config"].clone();
        config["no-such-key"] = json!(17);
        let mut usage = Use::new("wrong", config);
        usage.grant = all();
        let refusal = plugin.check(&usage).expect_err(bundled.name);
        assert!(matches!(refusal, Refusal::Config { .. }), "{}: {refusal}", bundled.name);
        assert!(refusal.to_string().contains("no-such-key"), "{}: {refusal}", bundled.name);
    }
}

#[test]
fn decision_plugins_ask_for_nothing() {
    for bundled in stampmill_bundle::plugins() {
        let inspection = inspect(bundled.bytes).unwrap_or_else(|error| panic!("{}: {error}", bundled.name));
        if inspection.manifest.kind.is_decision() {
            assert!(inspection.manifest.permissions.is_empty(), "{}", bundled.name);
        }
        assert!(
            inspection.imports.iter().all(|import| import.starts_with("stampmill:")),
            "{}: {:?}",
            bundled.name,
            inspection.imports
        );
    }
}

//! The JSON Schema for editors says what the reader says.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Folder, plugins};
use crate::config::ConfigError;
use crate::starter;

fn schema() -> Value {
    serde_json::from_str(include_str!("../../../../../docs/config.schema.json")).unwrap()
}

/// An unknown key in a table, and where the schema describes that table.
const TABLES: [(&str, &str); 23] = [
    ("zzz = 1", ""),
    ("[[change-source]]\nzzz = 1", "/$defs/change-source"),
    ("[codebases]\nzzz = 1", "/$defs/codebases"),
    ("[[scheduler]]\nzzz = 1", "/$defs/scheduler"),
    ("[[scheduler]]\ncodebases.a = { zzz = 1 }", "/$defs/codebase"),
    ("[[scheduler]]\n[[scheduler.parameter]]\nzzz = 1", "/$defs/parameter"),
    ("[[scheduler]]\nfilter = [{ zzz = 1 }]", "/$defs/filter"),
    ("[[job]]\nzzz = 1", "/$defs/job"),
    ("[[job]]\n[[job.parameter]]\nzzz = 1", "/$defs/parameter"),
    ("[[job]]\n[[job.step]]\nzzz = 1", "/$defs/step"),
    ("[[builder]]\nzzz = 1", "/$defs/builder"),
    ("[[builder]]\nworkers = { zzz = 1 }", "/$defs/workers"),
    ("[[builder]]\nlocks = [{ zzz = 1 }]", "/$defs/lock-use"),
    ("[[builder]]\nretry = { zzz = 1 }", "/$defs/retry"),
    ("[[lock]]\nzzz = 1", "/$defs/lock"),
    ("[[project]]\nzzz = 1", "/$defs/project"),
    ("[[worker]]\nzzz = 1", "/$defs/worker"),
    ("[[reporter]]\nzzz = 1", "/$defs/reporter"),
    ("[secret.a]\nzzz = 1", "/$defs/secret"),
    ("[limits]\nzzz = 1", "/$defs/limits"),
    ("[plugin.a]\nzzz = 1", "/$defs/plugin"),
    ("[codebases]\ngrant = { zzz = 1 }", "/$defs/grant"),
    ("[codebases]\nlimits = { zzz = 1 }", "/$defs/plugin-limits"),
];

#[test]
fn the_schema_for_editors_has_exactly_the_keys_that_are_read() {
    let schema = schema();
    for (text, pointer) in TABLES {
        let Err(ConfigError::Wrong(findings)) = Folder::with(text).load(&plugins()) else { panic!("{text} loads") };
        let unknown = findings.iter().find(|finding| finding.message().contains("unknown key `zzz`"));
        let mend = unknown.and_then(|finding| finding.mend()).unwrap_or_else(|| panic!("{text}: {findings:#?}"));
        let read: BTreeSet<&str> = mend.split('`').skip(1).step_by(2).collect();
        let table = schema.pointer(pointer).unwrap_or_else(|| panic!("the schema lacks {pointer}"));
        let described: BTreeSet<&str> = table["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(described, read, "{pointer}");
        assert_eq!(table["additionalProperties"], false, "{pointer}");
    }
}

#[test]
fn the_schema_for_editors_takes_the_configuration_of_the_tour_and_refuses_mistakes() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let text = starter::demo(std::path::Path::new("/srv/sample.git"), "http://127.0.0.1:1");
    let tour: Value = serde_json::to_value(toml::from_str::<toml::Table>(&text).unwrap()).unwrap();
    let wrong: Vec<String> =
        validator.iter_errors(&tour).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let mistakes = [
        "listn = 1",
        "[[scheduler]]\nname = \"a\"\nkind = \"hourly\"\nbuilders = [\"x\"]",
        "[secret.a]\n",
        "[limits]\nworker-lost-after = 5",
    ];
    for mistake in mistakes {
        let value = serde_json::to_value(toml::from_str::<toml::Table>(mistake).unwrap()).unwrap();
        assert!(!validator.is_valid(&value), "{mistake}");
    }
}

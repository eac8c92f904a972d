//! A plugin's configuration against the plugin's own JSON Schema.

mod bounds;

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use crate::limits;

/// One thing that is wrong in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// Where: a JSON pointer (RFC 6901), empty for the whole.
    pub pointer: String,
    /// The value there, as JSON, cut off when it is long.
    pub value: String,
    /// What should be there.
    pub expected: String,
}

impl std::fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pointer = if self.pointer.is_empty() { "/" } else { &self.pointer };
        write!(f, "`{pointer}` is {}: {}", self.value, self.expected)
    }
}

/// A schema, compiled.
#[derive(Debug)]
pub(crate) struct ConfigSchema {
    validator: Validator,
}

impl ConfigSchema {
    /// The schema comes from the plugin: nothing is fetched for it, its patterns run in linear time, and it may not run in circles.
    pub(crate) fn new(schema: &Value) -> Result<ConfigSchema, String> {
        bounds::check(schema)?;
        let validator = jsonschema::options()
            .with_pattern_options(PatternOptions::regex())
            .build(schema)
            .map_err(|error| shorten(&error.to_string()))?;
        Ok(ConfigSchema { validator })
    }

    pub(crate) fn check(&self, config: &Value) -> Vec<ConfigProblem> {
        let problem = |error: jsonschema::ValidationError<'_>| ConfigProblem {
            pointer: error.instance_path().to_string(),
            value: shorten(&error.instance().to_string()),
            expected: shorten(&error.masked().to_string()),
        };
        self.validator.iter_errors(config).take(limits::CONFIG_PROBLEMS_MAX).map(problem).collect()
    }
}

fn shorten(text: &str) -> String {
    const MOST: usize = 200;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_problem_names_place_value_and_what_was_expected() {
        let schema = ConfigSchema::new(&json!({
            "type": "object", "additionalProperties": false, "required": ["url"],
            "properties": { "url": { "type": "string" }, "branches": { "type": "array", "items": { "type": "string" } } }
        }))
        .unwrap();
        assert_eq!(schema.check(&json!({ "url": "x", "branches": ["main"] })), []);
        let problems = schema.check(&json!({ "url": "x", "branches": ["main", 7] }));
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].pointer, "/branches/1");
        assert_eq!(problems[0].value, "7");
        assert!(problems[0].expected.contains("string"), "{}", problems[0].expected);
        let problems = schema.check(&json!({ "urls": "x" }));
        let text = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        assert!(text.contains("urls") && text.contains("url"), "{text}");
    }

    #[test]
    fn a_schema_may_refer_to_itself_below_and_not_in_place() {
        let tree = json!({ "properties": { "children": { "items": { "$ref": "#" } } } });
        let schema = ConfigSchema::new(&tree).unwrap();
        assert_eq!(schema.check(&json!({ "children": [{ "children": [] }] })), []);
        for circle in [
            json!({ "$ref": "#" }),
            json!({ "$defs": { "a": { "allOf": [{ "$ref": "#/$defs/a" }] } }, "$ref": "#/$defs/a" }),
        ] {
            assert!(ConfigSchema::new(&circle).unwrap_err().contains("itself"), "{circle}");
        }
        let disguised = json!({ "$defs": { "a": { "$ref": "#/%24defs/a" } }, "$ref": "#/%24defs/a" });
        assert!(ConfigSchema::new(&disguised).unwrap_err().contains("leads nowhere"));
    }

    #[test]
    fn a_schema_that_multiplies_or_nests_without_end_is_refused() {
        let mut defs = serde_json::Map::new();
        for level in 0..30 {
            let next = format!("#/$defs/d{}", level + 1);
            defs.insert(format!("d{level}"), json!({ "allOf": [{ "$ref": next }, { "$ref": next }] }));
        }
        defs.insert("d30".to_owned(), json!({ "type": "string" }));
        let doubling = json!({ "$defs": defs, "$ref": "#/$defs/d0" });
        assert!(ConfigSchema::new(&doubling).unwrap_err().contains("multiply"));

        let mut deep = json!({ "type": "string" });
        for _ in 0..60 {
            deep = json!({ "items": deep });
        }
        assert!(ConfigSchema::new(&deep).unwrap_err().contains("nested"));
    }

    #[test]
    fn a_schema_is_never_fetched() {
        for target in ["https://127.0.0.1/schema.json", "file:///etc/passwd", "other.json", "#/$defs/none"] {
            assert!(ConfigSchema::new(&json!({ "$ref": target })).is_err());
        }
        assert!(ConfigSchema::new(&json!({ "properties": { "a": { "$dynamicRef": "#x" } } })).is_err());
        assert!(ConfigSchema::new(&json!({ "type": "strin" })).is_err());
    }
}

//! A plugin's configuration against the JSON Schema in its manifest, with the places of what is wrong.

mod names;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{PatternOptions, ValidationError};
use serde_json::Value;

use super::finding::{Problem, Sink};
use super::nearest::{did_you_mean, quoted};
use super::raw::Use;

/// Beginning of what a build fills in; such a text may become a value of any type.
const FILLED_IN: &str = "${{";

/// Reports everything in a configuration that the plugin's schema does not allow, and secrets that it names and that are not granted.
/// `filled_in` says that the worker fills in `${{ }}` before it checks again, so that such texts are let pass here.
pub(super) fn check(schema: &Value, usage: &Use, filled_in: bool, sink: &Sink) {
    let (config, plugin) = (&usage.config, &usage.plugin.value);
    let options = jsonschema::options().with_pattern_options(PatternOptions::regex());
    let validator = match names::with_grant(options, &usage.grant).build(schema) {
        Ok(validator) => validator,
        // The runtime refuses such a plugin when it inspects it, and says so with the plugin's name.
        Err(error) => {
            let message = format!("plugin `{plugin}`: the schema of its configuration is wrong: {error}");
            sink.report(Problem::error(config.span.clone(), message));
            return;
        }
    };
    let found = validator.iter_errors(&config.value).map(|error| Found::new(&error, schema));
    for found in found.flat_map(Found::leaves) {
        if filled_in && config.value.pointer(&found.pointer).is_some_and(is_filled_in) {
            continue;
        }
        report(&found, usage, sink);
    }
}

fn is_filled_in(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.contains(FILLED_IN))
}

/// One thing that is wrong.
struct Found {
    pointer: String,
    kind: Kind,
}

enum Kind {
    Unknown {
        key: String,
        known: Vec<String>,
    },
    Missing {
        key: String,
    },
    /// The name of a secret that the use has no right to, and which right it needs.
    NotGranted(names::Named),
    Other {
        expected: String,
    },
    /// None of several shapes: what is wrong for the nearest of them.
    Nested(Vec<Found>),
}

impl Found {
    fn new(error: &ValidationError<'_>, schema: &Value) -> Self {
        let pointer = error.instance_path().to_string();
        let kind = match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                let key = unexpected.first().cloned().unwrap_or_default();
                Kind::Unknown { key, known: keys_at(schema, &error.schema_path().to_string()) }
            }
            ValidationErrorKind::Required { property } => {
                Kind::Missing { key: property.as_str().unwrap_or_default().to_owned() }
            }
            ValidationErrorKind::Type { kind } => Kind::Other { expected: format!("{} is expected", type_words(kind)) },
            ValidationErrorKind::Enum { options } => Kind::Other { expected: one_of(options) },
            ValidationErrorKind::Pattern { pattern } => {
                Kind::Other { expected: format!("a text that matches `{pattern}` is expected") }
            }
            ValidationErrorKind::Custom { message, .. } => match names::Named::of(message) {
                Some(named) => Kind::NotGranted(named),
                None => Kind::Other { expected: error.masked().to_string() },
            },
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                nearest_shape(context, &pointer, schema)
            }
            _ => Kind::Other { expected: error.masked().to_string() },
        };
        Self { pointer, kind }
    }

    fn leaves(self) -> Vec<Found> {
        match self.kind {
            Kind::Nested(inner) => inner.into_iter().flat_map(Found::leaves).collect(),
            kind => vec![Found { pointer: self.pointer, kind }],
        }
    }
}

/// Of several shapes that a value may have, the one in which the mistake lies deepest was meant; where all fail at once, their types are named.
fn nearest_shape(context: &[Vec<ValidationError<'static>>], pointer: &str, schema: &Value) -> Kind {
    let depth = |errors: &[ValidationError<'static>]| {
        errors.iter().map(|error| error.instance_path().to_string().matches('/').count()).max().unwrap_or(0)
    };
    let not_a_type = |errors: &&Vec<ValidationError<'static>>| {
        !errors.iter().any(|error| {
            matches!(error.kind(), ValidationErrorKind::Type { .. }) && error.instance_path().to_string() == pointer
        })
    };
    let nearest = context.iter().filter(not_a_type).max_by_key(|errors| depth(errors));
    if let Some(errors) = nearest.filter(|errors| !errors.is_empty()) {
        return Kind::Nested(errors.iter().map(|error| Found::new(error, schema)).collect());
    }
    let mut words: Vec<String> = Vec::new();
    for error in context.iter().flatten() {
        if let ValidationErrorKind::Type { kind } = error.kind() {
            let word = type_words(kind);
            if word != "nothing" && !words.contains(&word) {
                words.push(word);
            }
        }
    }
    Kind::Other { expected: format!("{} is expected", words.join(" or ")) }
}

/// The properties beside the `additionalProperties` that a schema path names.
fn keys_at(schema: &Value, path: &str) -> Vec<String> {
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    let properties = schema.pointer(parent).and_then(|schema| schema.get("properties")).and_then(Value::as_object);
    properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
}

fn one_of(options: &Value) -> String {
    let words: Vec<String> = options.as_array().into_iter().flatten().map(ToString::to_string).collect();
    format!("one of {} is expected", words.join(", "))
}

fn type_words(kind: &TypeKind) -> String {
    let word = |json: jsonschema::JsonType| match json.as_str() {
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "a table",
        _ => "nothing",
    };
    match kind {
        TypeKind::Single(json) => word(*json).to_owned(),
        TypeKind::Multiple(set) => {
            let words: Vec<&str> = set.iter().map(word).filter(|word| *word != "nothing").collect();
            words.join(" or ")
        }
    }
}

fn found_words(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}

fn report(found: &Found, usage: &Use, sink: &Sink) {
    let Found { pointer, kind } = found;
    let (config, what, plugin) = (&usage.config, &usage.what, &usage.plugin.value);
    let name = shown(pointer);
    let problem = match kind {
        Kind::Unknown { key, known } => {
            let place = config.key_place(pointer, key);
            Problem::error(place, format!("unknown key `{key}` in {name} of {what}"))
                .label(format!("plugin `{plugin}` does not know it"))
                .mend(did_you_mean(key, "keys here", known.iter().map(String::as_str)))
        }
        Kind::Missing { key } => Problem::error(config.place(pointer), format!("{name} of {what} has no `{key}`"))
            .label(format!("plugin `{plugin}` needs `{key}`"))
            .mend(format!("add `{key} = …`; `stampmill plugin inspect {plugin}` shows what it expects")),
        Kind::NotGranted(named) => named.problem(usage, pointer, &name),
        Kind::Other { expected } => {
            let value = config.value.pointer(pointer).unwrap_or(&Value::Null);
            Problem::error(config.place(pointer), format!("{name} of {what} is {}, and {expected}", found_words(value)))
                .label(expected.clone())
                .mend(format!("`stampmill plugin inspect {plugin}` shows what it expects"))
        }
        // Taken apart before.
        Kind::Nested(_) => return,
    };
    sink.report(problem);
}

/// A JSON pointer as the keys are written in the file.
fn shown(pointer: &str) -> String {
    if pointer.is_empty() {
        return "`config`".to_owned();
    }
    let keys = pointer.split('/').skip(1).map(|key| key.replace("~1", "/").replace("~0", "~"));
    quoted(&[format!("config.{}", keys.collect::<Vec<_>>().join("."))])
}

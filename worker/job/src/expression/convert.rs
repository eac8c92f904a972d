//! JSON to CEL's values and back, and CEL's errors in words.

use std::collections::BTreeMap;
use std::sync::Arc;

use cel::ExecutionError;
use cel::objects::{Key, Map};
use serde_json::Value;

/// A JSON value for CEL; in an object, `absent` names become `null` where they are not set. Whole numbers are `int` where they fit, so that
/// they can be reckoned with.
pub(super) fn to_cel(value: &Value, absent: &[&str]) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(value) => cel::Value::Bool(*value),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(value), _, _) => cel::Value::Int(value),
            (None, Some(value), _) => cel::Value::UInt(value),
            (None, None, value) => cel::Value::Float(value.unwrap_or(f64::NAN)),
        },
        Value::String(text) => cel::Value::String(Arc::new(text.clone())),
        Value::Array(items) => cel::Value::List(Arc::new(items.iter().map(|item| to_cel(item, &[])).collect())),
        Value::Object(fields) => {
            let key = |name: &str| Key::String(Arc::new(name.to_owned()));
            let nulls = absent.iter().map(|name| (key(name), cel::Value::Null));
            let set = fields.iter().map(|(name, value)| (key(name), to_cel(value, &[])));
            cel::Value::Map(Map { map: Arc::new(nulls.chain(set).collect()) })
        }
    }
}

/// A result as JSON. Objects that CEL made come out with sorted keys.
pub(super) fn to_json(value: &cel::Value) -> Result<Value, String> {
    Ok(match value {
        cel::Value::Null => Value::Null,
        cel::Value::Bool(value) => Value::Bool(*value),
        cel::Value::Int(value) => Value::from(*value),
        cel::Value::UInt(value) => Value::from(*value),
        cel::Value::Float(value) => serde_json::Number::from_f64(*value)
            .map(Value::Number)
            .ok_or_else(|| format!("is {value}, which JSON has no number for"))?,
        cel::Value::String(text) => Value::String(text.as_str().to_owned()),
        cel::Value::List(items) => Value::Array(items.iter().map(to_json).collect::<Result<_, _>>()?),
        cel::Value::Map(map) => {
            let sorted: BTreeMap<String, &cel::Value> =
                map.map.iter().map(|(key, value)| (key.to_string(), value)).collect();
            let fields = sorted.into_iter().map(|(key, value)| Ok((key, to_json(value)?)));
            Value::Object(fields.collect::<Result<_, String>>()?)
        }
        other => {
            return Err(format!("is of type {}, which is no JSON value", other.type_of()));
        }
    })
}

/// What kind of value this is, for an error; the value itself may be long or private.
pub(super) fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

pub(super) fn explain(trouble: &ExecutionError) -> String {
    match trouble {
        ExecutionError::NoSuchKey(name) => {
            format!("`{name}` is not set; ask for it with has(…) ? … : …")
        }
        ExecutionError::UndeclaredReference(name) => format!("unknown name or function `{name}`"),
        other => {
            let text = other.to_string();
            let mut shown: String = text.chars().take(200).collect();
            if shown.len() < text.len() {
                shown.push('…');
            }
            shown
        }
    }
}

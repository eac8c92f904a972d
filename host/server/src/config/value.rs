//! Values of the configuration that go to plugins: JSON, with the place of each part.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};
use toml::de::DeValue;

use super::finding::{Problem, Sink, Span};

/// A JSON value from the configuration.
#[derive(Clone, Debug)]
pub(crate) struct ConfigValue {
    /// The value.
    pub(crate) value: Value,
    /// The place of the whole.
    pub(crate) span: Span,
    /// By JSON pointer (RFC 6901); the whole is not among them.
    places: BTreeMap<String, Place>,
}

#[derive(Clone, Debug)]
struct Place {
    /// `None` for the items of lists.
    key: Option<Span>,
    value: Span,
}

impl ConfigValue {
    /// An empty object at the place of whatever lacks a configuration.
    pub(crate) fn empty(span: Span) -> Self {
        Self { value: Value::Object(Map::new()), span, places: BTreeMap::new() }
    }

    /// Turns TOML into JSON.
    pub(crate) fn read(value: &DeValue<'_>, span: &Span, sink: &Sink) -> Self {
        let mut reader = Reader { places: BTreeMap::new(), sink };
        let value = reader.value(value, span, "");
        Self { value, span: span.clone(), places: reader.places }
    }

    /// The place of the value that a pointer names, or of the nearest one around it.
    pub(crate) fn place(&self, pointer: &str) -> Span {
        let mut pointer = pointer;
        loop {
            if let Some(place) = self.places.get(pointer) {
                return place.value.clone();
            }
            match pointer.rfind('/') {
                Some(cut) => pointer = &pointer[..cut],
                None => return self.span.clone(),
            }
        }
    }

    /// The place of a key in the object that a pointer names.
    pub(crate) fn key_place(&self, pointer: &str, key: &str) -> Span {
        let full = join(pointer, key);
        self.places.get(&full).and_then(|place| place.key.clone()).unwrap_or_else(|| self.place(&full))
    }

    /// Takes a key of the top-level object out.
    pub(crate) fn remove(&mut self, key: &str) {
        if let Value::Object(object) = &mut self.value {
            object.shift_remove(key);
        }
    }
}

fn join(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

struct Reader<'a> {
    places: BTreeMap<String, Place>,
    sink: &'a Sink,
}

impl Reader<'_> {
    /// toml bounds how deep values nest, so that this recursion is bounded too.
    fn value(&mut self, value: &DeValue<'_>, span: &Span, pointer: &str) -> Value {
        match value {
            DeValue::String(text) => Value::String(text.clone().into_owned()),
            DeValue::Boolean(value) => Value::Bool(*value),
            DeValue::Datetime(date) => Value::String(date.to_string()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map(Value::from)
                .or_else(|_| u64::from_str_radix(number.as_str(), number.radix()).map(Value::from))
                .unwrap_or_else(|_| self.no_number(&number.to_string(), span)),
            DeValue::Float(number) => (number.as_str().parse().ok())
                .and_then(Number::from_f64)
                .map_or_else(|| self.no_number(number.as_str(), span), Value::Number),
            DeValue::Array(items) => {
                let mut list = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    let inner = format!("{pointer}/{index}");
                    list.push(self.value(item.get_ref(), &item.span(), &inner));
                    self.places.insert(inner, Place { key: None, value: item.span() });
                }
                Value::Array(list)
            }
            DeValue::Table(entries) => {
                let mut entries: Vec<_> = entries.iter().collect();
                entries.sort_by_key(|(key, _)| key.span().start);
                let mut object = Map::new();
                for (key, item) in entries {
                    let name: &str = key.get_ref();
                    let inner = join(pointer, name);
                    object.insert(name.to_owned(), self.value(item.get_ref(), &item.span(), &inner));
                    self.places.insert(inner, Place { key: Some(key.span()), value: item.span() });
                }
                Value::Object(object)
            }
        }
    }

    fn no_number(&self, text: &str, span: &Span) -> Value {
        let message = format!("`{text}` is a number that JSON does not have");
        self.sink.report(Problem::error(span.clone(), message).mend("write it as text, in quotes"));
        Value::Null
    }
}

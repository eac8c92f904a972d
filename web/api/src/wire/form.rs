//! What force schedulers ask of people.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// What a force scheduler asks.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Form {
    /// Whether a reason must be given.
    pub reason_required: bool,
    /// In the order of the configuration. Without any a force takes whatever properties it is sent.
    pub parameters: Vec<Parameter>,
}

/// A question to whoever forces. The answer is sent among `properties`, under this name.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Parameter {
    /// The names of the groups that are around it stand before its own, with dots. Each of them is an object in the build's properties.
    pub name: String,
    pub label: String,
    /// `string`, `text`, `int`, `bool`, `choice`, `user` or `file`.
    pub kind: String,
    pub required: bool,
    /// Whether pages leave it out.
    pub hide: bool,
    /// Null where nothing answers for whoever does not.
    pub default: Value,
    /// What the whole of a text must match.
    pub regex: Option<String>,
    pub min: Option<i64>,
    pub max: Option<i64>,
    /// Of a choice.
    pub choices: Vec<String>,
    /// Whether a choice takes others too.
    pub strict: bool,
    /// Whether a choice is a list.
    pub multiple: bool,
    /// In bytes, of a file.
    pub max_size: Option<usize>,
}

/// What is wrong with one field of what was sent.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FieldError {
    /// Its path, such as `properties.version`.
    pub field: String,
    /// A sentence for people.
    pub message: String,
}

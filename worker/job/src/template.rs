//! `${{ expression }}` in the configuration of a step.
//!
//! A text that is exactly one `${{ }}` becomes the value itself, whatever its type; inside a longer text the value is written out: texts as
//! they are, `null` as nothing, everything else as JSON. Keys are left alone.

use serde_json::{Map, Value};

use crate::expression::{Expression, ExpressionError, Missing};
use crate::limits::{FILLED_TEXT_BYTES_MAX, TEMPLATE_DEPTH_MAX};
use crate::{Facts, shell};

/// What is wrong with a template.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}: {kind}", if .pointer.is_empty() { "the configuration" } else { .pointer.as_str() })]
pub struct TemplateError {
    /// Which value of the configuration: a JSON pointer (RFC 6901), empty for the whole.
    pub pointer: String,
    /// Where in that value's text the `${{` stands, in bytes from 0; 0 when it is not a text.
    pub offset: usize,
    /// What is wrong.
    pub kind: TemplateErrorKind,
}

/// What is wrong with a template.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TemplateErrorKind {
    /// The expression is wrong, or cannot be evaluated.
    #[error(transparent)]
    Expression(#[from] ExpressionError),
    /// `${{` without its end.
    #[error("`${{{{` without `}}}}`")]
    Open,
    /// In a key.
    #[error("`${{{{ }}}}` in the key `{0}`; only values are filled in")]
    Key(String),
    /// In program text.
    #[error(
        "`${{{{ }}}}` in {place} would make data into code; pass the value as an environment variable (environment = {{ VALUE = \"{template}\" }}) \
         and write \"$VALUE\" in the script"
    )]
    Code {
        /// Which program text.
        place: String,
        /// The template as written.
        template: String,
    },
    /// Too deep.
    #[error("nests deeper than {TEMPLATE_DEPTH_MAX}")]
    Deep,
    /// Too long when filled in.
    #[error("is longer than {FILLED_TEXT_BYTES_MAX} bytes when filled in")]
    Long,
}

/// Checks the configuration of a step: every expression, and that none stands in program text (see [`shell`]).
///
/// # Errors
/// The first error in the order of the configuration.
pub fn check_template(config: &Value) -> Result<(), TemplateError> {
    shell::check(config)?;
    visit(config, &mut String::new(), 0, &mut |text, pointer| {
        for piece in pieces(text).map_err(|(offset, kind)| at(pointer, offset, kind))? {
            if let Piece::Expression { text, offset } = piece {
                Expression::compile(text).map_err(|error| at(pointer, offset, error.into()))?;
            }
        }
        Ok(Value::Null)
    })
    .map(|_| ())
}

/// Fills in the configuration of a step.
///
/// # Errors
/// When an expression is wrong or cannot be evaluated, such as one that names a property that is not set.
pub fn fill(config: &Value, facts: &Facts) -> Result<Value, TemplateError> {
    visit(config, &mut String::new(), 0, &mut |text, pointer| {
        let pieces = pieces(text).map_err(|(offset, kind)| at(pointer, offset, kind))?;
        fill_text(&pieces, facts).map_err(|(offset, kind)| at(pointer, offset, kind))
    })
}

fn fill_text(pieces: &[Piece<'_>], facts: &Facts) -> Result<Value, (usize, TemplateErrorKind)> {
    let value = |text: &str, offset: usize| {
        Expression::compile(text)
            .and_then(|expression| expression.evaluate(facts, Missing::IsError))
            .map_err(|error| (offset, error.into()))
    };
    if let [Piece::Expression { text, offset }] = pieces {
        return value(text, *offset);
    }
    let mut filled = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Expression { text, offset } => match value(text, *offset)? {
                Value::Null => {}
                Value::String(text) => filled.push_str(&text),
                other => filled.push_str(&other.to_string()),
            },
        }
        if filled.len() > FILLED_TEXT_BYTES_MAX {
            return Err((0, TemplateErrorKind::Long));
        }
    }
    Ok(Value::String(filled))
}

/// Makes a copy of `value` with each text replaced by what `text` makes of it.
fn visit(
    value: &Value,
    pointer: &mut String,
    depth: usize,
    text: &mut dyn FnMut(&str, &str) -> Result<Value, TemplateError>,
) -> Result<Value, TemplateError> {
    if depth > TEMPLATE_DEPTH_MAX {
        return Err(at(pointer, 0, TemplateErrorKind::Deep));
    }
    let length = pointer.len();
    match value {
        Value::String(written) => text(written, pointer),
        Value::Array(items) => {
            let mut made = Vec::with_capacity(items.len());
            for (index, item) in items.iter().enumerate() {
                push(pointer, &index.to_string());
                made.push(visit(item, pointer, depth + 1, text)?);
                pointer.truncate(length);
            }
            Ok(Value::Array(made))
        }
        Value::Object(fields) => {
            let mut made = Map::new();
            for (key, field) in fields {
                if key.contains("${{") {
                    return Err(at(pointer, 0, TemplateErrorKind::Key(key.clone())));
                }
                push(pointer, key);
                made.insert(key.clone(), visit(field, pointer, depth + 1, text)?);
                pointer.truncate(length);
            }
            Ok(Value::Object(made))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(value.clone()),
    }
}

pub(crate) fn push(pointer: &mut String, key: &str) {
    pointer.push('/');
    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
}

pub(crate) fn at(pointer: &str, offset: usize, kind: TemplateErrorKind) -> TemplateError {
    TemplateError { pointer: pointer.to_owned(), offset, kind }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Piece<'a> {
    Text(&'a str),
    Expression { text: &'a str, offset: usize },
}

fn pieces(text: &str) -> Result<Vec<Piece<'_>>, (usize, TemplateErrorKind)> {
    let mut pieces = Vec::new();
    let mut done = 0;
    while let Some(found) = text[done..].find("${{") {
        let start = done + found;
        if start > done {
            pieces.push(Piece::Text(&text[done..start]));
        }
        let inside = &text[start + 3..];
        let length = expression_length(inside).ok_or((start, TemplateErrorKind::Open))?;
        pieces.push(Piece::Expression { text: inside[..length].trim(), offset: start });
        done = start + 3 + length + 2;
    }
    if done < text.len() || pieces.is_empty() {
        pieces.push(Piece::Text(&text[done..]));
    }
    Ok(pieces)
}

/// The number of bytes before the `}}` that ends an expression: one outside CEL's texts and braces.
fn expression_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut position, mut braces) = (0, 0usize);
    while let Some(&byte) = bytes.get(position) {
        match byte {
            b'"' | b'\'' => position = end_of_quote(bytes, position)?,
            b'{' => braces += 1,
            b'}' if braces > 0 => braces -= 1,
            b'}' if bytes.get(position + 1) == Some(&b'}') => return Some(position),
            _ => {}
        }
        position += 1;
    }
    None
}

/// The position of the last byte of the quoted text that begins at `start`; knows CEL's triple quotes, escapes and raw texts.
fn end_of_quote(bytes: &[u8], start: usize) -> Option<usize> {
    let quote = bytes[start];
    let raw = start > 0 && matches!(bytes[start - 1], b'r' | b'R');
    let triple = bytes.get(start + 1) == Some(&quote) && bytes.get(start + 2) == Some(&quote);
    let width = if triple { 3 } else { 1 };
    let mut position = start + width;
    loop {
        let rest = bytes.get(position..)?;
        if rest.is_empty() {
            return None;
        }
        if rest.len() >= width && rest[..width].iter().all(|byte| *byte == quote) {
            return Some(position + width - 1);
        }
        position += if rest[0] == b'\\' && !raw { 2 } else { 1 };
    }
}

//! Answers: what people sent becomes typed properties, or a fault for each field.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use stampmill_model::{Properties, Property, PropertySource};

use super::{
    Entry, Fault, Form, Parameter, ParameterKind, Pattern, SourceField, address, field_of_parameter, field_of_source,
};
use crate::input::SourceChoice;
use crate::limits::{
    ANSWER_CHARS_SHOWN, ANSWERS_BYTES_MOST, CHOSEN_MOST, LINE_BYTES_MOST, NAMES_SHOWN, TEXT_BYTES_MOST,
};

impl Form {
    /// The properties of a force by `owner`, of what was sent by the addresses of parameters; or everything that is wrong with it.
    pub(crate) fn properties(&self, sent: &Properties, owner: &str) -> Result<Properties, Vec<Fault>> {
        if self.entries.is_empty() {
            return Ok(crate::properties::sourced(sent, &PropertySource::Force));
        }
        let mut taking = Taking {
            owner,
            sent: sent.iter().map(|(name, it)| (name.as_str(), &it.value)).collect(),
            ..Taking::default()
        };
        let taken = taking.entries(&self.entries, "");
        taking.refuse_unknown();
        let bytes: usize = taken.iter().map(|(name, value)| name.len() + bytes_of(value)).sum();
        if bytes > ANSWERS_BYTES_MOST {
            let message = format!(
                "the parameters have {bytes} bytes together, and at most {ANSWERS_BYTES_MOST} are taken; send less"
            );
            taking.faults.push(Fault { field: "properties".to_owned(), message });
        }
        if !taking.faults.is_empty() {
            return Err(taking.faults);
        }
        let forced = |value| Property { value, source: PropertySource::Force };
        Ok(taken.into_iter().map(|(name, value)| (name, forced(value))).collect())
    }

    /// What is wrong with the choice of sources: fields that are not for people to choose.
    pub(crate) fn check_sources(&self, stamps: &BTreeMap<String, SourceChoice>) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (codebase, choice) in stamps {
            let fields = self.source_fields(codebase);
            for (field, text) in [
                (SourceField::Branch, &choice.branch),
                (SourceField::Revision, &choice.revision),
                (SourceField::Repository, &choice.repository),
                (SourceField::Project, &choice.project),
            ] {
                let Some(text) = text.as_deref().filter(|_| !fields.contains(&field)) else { continue };
                let (word, text) = (field.as_str(), shortened(text));
                let message =
                    format!("the {word} of codebase `{codebase}` is fixed, and `{text}` can't be taken; leave it out");
                faults.push(Fault { field: field_of_source(codebase, field), message });
            }
        }
        faults
    }
}

impl Parameter {
    /// What the property is when nobody answers; `None` sets no property.
    #[must_use]
    pub fn unanswered(&self, owner: &str) -> Option<Value> {
        let natural = || match &self.kind {
            ParameterKind::String { .. } | ParameterKind::Text { .. } => Some(Value::from("")),
            ParameterKind::Bool => Some(Value::Bool(false)),
            ParameterKind::Choice { multiple: true, .. } => Some(Value::Array(Vec::new())),
            ParameterKind::User { .. } => Some(owner).filter(|owner| !owner.is_empty()).map(Value::from),
            ParameterKind::Int { .. } | ParameterKind::Choice { .. } | ParameterKind::File { .. } => None,
        };
        self.default.clone().or_else(natural)
    }
}

/// One force on its way.
#[derive(Default)]
struct Taking<'a> {
    owner: &'a str,
    /// What was sent and nobody has asked for yet.
    sent: BTreeMap<&'a str, &'a Value>,
    /// What was asked for, in order.
    asked: Vec<String>,
    faults: Vec<Fault>,
}

impl Taking<'_> {
    /// Recursion is as deep as the configuration's groups, which are bounded.
    fn entries(&mut self, entries: &[Entry], group: &str) -> Map<String, Value> {
        let mut taken = Map::new();
        for entry in entries {
            match entry {
                Entry::Parameter(parameter) => {
                    let address = address(group, &parameter.name);
                    match self.parameter(parameter, &address) {
                        Ok(Some(value)) => {
                            taken.insert(parameter.name.clone(), value);
                        }
                        Ok(None) => {}
                        Err(wrong) => self.faults.push(Fault {
                            field: field_of_parameter(&address),
                            message: format!("parameter `{address}` {wrong}"),
                        }),
                    }
                    self.asked.push(address);
                }
                Entry::Group(inner) => {
                    let values = self.entries(&inner.entries, &address(group, &inner.name));
                    if inner.name.is_empty() {
                        taken.extend(values);
                    } else {
                        taken.insert(inner.name.clone(), Value::Object(values));
                    }
                }
            }
        }
        taken
    }

    fn parameter(&mut self, parameter: &Parameter, address: &str) -> Result<Option<Value>, String> {
        let given = match self.sent.remove(address) {
            Some(sent) => parameter.kind.read(sent)?,
            None => None,
        };
        let value = match given {
            Some(given) => Some(given),
            None => match parameter.unanswered(self.owner) {
                // Nobody chose their own name to be one that the pattern takes.
                Some(name) if matches!(parameter.kind, ParameterKind::User { .. }) => parameter.kind.read(&name)?,
                value => value,
            },
        };
        if parameter.required && value.as_ref().is_none_or(is_empty) {
            return Err(format!("is missing; give {}", parameter.kind.expected()));
        }
        Ok(value)
    }

    fn refuse_unknown(&mut self) {
        let known = listed(&self.asked);
        for name in self.sent.keys() {
            let name = shortened(name);
            let message = format!("there is no parameter `{name}`; there are {known}");
            self.faults.push(Fault { field: field_of_parameter(&name), message });
        }
    }
}

impl ParameterKind {
    /// The value as the property has it; `None` where nothing was given: a null, or an empty field of a kind that has no empty value.
    ///
    /// # Errors
    ///
    /// The end of a sentence that begins with the parameter's name: what was given, and what is expected.
    pub fn read(&self, given: &Value) -> Result<Option<Value>, String> {
        if given.is_null() || given.as_str().is_some_and(|text| text.trim().is_empty()) {
            let has_empty = matches!(self, Self::String { .. } | Self::Text { .. });
            return Ok((has_empty && !given.is_null()).then(|| Value::from("")));
        }
        let wrong = || format!("is {}, and {} is expected", shown(given), self.expected());
        match self {
            Self::String { regex } | Self::User { regex } => {
                let text = given.as_str().filter(|text| is_line(text) && fits(regex.as_ref(), text));
                text.map(Value::from).map(Some).ok_or_else(wrong)
            }
            Self::Text { regex } => {
                let text = given.as_str().ok_or_else(wrong)?;
                check_size(text, TEXT_BYTES_MOST)?;
                let text = Some(text).filter(|text| !text.contains('\0') && fits(regex.as_ref(), text));
                text.map(Value::from).map(Some).ok_or_else(wrong)
            }
            Self::Int { min, max } => {
                let number = match given {
                    Value::String(text) => text.trim().parse().ok(),
                    given => given.as_i64(),
                };
                let within =
                    |number: &i64| min.is_none_or(|min| *number >= min) && max.is_none_or(|max| *number <= max);
                number.filter(within).map(Value::from).map(Some).ok_or_else(wrong)
            }
            Self::Bool => match given {
                Value::Bool(value) => Ok(Some(Value::Bool(*value))),
                Value::String(text) => text.trim().parse().map(Value::Bool).map(Some).map_err(|_| wrong()),
                _ => Err(wrong()),
            },
            Self::Choice { choices, strict, multiple: false } => {
                let text = given.as_str().filter(|text| is_line(text) && may_choose(choices, *strict, text));
                text.map(Value::from).map(Some).ok_or_else(wrong)
            }
            Self::Choice { choices, strict, multiple: true } => {
                let items = match given {
                    Value::Array(items) => items.as_slice(),
                    one => std::slice::from_ref(one),
                };
                several(choices, *strict, items).map(Some).ok_or_else(|| {
                    let odd =
                        items.iter().find(|item| several(choices, *strict, std::slice::from_ref(*item)).is_none());
                    match odd {
                        Some(odd) => format!("has {}, and {} are expected", shown(odd), self.expected()),
                        None => format!("has {} texts, and at most {CHOSEN_MOST} are expected", items.len()),
                    }
                })
            }
            Self::File { size_max } => {
                let text = given.as_str().ok_or_else(wrong)?;
                check_size(text, *size_max)?;
                Some(text).filter(|text| !text.contains('\0')).map(Value::from).map(Some).ok_or_else(wrong)
            }
        }
    }

    /// What is to be given, in words.
    fn expected(&self) -> String {
        let matching = |what: &str, regex: &Option<Pattern>| match regex {
            Some(regex) => format!("{what} of which the whole matches `{}`", regex.as_str()),
            None => what.to_owned(),
        };
        match self {
            Self::String { regex } => matching(&format!("one line of at most {LINE_BYTES_MOST} bytes"), regex),
            Self::Text { regex } => matching("a text", regex),
            Self::Int { min: Some(min), max: Some(max) } => format!("a whole number from {min} to {max}"),
            Self::Int { min: Some(min), max: None } => format!("a whole number of at least {min}"),
            Self::Int { min: None, max: Some(max) } => format!("a whole number of at most {max}"),
            Self::Int { min: None, max: None } => "a whole number".to_owned(),
            Self::Bool => "true or false".to_owned(),
            Self::Choice { choices, strict: true, multiple: false } => format!("one of {}", listed(choices)),
            Self::Choice { strict: false, multiple: false, .. } => "one line of text".to_owned(),
            Self::Choice { choices, strict: true, multiple: true } => format!("some of {}", listed(choices)),
            Self::Choice { strict: false, multiple: true, .. } => "lines of text".to_owned(),
            Self::User { regex } => matching("a name", regex),
            Self::File { .. } => "a file's text in UTF-8".to_owned(),
        }
    }
}

/// Each once, in the order in which they were chosen.
fn several(choices: &[String], strict: bool, items: &[Value]) -> Option<Value> {
    if items.len() > CHOSEN_MOST {
        return None;
    }
    let mut seen = BTreeSet::new();
    let mut chosen = Vec::new();
    for item in items {
        let text = item.as_str().filter(|text| is_line(text) && may_choose(choices, strict, text))?;
        if seen.insert(text) {
            chosen.push(Value::from(text));
        }
    }
    Some(Value::Array(chosen))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    }
}

fn may_choose(choices: &[String], strict: bool, text: &str) -> bool {
    !strict || choices.iter().any(|choice| choice == text)
}

fn is_line(text: &str) -> bool {
    text.len() <= LINE_BYTES_MOST && !text.chars().any(char::is_control)
}

fn fits(regex: Option<&Pattern>, text: &str) -> bool {
    regex.is_none_or(|regex| regex.matches(text))
}

fn check_size(text: &str, most: usize) -> Result<(), String> {
    match text.len() {
        bytes if bytes > most => Err(format!("has {bytes} bytes, and at most {most} are taken; shorten it")),
        _ => Ok(()),
    }
}

/// What was given, short enough for a sentence.
fn shown(given: &Value) -> String {
    match given {
        Value::String(text) => format!("`{}`", shortened(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::Null | Value::Bool(_) | Value::Number(_) => format!("`{given}`"),
    }
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(ANSWER_CHARS_SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(ANSWER_CHARS_SHOWN).is_some() {
        short.push('…');
    }
    short
}

fn listed(names: &[String]) -> String {
    let mut shown: Vec<_> = names.iter().take(NAMES_SHOWN).map(|name| format!("`{name}`")).collect();
    if names.len() > NAMES_SHOWN {
        shown.push(format!("{} more", names.len() - NAMES_SHOWN));
    }
    shown.join(", ")
}

/// Of values that were read, which nest as deep as the configuration's groups.
fn bytes_of(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => size_of::<u64>(),
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(bytes_of).sum(),
        Value::Object(items) => items.iter().map(|(name, item)| name.len() + bytes_of(item)).sum(),
    }
}

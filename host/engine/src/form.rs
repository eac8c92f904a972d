//! What a force scheduler asks of people, and what becomes of their answers. This is the one place that decides it: the check of the
//! configuration, the API, the command line and the pages all end here.

mod pattern;
mod taking;

use std::collections::BTreeMap;

use serde_json::Value;

pub use pattern::{Pattern, PatternError};

/// What a force scheduler asks.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Form {
    /// In the order of the file. A form without any takes whatever properties people send.
    pub entries: Vec<Entry>,
    /// Whether people must say why.
    pub reason_required: bool,
    /// What people may choose of each codebase; of one that is not named here the branch and the revision.
    pub sources: BTreeMap<String, Vec<SourceField>>,
}

/// A part of a form.
#[derive(Clone, PartialEq, Debug)]
pub enum Entry {
    /// One question.
    Parameter(Parameter),
    /// Several that belong together.
    Group(Group),
}

/// Parameters that belong together.
#[derive(Clone, PartialEq, Debug)]
pub struct Group {
    /// With a name the values are one property, an object; without one each is a property of its own.
    pub name: String,
    /// For people, may be empty.
    pub label: String,
    /// In the order of the file.
    pub entries: Vec<Entry>,
}

/// A question to whoever forces; the answer becomes a property.
#[derive(Clone, PartialEq, Debug)]
pub struct Parameter {
    /// Name of the property.
    pub name: String,
    /// For people, may be empty.
    pub label: String,
    /// Which answers there are.
    pub kind: ParameterKind,
    /// The answer of whoever gives none: one that the kind takes, as the property has it.
    pub default: Option<Value>,
    /// Whether an answer must be given.
    pub required: bool,
    /// Whether pages leave it out; programs may answer it all the same.
    pub hide: bool,
}

/// Which answers a parameter has.
#[derive(Clone, PartialEq, Debug)]
pub enum ParameterKind {
    /// One line of text.
    String {
        /// What the whole of it must match.
        regex: Option<Pattern>,
    },
    /// Several lines of text.
    Text {
        /// What the whole of it must match.
        regex: Option<Pattern>,
    },
    /// A whole number; the property is a number.
    Int {
        /// The least.
        min: Option<i64>,
        /// The largest.
        max: Option<i64>,
    },
    /// The property is true or false.
    Bool,
    /// One of a few texts, or several.
    Choice {
        /// In the order of the file, each once.
        choices: Vec<String>,
        /// Whether others are refused.
        strict: bool,
        /// Whether several may be chosen; the property is a list.
        multiple: bool,
    },
    /// The name of a person: whoever forces, where no other is given.
    User {
        /// What the whole of it must match.
        regex: Option<Pattern>,
    },
    /// What a file holds, in UTF-8.
    File {
        /// In bytes.
        size_max: usize,
    },
}

impl ParameterKind {
    /// The word, as in the configuration and the API.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::String { .. } => "string",
            Self::Text { .. } => "text",
            Self::Int { .. } => "int",
            Self::Bool => "bool",
            Self::Choice { .. } => "choice",
            Self::User { .. } => "user",
            Self::File { .. } => "file",
        }
    }
}

/// A part of a source stamp that people may choose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SourceField {
    /// Which branch.
    Branch,
    /// Which revision.
    Revision,
    /// Where to check out from. Sources from elsewhere than the scheduler's own repository are not trusted.
    Repository,
    /// Which project.
    Project,
}

impl SourceField {
    /// What people may choose where the configuration says nothing.
    pub const USUAL: [Self; 2] = [Self::Branch, Self::Revision];

    /// The word, as in the configuration and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Branch => "branch",
            Self::Revision => "revision",
            Self::Repository => "repository",
            Self::Project => "project",
        }
    }
}

impl Form {
    /// All parameters with their addresses, in the order of the file.
    #[must_use]
    pub fn parameters(&self) -> Vec<(String, &Parameter)> {
        let mut found = Vec::new();
        collect(&self.entries, "", &mut found);
        found
    }

    /// What people may choose of a codebase.
    #[must_use]
    pub fn source_fields(&self, codebase: &str) -> &[SourceField] {
        self.sources.get(codebase).map_or(SourceField::USUAL.as_slice(), Vec::as_slice)
    }
}

/// Recursion is as deep as the configuration's groups, which are bounded.
fn collect<'a>(entries: &'a [Entry], group: &str, found: &mut Vec<(String, &'a Parameter)>) {
    for entry in entries {
        match entry {
            Entry::Parameter(parameter) => found.push((address(group, &parameter.name), parameter)),
            Entry::Group(inner) => collect(&inner.entries, &address(group, &inner.name), found),
        }
    }
}

/// Something that is wrong with one answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Where: `reason`, `properties.NAME` or `codebases.NAME.branch`. Fields of pages and of the API have these names.
    pub field: String,
    /// What and the mend, for people.
    pub message: String,
}

/// The name of a parameter's field; the address has the names of its groups before it, with dots.
#[must_use]
pub fn field_of_parameter(address: &str) -> String {
    format!("properties.{address}")
}

/// The name of the field for a part of a source stamp.
#[must_use]
pub fn field_of_source(codebase: &str, field: SourceField) -> String {
    format!("codebases.{codebase}.{}", field.as_str())
}

/// How a parameter is called within the groups that are around it.
#[must_use]
pub fn address(group: &str, name: &str) -> String {
    if group.is_empty() || name.is_empty() { format!("{group}{name}") } else { format!("{group}.{name}") }
}

//! What the operator writes for this filter.

use schemars::JsonSchema;
use serde::Deserialize;

/// A change passes when it fits every criterion that is given.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The branch; a change may have none.
    pub branch: Option<Criterion>,
    /// The project.
    pub project: Option<Criterion>,
    /// The repository.
    pub repository: Option<Criterion>,
    /// The category; a change may have none.
    pub category: Option<Criterion>,
    /// The codebase.
    pub codebase: Option<Criterion>,
}

/// What a value has to be.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Criterion {
    /// This.
    Equals(String),
    /// One of these.
    OneOf(Vec<String>),
    /// All that is said here.
    Rules(Rules),
}

/// Rules for one value; all that are given have to hold.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rules {
    /// One of these. A missing value is none of them.
    pub equals: Option<Texts>,
    /// None of these. A missing value is none of them.
    pub not: Option<Texts>,
    /// A regular expression that is found in the value; `^` and `$` tie it to the ends. A missing value fits none.
    pub regex: Option<String>,
    /// A regular expression that is not found in the value. A missing value fits none.
    pub not_regex: Option<String>,
    /// Whether the value has to be missing, or to be there.
    pub missing: Option<bool>,
}

/// One text, or several.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Texts {
    /// One text.
    One(String),
    /// Several texts.
    Several(Vec<String>),
}

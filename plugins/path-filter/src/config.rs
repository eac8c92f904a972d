//! What the operator writes for this filter.

use schemars::JsonSchema;
use serde::Deserialize;

/// A change is important when one of its files matches `include` and none of `exclude`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// Patterns of files that matter; without, all do. `*` and `?` stay within a name, `**` crosses directories, `[ab]` and `{a,b}` are
    /// alternatives. A pattern without `/` looks at the last part of the path: `*.c` matches `src/a.c`.
    #[serde(default)]
    pub include: Vec<String>,
    /// Patterns of files that don't, whatever `include` says.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// What to say of a change without such a file.
    #[serde(default)]
    pub otherwise: Otherwise,
}

/// What to do with a change that has no important file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Otherwise {
    /// It starts no build, but is taken along with the next one.
    #[default]
    Unimportant,
    /// It is nothing for this scheduler.
    Ignore,
}

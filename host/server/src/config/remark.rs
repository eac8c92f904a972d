//! A look at a configuration's text alone.

use std::path::Path;

use super::finding::{ConfigError, Finding};
use super::lock::Lock;
use super::{bundled, limits, load_text};

/// One thing in a configuration that is wrong, or allowed and most likely not meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remark {
    /// Where it is, from 1.
    pub line: usize,
    /// Where it is in the line, in characters from 1.
    pub column: usize,
    /// What it says in one line, with file, place and mend.
    pub text: String,
    /// What a terminal shows of it, with the source lines.
    pub shown: String,
}

impl Remark {
    fn of(finding: &Finding) -> Self {
        Self { line: finding.line(), column: finding.column(), text: finding.to_string(), shown: finding.render(false) }
    }
}

/// Checks a configuration's text as `stampmill check` does before it starts plugins. `path` is what remarks call the file, and what files
/// that it names are relative to; pins of plugins are left out of account. Answers warnings for a text that is taken.
///
/// # Errors
/// What is wrong with it.
pub fn check_text(path: &Path, text: &str) -> Result<Vec<Remark>, Vec<Remark>> {
    let whole =
        |error: &ConfigError| Remark { line: 1, column: 1, text: error.to_string(), shown: error.render(false) };
    let bytes = text.len() as u64;
    if bytes > limits::FILE_BYTES_MAX {
        let path = path.display().to_string();
        return Err(vec![whole(&ConfigError::TooLarge { path, bytes, limit: limits::FILE_BYTES_MAX })]);
    }
    let bundled: Vec<_> = bundled().collect();
    match load_text(path, text.to_owned(), Lock::empty(path), &bundled) {
        Ok(loaded) => Ok(loaded.warnings.iter().map(Remark::of).collect()),
        Err(ConfigError::Wrong(findings)) => Err(findings.iter().map(Remark::of).collect()),
        Err(other) => Err(vec![whole(&other)]),
    }
}

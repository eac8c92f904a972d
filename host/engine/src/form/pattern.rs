//! Regular expressions of parameters.

use regex_lite::{Regex, RegexBuilder};

use crate::limits::PATTERN_BYTES_MOST;

/// A regular expression that a text must match as a whole.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    whole: Regex,
}

/// A text that is no regular expression.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{text}` is no regular expression that can be used: {reason}")]
pub struct PatternError {
    text: String,
    reason: String,
}

impl Pattern {
    /// Reads a regular expression in the syntax of the crate regex.
    ///
    /// # Errors
    ///
    /// When it is none, or so large that looking for it could take long.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let compiled = |text: &str| {
            let built = RegexBuilder::new(text).size_limit(PATTERN_BYTES_MOST).build();
            built.map_err(|error| PatternError { text: text.to_owned(), reason: error.to_string() })
        };
        // By itself first: `a)(b` is whole only between our parentheses.
        compiled(text)?;
        let whole = compiled(&format!("^(?:{text})$"))?;
        Ok(Self { text: text.to_owned(), whole })
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it matches all of a text.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.whole.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

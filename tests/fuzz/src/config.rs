//! The operator's configuration.

use std::path::Path;

use stampmill::{Remark, check_text};

use crate::memory;

/// What a check may hold besides what the text comes to: components in the binary, their schemas, and pages of output.
const BASE_BYTES: usize = 64 << 20;
/// How many bytes of memory one byte of text may come to: each wrong line is shown with its neighbours.
const BYTES_A_BYTE: usize = 4096;

/// Checks the bytes as a configuration, if they are text.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // No such folder: nothing beside the text is read.
    let path = Path::new("/nonexistent/stampmill.toml");
    let checked = memory::at_most(BASE_BYTES + BYTES_A_BYTE * text.len(), "checking", || check_text(path, text));
    let remarks = match &checked {
        Ok(warnings) => warnings,
        Err(errors) => {
            assert!(!errors.is_empty(), "a configuration is refused without a reason");
            errors
        }
    };
    for remark in remarks {
        is_in(text, remark);
    }
    assert_eq!(check_text(path, text), checked, "the same text, the same remarks");
}

/// The place of a remark is one of the text: a character, or the end of a line.
fn is_in(text: &str, remark: &Remark) {
    let lines: Vec<&str> = text.split('\n').collect();
    let line = remark.line.checked_sub(1).and_then(|line| lines.get(line));
    let line = line.unwrap_or_else(|| panic!("line {} of {}: {}", remark.line, lines.len(), remark.text));
    let columns = line.chars().count() + 1;
    assert!((1..=columns).contains(&remark.column), "column {} of {columns}: {}", remark.column, remark.text);
    let place = format!("/nonexistent/stampmill.toml:{}:{}: ", remark.line, remark.column);
    assert!(remark.text.starts_with(&place), "{:?} is not at {place}", remark.text);
    assert!(!remark.shown.trim().is_empty(), "{:?} is shown as nothing", remark.text);
}

//! Printing: a reader that goes away is no error, and text from repositories and plugins can't steer the terminal.

use std::io::{IsTerminal as _, Write as _};

use super::failure::Failure;

/// Whether messages on standard error may be coloured.
pub(crate) fn colour() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Prints a line.
pub(crate) fn say(line: impl AsRef<str>) -> anyhow::Result<()> {
    write(format!("{}\n", line.as_ref()).as_bytes())
}

/// Prints bytes as they are.
pub(crate) fn write(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Failure::NobodyReads.into()),
        Err(error) => Err(error.into()),
    }
}

/// Prints a value as JSON, for scripts.
pub(crate) fn say_json(value: &serde_json::Value) -> anyhow::Result<()> {
    say(serde_json::to_string_pretty(value)?)
}

/// A text on one line, without characters that a terminal obeys.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The first line of a text.
pub(crate) fn first_line(text: &str) -> String {
    clean(text.lines().next().unwrap_or_default())
}

/// Prints rows with their columns aligned; the last column is as long as it is.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> anyhow::Result<()> {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| clean(cell)).collect()).collect();
    let width = |column: usize, heading: &str| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([heading.len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = headings.iter().enumerate().map(|(column, heading)| width(column, heading)).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut text = line(headings.to_vec());
    for row in &rows {
        text.push('\n');
        text.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    say(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_a_repository_can_not_steer_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\r\u{9b}c\n"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\u{fffd}");
        assert_eq!(first_line("one\ntwo"), "one");
    }
}

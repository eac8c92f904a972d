//! Limits of the pages, each with a line that says why that number.

use std::time::Duration;

/// A form is a few lines that a person typed, and files of 128 KiB together, of which an encoded byte may take three.
pub(crate) const FORM_BYTES_MAX: usize = 512 * 1024;
/// A form must be here after this long.
pub(crate) const FORM_TIMEOUT: Duration = Duration::from_secs(30);
/// Lines of a log on one page without a script; with their numbers they fit in 30 KB.
pub(crate) const LOG_PAGE_LINES: u64 = 200;
/// Lines below a step that runs or failed: what fits without scrolling.
pub(crate) const TAIL_LINES: u64 = 20;
/// Letters of a line that a page shows before it is cut; the raw log has all of it.
pub(crate) const LINE_CHARS_MAX: usize = 2_000;
/// Files of a change that are listed; the API has all of them.
pub(crate) const FILES_SHOWN: usize = 200;
/// Letters of a revision that are enough to know it by.
pub(crate) const REVISION_CHARS: usize = 10;
/// Properties that are shown unfolded: every build has a dozen by itself, a person's own are a few more.
pub(crate) const PROPERTIES_OPEN: usize = 24;
/// Letters of the host's title on a page; the bar holds no more.
pub(crate) const TITLE_CHARS: usize = 80;
/// Letters of a comment's first line in a table.
pub(crate) const LINE_CHARS: usize = 100;
/// Rows of a page of builds or changes.
pub(crate) const ROWS: usize = 40;

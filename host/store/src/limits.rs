//! Limits of the store, each with a line that says why that number.

use stampmill_model::Milliseconds;

/// Deliveries of hooks are known for this long: forges repeat a delivery for hours at most, people within days.
pub const DELIVERIES_KEPT: Milliseconds = Milliseconds::from_seconds(7 * 24 * 3600);
/// Deliveries kept at most, the oldest go first: all of them are in memory while the host runs, at some 200 bytes each.
pub const DELIVERIES_MAX: u64 = 100_000;
/// Old deliveries that one commit takes away: more than a commit usually brings, few enough not to be felt.
pub const DELIVERIES_TRIMMED_A_COMMIT: usize = 256;
/// People at most: of as many as a large house has in decades. Whoever may push can invent authors, each the size of a short text.
pub const PEOPLE_MAX: u64 = 100_000;
/// Authors that are known without asking the database: more than make changes in a month, at some 100 bytes each.
pub const KNOWN_AUTHORS_MAX: usize = 10_000;
/// Entries of a page at most: keeps the memory of one question under some megabytes.
pub const PAGE_ITEMS_MAX: usize = 1_000;
/// Entries that a filter looks at for one page before it gives back a short one: some 20 ms.
pub const PAGE_LOOKS_MAX: usize = 10_000;
/// Memory for pages of the database file; redb would take a gigabyte by default.
pub const DATABASE_CACHE_BYTES: usize = 128 * 1024 * 1024;
/// The journal: some hundred builds, so that what they cost the database's file is shared, and less than a tenth of a second to take over
/// after a crash. Its pages are counted in 16 bits.
pub const JOURNAL_BYTES: usize = 4 * 1024 * 1024;
pub use crate::journal::RECORD_BYTES_MAX as JOURNAL_RECORD_BYTES_MAX;

/// The most raw bytes of one log frame: what a reader decompresses into memory at once.
pub const FRAME_RAW_BYTES_MAX: u32 = 1024 * 1024;
/// The most compressed bytes of one log frame: what zstd makes of incompressible bytes (its bound is raw + raw/256 + 64).
pub const FRAME_BODY_BYTES_MAX: u32 = FRAME_RAW_BYTES_MAX + 8 * 1024;
/// The longest name of a log in bytes, as in the worker's protocol.
pub const LOG_NAME_BYTES_MAX: usize = 128;
/// Raw bytes of all logs of one build; also the most bytes of its file. A log that no one can read to the end.
pub const BUILD_LOG_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Frames of one build's logs: a frame a second for eleven days. Their index takes 48 bytes each in memory.
pub const BUILD_LOG_FRAMES_MAX: u64 = 1_000_000;
/// Logs of one build: a step has a handful, a build a hundred steps.
pub const BUILD_LOGS_MAX: usize = 10_000;
/// Log files held open: well below the usual limit of 1024 descriptors, above the builds that run and are watched at once.
pub const OPEN_LOG_FILES: usize = 256;
/// Lines of one page of a log.
pub const LOG_PAGE_LINES_MAX: usize = 100_000;
/// Bytes of one page of a log; a longer line is cut.
pub const LOG_PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

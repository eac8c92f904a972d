//! Limits of the API, each with a line that says why that number.

use std::time::Duration;

/// A body must be here after this long: 10 MiB over a slow line take less, and a sender that trickles holds its connection no longer.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Asks of people and programs in JSON are far smaller than what a forge sends.
pub(crate) const JSON_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What a forge may send when the configuration gives no limit, or zero.
pub(crate) const HOOK_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Open event streams: each is a connection and a task; the next one is told to try later.
pub(crate) const STREAMS_MAX: usize = 1_000;
/// A stream ends after this long, and the client comes again: so a login that has ended is noticed.
pub(crate) const STREAM_LIFETIME: Duration = Duration::from_secs(3_600);
/// A comment is sent this often, so that proxies don't end a quiet stream.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Lines of a log in one event of a stream.
pub(crate) const FOLLOW_LINES: u64 = 500;
/// A log's stream looks for itself this often, should an event have been lost.
pub(crate) const FOLLOW_LOOK: Duration = Duration::from_secs(5);
/// Lines that a page of log holds when no count is given.
pub(crate) const LOG_LINES: u64 = 1_000;

//! Limits of the door, each with a line that says why that number.

use std::time::Duration;

/// Shorter passwords are guessed; NIST SP 800-63B asks for 8 at least.
pub const PASSWORD_CHARS_MIN: usize = 8;
/// A longer one only makes hashing slow for everybody.
pub const PASSWORD_BYTES_MAX: usize = 1024;
/// Names of users and tokens are shown in tables.
pub const NAME_BYTES_MAX: usize = 100;
/// Each hash takes 19 MiB and some 20 ms of a core; more at once would starve the pages.
pub const PASSWORD_HASHES_AT_ONCE: usize = 2;
/// Failed logins of one name within [`LOGIN_WINDOW`]: a person who forgot needs fewer, a guesser needs millions.
pub const LOGIN_FAILURES_OF_NAME_MAX: u32 = 10;
/// Failed logins from one address within [`LOGIN_WINDOW`]; a whole office may share one.
pub const LOGIN_FAILURES_OF_ADDRESS_MAX: u32 = 50;
/// Failures older than this are forgotten.
pub const LOGIN_WINDOW: Duration = Duration::from_secs(300);
/// Names and addresses that are remembered; when full the oldest go. At about 100 bytes each this is 1 MB.
pub const LOGIN_ENTRIES_MAX: usize = 10_000;
/// A session ends this long after the login: two weeks spare people who come weekly.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(14 * 24 * 3600);
/// Random bytes of a session or token: 256 bits can't be guessed.
pub const SECRET_BYTES: usize = 32;
/// Entries of a list that names no limit.
pub const PAGE_ITEMS: usize = 50;
/// Entries of a list at most; keeps one answer under a megabyte.
pub const PAGE_ITEMS_MAX: usize = 200;
/// Lines of a log in one answer by range; at 100 bytes a line this is half a megabyte.
pub const LOG_LINES_MAX: u64 = 5_000;
/// A reason is shown in tables and sent to reporters.
pub const REASON_BYTES_MAX: usize = 4_096;
/// Files of a change that a person sends; more than any real commit needs.
pub const CHANGE_FILES_MAX: usize = 100_000;
/// Bytes of a patch that a person tries: more than anybody reads. It goes to the worker within the build's order.
pub const PATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Leading parts of a patch's paths that are to go; deeper ones are a mistyped number.
pub const PATCH_LEVEL_MAX: u32 = 32;
/// Properties that one ask may bring.
pub const PROPERTIES_MAX: usize = 1_000;
/// Recent builds of each builder on the first page: what fits in a row.
pub const HOME_BUILDS_OF_BUILDER: usize = 8;
/// Recent builds on the first page: what fits on a screen.
pub const HOME_BUILDS: usize = 12;
/// Waiting requests that are explained on one page; each is a question to the engine.
pub const EXPLAINED_MAX: usize = 20;

/// When whoever was answered 503 should ask again, in seconds: a host that starts again, or whose disk has room again, needs no longer.
pub const RETRY_AFTER_SECONDS: &str = "2";

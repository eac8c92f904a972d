//! Bounds of the command line, each with the reason for its number.

use std::time::Duration;

/// A host answers in milliseconds; one that is busy with a large list takes seconds.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// A machine that is there takes a connection at once.
pub(crate) const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Largest answer that is taken: a thousand builds with all their steps have a few megabytes.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 << 20;
/// One event of a stream: 500 lines of a log, each as long as a worker sends them.
pub(crate) const EVENT_BYTES_MAX: usize = 64 << 20;
/// While a build is followed, the host is asked again after this long even when it says nothing: an event may have been lost.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// After an event, so that a host with many of them is not asked for each.
pub(crate) const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// A host that restarts is back within seconds; whoever waits for a build bears with it this long.
pub(crate) const HOST_AWAY: Duration = Duration::from_secs(300);
/// A quiet stream gets a sign of life each 15 s; one that has none for this long is dead.
pub(crate) const STREAM_SILENT: Duration = Duration::from_secs(60);
/// A password line: argon2 takes any length, people don't.
pub(crate) const PASSWORD_BYTES_MAX: usize = 1024;

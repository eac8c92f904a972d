//! The build that a step belongs to. Every step has it; it needs no permission.

use crate::Build;
use crate::bindings::capabilities::stampmill::host::running_build as wit;

/// The build.
pub fn current() -> Build {
    wit::current()
}

/// Text of one line, shown beside the step while it runs and after.
pub fn summary(text: &str) {
    wit::summary(text);
}

/// How far it is.
pub fn progress(done: u64, total: Option<u64>) {
    wit::progress(done, total);
}

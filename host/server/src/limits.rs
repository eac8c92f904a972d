//! Limits of the host process.

use std::time::Duration;

/// Inputs that wait for the driver; a sender waits when it is full, so that a flood slows its source down instead of filling memory.
pub(crate) const INPUTS_WAITING: usize = 4096;

/// Inputs that go into one transaction at most: bounds the size of a commit and the wait of the first of them.
pub(crate) const INPUTS_A_BATCH: usize = 1024;

/// Events that a slow subscriber may fall behind before it is told that it missed some.
pub(crate) const EVENTS_BEHIND: usize = 4096;

/// Messages waiting for one worker's connection; a worker that lets more pile up is cut off, and resumes by reconnecting.
pub(crate) const MESSAGES_TO_WORKER: usize = 256;

/// Messages of one worker that are taken together, with one sync of its logs.
pub(crate) const MESSAGES_A_BATCH: usize = 256;

/// What is read from a worker's connection at once: each has a buffer of so much, and most workers say little most of the time.
pub(crate) const READ_BUFFER_BYTES: usize = 16 * 1024;

/// How long a new connection may take to say hello.
pub(crate) const HELLO_WITHIN: Duration = Duration::from_secs(10);

/// How long a worker's connection that takes nothing any more is read on: what the worker said before it went is there already.
pub(crate) const LAST_WORDS_WITHIN: Duration = Duration::from_secs(1);

/// A worker's connection that is silent for longer is closed; a ping goes out at a third of it.
pub(crate) const WORKER_SILENT: Duration = Duration::from_secs(45);

/// Reporter calls under way at once: a slow receiver must not hold up the others, nor a thousand of them fill memory.
pub(crate) const REPORTS_AT_ONCE: usize = 16;

/// Polls under way at once: each may run a version control program.
pub(crate) const POLLS_AT_ONCE: usize = 4;

/// Spare instances kept for one use of a decision plugin.
pub(crate) const SPARE_INSTANCES: usize = 4;

/// How long running requests and plugin calls may take after the host was asked to end.
pub(crate) const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

/// How long the local worker of `up` and `demo` may take to end after it was asked to, before it is killed.
pub(crate) const WORKER_GRACE: Duration = Duration::from_secs(15);

/// Builds of a buildset that a reporter is told of at most.
pub(crate) const BUILDS_TOLD_OF: usize = 200;

/// Last lines of each log of a failed step that a reporter may ask for.
pub(crate) const LOG_TAIL_LINES: usize = 200;

/// Entries that one reporter may keep.
pub(crate) const STATE_ENTRIES: u64 = 1024;

/// Bytes that one reporter may keep, keys included.
pub(crate) const STATE_BYTES: u64 = 1 << 20;

/// How long a stage of the tour may take: on a slow machine the first use of each plugin compiles it.
pub(crate) const DEMO_STAGE: Duration = Duration::from_secs(180);

/// How often the local worker is started again before `up` gives up: a worker that dies at once has a reason that a restart won't mend.
pub(crate) const WORKER_RESTARTS: u32 = 5;

/// A local worker that has run for so long did not die at once: its restarts are counted anew.
pub(crate) const WORKER_STEADY: Duration = Duration::from_secs(60);

/// The user and group of a change source's programs when the host runs as root: nobody has it by default, and it is not the workers'.
pub(crate) const POLLER_ID: u32 = 60_322;

/// How often a worker process that is not this one's child is looked at: there is no other news of its end.
pub(crate) const FOUND_WORKER_LOOK: Duration = Duration::from_millis(200);

/// How long the store is left alone after a commit that failed: a fault that passes at once is hardly felt.
pub(crate) const STORE_PAUSE_LEAST: Duration = Duration::from_millis(250);

/// The longest pause before the store is tried again: so much later than its disk the host works again.
pub(crate) const STORE_PAUSE_MOST: Duration = Duration::from_secs(5);

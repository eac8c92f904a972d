//! How much of everything the worker keeps, waits and lets through.

use std::time::Duration;

/// The longest that bytes of a log wait for more before they are cut into a frame: a watcher sees a line soon, and a chatty program costs ten
/// frames a second at most.
pub const FRAME_AGE: Duration = Duration::from_millis(80);

/// How long the first bytes after a quiet moment wait for those that come with them: a lone line is with its watcher at once.
pub const FRAME_AGE_LEAST: Duration = Duration::from_millis(5);

/// The compression level of frames: level 1 keeps up with any program, level 3 saves a tenth more.
pub const FRAME_LEVEL: i32 = 1;

/// The most bytes that a step may write to its logs, unless the worker's configuration says otherwise; what is beyond is dropped and one line
/// says so.
pub const STEP_OUTPUT_BYTES: u64 = 256 * 1024 * 1024;

/// The most logs of one step: each is a tab on a page.
pub const LOGS_MAX: usize = 100;

/// The most messages of a plugin that wait to be written to its log; the runtime lets no more than this through in one call.
pub const PLUGIN_MESSAGES_WAITING: usize = 1024;

/// The most bytes of one build that wait on disk for the host, unless the worker's configuration says otherwise; then its programs wait.
pub const SPOOL_BYTES: u64 = 1024 * 1024 * 1024;

/// Events of a build that still find room when the disk is full, so that the build's end can be told.
pub const SPOOL_EVENTS_IN_MEMORY: usize = 64;

/// Secrets shorter than this are not masked: they would blacken half of the log.
pub const MASK_BYTES_MIN: usize = 4;

/// Letters of the reason that are logged when the host turns the worker away: a sentence, and not the page of a proxy.
pub const REASON_CHARS: usize = 300;

/// How long the worker waits for the host to answer its greeting.
pub const GREETING: Duration = Duration::from_secs(20);

/// How often the worker pings the host.
pub const PING_EVERY: Duration = Duration::from_secs(15);

/// After this long without a word from the host the connection counts as dead; three pings.
pub const SILENCE_MAX: Duration = Duration::from_secs(45);

/// The first and the longest pause between two attempts to connect. The pause doubles, with jitter.
pub const RECONNECT_FIRST: Duration = Duration::from_millis(250);
/// See [`RECONNECT_FIRST`]: a host that was upgraded finds its workers again within half a minute.
pub const RECONNECT_MOST: Duration = Duration::from_secs(30);

/// How long a step that is cancelled has to end after its programs were signalled; more than their own grace period usually is.
pub const CANCEL_GRACE: Duration = Duration::from_secs(15);

/// How long a worker that stops waits until the host knows that it takes no more builds; only a host that is away takes this long.
pub const GOODBYE_GRACE: Duration = Duration::from_secs(1);

/// How long a worker that stops waits for its steps to end, and then for the host to take what is left.
pub const STOP_GRACE: Duration = Duration::from_secs(8);
/// See [`STOP_GRACE`].
pub const HAND_IN_GRACE: Duration = Duration::from_secs(4);

/// How long one tool has to tell its version when the worker starts.
pub const TOOL_LIMIT: Duration = Duration::from_secs(5);

/// Compiled plugins that stay in memory; a job has a handful.
pub const PLUGINS_IN_MEMORY: usize = 32;

/// Components and work directories that were not used for this long are removed when the worker starts.
pub const UNUSED_AGE: Duration = Duration::from_secs(30 * 24 * 3600);

/// The most bytes of disk that a work directory may take up, unless the worker's configuration says otherwise: the largest source trees with
/// their build output have some tens of gigabytes.
pub const WORK_BYTES: u64 = 64 * 1024 * 1024 * 1024;

/// The most files and directories in a work directory, unless the worker's configuration says otherwise: a browser's source tree and its
/// objects are half a million, and a small disk has few more inodes.
pub const WORK_FILES: u64 = 2_000_000;

/// How long steps run in a work directory before it is measured: what overshoots the limit is what a disk takes in this time.
pub const WORK_LOOK_EVERY: Duration = Duration::from_secs(1);

/// Between two looks at a work directory there is at least this many times the time that a look took, so that the looks cost 5 % of a core.
pub const WORK_LOOK_SHARE: u32 = 20;

/// The longest path within a work directory that is followed when it is measured: no compiler takes longer ones, and the kernel takes 4095.
pub const WORK_PATH_BYTES: usize = 3072;

/// What the paths of directories that wait to be measured may take up in memory: a million of the longest ones would take gigabytes.
pub const WORK_WAITING_BYTES: usize = 64 << 20;

/// Below this much free space in the state directory the worker declines builds.
pub const FREE_BYTES_MIN: u64 = 256 * 1024 * 1024;

/// The most bytes of a program's output that cross at once, as the runtime asks.
pub const CHUNK_BYTES: usize = 64 * 1024;

/// Chunks of a program's output that wait to be fetched, beside the limit in bytes.
pub const CHUNKS_WAITING: usize = 256;

/// The longest request line and headers that the proxy reads.
pub const PROXY_HEAD_BYTES: usize = 16 * 1024;
/// How long a program has to send them, and a host to accept a connection.
pub const PROXY_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections of one program at once.
pub const PROXY_CONNECTIONS: usize = 128;

/// Sentences about the network that one program's log has, each once: the build's page has the list, and a loop has no end.
pub const PROXY_LINES_TOLD: usize = 50;

/// How often a step's one-line summary is told, at most.
pub const SUMMARY_EVERY: Duration = FRAME_AGE;

/// The longest text of a configuration file of a worker.
pub const CONFIG_BYTES_MAX: u64 = 1024 * 1024;

/// Sandboxes that are made ahead of need at most, one for each build that may run at once: more than processors are seldom needed at the same
/// moment, and each is two small processes.
pub const SANDBOXES_AHEAD_MAX: usize = 4;

//! Bounds and defaults of the configuration, each with the reason for its number.

use stampmill_model::Milliseconds;

/// Largest configuration file that is read: the largest hand-written ones are a few hundred kilobytes.
pub(crate) const FILE_BYTES_MAX: u64 = 4 << 20;
/// Largest lock file that is read: about two hundred bytes for each plugin.
pub(crate) const LOCK_BYTES_MAX: u64 = 1 << 20;
/// Findings that are printed in full; whoever has more mends these first.
pub(crate) const FINDINGS_SHOWN: usize = 20;
/// Width of messages, which are broken at words: most terminals and log viewers show as much.
pub(crate) const TERMINAL_COLUMNS: usize = 120;
/// Length of a name: it becomes part of URLs, directories and table rows.
pub(crate) const NAME_CHARS_MAX: usize = 100;
/// People whom the builds of one builder interest beside their blamelists: each report names all of them.
pub(crate) const INTERESTED_MAX: usize = 100;

/// Parameters of a force scheduler, groups included: nobody fills in more.
pub(crate) const PARAMETERS_MAX: usize = 100;
/// Groups around a parameter: each is a frame within a frame.
pub(crate) const PARAMETER_GROUPS_MAX: usize = 4;
/// Choices of a parameter: a longer list is no choice any more.
pub(crate) const CHOICES_MAX: usize = 200;
/// A file that becomes a property: properties are stored with each build, anew with each news of a step.
pub(crate) const PARAMETER_FILE_BYTES_MAX: u64 = 64 * 1024;

/// Pause between two polls: quick enough for people, slow enough for a forge with a hundred sources.
pub(crate) const POLL_EVERY: Milliseconds = Milliseconds::from_seconds(60);
/// Shortest pause between two polls: less is an endless loop in other words.
pub(crate) const POLL_EVERY_LEAST: Milliseconds = Milliseconds::from_seconds(1);
/// Shortest period of a periodic scheduler; the same reason.
pub(crate) const PERIOD_LEAST: Milliseconds = Milliseconds::from_seconds(1);
/// Tries of one request: what does not pass in so many does not pass, and each may take a worker for hours.
pub(crate) const RETRY_ATTEMPTS_MOST: u32 = 100;
/// The longest that a step takes when the configuration says nothing: Buildbot's default is 20 minutes of silence.
pub(crate) const STEP_TIMEOUT: Milliseconds = Milliseconds::from_seconds(3600);
/// The longest time that can be configured anywhere, a year: everything beyond is a slip of the pen.
pub(crate) const DURATION_MAX: Milliseconds = Milliseconds::from_seconds(366 * 24 * 3600);
/// Body of a request to the host: a push with thousands of commits has a few megabytes.
pub(crate) const BODY_BYTES: u64 = 10 << 20;
/// The most that a body may be allowed to have: it is held in memory.
pub(crate) const BODY_BYTES_MAX: u64 = 256 << 20;

/// How long the worker process of a host that was killed goes on alone: a person who starts the host again does so within the hour.
pub(crate) const LOCAL_WORKER_ALONE: Milliseconds = Milliseconds::from_seconds(3600);

/// The most bytes of anything that a step may be given: what TOML can write, and more than any machine has.
pub(crate) const STEP_BYTES_MAX: u64 = 1 << 62;
/// The most memory that any plugin may be configured to have: all that the runtime can give to one.
pub(crate) const PLUGIN_MEMORY_MAX: u64 = stampmill_runtime::limits::MEMORY_BYTES_MAX;
/// The most memory that a use of a plugin may be given when `[limits]` says nothing: sixteen times the default, so that a slip of the pen
/// does not take the machine.
pub(crate) const PLUGIN_MEMORY: u64 = 1 << 30;
/// The most time that a call may be given when `[limits]` says nothing: six times what the first clone of a large repository gets.
pub(crate) const PLUGIN_TIME: Milliseconds = Milliseconds::from_seconds(3600);
/// The same for computing and for one call out of a plugin: ten times their defaults.
pub(crate) const PLUGIN_COMPUTE: Milliseconds = Milliseconds::from_seconds(600);
/// See [`PLUGIN_COMPUTE`].
pub(crate) const PLUGIN_HOST_CALL: Milliseconds = Milliseconds::from_seconds(600);
/// Shortest limit of a plugin's time: guests are interrupted in steps of this length.
pub(crate) const PLUGIN_TIME_LEAST: Milliseconds = Milliseconds(10);

//! Limits that the operator does not set, each with the reason for its number.

use stampmill_model::Milliseconds;

/// The first pause after something failed; each further one is twice as long.
pub(crate) const RETRY_PAUSE_FIRST: Milliseconds = Milliseconds::from_seconds(1);

/// How often the clock on the wall is looked at while a nightly scheduler waits for a time of it: crontabs count in minutes.
pub(crate) const CLOCK_LOOK_EVERY: Milliseconds = Milliseconds::from_seconds(60);

/// A clock that is put back by less does not make a night come twice; by more, it was wrong before, and nights are planned anew.
pub(crate) const CLOCK_AHEAD_MOST: Milliseconds = Milliseconds::from_seconds(24 * 3600);

/// A plugin may ask for a longer pause than the operator's longest, but not for longer than this: a mistyped unit must not silence it for years.
pub(crate) const RETRY_AFTER_MOST: Milliseconds = Milliseconds::from_seconds(24 * 3600);

/// How often a codebase generator or filter is asked about one change: with doubling pauses up to a quarter of an hour these are about three
/// hours, then the change is shown as failed.
pub(crate) const DECISION_TRIES: u32 = 20;

/// Changes in one batch. The largest push that is taken in one poll fits; what is beyond would make a message that no worker takes.
pub(crate) const BATCH_CHANGES_MOST: usize = 10_000;

/// Requests that share one build: the build's row names each, and is written anew with each news of a step.
pub(crate) const MERGED_MOST: usize = 200;

/// How long a request waits for its merge plugin before it is built by itself. A call ends after a second; this is for answers that are lost.
pub(crate) const MERGE_KEY_WAIT: Milliseconds = Milliseconds::from_seconds(60);

/// What a project is charged for each build beside its time: builds that start at one moment would else all be one project's.
pub(crate) const START_COSTS: Milliseconds = Milliseconds::from_seconds(1);

/// Reasons that a shared build names: more are no sentence. They are counted.
pub(crate) const REASONS_MOST: usize = 10;

/// Branches that wait in one scheduler; more than any repository has in work at a time.
pub(crate) const BATCHES_MOST: usize = 1_000;

/// Deliveries that are remembered. A forge repeats a delivery within hours; ten thousand are a day of a busy one.
pub(crate) const DELIVERIES_MOST: usize = 10_000;

/// Logs of one step: each is a line on the build's page.
pub(crate) const LOGS_OF_STEP_MOST: usize = 256;

/// Network attempts of one step that are listed: the worker sends no more.
pub(crate) const ATTEMPTS_OF_STEP_MOST: usize = 64;

/// Buildsets that the steps of one build may trigger: each is a line on the build's page, and the worker asks for no more.
pub(crate) const TRIGGERS_OF_BUILD_MOST: usize = 100;

/// Memory of a parameter's compiled regular expression: a text is matched in time that grows with both, within the engine's one loop.
pub(crate) const PATTERN_BYTES_MOST: usize = 64 * 1024;

/// A line that a person gives to a parameter; commands and environments take no longer ones gladly.
pub(crate) const LINE_BYTES_MOST: usize = 4 * 1024;

/// A text of several lines: what somebody types. It may be matched with a regular expression.
pub(crate) const TEXT_BYTES_MOST: usize = 16 * 1024;

/// All parameters of a force together: they are stored as properties with each of its builds, anew with each news of a step.
pub(crate) const ANSWERS_BYTES_MOST: usize = 128 * 1024;

/// Texts that a person may choose at once; a list that nobody reads is a mistake.
pub(crate) const CHOSEN_MOST: usize = 200;

/// Names and choices in a sentence of ours; more are no sentence.
pub(crate) const NAMES_SHOWN: usize = 20;

/// Letters of an answer that are shown back to whoever gave it.
pub(crate) const ANSWER_CHARS_SHOWN: usize = 60;

/// Properties of one build: they are stored as one row with it.
pub(crate) const PROPERTIES_OF_BUILD_MOST: usize = 4_096;

/// Open requests and changes up to which a debug build checks the invariants after every input: a check of so many takes about a millisecond.
pub(crate) const CHECKED_ALWAYS: usize = 1_000;

/// Of so many inputs one is followed by a check when more is open, so that a debug build can still be used.
pub(crate) const CHECKED_ONE_IN: u64 = 1_000;

//! How large messages may be. Both sides check what they receive; a sender keeps within them.

/// The largest message from the host: a component and a little around it. A Python component is 18 MiB, so this leaves room for three times that.
pub const HOST_MESSAGE_BYTES_MAX: usize = COMPONENT_BYTES_MAX + 64 * 1024;

/// The largest component that travels to a worker.
pub const COMPONENT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The largest message from a worker: a batch of log frames, or one property of the largest size.
pub const WORKER_MESSAGE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The most raw bytes in one log frame: small enough that a page of a log costs one decompression, large enough for zstd to be worth it.
pub const FRAME_RAW_BYTES_MAX: u32 = 64 * 1024;

/// The most compressed bytes in one log frame: what zstd makes of incompressible bytes (its bound is raw + raw/256 + 64).
pub const FRAME_BODY_BYTES_MAX: usize = 64 * 1024 + 1024;

/// The most frames in one message: with full frames that keeps a message below [`WORKER_MESSAGE_BYTES_MAX`].
pub const FRAMES_MAX: usize = 24;

/// The longest name of a log, in bytes; it becomes part of a URL.
pub const LOG_NAME_BYTES_MAX: usize = 128;

/// The longest text of one line: a summary or a reason.
pub const LINE_BYTES_MAX: usize = 4 * 1024;

/// The largest value of a property, as JSON text.
pub const PROPERTY_BYTES_MAX: usize = 1024 * 1024;

/// How deep a message may be nested, with a property's value in it: a plugin writes a value as JSON, of which 128 levels are read. Every level
/// is a call within a call wherever the value goes, and a stack that ends takes the whole process with it.
pub const NESTING_MAX: usize = 256;

/// The most builds that a worker may say it holds; a worker runs a handful at once, the rest are finished ones not yet handed in.
pub const HELD_BUILDS_MAX: usize = 10_000;

/// The most network attempts of one step that are listed, those that are alike counted as one: more than a person reads, and with the longest
/// texts far below [`WORKER_MESSAGE_BYTES_MAX`].
pub const NETWORK_ATTEMPTS_MAX: usize = 64;

/// The most buildsets that the steps of one build may trigger: each is a line on the build's page.
pub const TRIGGERS_MAX: u32 = 100;

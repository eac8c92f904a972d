//! How large and deep expressions and templates may be.

/// The longest expression in bytes. Longer logic belongs into a plugin.
pub const EXPRESSION_BYTES_MAX: usize = 2 * 1024;

/// How deep an expression may nest: evaluation recurses. The parser has a bound of its own, 96.
pub const EXPRESSION_DEPTH_MAX: usize = 64;

/// The stack for one evaluation; only what is used of it takes memory. Parser and interpreter were measured at up to 250 KiB a level without
/// optimisation, so that this is more than twice what the deepest expression needs.
pub const EVALUATION_STACK_BYTES: usize = 64 * 1024 * 1024;

/// How many `map`, `filter`, `exists`, `all` and `exists_one` an expression may have. Each may multiply the work, and chained ones the size,
/// of what came before; with the limit on length this keeps an evaluation far below a second.
pub const COMPREHENSIONS_MAX: usize = 3;

/// How deep those may stand inside each other.
pub const COMPREHENSION_NESTING_MAX: usize = 2;

/// How deep a step's configuration may nest; the same as JSON text that serde accepts.
pub const TEMPLATE_DEPTH_MAX: usize = 128;

/// The most bytes that one filled-in text may have: as much as a command line can carry.
pub const FILLED_TEXT_BYTES_MAX: usize = 1024 * 1024;

/// The most characters of an expression that an error repeats.
pub const SHOWN_CHARACTERS_MAX: usize = 80;

//! Limits of what the model's words may be, each with a line that says why that number.

/// Bytes of an author, and of whatever else a person is known by: an address of mail has 320 at most, and a name is shorter.
pub const AUTHOR_BYTES_MAX: usize = 512;
/// Bytes of the word that says what an attribute is: `email`, `irc`.
pub const ATTRIBUTE_KIND_BYTES_MAX: usize = 32;
/// Attributes of one person: all are read for one page, and people have fewer addresses than this.
pub const PERSON_ATTRIBUTES_MAX: usize = 64;

//! The command line: what it takes, what it sends, how it ends.

mod asking;
mod parsing;
mod starting;

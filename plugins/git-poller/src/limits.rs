//! Every bound of this plugin.

/// Commits of one answer: the host stores an answer in one transaction, and a page of this size is read in well under a second.
pub const PAGE_COMMITS: u64 = 500;
/// Bytes of one answer's changes, far below what the host takes at once.
pub const PAGE_BYTES: usize = 4 << 20;
/// References of one answer: each costs a few runs of git.
pub const PAGE_REFERENCES: usize = 100;
/// Files of one change; an import of more is known by its first ones.
pub const FILES_OF_A_CHANGE: usize = 10_000;
/// Bytes of a commit message, or of a name of a file; longer ones are cut.
pub const TOKEN_BYTES: usize = 256 << 10;
/// References that are watched at most: the cursor carries each with its commit, and the host takes a cursor of 1 MiB.
pub const REFERENCES: usize = 5_000;
/// Bytes of the remote's list of references: some hundred thousand of them.
pub const LIST_BYTES: u64 = 16 << 20;
/// Bytes of a short answer of git.
pub const ANSWER_BYTES: u64 = 1 << 20;

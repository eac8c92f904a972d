//! The row of a journal's record: the rows of a commit, each under its own version.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::blank;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct RecordRow {
    pub(crate) steady: u64,
    /// Bodies of patches that rows name and the database has not.
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) patches: Vec<ByteBuf>,
    pub(crate) entries: Vec<EntryRow>,
}

/// The key that the row has in its table comes first.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum EntryRow {
    Change(u64, ByteBuf),
    Buildset(u64, ByteBuf),
    Request(u64, ByteBuf),
    Build(u64, ByteBuf),
    /// Build, number of the last message.
    BuildSequence(u64, u64),
    /// Source, cursor.
    Cursor(String, String),
    /// Source, id.
    Delivery(String, String, ByteBuf),
    /// Scheduler.
    Scheduler(String, ByteBuf),
    /// Worker.
    Worker(String, ByteBuf),
    Notice(u64, ByteBuf),
    NoticeDone(u64),
}

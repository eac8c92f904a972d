//! Where the poller is: stored by the host together with the changes that led there.

use serde::{Deserialize, Serialize};
use stampmill_sdk::{Fault, git, log, serde_json};
use std::collections::{BTreeMap, VecDeque};

const VERSION: u32 = 1;

/// The position in one repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    version: u32,
    /// The repository that this is about; another one begins anew.
    pub(crate) repository: String,
    /// The patterns that `heads` was chosen by. References that only new patterns match are recorded, not reported.
    pub(crate) selection: String,
    /// Each watched reference, and the object up to which it was reported.
    pub(crate) heads: BTreeMap<String, String>,
    /// References that moved and are not wholly reported yet; the first is being reported.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub(crate) pending: VecDeque<Target>,
}

/// A reference that moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    /// Such as `refs/heads/main`.
    pub(crate) reference: String,
    /// The object that it points to now.
    pub(crate) object: String,
    /// How much of it is reported, once that has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) progress: Option<Progress>,
}

/// A page border within the commits of one reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// All commits to report.
    pub(crate) total: u64,
    /// Those reported, oldest first.
    pub(crate) done: u64,
}

impl Cursor {
    /// A beginning: nothing known.
    pub(crate) fn new(repository: &str, selection: &str) -> Cursor {
        Cursor {
            version: VERSION,
            repository: repository.to_owned(),
            selection: selection.to_owned(),
            heads: BTreeMap::new(),
            pending: VecDeque::new(),
        }
    }

    /// Reads a stored cursor. One that this version cannot read is as good as none: polling begins anew and replays nothing.
    pub(crate) fn read(text: &str) -> Option<Cursor> {
        let read =
            serde_json::from_str::<Cursor>(text).ok().filter(|cursor| cursor.version == VERSION && cursor.is_sound());
        if read.is_none() {
            log::warn("the stored cursor is not one of this plugin's: branches are recorded anew, as on a first poll");
        }
        read
    }

    /// Whatever comes back is given to git as names of objects.
    fn is_sound(&self) -> bool {
        let targets = self.pending.iter().map(|target| (&target.reference, &target.object));
        self.heads
            .iter()
            .chain(targets)
            .all(|(reference, object)| git::is_object_name(object) && git::check_ref(reference).is_ok())
    }

    pub(crate) fn write(&self) -> Result<String, Fault> {
        Ok(serde_json::to_string(self)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_as_it_was_written() {
        let mut cursor = Cursor::new("/srv/app.git", "heads:main");
        cursor.heads.insert("refs/heads/main".to_owned(), "a".repeat(40));
        assert_eq!(Cursor::read(&cursor.write().expect("text")), Some(cursor.clone()));
        let progress = Some(Progress { total: 900, done: 500 });
        cursor.pending.push_back(Target { reference: "refs/heads/main".to_owned(), object: "b".repeat(40), progress });
        assert_eq!(Cursor::read(&cursor.write().expect("text")), Some(cursor));
    }

    #[test]
    fn a_cursor_that_would_be_an_option_for_git_is_not_taken() {
        let mut cursor = Cursor::new("/srv/app.git", "");
        cursor.heads.insert("refs/heads/main".to_owned(), "--output=/etc/passwd".to_owned());
        assert_eq!(Cursor::read(&cursor.write().expect("text")), None);
        assert_eq!(Cursor::read("nonsense"), None);
        assert_eq!(Cursor::read(r#"{"version":2}"#), None);
    }
}

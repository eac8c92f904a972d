//! Authors of changes become people.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use redb::WriteTransaction;
use stampmill_model::{Author, Wall, person};

use super::{People, PersonError, person_of};
use crate::StoreError;
use crate::limits::KNOWN_AUTHORS_MAX;

/// Keys of authors for whom the database has a person, so that their changes ask it nothing.
#[derive(Default)]
pub(crate) struct KnownAuthors(Mutex<HashSet<String>>);

impl KnownAuthors {
    /// To be called within each transaction that may make somebody unknown, and after each that failed.
    pub(crate) fn forget(&self) {
        self.lock().clear();
    }

    fn has(&self, key: &str) -> bool {
        self.lock().contains(key)
    }

    fn learn(&self, key: String) {
        let mut known = self.lock();
        if known.len() == KNOWN_AUTHORS_MAX {
            known.clear();
        }
        known.insert(key);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The author of a change that is new, and when it came.
pub(crate) struct NewAuthor {
    pub(crate) author: Author,
    pub(crate) at: Wall,
}

/// Sees to it that there is a person for each of these. Whoever is known stays as they are, whatever the change says of them: a change is
/// written by anybody. With no room left nobody is added, and the changes are kept as ever.
pub(crate) fn put_authors(
    transaction: &WriteTransaction,
    authors: &[NewAuthor],
    known: &KnownAuthors,
) -> Result<(), StoreError> {
    for NewAuthor { author, at } in authors {
        let key = author.key();
        if known.has(&key) {
            continue;
        }
        let mut people = People::open(transaction)?;
        if people.holder(&key, person::AUTHOR)?.is_none() {
            let id = match people.next_id() {
                Ok(id) => id,
                Err(PersonError::Store(error)) => return Err(error),
                Err(_) => continue,
            };
            people.put(None, &person_of(id, author, *at))?;
        }
        known.learn(key);
    }
    Ok(())
}

//! People: who makes changes, and whom builds concern. A change whose author nobody is known by makes a person, in the transaction that keeps
//! the change; whatever else happens to people is asked for by an administrator.

mod authors;

use std::collections::BTreeSet;

use redb::{ReadableTable as _, ReadableTableMetadata as _, Table, WriteTransaction};
use stampmill_model::limits::PERSON_ATTRIBUTES_MAX;
use stampmill_model::{Attribute, Author, Person, PersonId, Wall, person};

use crate::convert::{person_from_row, person_to_row};
use crate::limits::PEOPLE_MAX;
use crate::rows::{PersonRow, Row as _};
use crate::tables::{LAST_PERSON, META, PEOPLE, PEOPLE_BY, USERS};
use crate::{Store, StoreError};

pub(crate) use authors::{KnownAuthors, NewAuthor, put_authors};

/// Why nothing was done with a person.
#[derive(Debug, thiserror::Error)]
pub enum PersonError {
    /// There is no such person.
    #[error("there is no person {0}")]
    Unknown(PersonId),
    /// An attribute is somebody else's already.
    #[error("{attribute} belongs to {name} (person {holder}) already; remove it there, or merge the two")]
    Taken {
        /// Which.
        attribute: Attribute,
        /// Whose it is.
        holder: PersonId,
        /// What they are called.
        name: String,
    },
    /// The person has no such attribute.
    #[error("{name} (person {id}) has no attribute {attribute}")]
    Lacks {
        /// Which.
        attribute: Attribute,
        /// Who.
        id: PersonId,
        /// What they are called.
        name: String,
    },
    /// The attribute names a login that is none.
    #[error("there is no user `{0}` who may log in; `stampmill user list` shows who is")]
    NoUser(String),
    /// The person would be known by too much.
    #[error(
        "{name} would have {wanted} attributes and may have {PERSON_ATTRIBUTES_MAX}; remove what is no longer used"
    )]
    TooManyAttributes {
        /// Who.
        name: String,
        /// How many there would be.
        wanted: usize,
    },
    /// There is room for no more people.
    #[error("there are {PEOPLE_MAX} people already, which is the most; remove some")]
    Full,
    /// Somebody would be merged with themselves.
    #[error("person {0} can't be merged with themselves; name two")]
    Itself(PersonId),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is to be another about a person.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PersonPatch {
    /// What to call them from now on.
    pub name: Option<String>,
    /// What they are known by as well. What they have already is no error.
    pub add: Vec<Attribute>,
    /// What they are no longer known by.
    pub remove: Vec<Attribute>,
}

/// Each call is one transaction, durable on return; one that is refused changes nothing.
impl Store {
    /// Adds a person.
    pub fn add_person(&self, name: &str, attributes: &[Attribute], now: Wall) -> Result<Person, PersonError> {
        self.write_people(|people| {
            let mut person =
                Person { id: people.next_id()?, name: name.to_owned(), attributes: Vec::new(), since: now };
            add_attributes(&mut person, attributes);
            people.check(&person, attributes)?;
            people.put(None, &person)?;
            Ok(person)
        })
    }

    /// Changes what is known of a person.
    pub fn update_person(&self, id: PersonId, patch: &PersonPatch) -> Result<Person, PersonError> {
        self.write_people(|people| {
            let old = people.get(id)?;
            let mut new = old.clone();
            for attribute in &patch.remove {
                let Some(at) = new.attributes.iter().position(|held| held == attribute) else {
                    return Err(PersonError::Lacks { attribute: attribute.clone(), id, name: old.name });
                };
                new.attributes.remove(at);
            }
            add_attributes(&mut new, &patch.add);
            new.name = patch.name.clone().unwrap_or(new.name);
            people.check(&new, &patch.add)?;
            people.put(Some(&old), &new)?;
            Ok(new)
        })
    }

    /// Makes one person of two who have turned out to be one: all that `from` is known by goes to `into`, and `from` is no more.
    pub fn merge_people(&self, from: PersonId, into: PersonId) -> Result<Person, PersonError> {
        if from == into {
            return Err(PersonError::Itself(from));
        }
        self.write_people(|people| {
            let (from, old) = (people.get(from)?, people.get(into)?);
            let mut new = Person { since: old.since.min(from.since), ..old.clone() };
            add_attributes(&mut new, &from.attributes);
            people.check_number(&new)?;
            people.remove(&from)?;
            people.put(Some(&old), &new)?;
            Ok(new)
        })
    }

    /// Forgets a person. The next change of theirs makes them known again, as somebody new.
    pub fn remove_person(&self, id: PersonId) -> Result<(), PersonError> {
        self.write_people(|people| {
            let person = people.get(id)?;
            people.remove(&person)?;
            Ok(())
        })
    }

    /// What is refused is found before anything is written: the transaction is kept in any case.
    fn write_people<T>(&self, work: impl FnOnce(&mut People<'_>) -> Result<T, PersonError>) -> Result<T, PersonError> {
        self.write(|transaction| {
            // Who was known may be so no longer.
            self.known_authors().forget();
            match work(&mut People::open(transaction)?) {
                Err(PersonError::Store(error)) => Err(error),
                done => Ok(done),
            }
        })?
    }
}

fn add_attributes(person: &mut Person, attributes: &[Attribute]) {
    for attribute in attributes {
        if !person.attributes.contains(attribute) {
            person.attributes.push(attribute.clone());
        }
    }
}

/// The tables of people in a transaction.
struct People<'t> {
    transaction: &'t WriteTransaction,
    rows: Table<'t, u64, &'static [u8]>,
    by: Table<'t, (&'static str, &'static str), u64>,
}

impl<'t> People<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self { transaction, rows: transaction.open_table(PEOPLE)?, by: transaction.open_table(PEOPLE_BY)? })
    }

    fn get(&self, id: PersonId) -> Result<Person, PersonError> {
        let row = self.rows.get(id.0).map_err(StoreError::from)?.ok_or(PersonError::Unknown(id))?;
        Ok(person_from_row(PersonRow::decode(row.value())?)?)
    }

    fn holder(&self, value: &str, space: &str) -> Result<Option<PersonId>, StoreError> {
        Ok(self.by.get((value, space))?.map(|id| PersonId(id.value())))
    }

    /// Ids of people who are no more do not come again: links to them must not lead to others.
    fn next_id(&self) -> Result<PersonId, PersonError> {
        if self.is_full()? {
            return Err(PersonError::Full);
        }
        let meta = self.transaction.open_table(META).map_err(StoreError::from)?;
        let last = meta.get(LAST_PERSON).map_err(StoreError::from)?.map_or(0, |last| last.value());
        Ok(PersonId(last).next())
    }

    fn is_full(&self) -> Result<bool, StoreError> {
        Ok(self.rows.len()? >= PEOPLE_MAX)
    }

    fn check_number(&self, person: &Person) -> Result<(), PersonError> {
        let wanted = person.attributes.len();
        if wanted > PERSON_ATTRIBUTES_MAX {
            return Err(PersonError::TooManyAttributes { name: person.name.clone(), wanted });
        }
        Ok(())
    }

    /// Whether the person may be as they are, with these attributes anew.
    fn check(&self, person: &Person, added: &[Attribute]) -> Result<(), PersonError> {
        self.check_number(person)?;
        for attribute in added {
            let key = attribute.key();
            if let Some(holder) = self.holder(&key.value, &key.space)?
                && holder != person.id
            {
                let name = self.get(holder)?.name;
                return Err(PersonError::Taken { attribute: attribute.clone(), holder, name });
            }
            let user = attribute.value();
            if attribute.kind() == person::LOGIN {
                let users = self.transaction.open_table(USERS).map_err(StoreError::from)?;
                if users.get(user).map_err(StoreError::from)?.is_none() {
                    return Err(PersonError::NoUser(user.to_owned()));
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, old: Option<&Person>, new: &Person) -> Result<(), StoreError> {
        let (before, after) = (old.map(keys).unwrap_or_default(), keys(new));
        for (value, space) in before.difference(&after) {
            self.by.remove((value.as_str(), space.as_str()))?;
        }
        for (value, space) in after.difference(&before) {
            self.by.insert((value.as_str(), space.as_str()), new.id.0)?;
        }
        self.rows.insert(new.id.0, person_to_row(new).encode()?.as_slice())?;
        if old.is_none() {
            self.transaction.open_table(META)?.insert(LAST_PERSON, new.id.0)?;
        }
        Ok(())
    }

    fn remove(&mut self, person: &Person) -> Result<(), StoreError> {
        for (value, space) in keys(person) {
            self.by.remove((value.as_str(), space.as_str()))?;
        }
        self.rows.remove(person.id.0)?;
        Ok(())
    }
}

/// As they stand in [`PEOPLE_BY`]; two attributes of a person may have one.
fn keys(person: &Person) -> BTreeSet<(String, String)> {
    person.attributes.iter().map(Attribute::key).map(|key| (key.value, key.space)).collect()
}

/// Parts a login that is no more from the person who had it: whoever gets its name next is somebody else.
pub(crate) fn part_from_login(transaction: &WriteTransaction, user: &str) -> Result<(), StoreError> {
    let mut people = People::open(transaction)?;
    let Some(id) = people.holder(user, person::LOGIN)? else { return Ok(()) };
    let Some(old) = people.rows.get(id.0)?.map(|row| PersonRow::decode(row.value())).transpose()? else {
        return Ok(());
    };
    let old = person_from_row(old)?;
    let mut new = old.clone();
    new.attributes.retain(|held| held.kind() != person::LOGIN || held.value() != user);
    people.put(Some(&old), &new)
}

fn person_of(id: PersonId, author: &Author, since: Wall) -> Person {
    Person { id, name: author.called().to_owned(), attributes: vec![Attribute::of(author)], since }
}

#[cfg(test)]
mod tests;

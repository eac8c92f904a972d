//! People: who makes changes, and whom builds concern. A person has no role and opens no door: what a change says of its author can be said by
//! anybody, so only an administrator says that a login is a person's.

use std::collections::BTreeMap;

use stampmill_model::limits::AUTHOR_BYTES_MAX;
use stampmill_model::{
    Attribute, AttributeError, Author, Build, Change, ChangeId, Person, PersonId, PersonRef, person,
};
use stampmill_store::{Page, PersonError, PersonPatch, Reader};

use crate::accounts::{Accounts, wall_now};
use crate::error::ServiceError;
use crate::queries::Reading;
use crate::view::Catalogue;

/// A person and what they did last.
#[derive(Clone, PartialEq, Debug)]
pub struct PersonView {
    /// The person.
    pub person: Person,
    /// Their newest change.
    pub last_change: Option<Change>,
}

/// As for users and tokens, nobody is asked for permission here.
impl Accounts {
    /// All people, whoever became known last first.
    pub fn people(&self) -> Result<Vec<PersonView>, ServiceError> {
        let reader = self.store.read()?;
        let (mut people, mut before) = (Vec::new(), None);
        loop {
            let page = reader.people(before, usize::MAX)?;
            for person in page.items {
                people.push(view(&reader, person)?);
            }
            before = page.next;
            if before.is_none() {
                return Ok(people);
            }
        }
    }

    /// The person that somebody means: by id, by `KIND:VALUE`, or by the value of any attribute.
    pub fn person(&self, who: &str) -> Result<PersonView, ServiceError> {
        let reader = self.store.read()?;
        let person = find(&reader, who)?;
        view(&reader, person)
    }

    /// Adds a person; refused when an attribute is somebody else's.
    pub fn add_person(&self, name: &str, attributes: &[Attribute]) -> Result<PersonView, ServiceError> {
        check_name(name)?;
        let person = self.store.add_person(name, attributes, wall_now())?;
        view(&self.store.read()?, person)
    }

    /// Changes what is known of a person; refused as a whole when an attribute is somebody else's.
    pub fn update_person(&self, who: &str, patch: &PersonPatch) -> Result<PersonView, ServiceError> {
        if let Some(name) = &patch.name {
            check_name(name)?;
        }
        let id = find(&self.store.read()?, who)?.id;
        let person = self.store.update_person(id, patch)?;
        view(&self.store.read()?, person)
    }

    /// Makes one person of two: all that `from` is known by goes to `into`.
    pub fn merge_people(&self, from: &str, into: &str) -> Result<PersonView, ServiceError> {
        let reader = self.store.read()?;
        let (from, into) = (find(&reader, from)?.id, find(&reader, into)?.id);
        let person = self.store.merge_people(from, into)?;
        view(&self.store.read()?, person)
    }

    /// Forgets a person; answers whom.
    pub fn remove_person(&self, who: &str) -> Result<Person, ServiceError> {
        let person = find(&self.store.read()?, who)?;
        self.store.remove_person(person.id)?;
        Ok(person)
    }
}

impl Reading {
    /// People, whoever became known last first.
    pub fn people(&self, before: Option<PersonId>, limit: usize) -> Result<Page<PersonView, PersonId>, ServiceError> {
        let Page { items, next } = self.reader.people(before, limit)?;
        let items = items.into_iter().map(|person| view(&self.reader, person)).collect::<Result<_, _>>()?;
        Ok(Page { items, next })
    }

    /// The person that somebody means: by id, by `KIND:VALUE`, or by the value of any attribute.
    pub fn person(&self, who: &str) -> Result<PersonView, ServiceError> {
        view(&self.reader, find(&self.reader, who)?)
    }

    /// Changes of a person, newest first.
    pub fn changes_of(
        &self,
        who: &str,
        before: Option<ChangeId>,
        limit: usize,
    ) -> Result<Page<Change, ChangeId>, ServiceError> {
        Ok(self.reader.changes_of(&find(&self.reader, who)?, before, limit)?)
    }

    /// Which of these authors are people.
    pub fn known_authors<'a>(
        &self,
        authors: impl Iterator<Item = &'a String>,
    ) -> Result<BTreeMap<String, PersonId>, ServiceError> {
        let mut known = BTreeMap::new();
        for text in authors {
            if let Some(author) = Author::parse(text) {
                let found = self.reader.find_people(&PersonRef::Attribute(Attribute::of(&author)))?;
                known.extend(found.first().map(|id| (text.clone(), *id)));
            }
        }
        Ok(known)
    }

    /// Who of those that a build interests are people. Whoever asked for it is found by the login: an author may have any name.
    pub fn known_of(&self, build: &Build) -> Result<BTreeMap<String, PersonId>, ServiceError> {
        let named = self.catalogue().builder(build.builder.as_str()).map(|builder| builder.interested.as_slice());
        let mut known = self.known_authors(build.blamelist.iter().chain(named.unwrap_or_default()))?;
        if let Some(owner) = &build.owner {
            // A token's owner is `USER/TOKEN`.
            let user = owner.split('/').next().unwrap_or(owner);
            known.remove(owner);
            if let Ok(login) = Attribute::new(person::LOGIN, user) {
                let found = self.reader.find_people(&PersonRef::Attribute(login))?;
                known.extend(found.first().map(|id| (owner.clone(), *id)));
            }
        }
        Ok(known)
    }
}

impl Catalogue {
    /// Whom a build interests: its blamelist, then whom its builder names.
    #[must_use]
    pub fn interested(&self, build: &Build) -> Vec<String> {
        let named = self.builder(build.builder.as_str()).map(|builder| builder.interested.as_slice());
        person::interested(&build.blamelist, named.unwrap_or_default())
    }
}

fn view(reader: &Reader, person: Person) -> Result<PersonView, ServiceError> {
    let last_change = reader.changes_of(&person, None, 1)?.items.pop();
    Ok(PersonView { person, last_change })
}

fn find(reader: &Reader, who: &str) -> Result<Person, ServiceError> {
    let shown: String = who.chars().take(100).collect();
    let nobody = || {
        ServiceError::Unknown(format!(
            "nobody is known as `{shown}`; `stampmill person list` shows who is known by what"
        ))
    };
    match reader.find_people(&PersonRef::parse(who))?.as_slice() {
        [] => Err(nobody()),
        [id] => reader.person(*id)?.ok_or_else(nobody),
        several => {
            let ids: Vec<String> = several.iter().map(ToString::to_string).collect();
            Err(ServiceError::Conflict(format!(
                "`{shown}` may be any of the people {}; say which by id, or by KIND:VALUE",
                ids.join(", ")
            )))
        }
    }
}

fn check_name(name: &str) -> Result<(), ServiceError> {
    if person::is_line(name) {
        return Ok(());
    }
    let shown: String = name.chars().take(100).collect();
    Err(ServiceError::Invalid(format!(
        "the name {shown:?} of a person does not fit; take 1 to {AUTHOR_BYTES_MAX} bytes without control characters or spaces at the ends"
    )))
}

impl From<AttributeError> for ServiceError {
    fn from(error: AttributeError) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<PersonError> for ServiceError {
    fn from(error: PersonError) -> Self {
        match error {
            PersonError::Unknown(_) | PersonError::Lacks { .. } | PersonError::NoUser(_) => {
                Self::Unknown(error.to_string())
            }
            PersonError::Taken { .. } | PersonError::TooManyAttributes { .. } | PersonError::Full => {
                Self::Conflict(error.to_string())
            }
            PersonError::Itself(_) => Self::Invalid(error.to_string()),
            PersonError::Store(error) => error.into(),
        }
    }
}

//! People, and the changes of one.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use redb::{ReadOnlyTable, TableDefinition, TableError};
use stampmill_model::{Change, ChangeId, Person, PersonId, PersonRef, author_key, person};

use super::view::{Ids, page as fill_page};
use super::{Page, View};
use crate::StoreError;
use crate::convert::person_from_row;
use crate::limits::PAGE_ITEMS_MAX;
use crate::rows::{PersonRow, Row as _};
use crate::tables::{CHANGE_BY_AUTHOR, CHANGES_BY, PEOPLE, PEOPLE_BY};

pub(super) fn person(view: &View, id: PersonId) -> Result<Option<Person>, StoreError> {
    let Some(table) = open(view, PEOPLE)? else { return Ok(None) };
    let row = table.get(id.0)?;
    row.map(|row| person_from_row(PersonRow::decode(row.value())?)).transpose()
}

pub(super) fn page(view: &View, before: Option<PersonId>, limit: usize) -> Result<Page<Person, PersonId>, StoreError> {
    let ids: Ids<'_> = match open(view, PEOPLE)? {
        Some(table) => {
            let range = table.range(..before.map_or(u64::MAX, |id| id.0))?;
            Box::new(range.rev().map(|entry| Ok(entry?.0.value())))
        }
        None => Box::new(std::iter::empty()),
    };
    fill_page(ids, limit, PersonId, |id| person(view, PersonId(id)))
}

/// Whom somebody may mean, by id.
pub(super) fn find(view: &View, who: &PersonRef) -> Result<Vec<PersonId>, StoreError> {
    let Some(table) = open(view, PEOPLE_BY)? else { return Ok(Vec::new()) };
    let mut found = BTreeSet::new();
    match who {
        PersonRef::Id(id) => found.extend(person(view, *id)?.map(|person| person.id)),
        PersonRef::Attribute(attribute) => {
            let key = attribute.key();
            found.extend(table.get((key.value.as_str(), key.space.as_str()))?.map(|id| PersonId(id.value())));
        }
        PersonRef::Any(text) => {
            let key = author_key(text);
            found.extend(table.get((key.as_str(), person::AUTHOR))?.map(|id| PersonId(id.value())));
            for entry in table.range((text.as_str(), "")..)? {
                let (key, id) = entry?;
                if key.value().0 != text {
                    break;
                }
                found.insert(PersonId(id.value()));
            }
        }
    }
    Ok(found.into_iter().collect())
}

/// Changes of a person, newest first: those of each of the authors that they are.
pub(super) fn changes_of(
    view: &View,
    person: &Person,
    before: Option<ChangeId>,
    limit: usize,
) -> Result<Page<Change, ChangeId>, StoreError> {
    let end = before.map_or(u64::MAX, |id| id.0);
    let limit = limit.clamp(1, PAGE_ITEMS_MAX);
    let table = view.transaction.open_table(CHANGES_BY)?;
    let mut ids = BTreeSet::new();
    for key in person.attributes.iter().map(stampmill_model::Attribute::key) {
        if key.space != person::AUTHOR {
            continue;
        }
        let range =
            table.range((CHANGE_BY_AUTHOR, key.value.as_str(), 0)..(CHANGE_BY_AUTHOR, key.value.as_str(), end))?;
        // One more than is wanted says that there is more.
        for entry in range.rev().take(limit + 1) {
            ids.insert(Reverse(entry?.0.value().2));
        }
    }
    let more = ids.len() > limit;
    let wanted: Vec<ChangeId> = ids.into_iter().take(limit).map(|Reverse(id)| ChangeId(id)).collect();
    let next = wanted.last().copied().filter(|_| more);
    let items = wanted.into_iter().filter_map(|id| view.change(id).transpose()).collect::<Result<_, _>>()?;
    Ok(Page { items, next })
}

/// A table that a database of an earlier release has not.
fn open<K: redb::Key + 'static, V: redb::Value + 'static>(
    view: &View,
    table: TableDefinition<'static, K, V>,
) -> Result<Option<ReadOnlyTable<K, V>>, StoreError> {
    match view.transaction.open_table(table) {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

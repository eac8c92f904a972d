//! People.

use stampmill_model::{Attribute, Person, PersonId, Wall};

use crate::StoreError;
use crate::rows::{PersonRow, Row as _};

pub(crate) fn person_to_row(person: &Person) -> PersonRow {
    let attribute = |held: &Attribute| (held.kind().to_owned(), held.value().to_owned());
    PersonRow {
        id: person.id.0,
        name: person.name.clone(),
        attributes: person.attributes.iter().map(attribute).collect(),
        since: person.since.0,
    }
}

pub(crate) fn person_from_row(row: PersonRow) -> Result<Person, StoreError> {
    let attribute = |(kind, value): (String, String)| {
        Attribute::new(&kind, &value)
            .map_err(|error| StoreError::Row { table: PersonRow::TABLE, problem: error.to_string() })
    };
    Ok(Person {
        id: PersonId(row.id),
        name: row.name,
        attributes: row.attributes.into_iter().map(attribute).collect::<Result<_, _>>()?,
        since: Wall(row.since),
    })
}

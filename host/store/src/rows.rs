//! The rows as they are stored: the version of the row in one byte, then MessagePack with field names.
//!
//! These types are the format; the model's are not. A field may be added where old rows can do without it (give it `default`); anything
//! else needs a new version of the row and a reader for the old one. `tests/golden/` holds the rows of every release; see `golden.rs`.

mod build;
mod buildset;
mod change;
#[cfg(test)]
mod golden;
mod outbox;
mod people;
mod shared;

pub(crate) use build::{BuildRow, BuildStateRow, StepRow, StepStateRow};
pub(crate) use buildset::{BuildsetRow, BuildsetStateRow, RequestRow, RequestStateRow};
pub(crate) use change::{ChangeRow, DecisionRow, SeenRow, VerdictRow};
pub(crate) use outbox::{
    BatchRow, CountersRow, DeliveryRow, NoticeRow, NoticeStateRow, OccasionRow, SchedulerRow, SubjectRow,
};
pub(crate) use people::{SessionRow, TokenKindRow, TokenRow, UserRow};
pub(crate) use shared::{PatchRow, PropertiesRow, PropertyRow, PropertySourceRow, StampRow};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::StoreError;

/// A row of one table.
pub(crate) trait Row: Serialize + DeserializeOwned {
    /// The table, for error messages.
    const TABLE: &'static str;
    /// What this release writes.
    const VERSION: u8;

    /// The bytes to store.
    fn encode(&self) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![Self::VERSION];
        rmp_serde::encode::write_named(&mut bytes, self).map_err(|error| damaged::<Self>(error.to_string()))?;
        Ok(bytes)
    }

    /// The row that these bytes hold.
    fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        match bytes.split_first() {
            Some((&version, body)) if version == Self::VERSION => {
                rmp_serde::from_slice(body).map_err(|error| damaged::<Self>(error.to_string()))
            }
            Some((&found, _)) => Err(StoreError::RowVersion { table: Self::TABLE, found, known: Self::VERSION }),
            None => Err(damaged::<Self>("it is empty".to_owned())),
        }
    }
}

fn damaged<R: Row>(problem: String) -> StoreError {
    StoreError::Row { table: R::TABLE, problem }
}

macro_rules! rows {
    ($($row:ident = $table:literal, version $version:literal;)+) => {$(
        impl Row for $row {
            const TABLE: &'static str = $table;
            const VERSION: u8 = $version;
        }
    )+};
}

rows! {
    ChangeRow = "changes", version 1;
    BuildsetRow = "buildsets", version 1;
    RequestRow = "requests", version 1;
    BuildRow = "builds", version 1;
    SchedulerRow = "schedulers", version 1;
    DeliveryRow = "deliveries", version 1;
    NoticeRow = "notices", version 1;
    CountersRow = "counters", version 1;
    UserRow = "users", version 1;
    TokenRow = "tokens", version 1;
    SessionRow = "sessions", version 1;
}

/// Whether a field is as it is when it is left out.
fn blank<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

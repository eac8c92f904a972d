//! The rows as they are stored: the version of the row in one byte, then MessagePack with field names. Around that there is a seal: one byte
//! that says so, and the CRC-32 of the rest. A row without it, as the first hosts wrote them, is read too.
//!
//! These types are the format; the model's are not. A field may be added where old rows can do without it (give it `default`); anything
//! else needs a new version of the row and a reader for the old one. `tests/golden/` holds the rows of every release; see `golden.rs`.

mod accounts;
mod build;
mod buildset;
mod change;
#[cfg(test)]
mod golden;
mod halt;
mod journal;
mod network;
mod outbox;
mod person;
mod shared;

pub(crate) use accounts::{SessionRow, TokenKindRow, TokenRow, UserRow};
pub(crate) use build::{
    BuildRow, BuildStateRow, HeldLockRow, LockStateRow, StepRow, StepStateRow, TriggerRow, TriggerStateRow,
};
pub(crate) use buildset::{BuildsetRow, BuildsetStateRow, MergeKeyRow, RequestRow, RequestStateRow};
pub(crate) use change::{ChangeRow, DecisionRow, SeenRow, VerdictRow};
pub(crate) use halt::HaltRow;
pub(crate) use journal::{EntryRow, RecordRow};
pub(crate) use network::{AttemptRow, EndRow, NetworkRow, ProtocolRow};
pub(crate) use outbox::{
    BatchRow, CountersRow, DeliveryRow, LastSeenRow, LeftOutRow, NoticeRow, NoticeStateRow, OccasionRow, PingRow,
    SchedulerRow, SubjectRow, WorkerRow,
};
pub(crate) use person::PersonRow;
pub(crate) use shared::{PatchRow, PropertiesRow, PropertyRow, PropertySourceRow, StampRow};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::StoreError;

/// The first byte of a sealed row; versions are smaller.
const SEALED: u8 = 0x80;
/// The byte that says so, and the CRC.
const SEAL_BYTES: usize = 5;

/// A row of one table.
pub(crate) trait Row: Serialize + DeserializeOwned {
    /// The table, for error messages.
    const TABLE: &'static str;
    /// What this release writes.
    const VERSION: u8;

    /// The bytes to store.
    fn encode(&self) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![SEALED, 0, 0, 0, 0];
        self.write_to(&mut bytes)?;
        let crc = crc32fast::hash(&bytes[SEAL_BYTES..]);
        bytes[1..SEAL_BYTES].copy_from_slice(&crc.to_le_bytes());
        Ok(bytes)
    }

    /// Writes the row without its seal.
    fn write_to(&self, bytes: &mut Vec<u8>) -> Result<(), StoreError> {
        bytes.push(Self::VERSION);
        rmp_serde::encode::write_named(bytes, self).map_err(|error| damaged::<Self>(error.to_string()))
    }

    /// The row that these bytes hold.
    fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        match unsealed(bytes).map_err(damaged::<Self>)? {
            (version, body) if version == Self::VERSION => {
                rmp_serde::from_slice(body).map_err(|error| damaged::<Self>(error.to_string()))
            }
            (found, _) => Err(StoreError::RowVersion { table: Self::TABLE, found, known: Self::VERSION }),
        }
    }
}

/// The version and the body of a row.
fn unsealed(bytes: &[u8]) -> Result<(u8, &[u8]), &'static str> {
    let row = match bytes.split_first_chunk::<SEAL_BYTES>() {
        Some(([SEALED, crc @ ..], row)) => {
            if crc32fast::hash(row).to_le_bytes() != *crc {
                return Err("its checksum is wrong");
            }
            row
        }
        _ => bytes,
    };
    match row.split_first() {
        Some((0 | SEALED.., _)) => Err("it does not begin as a row does"),
        Some((&version, body)) => Ok((version, body)),
        None => Err("it is empty"),
    }
}

fn damaged<R: Row>(problem: impl Into<String>) -> StoreError {
    StoreError::Row { table: R::TABLE, problem: problem.into() }
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
    WorkerRow = "workers", version 1;
    DeliveryRow = "deliveries", version 1;
    NoticeRow = "notices", version 1;
    CountersRow = "counters", version 1;
    RecordRow = "the journal", version 1;
    PersonRow = "people", version 1;
    UserRow = "users", version 1;
    TokenRow = "tokens", version 1;
    SessionRow = "sessions", version 1;
}

/// Whether a field is as it is when it is left out.
fn blank<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

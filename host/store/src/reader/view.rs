//! Rows by id, and pages of them.

use redb::ReadTransaction;
use sha2::{Digest as _, Sha256};
use stampmill_model::{Build, BuildId, Buildset, BuildsetId, Change, ChangeId, Request, RequestId};

use super::Page;
use crate::StoreError;
use crate::convert::{build_from_row, buildset_from_row, change_from_row, request_from_row};
use crate::limits::{PAGE_ITEMS_MAX, PAGE_LOOKS_MAX};
use crate::rows::{BuildRow, BuildsetRow, ChangeRow, RequestRow, Row};
use crate::tables::{BUILDS, BUILDSETS, CHANGES, PATCHES, REQUESTS};

/// An open read transaction.
pub(crate) struct View {
    pub(crate) transaction: ReadTransaction,
}

/// Ids that may belong to a page, newest first.
pub(super) type Ids<'a> = Box<dyn Iterator<Item = Result<u64, StoreError>> + 'a>;

impl View {
    pub(crate) fn change(&self, id: ChangeId) -> Result<Option<Change>, StoreError> {
        self.row::<ChangeRow>(CHANGES, id.0)?.map(change_from_row).transpose()
    }

    pub(crate) fn buildset(&self, id: BuildsetId) -> Result<Option<Buildset>, StoreError> {
        self.row::<BuildsetRow>(BUILDSETS, id.0)?
            .map(|row| buildset_from_row(row, &|key: &[u8; 32]| self.patch(key)))
            .transpose()
    }

    pub(crate) fn request(&self, id: RequestId) -> Result<Option<Request>, StoreError> {
        self.row::<RequestRow>(REQUESTS, id.0)?.map(request_from_row).transpose()
    }

    pub(crate) fn build(&self, id: BuildId) -> Result<Option<Build>, StoreError> {
        self.row::<BuildRow>(BUILDS, id.0)?
            .map(|row| build_from_row(row, &|key: &[u8; 32]| self.patch(key)))
            .transpose()
    }

    fn row<R: Row>(
        &self,
        table: redb::TableDefinition<'static, u64, &'static [u8]>,
        id: u64,
    ) -> Result<Option<R>, StoreError> {
        let table = self.transaction.open_table(table)?;
        let row = table.get(id)?;
        row.map(|row| R::decode(row.value())).transpose()
    }

    pub(crate) fn patch(&self, key: &[u8; 32]) -> Result<Vec<u8>, StoreError> {
        let table = self.transaction.open_table(PATCHES)?;
        let body = table.get(key)?.ok_or_else(|| StoreError::Missing { what: "the body of a patch".to_owned() })?;
        let body = body.value();
        if Sha256::digest(body).as_slice() != key {
            return Err(StoreError::Row { table: "patches", problem: "its checksum is wrong".to_owned() });
        }
        Ok(body.to_vec())
    }
}

/// Takes from `ids` those that `find` gives something for, until the page is full or enough were looked at.
pub(super) fn page<T, C>(
    ids: Ids<'_>,
    limit: usize,
    id_of: impl Fn(u64) -> C,
    mut find: impl FnMut(u64) -> Result<Option<T>, StoreError>,
) -> Result<Page<T, C>, StoreError> {
    let limit = limit.clamp(1, PAGE_ITEMS_MAX);
    let mut items = Vec::new();
    let mut last = None;
    for (looks, id) in ids.enumerate() {
        if items.len() == limit || looks == PAGE_LOOKS_MAX {
            return Ok(Page { items, next: last.map(id_of) });
        }
        let id = id?;
        items.extend(find(id)?);
        last = Some(id);
    }
    Ok(Page { items, next: None })
}

//! Notices and deliveries.

use redb::ReadableTable as _;
use stampmill_engine::output::{Delivery, Notice};
use stampmill_model::{ChangeSourceName, NoticeId};

use super::view::{Ids, page as fill_page};
use super::{Page, View};
use crate::StoreError;
use crate::convert::{delivery_from_row, notice_from_row};
use crate::rows::{DeliveryRow, NoticeRow, Row as _};
use crate::tables::{DELIVERIES, NOTICES, NOTICES_DEAD};

pub(super) fn open(view: &View) -> Result<Vec<Notice>, StoreError> {
    let mut notices = Vec::new();
    for entry in view.transaction.open_table(NOTICES)?.iter()? {
        notices.push(notice_from_row(NoticeRow::decode(entry?.1.value())?));
    }
    Ok(notices)
}

pub(super) fn dead_page(
    view: &View,
    before: Option<NoticeId>,
    limit: usize,
) -> Result<Page<Notice, NoticeId>, StoreError> {
    let table = view.transaction.open_table(NOTICES_DEAD)?;
    let range = table.range(..before.map_or(u64::MAX, |id| id.0))?;
    let ids: Ids<'_> = Box::new(range.rev().map(|entry| Ok(entry?.0.value())));
    fill_page(ids, limit, NoticeId, |id| match table.get(id)? {
        Some(row) => Ok(Some(notice_from_row(NoticeRow::decode(row.value())?))),
        None => Ok(None),
    })
}

pub(super) fn notice(view: &View, id: NoticeId) -> Result<Option<Notice>, StoreError> {
    for table in [NOTICES, NOTICES_DEAD] {
        if let Some(row) = view.transaction.open_table(table)?.get(id.0)? {
            return Ok(Some(notice_from_row(NoticeRow::decode(row.value())?)));
        }
    }
    Ok(None)
}

pub(super) fn delivery(view: &View, source: &ChangeSourceName, id: &str) -> Result<Option<Delivery>, StoreError> {
    let table = view.transaction.open_table(DELIVERIES)?;
    let row = table.get((source.as_str(), id))?;
    row.map(|row| Ok(delivery_from_row(source.clone(), id.to_owned(), DeliveryRow::decode(row.value())?))).transpose()
}

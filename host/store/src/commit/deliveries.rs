//! Deliveries of hooks, which are forgotten after a while.

use std::collections::BTreeMap;

use redb::{ReadableTable as _, ReadableTableMetadata as _, Table, WriteTransaction};
use stampmill_engine::output::Delivery;
use stampmill_model::Wall;

use super::Put;
use crate::StoreError;
use crate::limits::{DELIVERIES_KEPT, DELIVERIES_MAX, DELIVERIES_TRIMMED_A_COMMIT};
use crate::rows::{DeliveryRow, Row as _};
use crate::tables::{DELIVERIES, DELIVERIES_BY_TIME};

pub(super) fn put_deliveries(
    transaction: &WriteTransaction,
    deliveries: &BTreeMap<(&str, &str), Put<'_, Delivery>>,
) -> Result<(), StoreError> {
    let Some(newest) = deliveries.values().map(|put| put.value.at).max() else { return Ok(()) };
    let mut rows = transaction.open_table(DELIVERIES)?;
    let mut by_time = transaction.open_table(DELIVERIES_BY_TIME)?;
    for (&(source, id), Put { value: delivery, row }) in deliveries {
        let old = rows.insert((source, id), row.as_slice())?;
        if let Some(old) = old {
            by_time.remove((DeliveryRow::decode(old.value())?.at, source, id))?;
        }
        by_time.insert((delivery.at.0, source, id), ())?;
    }
    trim_tables(&mut rows, &mut by_time, newest, DELIVERIES_TRIMMED_A_COMMIT.max(deliveries.len()))?;
    Ok(())
}

/// Forgets at most `most` of the deliveries that are older than the horizon, or beyond the number that is kept. Says how many.
pub(crate) fn trim(transaction: &WriteTransaction, now: Wall, most: usize) -> Result<usize, StoreError> {
    let mut rows = transaction.open_table(DELIVERIES)?;
    let mut by_time = transaction.open_table(DELIVERIES_BY_TIME)?;
    trim_tables(&mut rows, &mut by_time, now, most)
}

fn trim_tables(
    rows: &mut Table<'_, (&'static str, &'static str), &'static [u8]>,
    by_time: &mut Table<'_, (u64, &'static str, &'static str), ()>,
    now: Wall,
    most: usize,
) -> Result<usize, StoreError> {
    let horizon = now.0.saturating_sub(DELIVERIES_KEPT.0);
    for trimmed in 0..most {
        let Some((at, source, id)) = by_time.first()?.map(|(key, _)| {
            let (at, source, id) = key.value();
            (at, source.to_owned(), id.to_owned())
        }) else {
            return Ok(trimmed);
        };
        if at >= horizon && rows.len()? <= DELIVERIES_MAX {
            return Ok(trimmed);
        }
        by_time.remove((at, source.as_str(), id.as_str()))?;
        rows.remove((source.as_str(), id.as_str()))?;
    }
    Ok(most)
}

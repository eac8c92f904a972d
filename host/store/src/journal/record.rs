//! What is in a record: the writes of one commit, as the rows that they become.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_bytes::ByteBuf;
use sha2::{Digest as _, Sha256};
use stampmill_engine::Write;
use stampmill_model::{BuildId, NoticeId, Steady};

use crate::StoreError;
use crate::commit::Batch;
use crate::convert::{
    FindPatch, build_from_row, buildset_from_row, change_from_row, delivery_from_row, notice_from_row,
    request_from_row, scheduler_from_row,
};
use crate::rows::{EntryRow, RecordRow, Row};

/// The record of a batch. Patches that the database has are left out.
pub(crate) fn record_of(
    batch: &Batch<'_>,
    is_stored: impl Fn(&[u8; 32]) -> Result<bool, StoreError>,
) -> Result<RecordRow, StoreError> {
    let row = |row: &[u8]| ByteBuf::from(row);
    let mut entries = Vec::new();
    entries.extend(batch.changes.values().map(|put| EntryRow::Change(row(&put.row))));
    entries.extend(batch.buildsets.values().map(|put| EntryRow::Buildset(row(&put.row))));
    entries.extend(batch.requests.values().map(|put| EntryRow::Request(row(&put.row))));
    entries.extend(batch.builds.values().map(|put| EntryRow::Build(row(&put.row))));
    entries.extend(batch.sequences.iter().map(|(build, sequence)| EntryRow::BuildSequence(build.0, *sequence)));
    let text = |text: &str| text.to_owned();
    entries.extend(batch.cursors.iter().map(|(source, cursor)| EntryRow::Cursor(text(source), text(cursor))));
    let delivery = |(source, id): &(&str, &str), put: &[u8]| EntryRow::Delivery(text(source), text(id), row(put));
    entries.extend(batch.deliveries.iter().map(|(key, put)| delivery(key, &put.row)));
    entries.extend(batch.schedulers.iter().map(|(name, put)| EntryRow::Scheduler(text(name), row(&put.row))));
    entries.extend(batch.notices.iter().map(|(id, notice)| match notice {
        Some(put) => EntryRow::Notice(row(&put.row)),
        None => EntryRow::NoticeDone(id.0),
    }));
    let mut patches = Vec::new();
    for (key, body) in &batch.patches {
        if !is_stored(key)? {
            patches.push(row(body));
        }
    }
    Ok(RecordRow { steady: batch.steady.0, patches, entries })
}

/// The writes of records in their order, and the last steady time. `stored` finds the patches that the records left out.
pub(crate) fn decode(records: &[Vec<u8>], stored: &FindPatch<'_>) -> Result<(Vec<Write>, Steady), StoreError> {
    let mut patches = BTreeMap::new();
    let mut entries = Vec::new();
    let mut steady = 0;
    for record in records {
        let record = RecordRow::decode(record)?;
        patches.extend(record.patches.into_iter().map(|body| (<[u8; 32]>::from(Sha256::digest(&body)), body)));
        entries.extend(record.entries);
        steady = steady.max(record.steady);
    }
    let find = |key: &[u8; 32]| patches.get(key).map_or_else(|| stored(key), |body| Ok(body.to_vec()));
    let writes = entries.into_iter().map(|entry| write(entry, &find)).collect::<Result<_, _>>()?;
    Ok((writes, Steady(steady)))
}

fn write(entry: EntryRow, find: &FindPatch<'_>) -> Result<Write, StoreError> {
    Ok(match entry {
        EntryRow::Change(row) => Write::Change(Arc::new(change_from_row(Row::decode(&row)?)?)),
        EntryRow::Buildset(row) => Write::Buildset(Arc::new(buildset_from_row(Row::decode(&row)?, find)?)),
        EntryRow::Request(row) => Write::Request(Arc::new(request_from_row(Row::decode(&row)?)?)),
        EntryRow::Build(row) => Write::Build(Arc::new(build_from_row(Row::decode(&row)?, find)?)),
        EntryRow::BuildSequence(build, sequence) => Write::BuildSequence(BuildId(build), sequence),
        EntryRow::Cursor(source, cursor) => Write::Cursor(source.as_str().into(), cursor),
        EntryRow::Delivery(source, id, row) => {
            Write::Delivery(delivery_from_row(source.as_str().into(), id, Row::decode(&row)?))
        }
        EntryRow::Scheduler(scheduler, row) => {
            Write::SchedulerState(scheduler.as_str().into(), scheduler_from_row(Row::decode(&row)?))
        }
        EntryRow::Notice(row) => Write::Notice(notice_from_row(Row::decode(&row)?)),
        EntryRow::NoticeDone(id) => Write::NoticeDone(NoticeId(id)),
    })
}

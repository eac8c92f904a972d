//! What is in a record: the writes of one commit, as the rows that they become.

use std::collections::BTreeMap;
use std::sync::Arc;

use redb::{ReadableTable as _, WriteTransaction};
use serde_bytes::ByteBuf;
use sha2::{Digest as _, Sha256};
use stampmill_engine::Write;
use stampmill_model::{BuildId, NoticeId, Steady};

use crate::StoreError;
use crate::commit::Batch;
use crate::convert::{
    FindPatch, build_from_row, buildset_from_row, change_from_row, delivery_from_row, notice_from_row,
    request_from_row, scheduler_from_row, worker_from_row,
};
use crate::rows::{EntryRow, RecordRow, Row};
use crate::tables::PATCHES;

/// The record of a batch. Patches that the database has are left out.
pub(crate) fn record_of(batch: &Batch<'_>, transaction: &WriteTransaction) -> Result<RecordRow, StoreError> {
    let row = |row: &[u8]| ByteBuf::from(row);
    let text = |text: &str| text.to_owned();
    let mut entries = Vec::new();
    entries.extend(batch.changes.iter().map(|(id, put)| EntryRow::Change(id.0, row(&put.row))));
    entries.extend(batch.buildsets.iter().map(|(id, put)| EntryRow::Buildset(id.0, row(&put.row))));
    entries.extend(batch.requests.iter().map(|(id, put)| EntryRow::Request(id.0, row(&put.row))));
    entries.extend(batch.builds.iter().map(|(id, put)| EntryRow::Build(id.0, row(&put.row))));
    entries.extend(batch.sequences.iter().map(|(build, sequence)| EntryRow::BuildSequence(build.0, *sequence)));
    entries.extend(batch.cursors.iter().map(|(source, cursor)| EntryRow::Cursor(text(source), text(cursor))));
    let delivery = |(source, id): &(&str, &str), put: &[u8]| EntryRow::Delivery(text(source), text(id), row(put));
    entries.extend(batch.deliveries.iter().map(|(key, put)| delivery(key, &put.row)));
    entries.extend(batch.schedulers.iter().map(|(name, put)| EntryRow::Scheduler(text(name), row(&put.row))));
    entries.extend(batch.workers.iter().map(|(name, put)| EntryRow::Worker(text(name), row(&put.row))));
    entries.extend(batch.notices.iter().map(|(id, notice)| match notice {
        Some(put) => EntryRow::Notice(id.0, row(&put.row)),
        None => EntryRow::NoticeDone(id.0),
    }));
    let mut patches = Vec::new();
    for (key, body) in &batch.patches {
        if transaction.open_table(PATCHES)?.get(key)?.is_none() {
            patches.push(row(body));
        }
    }
    Ok(RecordRow { steady: batch.steady.0, patches, entries })
}

/// The last writes of each key in the records, and the last steady time. `stored` finds the patches that the records left out.
pub(crate) fn decode(records: &[Vec<u8>], stored: &FindPatch<'_>) -> Result<(Vec<Write>, Steady), StoreError> {
    let mut patches = BTreeMap::new();
    let mut entries = BTreeMap::new();
    let mut steady = 0;
    for record in records {
        let record = RecordRow::decode(record)?;
        patches.extend(record.patches.into_iter().map(|body| (<[u8; 32]>::from(Sha256::digest(&body)), body)));
        entries.extend(record.entries.into_iter().map(|entry| (key(&entry), entry)));
        steady = steady.max(record.steady);
    }
    let find = |key: &[u8; 32]| patches.get(key).map_or_else(|| stored(key), |body| Ok(body.to_vec()));
    let writes = entries.into_values().map(|entry| write(entry, &find)).collect::<Result<_, _>>()?;
    Ok((writes, Steady(steady)))
}

/// What an entry is of: a table by its place among them, a number, names.
fn key(entry: &EntryRow) -> (u8, u64, String, String) {
    let number = |table, id: &u64| (table, *id, String::new(), String::new());
    let name = |table, name: &String| (table, 0, name.clone(), String::new());
    match entry {
        EntryRow::Change(id, _) => number(0, id),
        EntryRow::Buildset(id, _) => number(1, id),
        EntryRow::Request(id, _) => number(2, id),
        EntryRow::Build(id, _) => number(3, id),
        EntryRow::BuildSequence(build, _) => number(4, build),
        EntryRow::Cursor(source, _) => name(5, source),
        EntryRow::Delivery(source, id, _) => (6, 0, source.clone(), id.clone()),
        EntryRow::Scheduler(scheduler, _) => name(7, scheduler),
        EntryRow::Notice(id, _) | EntryRow::NoticeDone(id) => number(8, id),
        EntryRow::Worker(worker, _) => name(9, worker),
    }
}

fn write(entry: EntryRow, find: &FindPatch<'_>) -> Result<Write, StoreError> {
    Ok(match entry {
        EntryRow::Change(_, row) => Write::Change(Arc::new(change_from_row(Row::decode(&row)?)?)),
        EntryRow::Buildset(_, row) => Write::Buildset(Arc::new(buildset_from_row(Row::decode(&row)?, find)?)),
        EntryRow::Request(_, row) => Write::Request(Arc::new(request_from_row(Row::decode(&row)?)?)),
        EntryRow::Build(_, row) => Write::Build(Arc::new(build_from_row(Row::decode(&row)?, find)?)),
        EntryRow::BuildSequence(build, sequence) => Write::BuildSequence(BuildId(build), sequence),
        EntryRow::Cursor(source, cursor) => Write::Cursor(source.as_str().into(), cursor),
        EntryRow::Delivery(source, id, row) => {
            Write::Delivery(delivery_from_row(source.as_str().into(), id, Row::decode(&row)?))
        }
        EntryRow::Scheduler(scheduler, row) => {
            Write::SchedulerState(scheduler.as_str().into(), scheduler_from_row(Row::decode(&row)?))
        }
        EntryRow::Worker(worker, row) => Write::Worker(worker.as_str().into(), worker_from_row(Row::decode(&row)?)),
        EntryRow::Notice(_, row) => Write::Notice(notice_from_row(Row::decode(&row)?)),
        EntryRow::NoticeDone(id) => Write::NoticeDone(NoticeId(id)),
    })
}

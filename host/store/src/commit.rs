//! One commit: the writes of a batch, each key once, with their indexes.

mod builds;
mod deliveries;
mod requests;

use std::collections::BTreeMap;

use redb::{Key, ReadableTable as _, Table, Value, WriteTransaction};
use stampmill_engine::Write;
use stampmill_engine::output::{Delivery, Notice, NoticeState, SchedulerState};
use stampmill_model::{Build, BuildId, Buildset, BuildsetId, Change, ChangeId, NoticeId, Request, RequestId, Steady};

use crate::StoreError;
use crate::convert::{PatchBody, change_to_row, notice_to_row, scheduler_to_row};
use crate::rows::{CountersRow, Row as _};
use crate::tables::{
    CHANGE_BY_BRANCH, CHANGE_BY_CODEBASE, CHANGE_BY_SOURCE, CHANGES, CHANGES_BY, CHANGES_OPEN, COUNTERS, CURSORS,
    NOTICES, NOTICES_DEAD, PATCHES, SCHEDULERS,
};

/// Puts all of the writes into the transaction.
pub(crate) fn apply(transaction: &WriteTransaction, writes: &[Write], steady: Steady) -> Result<(), StoreError> {
    let batch = Batch::gather(writes);
    batch.put_changes(transaction)?;
    requests::put_buildsets(transaction, &batch.buildsets)?;
    requests::put_requests(transaction, &batch.requests)?;
    builds::put_builds(transaction, &batch.builds)?;
    builds::put_sequences(transaction, &batch.sequences)?;
    deliveries::put_deliveries(transaction, &batch.deliveries)?;
    batch.put_cursors(transaction)?;
    batch.put_schedulers(transaction)?;
    batch.put_notices(transaction)?;
    batch.put_counters(transaction, steady)
}

pub(crate) use deliveries::trim as trim_deliveries;

/// The last write of each key.
#[derive(Default)]
struct Batch<'a> {
    changes: BTreeMap<ChangeId, &'a Change>,
    buildsets: BTreeMap<BuildsetId, &'a Buildset>,
    requests: BTreeMap<RequestId, &'a Request>,
    builds: BTreeMap<BuildId, &'a Build>,
    sequences: BTreeMap<BuildId, u64>,
    cursors: BTreeMap<&'a str, &'a str>,
    deliveries: BTreeMap<(&'a str, &'a str), &'a Delivery>,
    schedulers: BTreeMap<&'a str, &'a SchedulerState>,
    /// `None` for one that was delivered.
    notices: BTreeMap<NoticeId, Option<&'a Notice>>,
}

impl<'a> Batch<'a> {
    fn gather(writes: &'a [Write]) -> Self {
        let mut batch = Self::default();
        for write in writes {
            match write {
                Write::Change(change) => {
                    batch.changes.insert(change.id, change);
                }
                Write::Buildset(buildset) => {
                    batch.buildsets.insert(buildset.id, buildset);
                }
                Write::Request(request) => {
                    batch.requests.insert(request.id, request);
                }
                Write::Build(build) => {
                    batch.builds.insert(build.id, build);
                }
                Write::BuildSequence(build, sequence) => {
                    batch.sequences.insert(*build, *sequence);
                }
                Write::Cursor(source, cursor) => {
                    batch.cursors.insert(source.as_str(), cursor);
                }
                Write::Delivery(delivery) => {
                    batch.deliveries.insert((delivery.source.as_str(), &delivery.id), delivery);
                }
                Write::SchedulerState(scheduler, state) => {
                    batch.schedulers.insert(scheduler.as_str(), state);
                }
                Write::Notice(notice) => {
                    batch.notices.insert(notice.id, Some(notice));
                }
                Write::NoticeDone(notice) => {
                    batch.notices.insert(*notice, None);
                }
            }
        }
        batch
    }

    fn put_changes(&self, transaction: &WriteTransaction) -> Result<(), StoreError> {
        if self.changes.is_empty() {
            return Ok(());
        }
        let mut rows = transaction.open_table(CHANGES)?;
        let mut open = transaction.open_table(CHANGES_OPEN)?;
        let mut by = transaction.open_table(CHANGES_BY)?;
        for (id, change) in &self.changes {
            rows.insert(id.0, change_to_row(change).encode()?.as_slice())?;
            if change.decided {
                open.remove(id.0)?;
            } else {
                put_once(&mut open, id.0, ())?;
            }
            let keys = [
                (CHANGE_BY_SOURCE, change.source.as_ref().map(|source| source.as_str())),
                (CHANGE_BY_BRANCH, change.seen.branch.as_deref()),
                (CHANGE_BY_CODEBASE, change.codebase.as_deref()),
            ];
            for (kind, value) in keys {
                if let Some(value) = value {
                    put_once(&mut by, (kind, value, id.0), ())?;
                }
            }
        }
        Ok(())
    }

    fn put_cursors(&self, transaction: &WriteTransaction) -> Result<(), StoreError> {
        if self.cursors.is_empty() {
            return Ok(());
        }
        let mut table = transaction.open_table(CURSORS)?;
        for (source, cursor) in &self.cursors {
            table.insert(source, cursor)?;
        }
        Ok(())
    }

    fn put_schedulers(&self, transaction: &WriteTransaction) -> Result<(), StoreError> {
        if self.schedulers.is_empty() {
            return Ok(());
        }
        let mut table = transaction.open_table(SCHEDULERS)?;
        for (scheduler, state) in &self.schedulers {
            table.insert(scheduler, scheduler_to_row(state).encode()?.as_slice())?;
        }
        Ok(())
    }

    fn put_notices(&self, transaction: &WriteTransaction) -> Result<(), StoreError> {
        if self.notices.is_empty() {
            return Ok(());
        }
        let mut live = transaction.open_table(NOTICES)?;
        let mut dead = transaction.open_table(NOTICES_DEAD)?;
        for (id, notice) in &self.notices {
            let Some(notice) = notice else {
                live.remove(id.0)?;
                dead.remove(id.0)?;
                continue;
            };
            let row = notice_to_row(notice).encode()?;
            match notice.state {
                NoticeState::Sending | NoticeState::Waiting { .. } => {
                    live.insert(id.0, row.as_slice())?;
                    dead.remove(id.0)?;
                }
                NoticeState::Dead { .. } => {
                    live.remove(id.0)?;
                    dead.insert(id.0, row.as_slice())?;
                }
            }
        }
        Ok(())
    }

    /// The highest ids are kept apart from the rows, since rows may go and their ids must not come again.
    fn put_counters(&self, transaction: &WriteTransaction, steady: Steady) -> Result<(), StoreError> {
        let mut table = transaction.open_table(COUNTERS)?;
        let old = match table.get("counters")? {
            Some(row) => CountersRow::decode(row.value())?,
            None => CountersRow::default(),
        };
        let highest = |old: u64, new: Option<u64>| old.max(new.unwrap_or(0));
        let new = CountersRow {
            steady: old.steady.max(steady.0),
            change: highest(old.change, self.changes.keys().next_back().map(|id| id.0)),
            buildset: highest(old.buildset, self.buildsets.keys().next_back().map(|id| id.0)),
            request: highest(old.request, self.requests.keys().next_back().map(|id| id.0)),
            build: highest(old.build, self.builds.keys().next_back().map(|id| id.0)),
            notice: highest(old.notice, self.notices.keys().next_back().map(|id| id.0)),
        };
        if new != old {
            table.insert("counters", new.encode()?.as_slice())?;
        }
        Ok(())
    }
}

/// Puts an index entry unless it is there: reading is cheaper than writing a page anew.
fn put_once<'k, 'v, K, V>(
    table: &mut Table<'_, K, V>,
    key: K::SelfType<'k>,
    value: V::SelfType<'v>,
) -> Result<(), StoreError>
where
    K: Key + 'static,
    V: Value + 'static,
{
    if table.get(&key)?.is_none() {
        table.insert(key, value)?;
    }
    Ok(())
}

/// Stores the patches that rows name.
fn put_patches(transaction: &WriteTransaction, bodies: &[PatchBody<'_>]) -> Result<(), StoreError> {
    if bodies.is_empty() {
        return Ok(());
    }
    let mut table = transaction.open_table(PATCHES)?;
    for (key, body) in bodies {
        put_once(&mut table, key, *body)?;
    }
    Ok(())
}

//! One commit: the writes of a batch, each key once, with their indexes.

mod builds;
mod deliveries;
mod requests;

use std::collections::BTreeMap;

use redb::{Key, ReadableTable as _, Table, Value, WriteTransaction};
use stampmill_engine::Write;
use stampmill_engine::output::{Delivery, Notice, NoticeState, SchedulerState, WorkerKept};
use stampmill_model::{
    Author, Build, BuildId, Buildset, BuildsetId, Change, ChangeId, NoticeId, Request, RequestId, Steady,
};

use crate::StoreError;
use crate::convert::{
    build_to_row, buildset_to_row, change_to_row, delivery_to_row, notice_to_row, request_to_row, scheduler_to_row,
    worker_to_row,
};
use crate::people::{KnownAuthors, NewAuthor, put_authors};
use crate::rows::{CountersRow, Row as _};
use crate::tables::{
    CHANGE_BY_AUTHOR, CHANGE_BY_BRANCH, CHANGE_BY_CODEBASE, CHANGE_BY_SOURCE, CHANGES, CHANGES_BY, CHANGES_OPEN,
    COUNTERS, CURSORS, NOTICES, NOTICES_DEAD, NamedRows, PATCHES, SCHEDULERS, WORKERS,
};

pub(crate) use deliveries::trim as trim_deliveries;

/// What is written under one key, and the row that it becomes.
pub(crate) struct Put<'a, T> {
    pub(crate) value: &'a T,
    pub(crate) row: Vec<u8>,
}

impl<'a, T> From<&'a T> for Put<'a, T> {
    fn from(value: &'a T) -> Self {
        Self { value, row: Vec::new() }
    }
}

/// The last write of each key.
#[derive(Default)]
pub(crate) struct Batch<'a> {
    pub(crate) steady: Steady,
    pub(crate) changes: BTreeMap<ChangeId, Put<'a, Change>>,
    pub(crate) buildsets: BTreeMap<BuildsetId, Put<'a, Buildset>>,
    pub(crate) requests: BTreeMap<RequestId, Put<'a, Request>>,
    pub(crate) builds: BTreeMap<BuildId, Put<'a, Build>>,
    pub(crate) sequences: BTreeMap<BuildId, u64>,
    pub(crate) cursors: BTreeMap<&'a str, &'a str>,
    pub(crate) deliveries: BTreeMap<(&'a str, &'a str), Put<'a, Delivery>>,
    pub(crate) schedulers: BTreeMap<&'a str, Put<'a, SchedulerState>>,
    pub(crate) workers: BTreeMap<&'a str, Put<'a, WorkerKept>>,
    /// `None` for one that was delivered.
    pub(crate) notices: BTreeMap<NoticeId, Option<Put<'a, Notice>>>,
    /// The patches that rows name.
    pub(crate) patches: BTreeMap<[u8; 32], &'a [u8]>,
}

impl<'a> Batch<'a> {
    /// # Errors
    /// When a row can't be written.
    pub(crate) fn gather(writes: &'a [Write], steady: Steady) -> Result<Self, StoreError> {
        let mut batch = Self { steady, ..Self::default() };
        for write in writes {
            match write {
                Write::Change(change) => {
                    batch.changes.insert(change.id, (&**change).into());
                }
                Write::Buildset(buildset) => {
                    batch.buildsets.insert(buildset.id, (&**buildset).into());
                }
                Write::Request(request) => {
                    batch.requests.insert(request.id, (&**request).into());
                }
                Write::Build(build) => {
                    batch.builds.insert(build.id, (&**build).into());
                }
                Write::BuildSequence(build, sequence) => {
                    batch.sequences.insert(*build, *sequence);
                }
                Write::Cursor(source, cursor) => {
                    batch.cursors.insert(source.as_str(), cursor);
                }
                Write::Delivery(delivery) => {
                    batch.deliveries.insert((delivery.source.as_str(), &delivery.id), delivery.into());
                }
                Write::SchedulerState(scheduler, state) => {
                    batch.schedulers.insert(scheduler.as_str(), state.into());
                }
                Write::Worker(worker, kept) => {
                    batch.workers.insert(worker.as_str(), kept.into());
                }
                Write::Notice(notice) => {
                    batch.notices.insert(notice.id, Some(notice.into()));
                }
                Write::NoticeDone(notice) => {
                    batch.notices.insert(*notice, None);
                }
            }
        }
        batch.write_rows()?;
        Ok(batch)
    }

    fn write_rows(&mut self) -> Result<(), StoreError> {
        let mut patches = Vec::new();
        for put in self.changes.values_mut() {
            put.row = change_to_row(put.value).encode()?;
        }
        for put in self.buildsets.values_mut() {
            put.row = buildset_to_row(put.value, &mut patches).encode()?;
        }
        for put in self.requests.values_mut() {
            put.row = request_to_row(put.value).encode()?;
        }
        for put in self.builds.values_mut() {
            put.row = build_to_row(put.value, &mut patches).encode()?;
        }
        for put in self.deliveries.values_mut() {
            put.row = delivery_to_row(put.value).encode()?;
        }
        for put in self.schedulers.values_mut() {
            put.row = scheduler_to_row(put.value).encode()?;
        }
        for put in self.workers.values_mut() {
            put.row = worker_to_row(put.value).encode()?;
        }
        for put in self.notices.values_mut().flatten() {
            put.row = notice_to_row(put.value).encode()?;
        }
        self.patches = patches.into_iter().collect();
        Ok(())
    }

    /// Puts all of it into the transaction, and whoever is the author of a new change.
    pub(crate) fn apply(&self, transaction: &WriteTransaction, known: &KnownAuthors) -> Result<(), StoreError> {
        let authors = self.put_changes(transaction)?;
        put_authors(transaction, &authors, known)?;
        requests::put_buildsets(transaction, &self.buildsets)?;
        requests::put_requests(transaction, &self.requests)?;
        builds::put_builds(transaction, &self.builds)?;
        builds::put_sequences(transaction, &self.sequences)?;
        self.put_patches(transaction)?;
        deliveries::put_deliveries(transaction, &self.deliveries)?;
        self.put_cursors(transaction)?;
        put_named(transaction, SCHEDULERS, &self.schedulers)?;
        put_named(transaction, WORKERS, &self.workers)?;
        self.put_notices(transaction)?;
        self.put_counters(transaction)
    }

    /// Answers the authors of changes that were not there.
    fn put_changes(&self, transaction: &WriteTransaction) -> Result<Vec<NewAuthor>, StoreError> {
        let mut authors = Vec::new();
        if self.changes.is_empty() {
            return Ok(authors);
        }
        let mut rows = transaction.open_table(CHANGES)?;
        let mut open = transaction.open_table(CHANGES_OPEN)?;
        let mut by = transaction.open_table(CHANGES_BY)?;
        for (id, Put { value: change, row }) in &self.changes {
            let is_new = rows.insert(id.0, row.as_slice())?.is_none();
            if is_new && let Some(author) = Author::parse(&change.seen.author) {
                by.insert((CHANGE_BY_AUTHOR, author.key().as_str(), id.0), ())?;
                authors.push(NewAuthor { author, at: change.arrived_at });
            }
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
        Ok(authors)
    }

    fn put_patches(&self, transaction: &WriteTransaction) -> Result<(), StoreError> {
        if self.patches.is_empty() {
            return Ok(());
        }
        let mut table = transaction.open_table(PATCHES)?;
        for (key, body) in &self.patches {
            put_once(&mut table, key, *body)?;
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

    fn put_notices(&self, transaction: &WriteTransaction) -> Result<(), StoreError> {
        if self.notices.is_empty() {
            return Ok(());
        }
        let mut live = transaction.open_table(NOTICES)?;
        let mut dead = transaction.open_table(NOTICES_DEAD)?;
        for (id, notice) in &self.notices {
            let Some(Put { value: notice, row }) = notice else {
                live.remove(id.0)?;
                dead.remove(id.0)?;
                continue;
            };
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
    fn put_counters(&self, transaction: &WriteTransaction) -> Result<(), StoreError> {
        let mut table = transaction.open_table(COUNTERS)?;
        let old = match table.get("counters")? {
            Some(row) => CountersRow::decode(row.value())?,
            None => CountersRow::default(),
        };
        let highest = |old: u64, new: Option<u64>| old.max(new.unwrap_or(0));
        let new = CountersRow {
            steady: old.steady.max(self.steady.0),
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

/// Puts rows that have names for keys.
fn put_named<T>(
    transaction: &WriteTransaction,
    table: NamedRows,
    rows: &BTreeMap<&str, Put<'_, T>>,
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut table = transaction.open_table(table)?;
    for (name, put) in rows {
        table.insert(name, put.row.as_slice())?;
    }
    Ok(())
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

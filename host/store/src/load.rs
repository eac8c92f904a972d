//! The open work, for the engine's start: found by tables that hold open ids only, so that history costs nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use redb::ReadableTable as _;
use stampmill_engine::Snapshot;
use stampmill_engine::output::WorkerKept;
use stampmill_engine::snapshot::LastIds;
use stampmill_model::{
    BuildId, BuilderName, Buildset, BuildsetId, Change, ChangeId, ChangeSourceName, NoticeId, Request, RequestId,
    SchedulerName, Steady, WorkerName,
};

use crate::StoreError;
use crate::convert::{delivery_from_row, notice_from_row, scheduler_from_row, worker_from_row};
use crate::reader::View;
use crate::rows::{CountersRow, DeliveryRow, NoticeRow, Row as _, SchedulerRow, WorkerRow};
use crate::tables::{
    BUILDERS, BUILDS_OPEN, BUILDSETS_OPEN, CHANGES_OPEN, COUNTERS, CURSORS, DELIVERIES, NOTICES, SCHEDULERS, WORKERS,
};

/// Everything that is not finished, and the last steady time.
pub(crate) fn load(view: &View) -> Result<(Snapshot, Steady), StoreError> {
    let counters = match view.transaction.open_table(COUNTERS)?.get("counters")? {
        Some(row) => CountersRow::decode(row.value())?,
        None => CountersRow::default(),
    };
    let buildsets = buildsets(view)?;
    let schedulers = schedulers(view)?;
    let mut snapshot = Snapshot {
        requests: requests(view, &buildsets)?,
        builds: builds(view)?,
        cursors: cursors(view)?,
        notices: notices(view)?,
        deliveries: deliveries(view)?,
        build_numbers: build_numbers(view)?,
        last: LastIds {
            change: ChangeId(counters.change),
            buildset: BuildsetId(counters.buildset),
            request: RequestId(counters.request),
            build: BuildId(counters.build),
            notice: NoticeId(counters.notice),
        },
        buildsets,
        schedulers,
        workers: workers(view)?,
        ..Snapshot::default()
    };
    snapshot.changes = changes(view, &snapshot)?;
    Ok((snapshot, Steady(counters.steady)))
}

/// Undecided changes, and those that open work names. A program may have named ids that never were: those are passed over.
fn changes(view: &View, snapshot: &Snapshot) -> Result<Vec<Arc<Change>>, StoreError> {
    let mut ids = BTreeSet::new();
    for entry in view.transaction.open_table(CHANGES_OPEN)?.iter()? {
        ids.insert(ChangeId(entry?.0.value()));
    }
    let stamps = snapshot
        .buildsets
        .iter()
        .flat_map(|buildset| &buildset.stamps)
        .chain(snapshot.builds.iter().flat_map(|(build, _)| &build.stamps));
    ids.extend(stamps.flat_map(|stamp| &stamp.changes));
    ids.extend(snapshot.schedulers.iter().flat_map(|(_, state)| &state.batches).flat_map(|batch| &batch.changes));
    let mut changes = Vec::with_capacity(ids.len());
    for id in ids {
        changes.extend(view.change(id)?.map(Arc::new));
    }
    Ok(changes)
}

fn buildsets(view: &View) -> Result<Vec<Arc<Buildset>>, StoreError> {
    let mut buildsets = Vec::new();
    for entry in view.transaction.open_table(BUILDSETS_OPEN)?.iter()? {
        let id = BuildsetId(entry?.0.value());
        let buildset = view.buildset(id)?.ok_or_else(|| StoreError::Missing { what: format!("open buildset {id}") })?;
        buildsets.push(Arc::new(buildset));
    }
    Ok(buildsets)
}

fn requests(view: &View, buildsets: &[Arc<Buildset>]) -> Result<Vec<Arc<Request>>, StoreError> {
    let ids: BTreeSet<_> =
        buildsets.iter().flat_map(|buildset| buildset.requests.iter().map(|id| (*id, buildset.id))).collect();
    let mut requests = Vec::with_capacity(ids.len());
    for (id, buildset) in ids {
        let request = view
            .request(id)?
            .ok_or_else(|| StoreError::Missing { what: format!("request {id} of open buildset {buildset}") })?;
        requests.push(Arc::new(request));
    }
    Ok(requests)
}

fn builds(view: &View) -> Result<Vec<(Arc<stampmill_model::Build>, u64)>, StoreError> {
    let mut builds = Vec::new();
    for entry in view.transaction.open_table(BUILDS_OPEN)?.iter()? {
        let (id, sequence) = entry?;
        let id = BuildId(id.value());
        let build = view.build(id)?.ok_or_else(|| StoreError::Missing { what: format!("open build {id}") })?;
        builds.push((Arc::new(build), sequence.value()));
    }
    Ok(builds)
}

fn cursors(view: &View) -> Result<Vec<(ChangeSourceName, String)>, StoreError> {
    let mut cursors = Vec::new();
    for entry in view.transaction.open_table(CURSORS)?.iter()? {
        let (source, cursor) = entry?;
        cursors.push((source.value().into(), cursor.value().to_owned()));
    }
    Ok(cursors)
}

fn schedulers(view: &View) -> Result<Vec<(SchedulerName, stampmill_engine::output::SchedulerState)>, StoreError> {
    let mut schedulers = Vec::new();
    for entry in view.transaction.open_table(SCHEDULERS)?.iter()? {
        let (name, row) = entry?;
        schedulers.push((name.value().into(), scheduler_from_row(SchedulerRow::decode(row.value())?)));
    }
    Ok(schedulers)
}

fn workers(view: &View) -> Result<Vec<(WorkerName, WorkerKept)>, StoreError> {
    let table = match view.transaction.open_table(WORKERS) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut workers = Vec::new();
    for entry in table.iter()? {
        let (name, row) = entry?;
        workers.push((name.value().into(), worker_from_row(WorkerRow::decode(row.value())?)));
    }
    Ok(workers)
}

fn notices(view: &View) -> Result<Vec<stampmill_engine::output::Notice>, StoreError> {
    let mut notices = Vec::new();
    for entry in view.transaction.open_table(NOTICES)?.iter()? {
        notices.push(notice_from_row(NoticeRow::decode(entry?.1.value())?));
    }
    Ok(notices)
}

fn deliveries(view: &View) -> Result<Vec<stampmill_engine::output::Delivery>, StoreError> {
    let mut deliveries = Vec::new();
    for entry in view.transaction.open_table(DELIVERIES)?.iter()? {
        let (key, row) = entry?;
        let (source, id) = key.value();
        deliveries.push(delivery_from_row(source.into(), id.to_owned(), DeliveryRow::decode(row.value())?));
    }
    Ok(deliveries)
}

fn build_numbers(view: &View) -> Result<Vec<(BuilderName, u64)>, StoreError> {
    let mut numbers = Vec::new();
    for entry in view.transaction.open_table(BUILDERS)?.iter()? {
        let (builder, state) = entry?;
        numbers.push((builder.value().into(), state.value().0));
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use stampmill_engine::Write;

    use super::*;
    use crate::Store;
    use crate::samples::paused_worker;

    #[test]
    fn a_database_that_has_never_heard_of_paused_workers_has_none_and_can_keep_one() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        store.write(|transaction| Ok(transaction.delete_table(WORKERS)?)).unwrap();
        assert_eq!(store.load().unwrap().0.workers, []);
        store.commit(&[Write::Worker("w1".into(), paused_worker())], Steady(1)).unwrap();
        assert_eq!(store.load().unwrap().0.workers, [("w1".into(), paused_worker())]);
    }
}

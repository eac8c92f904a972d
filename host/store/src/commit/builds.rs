//! Builds: a row, and indexes that change only when a build is made and when it ends.

use std::collections::BTreeMap;

use redb::{ReadableTable as _, Table, WriteTransaction};
use stampmill_model::{Build, BuildId, BuildState};

use super::{Put, put_once};
use crate::StoreError;
use crate::tables::{
    BUILD_NUMBERS, BUILD_OPEN, BUILDERS, BUILDS, BUILDS_BY_BUILDER, BUILDS_BY_BUILDSET, BUILDS_BY_STATE,
    BUILDS_BY_WORKER, BUILDS_OPEN, outcome_code,
};

pub(super) fn put_builds(
    transaction: &WriteTransaction,
    builds: &BTreeMap<BuildId, Put<'_, Build>>,
) -> Result<(), StoreError> {
    if builds.is_empty() {
        return Ok(());
    }
    let mut rows = transaction.open_table(BUILDS)?;
    let mut by_builder = transaction.open_table(BUILDS_BY_BUILDER)?;
    let mut moved = Vec::new();
    for (id, Put { value: build, row }) in builds {
        rows.insert(id.0, row.as_slice())?;
        let state = state_code(&build.state);
        let key = (build.builder.as_str(), id.0);
        let old = by_builder.get(key)?.map(|code| code.value());
        if old != Some(state) {
            by_builder.insert(key, state)?;
            moved.push(Moved { build, old, new: state });
        }
    }
    put_indexes(transaction, &moved)
}

/// A build that is new, or whose state in the indexes is another.
struct Moved<'a> {
    build: &'a Build,
    old: Option<u8>,
    new: u8,
}

fn put_indexes(transaction: &WriteTransaction, moved: &[Moved<'_>]) -> Result<(), StoreError> {
    if moved.is_empty() {
        return Ok(());
    }
    let mut by_worker = transaction.open_table(BUILDS_BY_WORKER)?;
    let mut by_buildset = transaction.open_table(BUILDS_BY_BUILDSET)?;
    let mut by_state = transaction.open_table(BUILDS_BY_STATE)?;
    let mut open = transaction.open_table(BUILDS_OPEN)?;
    let mut numbers = transaction.open_table(BUILD_NUMBERS)?;
    let mut builders = transaction.open_table(BUILDERS)?;
    for Moved { build, old, new } in moved {
        let id = build.id.0;
        by_worker.insert((build.worker.as_str(), id), new)?;
        by_buildset.insert((build.buildset.0, id), new)?;
        for merged in &build.merged {
            by_buildset.insert((merged.buildset.0, id), new)?;
        }
        if let Some(old) = old {
            by_state.remove((*old, id))?;
        }
        by_state.insert((*new, id), ())?;
        if *new == BUILD_OPEN {
            put_once(&mut open, id, 0)?;
        } else {
            open.remove(id)?;
        }
        put_once(&mut numbers, (build.builder.as_str(), build.number), id)?;
        put_builder(&mut builders, build, *new != BUILD_OPEN)?;
    }
    Ok(())
}

fn put_builder(
    builders: &mut Table<'_, &'static str, (u64, Option<u64>)>,
    build: &Build,
    finished: bool,
) -> Result<(), StoreError> {
    let name = build.builder.as_str();
    let old = builders.get(name)?.map(|builder| builder.value());
    let (last_number, last_finished) = old.unwrap_or((0, None));
    let new =
        (last_number.max(build.number), if finished { last_finished.max(Some(build.id.0)) } else { last_finished });
    if old != Some(new) {
        builders.insert(name, new)?;
    }
    Ok(())
}

/// Numbers of messages go with the end of the build: one that comes for a build that has ended is dropped.
pub(super) fn put_sequences(
    transaction: &WriteTransaction,
    sequences: &BTreeMap<BuildId, u64>,
) -> Result<(), StoreError> {
    if sequences.is_empty() {
        return Ok(());
    }
    let mut open = transaction.open_table(BUILDS_OPEN)?;
    for (build, sequence) in sequences {
        if open.get(build.0)?.is_some() {
            open.insert(build.0, sequence)?;
        }
    }
    Ok(())
}

const fn state_code(state: &BuildState) -> u8 {
    match state {
        BuildState::Dispatched | BuildState::Running | BuildState::Cancelling { .. } => BUILD_OPEN,
        BuildState::Finished { outcome, .. } => outcome_code(*outcome),
    }
}

//! What schedulers with absolute stamps have seen last.

use std::collections::BTreeMap;

use stampmill_engine::output::LastSeen;
use stampmill_model::ChangeId;

use crate::rows::LastSeenRow;

pub(super) fn to_rows(seen: &BTreeMap<String, LastSeen>) -> Vec<LastSeenRow> {
    let row = |(codebase, last): (&String, &LastSeen)| LastSeenRow {
        codebase: codebase.clone(),
        change: last.change.0,
        repository: last.repository.clone(),
        project: last.project.clone(),
        branch: last.branch.clone(),
        revision: last.revision.clone(),
        trusted: last.trusted,
    };
    seen.iter().map(row).collect()
}

pub(super) fn from_rows(rows: Vec<LastSeenRow>) -> BTreeMap<String, LastSeen> {
    let last = |row: LastSeenRow| LastSeen {
        change: ChangeId(row.change),
        repository: row.repository,
        project: row.project,
        branch: row.branch,
        revision: row.revision,
        trusted: row.trusted,
    };
    rows.into_iter().map(|row| (row.codebase.clone(), last(row))).collect()
}

//! What merge plugins say of requests, and their rows.

use stampmill_model::MergeKey;

use crate::rows::MergeKeyRow;

pub(super) fn to_row(key: &MergeKey) -> MergeKeyRow {
    match key {
        MergeKey::Unasked => MergeKeyRow::Unasked,
        MergeKey::Awaited => MergeKeyRow::Awaited,
        MergeKey::Given(key) => MergeKeyRow::Given(key.clone()),
        MergeKey::Alone => MergeKeyRow::Alone,
        MergeKey::Failed(why) => MergeKeyRow::Failed(why.clone()),
    }
}

pub(super) fn from_row(row: MergeKeyRow) -> MergeKey {
    match row {
        MergeKeyRow::Unasked => MergeKey::Unasked,
        MergeKeyRow::Awaited => MergeKey::Awaited,
        MergeKeyRow::Given(key) => MergeKey::Given(key),
        MergeKeyRow::Alone => MergeKey::Alone,
        MergeKeyRow::Failed(why) => MergeKey::Failed(why),
    }
}

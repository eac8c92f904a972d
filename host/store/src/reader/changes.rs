//! Pages of changes.

use stampmill_model::{Change, ChangeId};

use super::view::{Ids, page as fill_page};
use super::{ChangeFilter, Page, View};
use crate::StoreError;
use crate::tables::{CHANGE_BY_BRANCH, CHANGE_BY_CODEBASE, CHANGE_BY_SOURCE, CHANGES, CHANGES_BY};

pub(super) fn page(
    view: &View,
    filter: &ChangeFilter,
    before: Option<ChangeId>,
    limit: usize,
) -> Result<Page<Change, ChangeId>, StoreError> {
    fill_page(ids(view, filter, before)?, limit, ChangeId, |id| {
        Ok(view.change(ChangeId(id))?.filter(|change| filter.fits(change)))
    })
}

fn ids<'a>(view: &View, filter: &'a ChangeFilter, before: Option<ChangeId>) -> Result<Ids<'a>, StoreError> {
    let end = before.map_or(u64::MAX, |id| id.0);
    let key = if let Some(branch) = &filter.branch {
        (CHANGE_BY_BRANCH, branch.as_str())
    } else if let Some(codebase) = &filter.codebase {
        (CHANGE_BY_CODEBASE, codebase.as_str())
    } else if let Some(source) = &filter.source {
        (CHANGE_BY_SOURCE, source.as_str())
    } else {
        let range = view.transaction.open_table(CHANGES)?.range(..end)?;
        return Ok(Box::new(range.rev().map(|entry| Ok(entry?.0.value()))));
    };
    let range = view.transaction.open_table(CHANGES_BY)?.range((key.0, key.1, 0)..(key.0, key.1, end))?;
    Ok(Box::new(range.rev().map(|entry| Ok(entry?.0.value().2))))
}

impl ChangeFilter {
    fn fits(&self, change: &Change) -> bool {
        self.source.as_ref().is_none_or(|source| change.source.as_ref() == Some(source))
            && self.branch.as_ref().is_none_or(|branch| change.seen.branch.as_ref() == Some(branch))
            && self.codebase.as_ref().is_none_or(|codebase| change.codebase.as_ref() == Some(codebase))
    }
}

//! Where a list goes on and how much of it is wanted.

use stampmill_service::limits::{PAGE_ITEMS, PAGE_ITEMS_MAX};

use crate::error::ApiError;

/// A place in a list, checked.
#[derive(Clone, Copy)]
pub(crate) struct Paging {
    pub(crate) cursor: Option<u64>,
    pub(crate) limit: usize,
}

impl Paging {
    pub(crate) fn new(cursor: Option<u64>, limit: Option<usize>) -> Result<Self, ApiError> {
        let limit = limit.unwrap_or(PAGE_ITEMS);
        if (1..=PAGE_ITEMS_MAX).contains(&limit) {
            return Ok(Self { cursor, limit });
        }
        Err(ApiError::bad_request("bad-query", format!("`limit` is {limit}; take 1 to {PAGE_ITEMS_MAX}")))
    }
}

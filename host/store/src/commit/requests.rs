//! Buildsets and requests.

use std::collections::BTreeMap;

use redb::WriteTransaction;
use stampmill_model::{Buildset, BuildsetId, BuildsetState, Request, RequestId};

use super::{Put, put_once};
use crate::StoreError;
use crate::tables::{BUILDSETS, BUILDSETS_OPEN, REQUESTS, REQUESTS_BY_BUILDER, REQUESTS_OPEN, request_code};

pub(super) fn put_buildsets(
    transaction: &WriteTransaction,
    buildsets: &BTreeMap<BuildsetId, Put<'_, Buildset>>,
) -> Result<(), StoreError> {
    if buildsets.is_empty() {
        return Ok(());
    }
    let mut rows = transaction.open_table(BUILDSETS)?;
    let mut open = transaction.open_table(BUILDSETS_OPEN)?;
    for (id, Put { value: buildset, row }) in buildsets {
        rows.insert(id.0, row.as_slice())?;
        match buildset.state {
            BuildsetState::Open { .. } => put_once(&mut open, id.0, ())?,
            BuildsetState::Finished { .. } => {
                open.remove(id.0)?;
            }
        }
    }
    Ok(())
}

pub(super) fn put_requests(
    transaction: &WriteTransaction,
    requests: &BTreeMap<RequestId, Put<'_, Request>>,
) -> Result<(), StoreError> {
    if requests.is_empty() {
        return Ok(());
    }
    let mut rows = transaction.open_table(REQUESTS)?;
    let mut open = transaction.open_table(REQUESTS_OPEN)?;
    let mut by_builder = transaction.open_table(REQUESTS_BY_BUILDER)?;
    for (id, Put { value: request, row }) in requests {
        rows.insert(id.0, row.as_slice())?;
        put_once(&mut by_builder, (request.builder.as_str(), id.0), ())?;
        match request_code(&request.state) {
            Some(state) => {
                open.insert(id.0, (request.builder.as_str(), state))?;
            }
            None => {
                open.remove(id.0)?;
            }
        }
    }
    Ok(())
}

//! Pages of buildsets and requests.

use std::collections::BTreeMap;

use redb::ReadableTable as _;
use stampmill_model::{BuilderName, Buildset, BuildsetId, Request, RequestId, RequestState};

use super::view::{Ids, page as fill_page};
use super::{BuildsetFilter, Page, RequestFilter, View};
use crate::StoreError;
use crate::tables::{BUILDSETS, BUILDSETS_OPEN, REQUEST_PENDING, REQUESTS, REQUESTS_BY_BUILDER, REQUESTS_OPEN};

pub(super) fn buildset_page(
    view: &View,
    filter: BuildsetFilter,
    before: Option<BuildsetId>,
    limit: usize,
) -> Result<Page<Buildset, BuildsetId>, StoreError> {
    let end = before.map_or(u64::MAX, |id| id.0);
    let ids: Ids<'_> = if filter.open_only {
        let range = view.transaction.open_table(BUILDSETS_OPEN)?.range(..end)?;
        Box::new(range.rev().map(|entry| Ok(entry?.0.value())))
    } else {
        let range = view.transaction.open_table(BUILDSETS)?.range(..end)?;
        Box::new(range.rev().map(|entry| Ok(entry?.0.value())))
    };
    fill_page(ids, limit, BuildsetId, |id| view.buildset(BuildsetId(id)))
}

pub(super) fn page(
    view: &View,
    filter: &RequestFilter,
    before: Option<RequestId>,
    limit: usize,
) -> Result<Page<Request, RequestId>, StoreError> {
    fill_page(ids(view, filter, before)?, limit, RequestId, |id| {
        Ok(view.request(RequestId(id))?.filter(|request| filter.fits(request)))
    })
}

fn ids<'a>(view: &View, filter: &'a RequestFilter, before: Option<RequestId>) -> Result<Ids<'a>, StoreError> {
    let end = before.map_or(u64::MAX, |id| id.0);
    if filter.open_only {
        let range = view.transaction.open_table(REQUESTS_OPEN)?.range(..end)?;
        let builder = filter.builder.as_ref();
        return Ok(Box::new(range.rev().filter_map(move |entry| match entry {
            Ok((id, value)) => {
                builder.is_none_or(|builder| builder.as_str() == value.value().0).then(|| Ok(id.value()))
            }
            Err(error) => Some(Err(error.into())),
        })));
    }
    let Some(builder) = &filter.builder else {
        let range = view.transaction.open_table(REQUESTS)?.range(..end)?;
        return Ok(Box::new(range.rev().map(|entry| Ok(entry?.0.value()))));
    };
    let range =
        view.transaction.open_table(REQUESTS_BY_BUILDER)?.range((builder.as_str(), 0)..(builder.as_str(), end))?;
    Ok(Box::new(range.rev().map(|entry| Ok(entry?.0.value().1))))
}

impl RequestFilter {
    fn fits(&self, request: &Request) -> bool {
        let open = match request.state {
            RequestState::AwaitingApproval | RequestState::Pending | RequestState::Building(_) => true,
            RequestState::Complete { .. } => false,
        };
        (open || !self.open_only) && self.builder.as_ref().is_none_or(|builder| request.builder == *builder)
    }
}

pub(super) fn of_buildset(view: &View, buildset: BuildsetId) -> Result<Vec<Request>, StoreError> {
    let Some(buildset) = view.buildset(buildset)? else { return Ok(Vec::new()) };
    let mut requests = Vec::with_capacity(buildset.requests.len());
    for id in buildset.requests {
        requests.extend(view.request(id)?);
    }
    Ok(requests)
}

pub(super) fn pending(view: &View) -> Result<BTreeMap<BuilderName, u64>, StoreError> {
    let mut counts = BTreeMap::<BuilderName, u64>::new();
    for entry in view.transaction.open_table(REQUESTS_OPEN)?.iter()? {
        let value = entry?.1;
        let (builder, state) = value.value();
        if state == REQUEST_PENDING {
            *counts.entry(builder.into()).or_default() += 1;
        }
    }
    Ok(counts)
}

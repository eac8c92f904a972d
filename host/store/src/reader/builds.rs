//! Pages of builds, each from the index that fits best.

use redb::{Key, Range};
use stampmill_model::{Build, BuildId, BuildState, BuilderName};

use super::view::{Ids, page as fill_page};
use super::{BuildFilter, BuildsIn, Page, View};
use crate::StoreError;
use crate::tables::{
    BUILD_NUMBERS, BUILD_OPEN, BUILDERS, BUILDS, BUILDS_BY_BUILDER, BUILDS_BY_BUILDSET, BUILDS_BY_STATE,
    BUILDS_BY_WORKER, outcome_code,
};

pub(super) fn by_number(view: &View, builder: &BuilderName, number: u64) -> Result<Option<Build>, StoreError> {
    let id = view.transaction.open_table(BUILD_NUMBERS)?.get((builder.as_str(), number))?;
    match id {
        Some(id) => view.build(BuildId(id.value())),
        None => Ok(None),
    }
}

pub(super) fn last_finished(view: &View, builder: &BuilderName) -> Result<Option<Build>, StoreError> {
    let state = view.transaction.open_table(BUILDERS)?.get(builder.as_str())?;
    match state.and_then(|state| state.value().1) {
        Some(id) => view.build(BuildId(id)),
        None => Ok(None),
    }
}

pub(super) fn page(
    view: &View,
    filter: &BuildFilter,
    before: Option<BuildId>,
    limit: usize,
) -> Result<Page<Build, BuildId>, StoreError> {
    fill_page(ids(view, filter, before)?, limit, BuildId, |id| {
        Ok(view.build(BuildId(id))?.filter(|build| filter.fits(build)))
    })
}

fn ids<'a>(view: &View, filter: &BuildFilter, before: Option<BuildId>) -> Result<Ids<'a>, StoreError> {
    let end = before.map_or(u64::MAX, |id| id.0);
    let state = filter.state;
    let buildset = match filter.request {
        Some(request) => match view.request(request)? {
            Some(request) => Some(request.buildset),
            None => return Ok(Box::new(std::iter::empty())),
        },
        None => filter.buildset,
    };
    if let Some(buildset) = buildset {
        let table = view.transaction.open_table(BUILDS_BY_BUILDSET)?;
        return Ok(sifted(table.range((buildset.0, 0)..(buildset.0, end))?, |key| key.1, state));
    }
    if let Some(builder) = &filter.builder {
        let table = view.transaction.open_table(BUILDS_BY_BUILDER)?;
        return Ok(sifted(table.range((builder.as_str(), 0)..(builder.as_str(), end))?, |key| key.1, state));
    }
    if let Some(worker) = &filter.worker {
        let table = view.transaction.open_table(BUILDS_BY_WORKER)?;
        return Ok(sifted(table.range((worker.as_str(), 0)..(worker.as_str(), end))?, |key| key.1, state));
    }
    let code = match state {
        BuildsIn::Any | BuildsIn::Finished => {
            let range = view.transaction.open_table(BUILDS)?.range(..end)?;
            return Ok(Box::new(range.rev().map(|entry| Ok(entry?.0.value()))));
        }
        BuildsIn::Open => BUILD_OPEN,
        BuildsIn::Ended(outcome) => outcome_code(outcome),
    };
    let range = view.transaction.open_table(BUILDS_BY_STATE)?.range((code, 0)..(code, end))?;
    Ok(Box::new(range.rev().map(|entry| Ok(entry?.0.value().1))))
}

/// The builds of an index in the wanted state, newest first. Looking at an index is cheap, so what does not fit is passed over here.
fn sifted<'a, K: Key + 'static>(
    range: Range<'a, K, u8>,
    id: impl Fn(K::SelfType<'_>) -> u64 + 'a,
    state: BuildsIn,
) -> Ids<'a> {
    Box::new(range.rev().filter_map(move |entry| match entry {
        Ok((key, code)) => state.fits(code.value()).then(|| Ok(id(key.value()))),
        Err(error) => Some(Err(error.into())),
    }))
}

impl BuildsIn {
    fn fits(self, code: u8) -> bool {
        match self {
            Self::Any => true,
            Self::Open => code == BUILD_OPEN,
            Self::Finished => code != BUILD_OPEN,
            Self::Ended(outcome) => code == outcome_code(outcome),
        }
    }
}

impl BuildFilter {
    fn fits(&self, build: &Build) -> bool {
        let code = match build.state {
            BuildState::Dispatched | BuildState::Running | BuildState::Cancelling { .. } => BUILD_OPEN,
            BuildState::Finished { outcome, .. } => outcome_code(outcome),
        };
        self.state.fits(code)
            && self.builder.as_ref().is_none_or(|builder| build.builder == *builder)
            && self.worker.as_ref().is_none_or(|worker| build.worker == *worker)
            && self.buildset.is_none_or(|buildset| build.buildsets().any(|it| it == buildset))
            && self.request.is_none_or(|request| build.requests().any(|it| it == request))
    }
}

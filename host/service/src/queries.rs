//! What may be seen: rows of the store, and the joins that pages need.
//!
//! One [`Reading`] is one consistent view of the store; the logs are read as they are at the moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use stampmill_engine::output::Notice;
use stampmill_model::{
    Build, BuildId, BuildState, BuilderName, Buildset, BuildsetId, Change, ChangeId, NoticeId, Outcome, Request,
    RequestId, RequestState,
};
use stampmill_store::logs::{Lines, LogFiles, LogInfo, RawLog};
use stampmill_store::{BuildFilter, BuildsIn, BuildsetFilter, ChangeFilter, Page, Reader, RequestFilter, Store};

use crate::error::{ServiceError, unknown};
use crate::limits::{HOME_BUILDS, HOME_BUILDS_OF_BUILDER, LOG_LINES_MAX, PAGE_ITEMS, PAGE_ITEMS_MAX};
use crate::view::{BuilderView, Catalogue};

/// A view of the store for one question.
pub struct Reading {
    pub(crate) reader: Reader,
    logs: LogFiles,
    catalogue: Arc<Catalogue>,
}

/// The first page.
#[derive(Clone, PartialEq, Debug)]
pub struct Home {
    /// Builders in the order of the configuration.
    pub builders: Vec<BuilderState>,
    /// The newest builds of all builders.
    pub recent: Vec<Build>,
    /// Requests that wait, the newest first, with the reason of their sets.
    pub waiting: Vec<Waiting>,
}

/// How a builder is doing.
#[derive(Clone, PartialEq, Debug)]
pub struct BuilderState {
    /// The builder.
    pub view: BuilderView,
    /// Its newest builds, newest first.
    pub builds: Vec<Build>,
    /// Its newest finished build.
    pub last_finished: Option<Build>,
    /// How many requests wait for it.
    pub pending: u64,
}

/// A request that waits.
#[derive(Clone, PartialEq, Debug)]
pub struct Waiting {
    /// The request.
    pub request: Request,
    /// Why its set exists.
    pub reason: String,
    /// Whether it waits for a person's approval.
    pub awaits_approval: bool,
}

/// Everything of one build.
#[derive(Clone, PartialEq, Debug)]
pub struct BuildPage {
    /// The build.
    pub build: Build,
    /// Its set, if that was not removed.
    pub buildset: Option<Buildset>,
    /// Changes that its source stamps name, in their order.
    pub changes: Vec<Change>,
    /// Lines and bytes of its logs.
    pub logs: Vec<LogInfo>,
    /// Ids of the builder's build before and after it.
    pub neighbours: (Option<BuildId>, Option<BuildId>),
}

/// A buildset with its requests and their builds.
#[derive(Clone, PartialEq, Debug)]
pub struct BuildsetPage {
    /// The set.
    pub buildset: Buildset,
    /// Requests in the set's order, each with its builds, newest first.
    pub requests: Vec<(Request, Vec<Build>)>,
}

impl Reading {
    pub(crate) fn new(store: &Store, catalogue: Arc<Catalogue>) -> Result<Self, ServiceError> {
        Ok(Self { reader: store.read()?, logs: store.logs().clone(), catalogue })
    }

    /// What the configuration in force defines.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// A builder of the configuration; an unknown one is answered with the nearest.
    pub fn builder(&self, name: &str) -> Result<&BuilderView, ServiceError> {
        let there = || self.catalogue.builders.iter().map(|builder| builder.name.as_str());
        self.catalogue.builder(name).ok_or_else(|| unknown("builder", name, there()))
    }

    /// A build.
    pub fn build(&self, id: BuildId) -> Result<Build, ServiceError> {
        self.reader.build(id)?.ok_or_else(|| missing("build", id.0))
    }

    /// A build by its builder's count.
    pub fn build_by_number(&self, builder: &str, number: u64) -> Result<Build, ServiceError> {
        match self.reader.build_by_number(&BuilderName::from(builder), number)? {
            Some(build) => Ok(build),
            None => {
                self.builder(builder)?;
                Err(ServiceError::Unknown(format!("builder `{builder}` has no build {number}")))
            }
        }
    }

    /// Builds, newest first. A filter by a builder that never was is an error; one that is no longer configured is not.
    pub fn builds(
        &self,
        filter: &BuildFilter,
        before: Option<BuildId>,
        limit: usize,
    ) -> Result<Page<Build, BuildId>, ServiceError> {
        let page = self.reader.builds(filter, before, limit)?;
        if let Some(builder) = &filter.builder
            && page.items.is_empty()
            && page.next.is_none()
            && before.is_none()
            && !self.has_builds(builder)?
        {
            self.builder(builder.as_str())?;
        }
        Ok(page)
    }

    fn has_builds(&self, builder: &BuilderName) -> Result<bool, ServiceError> {
        let filter = BuildFilter { builder: Some(builder.clone()), ..BuildFilter::default() };
        let page = self.reader.builds(&filter, None, 1)?;
        Ok(!page.items.is_empty() || page.next.is_some())
    }

    /// A change.
    pub fn change(&self, id: ChangeId) -> Result<Change, ServiceError> {
        self.reader.change(id)?.ok_or_else(|| missing("change", id.0))
    }

    /// Changes, newest first.
    pub fn changes(
        &self,
        filter: &ChangeFilter,
        before: Option<ChangeId>,
        limit: usize,
    ) -> Result<Page<Change, ChangeId>, ServiceError> {
        Ok(self.reader.changes(filter, before, limit)?)
    }

    /// A buildset.
    pub fn buildset(&self, id: BuildsetId) -> Result<Buildset, ServiceError> {
        self.reader.buildset(id)?.ok_or_else(|| missing("buildset", id.0))
    }

    /// Buildsets, newest first.
    pub fn buildsets(
        &self,
        filter: &BuildsetFilter,
        before: Option<BuildsetId>,
        limit: usize,
    ) -> Result<Page<Buildset, BuildsetId>, ServiceError> {
        Ok(self.reader.buildsets(filter, before, limit)?)
    }

    /// A request.
    pub fn request(&self, id: RequestId) -> Result<Request, ServiceError> {
        self.reader.request(id)?.ok_or_else(|| missing("request", id.0))
    }

    /// Requests, newest first.
    pub fn requests(
        &self,
        filter: &RequestFilter,
        before: Option<RequestId>,
        limit: usize,
    ) -> Result<Page<Request, RequestId>, ServiceError> {
        Ok(self.reader.requests(filter, before, limit)?)
    }

    /// Notices that were given up, newest first. The caller has checked `Action::ReadNotices`.
    pub fn dead_notices(&self, before: Option<NoticeId>, limit: usize) -> Result<Page<Notice, NoticeId>, ServiceError> {
        Ok(self.reader.dead_notices(before, limit)?)
    }

    /// How many requests wait, by builder.
    pub fn pending(&self) -> Result<BTreeMap<BuilderName, u64>, ServiceError> {
        Ok(self.reader.pending()?)
    }

    /// The first page.
    pub fn home(&self) -> Result<Home, ServiceError> {
        let recent = self.reader.builds(&BuildFilter::default(), None, HOME_BUILDS)?.items;
        Ok(Home { builders: self.builder_states()?, recent, waiting: self.waiting(None)? })
    }

    /// Every builder with its newest builds.
    pub fn builder_states(&self) -> Result<Vec<BuilderState>, ServiceError> {
        let pending = self.reader.pending()?;
        self.catalogue.builders.iter().map(|view| self.state_of(view, &pending)).collect()
    }

    /// A builder with its newest builds.
    pub fn builder_state(&self, name: &BuilderName) -> Result<BuilderState, ServiceError> {
        let pending = self.reader.pending()?;
        self.state_of(self.builder(name.as_str())?, &pending)
    }

    fn state_of(&self, view: &BuilderView, pending: &BTreeMap<BuilderName, u64>) -> Result<BuilderState, ServiceError> {
        let filter = BuildFilter { builder: Some(view.name.clone()), ..BuildFilter::default() };
        Ok(BuilderState {
            view: view.clone(),
            builds: self.reader.builds(&filter, None, HOME_BUILDS_OF_BUILDER)?.items,
            last_finished: self.reader.last_finished(&view.name)?,
            pending: pending.get(&view.name).copied().unwrap_or(0),
        })
    }

    /// Requests that have no build, of one builder or of all, as many as fit a page.
    pub fn waiting(&self, builder: Option<&BuilderName>) -> Result<Vec<Waiting>, ServiceError> {
        let filter = RequestFilter { builder: builder.cloned(), open_only: true };
        let open = self.reader.requests(&filter, None, PAGE_ITEMS_MAX)?.items;
        let waiting = open.into_iter().filter_map(|request| match request.state {
            RequestState::Pending => Some((request, false)),
            RequestState::AwaitingApproval => Some((request, true)),
            RequestState::Building(_) | RequestState::Complete { .. } => None,
        });
        waiting
            .take(PAGE_ITEMS)
            .map(|(request, awaits_approval)| {
                let reason = self.reader.buildset(request.buildset)?.map(|set| set.reason).unwrap_or_default();
                Ok(Waiting { request, reason, awaits_approval })
            })
            .collect()
    }

    /// Everything of one build.
    pub fn build_page(&self, id: BuildId) -> Result<BuildPage, ServiceError> {
        let build = self.build(id)?;
        let mut changes = Vec::new();
        for id in build.stamps.iter().flat_map(|stamp| &stamp.changes).take(PAGE_ITEMS_MAX) {
            changes.extend(self.reader.change(*id)?);
        }
        let by_number = |number| -> Result<Option<BuildId>, ServiceError> {
            Ok(self.reader.build_by_number(&build.builder, number)?.map(|build| build.id))
        };
        let before = if build.number > 1 { by_number(build.number - 1)? } else { None };
        let after = by_number(build.number.saturating_add(1))?;
        Ok(BuildPage {
            buildset: self.reader.buildset(build.buildset)?,
            changes,
            logs: self.logs.logs(id)?,
            neighbours: (before, after),
            build,
        })
    }

    /// A buildset with its requests and their builds.
    pub fn buildset_page(&self, id: BuildsetId) -> Result<BuildsetPage, ServiceError> {
        let buildset = self.buildset(id)?;
        let requests = self.reader.requests_of(id)?;
        let requests = requests
            .into_iter()
            .map(|request| {
                let filter = BuildFilter { request: Some(request.id), ..BuildFilter::default() };
                let builds = self.reader.builds(&filter, None, HOME_BUILDS)?.items;
                Ok((request, builds))
            })
            .collect::<Result<Vec<_>, ServiceError>>()?;
        Ok(BuildsetPage { buildset, requests })
    }

    /// The last build of a request that was thrown away for another try.
    pub(crate) fn last_try(&self, id: RequestId) -> Result<Option<Build>, ServiceError> {
        let filter = BuildFilter { request: Some(id), ..BuildFilter::default() };
        // The newest may be under way.
        let newest = self.reader.builds(&filter, None, 2)?.items;
        let is_tried_again = |it: &Build| matches!(it.state, BuildState::Finished { outcome: Outcome::Retry, .. });
        Ok(newest.into_iter().find(is_tried_again))
    }

    /// Logs of a build in the order of its steps.
    pub fn logs(&self, build: BuildId) -> Result<Vec<LogInfo>, ServiceError> {
        Ok(self.logs.logs(build)?)
    }

    /// Lines and bytes of a log. A log that a step has opened and not yet written to is empty. One that has no end although its step is
    /// over has lost it: with its worker, or with a part of its file.
    pub fn log_info(&self, build: BuildId, step: u32, log: &str) -> Result<LogInfo, ServiceError> {
        let Some(info) = self.logs.info(build, step, log)? else {
            let ended = self.opened_log(build, step, log)?;
            return Ok(LogInfo {
                step,
                log: log.to_owned(),
                frames: 0,
                whole_lines: 0,
                lines: 0,
                bytes: 0,
                ended,
                lost: false,
            });
        };
        if info.ended || info.lost {
            return Ok(info);
        }
        // The end of a log is written before the end of its step is stored, and this view of what is stored is older than the look at the log.
        let over = self.reader.build(build)?.is_some_and(|build| {
            let step = build.steps.iter().find(|candidate| candidate.number == step);
            step.is_some_and(|step| matches!(step.state, stampmill_model::StepState::Finished { .. }))
        });
        Ok(LogInfo { lost: over, ..info })
    }

    /// Lines of a log from this one on (numbers begin with 0), at most [`LOG_LINES_MAX`].
    pub fn log_lines(
        &self,
        build: BuildId,
        step: u32,
        log: &str,
        first: u64,
        count: u64,
    ) -> Result<Lines, ServiceError> {
        let count = usize::try_from(count.min(LOG_LINES_MAX)).unwrap_or(usize::MAX);
        match self.logs.lines(build, step, log, first, count)? {
            Some(lines) => Ok(lines),
            None => self.opened_log(build, step, log).map(|_| no_lines(first)),
        }
    }

    /// The last lines of a log, at most [`LOG_LINES_MAX`].
    pub fn log_tail(&self, build: BuildId, step: u32, log: &str, count: u64) -> Result<Lines, ServiceError> {
        let count = usize::try_from(count.min(LOG_LINES_MAX)).unwrap_or(usize::MAX);
        match self.logs.tail(build, step, log, count)? {
            Some(lines) => Ok(lines),
            None => self.opened_log(build, step, log).map(|_| no_lines(0)),
        }
    }

    /// All bytes of a log from this one on, a piece at a time; `None` for a log that nothing was written to.
    pub fn log_raw(&self, build: BuildId, step: u32, log: &str, from: u64) -> Result<Option<RawLog>, ServiceError> {
        match self.logs.raw(build, step, log, from)? {
            Some(raw) => Ok(Some(raw)),
            None => self.opened_log(build, step, log).map(|_| None),
        }
    }

    /// Whether the step of a log that has no bytes is over; an error when the step has no such log.
    fn opened_log(&self, build: BuildId, step: u32, log: &str) -> Result<bool, ServiceError> {
        let build = self.build(build)?;
        let Some(step) = build.steps.iter().find(|candidate| candidate.number == step) else {
            return Err(ServiceError::Unknown(format!(
                "build {} has no step {step}; it has {} steps, counted from 0",
                build.id,
                build.steps.len()
            )));
        };
        if step.logs.iter().any(|name| name == log) {
            return Ok(matches!(step.state, stampmill_model::StepState::Finished { .. }));
        }
        Err(unknown("log", log, step.logs.iter().map(String::as_str)))
    }

    /// Builds that have not ended, as many as fit a page.
    pub fn open_builds(&self) -> Result<Vec<Build>, ServiceError> {
        let filter = BuildFilter { state: BuildsIn::Open, ..BuildFilter::default() };
        Ok(self.reader.builds(&filter, None, PAGE_ITEMS_MAX)?.items)
    }
}

fn no_lines(first: u64) -> Lines {
    Lines { first_line: first, count: 0, bytes: Vec::new(), cut: false }
}

fn missing(what: &str, id: u64) -> ServiceError {
    ServiceError::Unknown(format!("there is no {what} {id}"))
}

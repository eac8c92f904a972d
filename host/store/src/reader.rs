//! Questions to what is stored. One [`Reader`] is one consistent view: what is committed after it was made is not in it.

mod builds;
mod changes;
mod notices;
mod people;
mod requests;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;

use stampmill_engine::Snapshot;
use stampmill_engine::output::{Delivery, Notice};
use stampmill_model::{
    Build, BuildId, BuilderName, Buildset, BuildsetId, Change, ChangeId, ChangeSourceName, NoticeId, Outcome, Person,
    PersonId, PersonRef, Request, RequestId, Steady, WorkerName,
};

pub(crate) use view::View;

use crate::StoreError;
use crate::database::Database;

/// A piece of a list, newest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page<T, C> {
    /// What was found. There may be few or none although there is more: a filter that fits seldom looks at a bounded number of entries.
    pub items: Vec<T>,
    /// Where the next page starts: the `before` of the next question; `None` at the end.
    pub next: Option<C>,
}

/// Which changes; every condition that is given must hold.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ChangeFilter {
    /// Reported by this change source.
    pub source: Option<ChangeSourceName>,
    /// Of this branch.
    pub branch: Option<String>,
    /// Of this codebase.
    pub codebase: Option<String>,
}

/// Which buildsets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BuildsetFilter {
    /// Only those of which some request is not complete.
    pub open_only: bool,
}

/// Which requests; every condition that is given must hold.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RequestFilter {
    /// Of this builder.
    pub builder: Option<BuilderName>,
    /// Only those that are not complete.
    pub open_only: bool,
}

/// Which builds; every condition that is given must hold.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BuildFilter {
    /// Of this builder.
    pub builder: Option<BuilderName>,
    /// On this worker.
    pub worker: Option<WorkerName>,
    /// For a request of this buildset.
    pub buildset: Option<BuildsetId>,
    /// For this request.
    pub request: Option<RequestId>,
    /// How far they are.
    pub state: BuildsIn,
}

/// How far builds are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BuildsIn {
    /// Wherever.
    #[default]
    Any,
    /// Not finished.
    Open,
    /// Finished, however.
    Finished,
    /// Finished like this.
    Ended(Outcome),
}

/// One consistent view of what is stored. Short-lived: while it is there, space that later commits free can't be used again.
pub struct Reader {
    view: View,
    database: Arc<Database>,
}

impl Reader {
    pub(crate) fn new(database: Arc<Database>) -> Result<Self, StoreError> {
        Ok(Self { view: View { transaction: database.begin_read()? }, database })
    }

    /// Asks, and tells the database of failures that only opening it again mends.
    pub(crate) fn ask<T>(&self, question: impl FnOnce(&View) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.database.ask(|| question(&self.view))
    }

    /// The open work and the last steady time, for the engine's start.
    pub(crate) fn load(&self) -> Result<(Snapshot, Steady), StoreError> {
        self.ask(crate::load::load)
    }

    /// The change of this id.
    pub fn change(&self, id: ChangeId) -> Result<Option<Change>, StoreError> {
        self.ask(|view| view.change(id))
    }

    /// Changes, newest first. With several conditions the branch, else the codebase, else the source finds them and the others sift.
    pub fn changes(
        &self,
        filter: &ChangeFilter,
        before: Option<ChangeId>,
        limit: usize,
    ) -> Result<Page<Change, ChangeId>, StoreError> {
        self.ask(|view| changes::page(view, filter, before, limit))
    }

    /// Changes of a person, newest first.
    pub fn changes_of(
        &self,
        person: &Person,
        before: Option<ChangeId>,
        limit: usize,
    ) -> Result<Page<Change, ChangeId>, StoreError> {
        self.ask(|view| people::changes_of(view, person, before, limit))
    }

    /// The person of this id.
    pub fn person(&self, id: PersonId) -> Result<Option<Person>, StoreError> {
        self.ask(|view| people::person(view, id))
    }

    /// Whom somebody may mean: nobody, one, or several where only a value was named, which different people have as different attributes.
    pub fn find_people(&self, who: &PersonRef) -> Result<Vec<PersonId>, StoreError> {
        self.ask(|view| people::find(view, who))
    }

    /// People, whoever became known last first.
    pub fn people(&self, before: Option<PersonId>, limit: usize) -> Result<Page<Person, PersonId>, StoreError> {
        self.ask(|view| people::page(view, before, limit))
    }

    /// The buildset of this id.
    pub fn buildset(&self, id: BuildsetId) -> Result<Option<Buildset>, StoreError> {
        self.ask(|view| view.buildset(id))
    }

    /// Buildsets, newest first.
    pub fn buildsets(
        &self,
        filter: &BuildsetFilter,
        before: Option<BuildsetId>,
        limit: usize,
    ) -> Result<Page<Buildset, BuildsetId>, StoreError> {
        self.ask(|view| requests::buildset_page(view, *filter, before, limit))
    }

    /// The request of this id.
    pub fn request(&self, id: RequestId) -> Result<Option<Request>, StoreError> {
        self.ask(|view| view.request(id))
    }

    /// Requests, newest first.
    pub fn requests(
        &self,
        filter: &RequestFilter,
        before: Option<RequestId>,
        limit: usize,
    ) -> Result<Page<Request, RequestId>, StoreError> {
        self.ask(|view| requests::page(view, filter, before, limit))
    }

    /// The requests of a buildset in its order; none when there is no such buildset.
    pub fn requests_of(&self, buildset: BuildsetId) -> Result<Vec<Request>, StoreError> {
        self.ask(|view| requests::of_buildset(view, buildset))
    }

    /// How many requests of each builder are in the queue; builders without any are left out.
    pub fn pending(&self) -> Result<BTreeMap<BuilderName, u64>, StoreError> {
        self.ask(requests::pending)
    }

    /// The build of this id.
    pub fn build(&self, id: BuildId) -> Result<Option<Build>, StoreError> {
        self.ask(|view| view.build(id))
    }

    /// The build of this number of a builder.
    pub fn build_by_number(&self, builder: &BuilderName, number: u64) -> Result<Option<Build>, StoreError> {
        self.ask(|view| builds::by_number(view, builder, number))
    }

    /// The newest finished build of a builder, however it ended.
    pub fn last_finished(&self, builder: &BuilderName) -> Result<Option<Build>, StoreError> {
        self.ask(|view| builds::last_finished(view, builder))
    }

    /// Builds, newest first.
    pub fn builds(
        &self,
        filter: &BuildFilter,
        before: Option<BuildId>,
        limit: usize,
    ) -> Result<Page<Build, BuildId>, StoreError> {
        self.ask(|view| builds::page(view, filter, before, limit))
    }

    /// Notices that are neither delivered nor dead, oldest first.
    pub fn open_notices(&self) -> Result<Vec<Notice>, StoreError> {
        self.ask(notices::open)
    }

    /// Notices that were given up, newest first.
    pub fn dead_notices(&self, before: Option<NoticeId>, limit: usize) -> Result<Page<Notice, NoticeId>, StoreError> {
        self.ask(|view| notices::dead_page(view, before, limit))
    }

    /// The notice of this id, unless it was delivered.
    pub fn notice(&self, id: NoticeId) -> Result<Option<Notice>, StoreError> {
        self.ask(|view| notices::notice(view, id))
    }

    /// What became of a delivery of a hook, if it was taken within the horizon.
    pub fn delivery(&self, source: &ChangeSourceName, id: &str) -> Result<Option<Delivery>, StoreError> {
        self.ask(|view| notices::delivery(view, source, id))
    }
}

#[cfg(test)]
mod tests;

//! Buildsets: one wish for each builder, followed as a unit until the last is complete.

use std::collections::BTreeSet;
use std::sync::Arc;

use stampmill_model::{
    BuildId, BuilderName, Buildset, BuildsetId, BuildsetState, ChangeId, Outcome, Parent, Properties, Request,
    RequestId, RequestState, SchedulerName, SourceStamp, WorkerName,
};

use crate::Engine;
use crate::config::OccasionKind;
use crate::input::{Answer, Refusal};
use crate::lookup::NO_LOCKS;
use crate::merging::Kin;
use crate::outbox::Key;
use crate::output::{Subject, Write};
use crate::queue::Lane;

/// A buildset of which some request is not complete.
#[derive(Clone, Debug)]
pub(crate) struct OpenBuildset {
    pub(crate) set: Arc<Buildset>,
    /// How many of its requests are not complete.
    pub(crate) left: usize,
    /// What its requests have in common with others, if they may share a build with others.
    pub(crate) kin: Option<Arc<Kin>>,
}

impl OpenBuildset {
    /// A set of which so many requests are not complete.
    pub(crate) fn new(set: Arc<Buildset>, left: usize) -> Self {
        let kin = Kin::of(&set).map(Arc::new);
        Self { set, left, kin }
    }
}

/// A buildset that is to be made.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewBuildset {
    pub(crate) reason: String,
    pub(crate) scheduler: Option<SchedulerName>,
    pub(crate) owner: Option<String>,
    pub(crate) stamps: Vec<SourceStamp>,
    /// In order of appearance, doubled ones included.
    pub(crate) authors: Vec<String>,
    pub(crate) properties: Properties,
    pub(crate) wishes: Vec<Wish>,
    pub(crate) priority: i32,
    /// Whether someone must approve its requests.
    pub(crate) approve: bool,
    pub(crate) external_id: Option<String>,
    pub(crate) parent: Option<Parent>,
    pub(crate) depth: u32,
}

/// A request that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) builder: BuilderName,
    pub(crate) only_worker: Option<WorkerName>,
}

impl Engine {
    /// Makes a buildset and its requests. There must be at least one wish: a set without requests would never finish.
    pub(crate) fn submit(&mut self, new: NewBuildset) -> Answer {
        let id = self.last.buildset.next();
        self.last.buildset = id;
        let requests: Vec<_> = new.wishes.into_iter().map(|wish| self.add_request(id, wish, new.priority)).collect();
        let set = Buildset {
            id,
            reason: new.reason,
            scheduler: new.scheduler,
            blamelist: blamelist(new.authors, new.owner.as_ref()),
            owner: new.owner,
            stamps: new.stamps,
            properties: new.properties,
            requests: requests.clone(),
            external_id: new.external_id,
            parent: new.parent,
            depth: new.depth,
            superseded: false,
            submitted_at: self.now.wall,
            state: BuildsetState::Open { will_fail: false },
        };
        for change in changes_of(&set.stamps) {
            self.hold_change(change);
            self.note_buildset(change, &set);
        }
        if let Some(key) = &set.external_id {
            self.external_ids.insert(key.clone(), id);
        }
        self.buildsets.insert(id, OpenBuildset::new(Arc::new(set), requests.len()));
        self.outbox.mark(Key::Buildset(id));
        if !new.approve {
            requests.iter().for_each(|request| self.queue_request(*request));
        }
        Answer::Buildset { id, requests }
    }

    fn add_request(&mut self, buildset: BuildsetId, wish: Wish, priority: i32) -> RequestId {
        let id = self.last.request.next();
        self.last.request = id;
        let request = Request {
            id,
            buildset,
            builder: wish.builder,
            priority,
            only_worker: wish.only_worker,
            submitted_at: self.now.wall,
            attempts: 0,
            losses: 0,
            state: RequestState::AwaitingApproval,
        };
        self.requests.insert(id, Arc::new(request));
        self.outbox.mark(Key::Request(id));
        id
    }

    /// A rebuild is no new way for a change: other sets name themselves in it.
    fn note_buildset(&mut self, id: ChangeId, set: &Buildset) {
        if !matches!(set.parent, Some(Parent::Rebuild(_)))
            && let Some(open) = self.changes.get_mut(&id)
        {
            Arc::make_mut(&mut open.change).buildsets.push(set.id);
            self.outbox.mark(Key::Change(id));
        }
    }

    /// Puts a request in the queue.
    pub(crate) fn queue_request(&mut self, id: RequestId) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        Arc::make_mut(request).state = RequestState::Pending;
        let request = Arc::clone(request);
        self.enqueue(&request);
        self.outbox.mark(Key::Request(id));
        self.wake_request(id);
    }

    /// Puts a request that waits in its place.
    pub(crate) fn enqueue(&mut self, request: &Request) {
        let kin = self.buildsets.get(&request.buildset).and_then(|open| open.kin.clone());
        self.queue.insert(request, kin, self.group_of(&Lane::of(request)));
    }

    /// A request is complete, with the end of a build or without one; the set's notices follow from it.
    pub(crate) fn complete_request(&mut self, id: RequestId, outcome: Outcome, build: Option<BuildId>) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        self.queue.remove(request);
        let has_waited = request.state == RequestState::Pending;
        Arc::make_mut(request).state = RequestState::Complete { outcome, build, at: self.now.wall };
        let buildset = request.buildset;
        self.outbox.mark(Key::Request(id));
        let builder = request.builder.clone();
        if has_waited && self.lookup.locks_of(&builder) != NO_LOCKS {
            // It may have stood in line for a lock before others.
            self.wake_lines();
        }
        self.forget_bars(id);
        let Some(open) = self.buildsets.get_mut(&buildset) else { return };
        open.left -= 1;
        let is_last = open.left == 0;
        let fails_first = !outcome.is_good() && open.set.state == BuildsetState::Open { will_fail: false };
        if fails_first {
            Arc::make_mut(&mut open.set).state = BuildsetState::Open { will_fail: true };
            self.outbox.mark(Key::Buildset(buildset));
            self.notify(OccasionKind::FirstFailure, Subject::Buildset(buildset));
        }
        if is_last {
            self.finish_buildset(buildset);
        }
    }

    fn finish_buildset(&mut self, id: BuildsetId) {
        self.notify(OccasionKind::BuildsetFinished, Subject::Buildset(id));
        let Some(mut open) = self.buildsets.remove(&id) else { return };
        let outcomes = open.set.requests.iter().filter_map(|request| self.requests.get(request));
        let outcome = outcomes.filter_map(|request| outcome_of(request)).fold(Outcome::Skipped, Outcome::worst);
        Arc::make_mut(&mut open.set).state = BuildsetState::Finished { outcome, at: self.now.wall };
        for request in &open.set.requests {
            if let Some(value) = self.requests.remove(request) {
                self.outbox.put_if_marked(Key::Request(*request), || Write::Request(value));
            }
        }
        if let Some(key) = &open.set.external_id {
            self.external_ids.remove(key);
        }
        self.follow(&open.set, outcome);
        self.trigger_is_complete(&open.set, outcome);
        for change in changes_of(&open.set.stamps) {
            self.release_change(change);
        }
        self.outbox.put(Key::Buildset(id), Write::Buildset(open.set));
    }

    /// The answer that the maker of an open buildset got.
    pub(crate) fn answer_of(&self, id: BuildsetId) -> Answer {
        let requests = self.buildsets.get(&id).map(|open| open.set.requests.clone()).unwrap_or_default();
        Answer::Buildset { id, requests }
    }

    /// A person approves or refuses a request that awaits it.
    pub(crate) fn approval_given(&mut self, id: RequestId, approved: bool) -> Result<Answer, Refusal> {
        match self.open_request(id)?.state {
            RequestState::AwaitingApproval if approved => self.queue_request(id),
            RequestState::AwaitingApproval => self.complete_request(id, Outcome::Cancelled, None),
            RequestState::Pending | RequestState::Building(_) | RequestState::Complete { .. } => {
                return Err(Refusal::Conflict(format!("request {id} does not await approval")));
            }
        }
        Ok(Answer::Done)
    }

    /// A person wants a request ended: alone of those that share its build, or with the build.
    pub(crate) fn request_cancel_asked(&mut self, id: RequestId, reason: String) -> Result<Answer, Refusal> {
        match self.open_request(id)?.state {
            RequestState::AwaitingApproval | RequestState::Pending => {
                self.complete_request(id, Outcome::Cancelled, None);
            }
            RequestState::Building(build) => {
                if !self.leave_build(build, id) {
                    return self.build_cancel_asked(build, reason);
                }
            }
            RequestState::Complete { .. } => {
                return Err(Refusal::Conflict(format!("request {id} is complete")));
            }
        }
        Ok(Answer::Done)
    }

    fn open_request(&self, id: RequestId) -> Result<&Request, Refusal> {
        match self.requests.get(&id) {
            Some(request) => Ok(request),
            None if id <= self.last.request && id > RequestId(0) => {
                Err(Refusal::Conflict(format!("request {id} is complete")))
            }
            None => Err(Refusal::Unknown(format!("there is no request {id}"))),
        }
    }
}

/// The changes of source stamps, each once.
pub(crate) fn changes_of(stamps: &[SourceStamp]) -> BTreeSet<ChangeId> {
    stamps.iter().flat_map(|stamp| &stamp.changes).copied().collect()
}

/// How a request ended, if it has.
pub(crate) fn outcome_of(request: &Request) -> Option<Outcome> {
    match request.state {
        RequestState::Complete { outcome, .. } => Some(outcome),
        RequestState::AwaitingApproval | RequestState::Pending | RequestState::Building(_) => None,
    }
}

/// Authors, then the owner; each once, in order of appearance; nameless ones are left out.
fn blamelist(authors: Vec<String>, owner: Option<&String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let people = authors.into_iter().chain(owner.cloned());
    people.filter(|person| !person.is_empty() && seen.insert(person.clone())).collect()
}

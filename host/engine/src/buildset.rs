//! Buildsets: one wish for each builder, followed as a unit until the last is complete.

use std::collections::BTreeSet;
use std::sync::Arc;

use stampmill_model::{
    BuildId, BuilderName, Buildset, BuildsetId, BuildsetState, ChangeId, MergeKey, Outcome, Parent, Properties,
    Request, RequestId, RequestState, SchedulerName, SourceStamp, WorkerName,
};

use crate::Engine;
use crate::config::OccasionKind;
use crate::input::{Answer, Refusal};
use crate::lookup::NO_LOCKS;
use crate::merging::Kin;
use crate::outbox::Key;
use crate::output::{Subject, Write};
use crate::queue::Lane;
use crate::timers::Timer;

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

/// How a request ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// As this build did.
    Built(BuildId, Outcome),
    /// By itself: who or what has cancelled it, and why.
    Cancelled(String),
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
        self.note_branches(&set);
        self.buildsets.insert(id, OpenBuildset::new(Arc::new(set), requests.len()));
        self.outbox.mark(Key::Buildset(id));
        if !new.approve {
            requests.iter().for_each(|request| self.queue_request(*request));
            self.supersede(id);
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
            merge_key: MergeKey::Unasked,
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

    /// Puts a request in the queue, as soon as it is known with which others it may share a build.
    pub(crate) fn queue_request(&mut self, id: RequestId) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        Arc::make_mut(request).state = RequestState::Pending;
        let request = Arc::clone(request);
        self.outbox.mark(Key::Request(id));
        if self.wants_merge_key(&request) {
            self.ask_merge_key(id);
        } else {
            self.enqueue(&request);
            self.wake_request(id);
        }
    }

    /// Puts a request that waits in its place.
    pub(crate) fn enqueue(&mut self, request: &Request) {
        self.queue.insert(request, self.kin_of(request), self.group_of(&Lane::of(request)));
    }

    /// A request is complete, with the end of a build or without one; the set's notices follow from it.
    pub(crate) fn complete_request(&mut self, id: RequestId, end: End) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        self.queue.remove(request);
        self.timers.cancel(&Timer::MergeKey(id));
        let has_waited = request.state == RequestState::Pending;
        let (outcome, build, reason) = match end {
            End::Built(build, outcome) => (outcome, Some(build), String::new()),
            End::Cancelled(reason) => (Outcome::Cancelled, None, reason),
        };
        Arc::make_mut(request).state = RequestState::Complete { outcome, build, at: self.now.wall, reason };
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
        } else if matches!(outcome, Outcome::Failure | Outcome::Exception) {
            self.cancel_rest(buildset, id, outcome);
        }
    }

    /// A request of a set has failed: the others are cancelled, if the set's scheduler wants that. A request that was cancelled says nothing
    /// of the sources.
    fn cancel_rest(&mut self, id: BuildsetId, failed: RequestId, outcome: Outcome) {
        let Some(set) = self.buildsets.get(&id).map(|open| &open.set) else { return };
        let scheduler = set.scheduler.as_ref().and_then(|name| self.lookup.scheduler(name));
        if !scheduler.is_some_and(|position| self.config.schedulers[position].cancel_on_failure) {
            return;
        }
        let Some(builder) = self.requests.get(&failed).map(|request| &request.builder) else { return };
        let reason = format!("builder `{builder}` ended with {outcome} in this buildset");
        for request in set.requests.clone() {
            self.cancel_request(request, reason.clone());
        }
    }

    fn finish_buildset(&mut self, id: BuildsetId) {
        self.notify(OccasionKind::BuildsetFinished, Subject::Buildset(id));
        let Some(mut open) = self.buildsets.remove(&id) else { return };
        let requests = open.set.requests.iter().filter_map(|request| self.requests.get(request));
        let outcome = combined(requests.filter_map(|request| outcome_of(request)));
        Arc::make_mut(&mut open.set).state = BuildsetState::Finished { outcome, at: self.now.wall };
        for request in &open.set.requests {
            if let Some(value) = self.requests.remove(request) {
                self.outbox.put_if_marked(Key::Request(*request), || Write::Request(value));
            }
        }
        if let Some(key) = &open.set.external_id {
            self.external_ids.remove(key);
        }
        self.forget_branches(&open.set);
        self.follow(&open.set, outcome);
        self.pass_on(&open.set, outcome);
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
    pub(crate) fn approval_given(&mut self, id: RequestId, approved: bool, by: &str) -> Result<Answer, Refusal> {
        let Request { state, buildset, .. } = self.open_request(id)?;
        match state {
            RequestState::AwaitingApproval if approved => {
                let buildset = *buildset;
                self.queue_request(id);
                self.supersede(buildset);
            }
            RequestState::AwaitingApproval => self.complete_request(id, End::Cancelled(format!("refused by {by}"))),
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
                self.complete_request(id, End::Cancelled(reason));
            }
            RequestState::Building(build) => {
                if !self.leave_build(build, id, &reason) {
                    return self.build_cancel_asked(build, reason);
                }
            }
            RequestState::Complete { .. } => {
                return Err(Refusal::Conflict(format!("request {id} is complete")));
            }
        }
        Ok(Answer::Done)
    }

    /// A rule wants a request ended, if it has not.
    pub(crate) fn cancel_request(&mut self, id: RequestId, reason: String) {
        match self.request_cancel_asked(id, reason) {
            Ok(_) | Err(Refusal::Conflict(_)) => {}
            Err(refusal @ (Refusal::Unknown(_) | Refusal::NotAllowed(_) | Refusal::Form(_))) => {
                debug_assert!(false, "{refusal}")
            }
        }
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

/// How a set has ended whose requests ended like this: as the worst of them, but what was cancelled says nothing where something has failed.
fn combined(outcomes: impl Iterator<Item = Outcome> + Clone) -> Outcome {
    let failed = outcomes.clone().filter(|outcome| matches!(outcome, Outcome::Failure | Outcome::Exception));
    failed.reduce(Outcome::worst).unwrap_or_else(|| outcomes.fold(Outcome::Skipped, Outcome::worst))
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

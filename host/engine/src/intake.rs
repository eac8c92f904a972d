//! Intake: polls, hooks and people bring changes; each gets an id, is stored at once, and learns its codebase.

mod deliveries;

use std::collections::BTreeMap;
use std::sync::Arc;

use stampmill_model::{Change, ChangeId, ChangeSourceName, Milliseconds, SchedulerName, SeenChange, Steady};

pub(crate) use deliveries::Deliveries;

use crate::Engine;
use crate::config::{ChangeSource, ChangeSourceKind};
use crate::input::{Answer, Polled, Refusal, Trouble};
use crate::limits::DECISION_TRIES;
use crate::outbox::Key;
use crate::output::{ChangeSourceState, Delivery, Effect, Write};
use crate::timers::Timer;

/// A change source as it is now. It stays when the source leaves the configuration, for its cursor.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    pub(crate) cursor: Option<String>,
    /// Of the last poll. It grows across restarts as well, so that an answer to an older poll is known as such.
    attempt: u64,
    failures: u32,
    trouble: Option<String>,
    pub(crate) phase: Phase,
}

impl Source {
    /// A source that was at this cursor when the host stopped.
    pub(crate) fn at(cursor: String) -> Self {
        Self { cursor: Some(cursor), ..Self::default() }
    }
}

/// What a change source does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It is not a configured poller.
    #[default]
    Stopped,
    /// A poll is under way.
    Asking {
        /// Whether someone has asked for another one meanwhile.
        again: bool,
    },
    /// The next poll is due then.
    Waiting(Steady),
}

/// A change that is undecided, waits in a batch or belongs to an open buildset or build.
#[derive(Clone, Debug)]
pub(crate) struct OpenChange {
    pub(crate) change: Arc<Change>,
    /// How many batches, open buildsets and open builds it is in.
    pub(crate) holds: usize,
    /// How often the codebase generator has failed on it.
    pub(crate) codebase_failures: u32,
    /// The schedulers whose filters are judging it.
    pub(crate) judging: BTreeMap<SchedulerName, Judging>,
}

/// Filters that judge a change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judging {
    /// How often they have failed on it.
    pub(crate) failures: u32,
    /// Under which configuration they were asked last.
    pub(crate) generation: u64,
}

impl OpenChange {
    /// A change that nothing waits for yet.
    pub(crate) fn new(change: Arc<Change>) -> Self {
        Self { change, holds: 0, codebase_failures: 0, judging: BTreeMap::new() }
    }
}

/// Where a change comes from.
struct Origin {
    source: Option<ChangeSourceName>,
    trusted: bool,
    codebase: Option<String>,
}

impl Engine {
    /// Starts pollers that are new in the configuration and stops those that are gone; cursors stay.
    pub(crate) fn sync_sources(&mut self) {
        let config = Arc::clone(&self.config);
        let gone: Vec<_> = self.sources.keys().filter(|name| self.poll_interval(name).is_none()).cloned().collect();
        for name in gone {
            self.timers.cancel(&Timer::Poll(name.clone()));
            if let Some(source) = self.sources.get_mut(&name) {
                *source = Source { cursor: source.cursor.take(), attempt: source.attempt, ..Source::default() };
            }
        }
        for ChangeSource { name, kind, .. } in &config.change_sources {
            let ChangeSourceKind::Poller { every } = *kind else { continue };
            let latest = self.now.steady + every;
            let source = self.sources.entry(name.clone()).or_default();
            match source.phase {
                Phase::Stopped => self.poll(name),
                Phase::Waiting(until) if source.failures == 0 && until > latest => self.poll_at(name, latest),
                Phase::Waiting(_) | Phase::Asking { .. } => {}
            }
        }
    }

    /// Asks a poller, unless it has left the configuration.
    pub(crate) fn poll(&mut self, name: &ChangeSourceName) {
        self.timers.cancel(&Timer::Poll(name.clone()));
        let Some(source) = self.sources.get_mut(name) else { return };
        source.attempt = (source.attempt + 1).max(self.now.steady.0);
        source.phase = Phase::Asking { again: false };
        let (cursor, attempt) = (source.cursor.clone(), source.attempt);
        self.outbox.effect(Effect::Poll { source: name.clone(), cursor, attempt });
    }

    fn poll_at(&mut self, name: &ChangeSourceName, at: Steady) {
        if let Some(source) = self.sources.get_mut(name) {
            source.phase = Phase::Waiting(at);
            self.timers.set(Timer::Poll(name.clone()), at);
        }
    }

    /// A poll has ended.
    pub(crate) fn polled(&mut self, name: &ChangeSourceName, attempt: u64, result: Result<Polled, Trouble>) {
        let Some(every) = self.poll_interval(name) else { return };
        let Some(source) = self.sources.get_mut(name) else { return };
        let Phase::Asking { again } = source.phase else { return };
        if source.attempt != attempt {
            return;
        }
        let pause = match result {
            Ok(polled) => {
                let more = self.take_polled(name, polled);
                if more { Milliseconds(0) } else { every }
            }
            Err(trouble) => every.max(self.poll_failed(name, &trouble)),
        };
        if again || pause == Milliseconds(0) {
            self.poll(name);
        } else {
            self.poll_at(name, self.now.steady + pause);
        }
    }

    /// Changes and cursor go into one transaction. Says whether there is more at once; a source that stands still has no more.
    fn take_polled(&mut self, name: &ChangeSourceName, polled: Polled) -> bool {
        let Some(source) = self.sources.get_mut(name) else { return false };
        (source.failures, source.trouble) = (0, None);
        let moved = source.cursor.as_ref() != Some(&polled.cursor);
        if moved {
            source.cursor = Some(polled.cursor);
            self.outbox.mark(Key::Cursor(name.clone()));
        }
        let more = polled.more && (moved || !polled.changes.is_empty());
        self.take_from(name, polled.changes);
        more
    }

    fn poll_failed(&mut self, name: &ChangeSourceName, trouble: &Trouble) -> Milliseconds {
        let Some(source) = self.sources.get_mut(name) else { return Milliseconds(0) };
        source.failures = source.failures.saturating_add(1);
        let failures = source.failures;
        if source.trouble.as_ref() != Some(&trouble.message) {
            source.trouble = Some(trouble.message.clone());
            self.outbox.warn(format!("change source `{name}` can't be polled: {}", trouble.message));
        }
        self.pause_after(failures, trouble)
    }

    /// A person asks for a poll now.
    pub(crate) fn poll_now(&mut self, name: &ChangeSourceName) -> Result<Answer, Refusal> {
        match self.change_source(name)?.kind {
            ChangeSourceKind::Hook => {
                Err(Refusal::NotAllowed(format!("change source `{name}` is a hook: it is told of changes, not asked")))
            }
            ChangeSourceKind::Poller { .. } => {
                match self.sources.get_mut(name).map(|source| &mut source.phase) {
                    Some(Phase::Asking { again }) => *again = true,
                    Some(Phase::Waiting(_) | Phase::Stopped) | None => self.poll(name),
                }
                Ok(Answer::Done)
            }
        }
    }

    /// A hook has reported changes.
    pub(crate) fn received(
        &mut self,
        name: &ChangeSourceName,
        delivery: Option<String>,
        changes: Vec<SeenChange>,
    ) -> Result<Answer, Refusal> {
        match self.change_source(name)?.kind {
            ChangeSourceKind::Hook => {}
            ChangeSourceKind::Poller { .. } => {
                return Err(Refusal::NotAllowed(format!("change source `{name}` is polled: it takes no deliveries")));
            }
        }
        let before = delivery.as_deref().and_then(|id| self.deliveries.changes_of(name, id));
        if let Some(before) = before {
            return Ok(Answer::ChangesTaken(before.to_vec()));
        }
        let taken = self.take_from(name, changes);
        if let Some(id) = delivery {
            let delivery = Delivery { source: name.clone(), id, changes: taken.clone(), at: self.now.wall };
            self.outbox
                .put(Key::Delivery(delivery.source.clone(), delivery.id.clone()), Write::Delivery(delivery.clone()));
            self.deliveries.remember(delivery);
        }
        Ok(Answer::ChangesTaken(taken))
    }

    /// A person has sent a change.
    pub(crate) fn change_sent(&mut self, seen: SeenChange, codebase: Option<String>, trusted: bool) -> Answer {
        let id = self.take_change(seen, Origin { source: None, trusted, codebase });
        Answer::ChangesTaken(vec![id])
    }

    fn take_from(&mut self, name: &ChangeSourceName, changes: Vec<SeenChange>) -> Vec<ChangeId> {
        let config = Arc::clone(&self.config);
        let Some(position) = self.lookup.change_source(name) else { return Vec::new() };
        let source = &config.change_sources[position];
        let mut taken = Vec::with_capacity(changes.len());
        for mut seen in changes {
            if seen.project.is_empty() {
                seen.project.clone_from(&source.project);
            }
            let origin = Origin { source: Some(name.clone()), trusted: source.trusted, codebase: None };
            taken.push(self.take_change(seen, origin));
        }
        taken
    }

    fn take_change(&mut self, seen: SeenChange, origin: Origin) -> ChangeId {
        let id = self.last.change.next();
        self.last.change = id;
        let change = Change {
            id,
            source: origin.source,
            arrived_at: self.now.wall,
            trusted: origin.trusted,
            seen,
            codebase: origin.codebase,
            trouble: None,
            decisions: Vec::new(),
            decided: false,
            buildsets: Vec::new(),
        };
        self.changes.insert(id, OpenChange::new(Arc::new(change)));
        self.outbox.mark(Key::Change(id));
        self.find_codebase(id);
        id
    }

    /// Asks for the codebase of a change that has none yet, then lets the schedulers decide.
    pub(crate) fn find_codebase(&mut self, id: ChangeId) {
        let Some(open) = self.changes.get_mut(&id) else { return };
        if open.change.codebase.is_none() {
            if self.config.codebase_generator {
                return self.ask_codebase(id);
            }
            let change = Arc::make_mut(&mut open.change);
            (change.codebase, change.trouble) = (Some(String::new()), None);
            self.outbox.mark(Key::Change(id));
        }
        self.decide(id);
    }

    /// Asks the codebase generator about a change.
    pub(crate) fn ask_codebase(&mut self, id: ChangeId) {
        if let Some(open) = self.changes.get(&id) {
            self.outbox.effect(Effect::AskCodebase { change: Arc::clone(&open.change) });
        }
    }

    /// The codebase generator has answered. It fails closed: without an answer the change is not built, and shows why.
    pub(crate) fn codebase_found(&mut self, id: ChangeId, result: Result<Option<String>, Trouble>) {
        let Some(open) = self.changes.get_mut(&id) else { return };
        if open.change.codebase.is_some() || open.change.decided {
            return;
        }
        self.timers.cancel(&Timer::Codebase(id));
        self.outbox.mark(Key::Change(id));
        let change = Arc::make_mut(&mut open.change);
        match result {
            Ok(Some(codebase)) => {
                (change.codebase, change.trouble) = (Some(codebase), None);
                self.decide(id);
            }
            Ok(None) => {
                change.trouble = Some(format!("repository `{}` is not in the codebase map", change.seen.repository));
                change.decided = true;
                self.forget_if_done(id);
            }
            Err(trouble) => {
                change.trouble = Some(trouble.message.clone());
                open.codebase_failures += 1;
                let failures = open.codebase_failures;
                if trouble.retry && failures < DECISION_TRIES {
                    let at = self.now.steady + self.pause_after(failures, &trouble);
                    self.timers.set(Timer::Codebase(id), at);
                } else {
                    change.decided = true;
                    self.outbox.warn(format!("the codebase generator failed on change {id}: {}", trouble.message));
                    self.forget_if_done(id);
                }
            }
        }
    }

    /// One more batch, buildset or build has this change.
    pub(crate) fn hold_change(&mut self, id: ChangeId) {
        if let Some(open) = self.changes.get_mut(&id) {
            open.holds += 1;
        }
    }

    /// A batch, buildset or build no longer has this change.
    pub(crate) fn release_change(&mut self, id: ChangeId) {
        if let Some(open) = self.changes.get_mut(&id) {
            debug_assert!(open.holds > 0, "change {id} is released more often than held");
            open.holds = open.holds.saturating_sub(1);
            self.forget_if_done(id);
        }
    }

    /// A change that is decided and belongs to nothing open leaves the state; the store has it.
    pub(crate) fn forget_if_done(&mut self, id: ChangeId) {
        if self.changes.get(&id).is_some_and(|open| open.change.decided && open.holds == 0)
            && let Some(open) = self.changes.remove(&id)
        {
            self.outbox.put_if_marked(Key::Change(id), || Write::Change(open.change));
        }
    }

    fn change_source(&self, name: &ChangeSourceName) -> Result<&ChangeSource, Refusal> {
        let found = self.lookup.change_source(name).map(|position| &self.config.change_sources[position]);
        found.ok_or_else(|| Refusal::Unknown(format!("there is no change source `{name}`")))
    }

    fn poll_interval(&self, name: &ChangeSourceName) -> Option<Milliseconds> {
        match self.change_source(name).ok()?.kind {
            ChangeSourceKind::Poller { every } => Some(every),
            ChangeSourceKind::Hook => None,
        }
    }

    /// Each configured change source as it is now.
    #[must_use]
    pub fn change_sources(&self, now: stampmill_model::Now) -> Vec<ChangeSourceState> {
        let states = self.config.change_sources.iter().map(|source| {
            let state = self.sources.get(&source.name);
            let next_poll_in = state.and_then(|state| match state.phase {
                Phase::Waiting(until) => Some(Milliseconds(until.0.saturating_sub(now.steady.0))),
                Phase::Stopped | Phase::Asking { .. } => None,
            });
            let trouble = state.and_then(|state| state.trouble.clone());
            ChangeSourceState { name: source.name.clone(), trouble, next_poll_in }
        });
        states.collect()
    }
}

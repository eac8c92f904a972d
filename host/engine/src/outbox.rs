//! What one call of `handle` gives out: every key that changed is written once, with its last value, then the effects happen in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use stampmill_model::{
    BuildId, BuildsetId, ChangeId, ChangeSourceName, NoticeId, RequestId, SchedulerName, WorkerName,
};

use crate::Engine;
use crate::input::{Answer, Refusal, ReplyTo};
use crate::output::{Effect, Output, WorkerKept, Write};

/// The key of a write. The order of the variants is the order of the writes: the data's order.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Key {
    /// A delivery of a hook.
    Delivery(ChangeSourceName, String),
    /// A cursor.
    Cursor(ChangeSourceName),
    /// A change.
    Change(ChangeId),
    /// What a scheduler waits with.
    Scheduler(SchedulerName),
    /// A buildset.
    Buildset(BuildsetId),
    /// A request.
    Request(RequestId),
    /// A build.
    Build(BuildId),
    /// The last message of a build.
    Sequence(BuildId),
    /// What is kept of a worker.
    Worker(WorkerName),
    /// A notice.
    Notice(NoticeId),
}

/// What is to go out at the end of this call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox {
    /// `None` takes the value from the state at the end; `Some` is the last value of something that has left the state.
    writes: BTreeMap<Key, Option<Write>>,
    effects: Vec<Effect>,
}

impl Outbox {
    /// The value under this key has changed.
    pub(crate) fn mark(&mut self, key: Key) {
        self.writes.entry(key).or_insert(None);
    }

    /// The last value of something that leaves the state.
    pub(crate) fn put(&mut self, key: Key, write: Write) {
        self.writes.insert(key, Some(write));
    }

    /// The last value of something that leaves the state, written only if it has changed in this call.
    pub(crate) fn put_if_marked(&mut self, key: Key, write: impl FnOnce() -> Write) {
        if let Some(value) = self.writes.get_mut(&key) {
            *value = Some(write());
        }
    }

    /// The value is not to be written after all.
    pub(crate) fn unmark(&mut self, key: &Key) {
        self.writes.remove(key);
    }

    /// Something to do once the writes are durable.
    pub(crate) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Something for the host's own log.
    pub(crate) fn warn(&mut self, message: String) {
        self.effect(Effect::Warn { message });
    }

    /// Answers somebody who waits.
    pub(crate) fn answer(&mut self, reply: ReplyTo, result: Result<Answer, Refusal>) {
        let answer = result.unwrap_or_else(Answer::Refused);
        self.effect(Effect::Answer { reply, answer });
    }
}

impl Engine {
    /// Empties the outbox: first all writes, then all effects.
    pub(crate) fn flush(&mut self) -> Vec<Output> {
        let Outbox { writes, effects } = std::mem::take(&mut self.outbox);
        let mut outputs = Vec::with_capacity(writes.len() + effects.len());
        for (key, last) in writes {
            let write = last.or_else(|| self.current(&key));
            debug_assert!(write.is_some(), "nothing to write under {key:?}");
            outputs.extend(write.map(Output::Write));
        }
        outputs.extend(effects.into_iter().map(Output::Effect));
        outputs
    }

    fn current(&self, key: &Key) -> Option<Write> {
        match key {
            Key::Delivery(..) => None,
            Key::Cursor(name) => {
                let cursor = self.sources.get(name)?.cursor.clone()?;
                Some(Write::Cursor(name.clone(), cursor))
            }
            Key::Change(id) => self.changes.get(id).map(|open| Write::Change(Arc::clone(&open.change))),
            Key::Scheduler(name) => {
                self.schedulers.get(name).map(|state| Write::SchedulerState(name.clone(), state.clone()))
            }
            Key::Buildset(id) => self.buildsets.get(id).map(|open| Write::Buildset(Arc::clone(&open.set))),
            Key::Request(id) => self.requests.get(id).map(|request| Write::Request(Arc::clone(request))),
            Key::Build(id) => self.builds.get(id).map(|open| Write::Build(Arc::clone(&open.build))),
            Key::Sequence(id) => self.builds.get(id).map(|open| Write::BuildSequence(*id, open.sequence)),
            Key::Worker(name) => {
                let state = self.workers.get(name)?;
                Some(Write::Worker(name.clone(), WorkerKept { paused: state.paused.clone() }))
            }
            Key::Notice(id) => self.notices.get(id).cloned().map(Write::Notice),
        }
    }
}

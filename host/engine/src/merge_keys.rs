//! Merge keys: a builder's merge plugin is shown each request once, before it comes into the queue, and says with which others it may share a
//! build. Why so is in `docs/decisions/0019-a-merge-plugin-gives-keys.md`.

use std::sync::Arc;

use stampmill_model::{MergeKey, Request, RequestId, RequestState};

use crate::Engine;
use crate::config::Merge;
use crate::input::Trouble;
use crate::limits::MERGE_KEY_WAIT;
use crate::outbox::Key;
use crate::output::Effect;
use crate::timers::Timer;

impl Engine {
    /// Whether the plugin of a request's builder must say something before the request waits in the queue.
    pub(crate) fn wants_merge_key(&self, request: &Request) -> bool {
        let could_share = self.buildsets.get(&request.buildset).is_some_and(|open| open.kin.is_some());
        match request.merge_key {
            MergeKey::Unasked | MergeKey::Awaited => could_share && self.merges_by_plugin(request),
            MergeKey::Given(_) | MergeKey::Alone | MergeKey::Failed(_) => false,
        }
    }

    fn merges_by_plugin(&self, request: &Request) -> bool {
        self.builder(&request.builder).is_some_and(|builder| builder.merge == Merge::ByPlugin)
    }

    /// Shows a request that is pending to the plugin of its builder.
    pub(crate) fn ask_merge_key(&mut self, id: RequestId) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let Some(set) = self.buildsets.get(&request.buildset).map(|open| Arc::clone(&open.set)) else { return };
        if request.merge_key != MergeKey::Awaited {
            Arc::make_mut(request).merge_key = MergeKey::Awaited;
            self.outbox.mark(Key::Request(id));
        }
        let request = Arc::clone(request);
        self.timers.set(Timer::MergeKey(id), self.now.steady + MERGE_KEY_WAIT);
        self.outbox.effect(Effect::AskMergeKey { request, set });
    }

    /// A merge plugin has answered. It fails closed: without an answer a request is built by itself, and shows why.
    pub(crate) fn merge_key_found(&mut self, id: RequestId, result: Result<Option<String>, Trouble>) {
        let key = match result {
            Ok(Some(key)) => MergeKey::Given(key),
            Ok(None) => MergeKey::Alone,
            Err(trouble) => MergeKey::Failed(trouble.message),
        };
        self.settle_merge_key(id, key);
    }

    /// A merge plugin has taken too long.
    pub(crate) fn merge_key_is_late(&mut self, id: RequestId) {
        let seconds = MERGE_KEY_WAIT.0 / 1000;
        self.settle_merge_key(id, MergeKey::Failed(format!("its merge plugin has not answered within {seconds} s")));
    }

    /// A request that has waited for this comes into the queue.
    fn settle_merge_key(&mut self, id: RequestId, key: MergeKey) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        if request.merge_key != MergeKey::Awaited || request.state != RequestState::Pending {
            return;
        }
        if let MergeKey::Failed(why) = &key {
            self.outbox.warn(format!("request {id} of builder `{}` is not merged: {why}", request.builder));
        }
        Arc::make_mut(request).merge_key = key;
        let request = Arc::clone(request);
        self.timers.cancel(&Timer::MergeKey(id));
        self.outbox.mark(Key::Request(id));
        self.enqueue(&request);
        self.wake_request(id);
    }

    /// Asks again where nobody is being asked: at start. Where a builder has no plugin any more, nobody waits for it.
    pub(crate) fn sync_merge_keys(&mut self) {
        let awaited =
            |request: &&Arc<Request>| request.merge_key == MergeKey::Awaited && request.state == RequestState::Pending;
        let waiting: Vec<_> = self.requests.values().filter(awaited).map(Arc::clone).collect();
        for request in waiting {
            if !self.wants_merge_key(&request) {
                self.settle_merge_key(request.id, MergeKey::Unasked);
            } else if self.timers.due(&Timer::MergeKey(request.id)).is_none() {
                self.ask_merge_key(request.id);
            }
        }
    }
}

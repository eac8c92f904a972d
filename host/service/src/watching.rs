//! Watching for long: a stream goes on only as long as its owner may read and the host runs.

use std::pin::Pin;
use std::sync::Arc;

use http::HeaderMap;
use tokio::sync::broadcast;

use crate::access::Peer;
use crate::door::Service;
use crate::error::ServiceError;
use crate::event::Event;
use crate::identity::Identity;
use crate::permission::Action;

/// What a stream is made of.
pub struct Watching {
    /// Events from now on. A slow receiver loses the oldest and is told so.
    pub events: broadcast::Receiver<Arc<Event>>,
    /// Ends when the stream must: its owner is not who they were, or the host ends. It is not among the events, since those can be lost.
    pub over: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Service {
    /// Watches for whoever may read. `peer` and `headers` are those by which they were identified; they are looked at again whenever somebody's
    /// right may have ended, and once at the beginning, for it may have ended since.
    pub fn watch(self: &Arc<Self>, who: &Identity, peer: Peer, headers: HeaderMap) -> Result<Watching, ServiceError> {
        who.require(Action::Read)?;
        let events = self.host.subscribe();
        let mut ends = self.accounts.ends();
        let (service, who) = (Arc::clone(self), who.clone());
        let over = async move {
            let is_another = async {
                // A store that can't answer ends the stream too: the client comes again, and is judged anew.
                while service.identify(peer, &headers).is_ok_and(|now| now == who) {
                    if ends.changed().await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                () = is_another => {}
                () = service.host.ending() => {}
            }
        };
        Ok(Watching { events, over: Box::pin(over) })
    }
}

//! What the driver does from a commit that fails until the store takes something again.
//!
//! Meanwhile whoever asks is refused at once, and what workers and plugins tell is dropped: nobody was told that it is stored, and all of it
//! comes again, since workers are cut off and the engine asks everything anew when it is loaded. Looking goes on, at what is stored.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::Context as _;
use stampmill_engine::{Engine, Input, Output};
use stampmill_model::Steady;
use stampmill_store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use super::{Driver, Message, Unavailable, World, load, lock};
use crate::limits::{INPUTS_A_BATCH, STORE_PAUSE_MOST};

/// Why nothing can be stored, for everybody to see.
#[derive(Clone, Default)]
pub(super) struct Trouble(Arc<Mutex<Option<&'static str>>>);

impl Trouble {
    pub(super) fn get(&self) -> Option<&'static str> {
        *lock(&self.0)
    }

    fn set(&self, words: Option<&'static str>) {
        *lock(&self.0) = words;
    }
}

/// The few words for an error that may be told to anybody. Its whole text has paths and is for the host's log.
fn words(error: &anyhow::Error) -> &'static str {
    let store = error.chain().find_map(|cause| cause.downcast_ref::<StoreError>());
    store.map_or("its store failed", |error| error.disk_trouble().unwrap_or("its database is damaged"))
}

impl<W: World> Driver<W> {
    /// A commit has failed: its effects are dropped, and whoever waits for it is told.
    pub(super) fn fall(&mut self, error: &anyhow::Error, asked: Vec<u64>) {
        tracing::error!("nothing can be stored: {error:#}");
        let words = words(error);
        self.trouble.set(Some(words));
        for number in asked {
            self.refuse(number, words);
        }
        self.world.failed();
    }

    /// Tries the store until it takes something, with pauses that double, then does exactly what happens at start; `None` when the host ends.
    pub(super) async fn recover(&mut self, stop: &CancellationToken) -> Option<Vec<Output>> {
        let since = Instant::now();
        let mut told = String::new();
        let mut readable = false;
        loop {
            if !readable {
                readable = self.show_what_is_stored().await;
            }
            self.refuse_for_a_while(readable, stop).await?;
            if let Err(error) = revive(&self.store, self.clock.now().steady).await {
                let text = format!("{error:#}");
                if text != told {
                    tracing::error!("still nothing can be stored: {text}");
                    told = text;
                }
                self.trouble.set(Some(words(&error)));
                continue;
            }
            let Ok((snapshot, _)) = load(&self.store).await else { continue };
            // What still waits was told to the engine that is gone, and by connections that it knew.
            self.refuse_waiting(readable);
            self.world.failed();
            let (engine, outputs) = Engine::new(Arc::clone(&self.config), snapshot, self.clock.now());
            self.engine = engine;
            self.trouble.set(None);
            tracing::info!(
                "the store takes everything again after {} s; open work was loaded",
                since.elapsed().as_secs()
            );
            return Some(outputs);
        }
    }

    /// Puts in the place of the engine, which has decided what was not stored, one that knows what was.
    async fn show_what_is_stored(&mut self) -> bool {
        match load(&self.store).await {
            Ok((snapshot, _)) => {
                // Nothing follows from it: it is only looked at.
                self.engine = Engine::new(Arc::clone(&self.config), snapshot, self.clock.now()).0;
                true
            }
            Err(error) => {
                tracing::error!("what is stored can't be read: {error:#}");
                false
            }
        }
    }

    /// Refuses all that comes during a pause; `None` when the host ends.
    async fn refuse_for_a_while(&mut self, readable: bool, stop: &CancellationToken) -> Option<()> {
        let until = tokio::time::Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(STORE_PAUSE_MOST);
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                () = tokio::time::sleep_until(until) => return Some(()),
                count = self.messages.recv_many(&mut batch, INPUTS_A_BATCH) => if count == 0 { return None },
            }
            for message in batch.drain(..) {
                self.drop_message(message, readable);
            }
        }
    }

    fn refuse_waiting(&mut self, readable: bool) {
        while let Ok(message) = self.messages.try_recv() {
            self.drop_message(message, readable);
        }
    }

    fn drop_message(&mut self, message: Message, readable: bool) {
        match message {
            Message::Told(input) => {
                // A reload of the configuration is no decision of the engine: it holds from now on.
                if let Input::Configured(config) = *input {
                    self.config = config;
                }
            }
            Message::Asked(number, _) => self.refuse(number, self.trouble.get().unwrap_or_default()),
            Message::View(look) if readable => look(&self.engine, self.clock.now()),
            // Whoever waits for it is told by its end.
            Message::View(_) => {}
        }
    }

    fn refuse(&self, number: u64, words: &'static str) {
        if let Some(waiting) = lock(&self.waiting).remove(&number) {
            // Whoever asked may have gone.
            let _ = waiting.send(Err(Unavailable::Storing(words)));
        }
    }
}

/// Asks the store to store something, as the next commit will.
async fn revive(store: &Store, steady: Steady) -> anyhow::Result<()> {
    let store = store.clone();
    tokio::task::spawn_blocking(move || store.commit(&[], steady))
        .await
        .context("storing was interrupted")?
        .map_err(Into::into)
}

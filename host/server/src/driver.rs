//! The driver: one loop, one owner of the engine.
//!
//! It gathers inputs, lets the engine handle them, commits all their writes in one transaction, and only then runs the effects. While a
//! commit is under way the next inputs gather, so one sync serves many. If a commit fails, its effects are dropped, whoever waited for it
//! is answered *unavailable*, and the engine is loaded again from the store exactly as at start.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use stampmill_engine::{Answer, Config, Effect, Engine, Input, Output, ReplyTo, Write};
use stampmill_model::Now;
use stampmill_store::Store;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::limits::{INPUTS_A_BATCH, INPUTS_WAITING};

/// A look at the engine between two batches.
type Look = Box<dyn FnOnce(&Engine, Now) + Send>;

/// What the driver is sent.
enum Message {
    Input(Box<Input>),
    View(Look),
}

/// The host can't answer now: it is ending, or its store failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the host can't store anything at the moment; try again soon")]
pub(crate) struct Unavailable;

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Answer>>>>;

/// The way in: cheap to clone, and closed when the driver has ended.
#[derive(Clone)]
pub(crate) struct DriverHandle {
    messages: mpsc::Sender<Message>,
    waiting: Waiting,
    next_reply: Arc<AtomicU64>,
}

impl DriverHandle {
    /// Tells the engine something. Waits while the queue is full; after the driver has ended it does nothing, since the store then holds
    /// all that is needed to go on.
    pub(crate) async fn tell(&self, input: Input) {
        // A closed channel means that the host is ending.
        let _ = self.messages.send(Message::Input(Box::new(input))).await;
    }

    /// Tells the engine something and waits for its answer, which comes when what it says is durable.
    pub(crate) async fn ask(&self, input: impl FnOnce(ReplyTo) -> Input) -> Result<Answer, Unavailable> {
        let number = self.next_reply.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        lock(&self.waiting).insert(number, answer);
        let guard = Forget { waiting: &self.waiting, number };
        self.messages.send(Message::Input(Box::new(input(ReplyTo(number))))).await.map_err(|_| Unavailable)?;
        let answer = answered.await.map_err(|_| Unavailable);
        drop(guard);
        answer
    }

    /// Looks at the engine between two batches.
    pub(crate) async fn view<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Engine, Now) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (answer, answered) = oneshot::channel();
        let message = Message::View(Box::new(move |engine, now| {
            // Whoever asked may have gone.
            let _ = answer.send(look(engine, now));
        }));
        self.messages.send(message).await.map_err(|_| Unavailable)?;
        answered.await.map_err(|_| Unavailable)
    }
}

/// Takes a waiting place back when its owner goes away before the answer.
struct Forget<'a> {
    waiting: &'a Waiting,
    number: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(self.waiting).remove(&self.number);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the driver does besides deciding.
pub(crate) trait World: Send + 'static {
    /// Starts an effect; must not block. Its answer comes back as an input.
    fn run(&mut self, effect: Effect);

    /// Counts inputs that the engine has handled.
    fn handled(&mut self, inputs: usize);

    /// A commit has failed: what was not acknowledged has to be told again.
    fn failed(&mut self);

    /// Tells watchers what has become durable.
    fn written(&mut self, writes: &[Write]);
}

/// The loop and what it owns.
pub(crate) struct Driver<W> {
    engine: Engine,
    config: Arc<Config>,
    store: Store,
    clock: Clock,
    messages: mpsc::Receiver<Message>,
    waiting: Waiting,
    world: W,
}

/// Makes the way in, before there is a driver, so that what runs effects can hold it.
pub(crate) fn channel() -> (DriverHandle, Inbox) {
    let (sender, receiver) = mpsc::channel(INPUTS_WAITING);
    let waiting = Waiting::default();
    let handle =
        DriverHandle { messages: sender, waiting: Arc::clone(&waiting), next_reply: Arc::new(AtomicU64::new(1)) };
    (handle, Inbox { messages: receiver, waiting })
}

/// The driver's end of its channel.
pub(crate) struct Inbox {
    messages: mpsc::Receiver<Message>,
    waiting: Waiting,
}

impl<W: World> Driver<W> {
    /// Loads the open work and carries out what it asks for, then runs until `stop`.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(crate) async fn start(inbox: Inbox, store: Store, config: Arc<Config>, world: W) -> anyhow::Result<Self> {
        let (snapshot, last) = load(&store).await?;
        let clock = Clock::resume(last);
        let (engine, outputs) = Engine::new(Arc::clone(&config), snapshot, clock.now());
        let Inbox { messages, waiting } = inbox;
        let mut driver = Self { engine, config, store, clock, messages, waiting, world };
        driver.carry_out(outputs).await;
        Ok(driver)
    }

    /// Runs until `stop`. Inputs that are still waiting then are not handled: nobody was told that they were.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(INPUTS_A_BATCH);
        loop {
            let deadline = self.engine.next_deadline().map(|at| self.clock.instant_of(at));
            let timer = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                count = self.messages.recv_many(&mut batch, INPUTS_A_BATCH) => if count == 0 { break },
                () = timer => {}
            }
            self.handle(&mut batch).await;
        }
        lock(&self.waiting).clear();
    }

    async fn handle(&mut self, batch: &mut Vec<Message>) {
        let now = self.clock.now();
        self.world.handled(batch.len());
        let mut outputs = Vec::new();
        let mut views = Vec::new();
        for message in batch.drain(..) {
            match message {
                Message::Input(input) => {
                    if let Input::Configured(config) = &*input {
                        self.config = Arc::clone(config);
                    }
                    outputs.extend(self.engine.handle(now, *input));
                }
                Message::View(look) => views.push(look),
            }
        }
        if self.engine.next_deadline().is_some_and(|at| at <= now.steady) {
            outputs.extend(self.engine.handle(now, Input::Tick));
        }
        self.carry_out(outputs).await;
        for look in views {
            look(&self.engine, now);
        }
    }

    /// Commits, then acts; after a failed commit loads the engine again until that succeeds.
    async fn carry_out(&mut self, mut outputs: Vec<Output>) {
        while let Err(error) = self.commit_and_act(outputs).await {
            tracing::error!("nothing can be stored: {error:#}");
            lock(&self.waiting).clear();
            self.world.failed();
            outputs = self.reload().await;
        }
    }

    async fn commit_and_act(&mut self, outputs: Vec<Output>) -> anyhow::Result<()> {
        let mut writes = Vec::new();
        let mut effects = Vec::new();
        for output in outputs {
            match output {
                Output::Write(write) => writes.push(write),
                Output::Effect(effect) => effects.push(effect),
            }
        }
        if !writes.is_empty() {
            let store = self.store.clone();
            let steady = self.clock.now().steady;
            writes = tokio::task::spawn_blocking(move || store.commit(&writes, steady).map(|()| writes))
                .await
                .context("the commit was interrupted")??;
            self.world.written(&writes);
        }
        for effect in effects {
            self.act(effect);
        }
        Ok(())
    }

    fn act(&mut self, effect: Effect) {
        match effect {
            Effect::Answer { reply, answer } => {
                if let Some(waiting) = lock(&self.waiting).remove(&reply.0) {
                    // Whoever asked may have gone.
                    let _ = waiting.send(answer);
                }
            }
            Effect::Warn { message } => tracing::warn!("{message}"),
            effect => self.world.run(effect),
        }
    }

    /// Exactly what happens at start. Pauses double up to half a minute while the store does not answer.
    async fn reload(&mut self) -> Vec<Output> {
        let mut pause = Duration::from_millis(250);
        loop {
            tokio::time::sleep(pause).await;
            match load(&self.store).await {
                Ok((snapshot, _)) => {
                    let (engine, outputs) = Engine::new(Arc::clone(&self.config), snapshot, self.clock.now());
                    self.engine = engine;
                    tracing::info!("the store answers again; open work was loaded from it");
                    return outputs;
                }
                Err(error) => tracing::error!("the store can't be read: {error:#}"),
            }
            pause = (pause * 2).min(Duration::from_secs(30));
        }
    }
}

async fn load(store: &Store) -> anyhow::Result<(stampmill_engine::Snapshot, stampmill_model::Steady)> {
    let store = store.clone();
    tokio::task::spawn_blocking(move || store.load())
        .await
        .context("reading the store was interrupted")?
        .context("the open work can't be read from the store")
}

#[cfg(test)]
mod tests;

//! The driver: one loop, one owner of the engine.
//!
//! It gathers inputs, lets the engine handle them, commits all their writes in one transaction, and only then runs the effects. While a
//! commit is under way the next inputs gather, so one sync serves many. If a commit fails, its effects are dropped, whoever waited for it
//! is answered *unavailable*, and the engine is loaded again from the store exactly as at start: see [`trouble`].

mod trouble;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use stampmill_engine::{Answer, Config, Effect, Engine, Input, Output, ReplyTo, Write};
use stampmill_model::Now;
use stampmill_store::{Store, StoreError};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::limits::{INPUTS_A_BATCH, INPUTS_WAITING, STORE_PAUSE_LEAST};
use trouble::Trouble;

/// A look at the engine between two batches.
type Look = Box<dyn FnOnce(&Engine, Now) + Send>;

/// What the driver is sent.
enum Message {
    /// Nobody waits for an answer.
    Told(Box<Input>),
    /// Somebody waits under this number.
    Asked(u64, Box<Input>),
    View(Look),
}

/// Why the host can't answer now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Unavailable {
    /// It ends.
    #[error("it is ending")]
    Ending,
    /// Its store takes nothing.
    #[error("it can't store anything, because {0}")]
    Storing(&'static str),
}

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Result<Answer, Unavailable>>>>>;

/// The way in: cheap to clone, and closed when the driver has ended.
#[derive(Clone)]
pub(crate) struct DriverHandle {
    messages: mpsc::Sender<Message>,
    waiting: Waiting,
    next_reply: Arc<AtomicU64>,
    trouble: Trouble,
}

impl DriverHandle {
    /// Tells the engine something. Waits while the queue is full; after the driver has ended it does nothing, since the store then holds
    /// all that is needed to go on.
    pub(crate) async fn tell(&self, input: Input) {
        // A closed channel means that the host is ending.
        let _ = self.messages.send(Message::Told(Box::new(input))).await;
    }

    /// Tells the engine something and waits for its answer, which comes when what it says is durable. While nothing can be stored it is not
    /// told at all.
    pub(crate) async fn ask(&self, input: impl FnOnce(ReplyTo) -> Input) -> Result<Answer, Unavailable> {
        if let Some(trouble) = self.trouble.get() {
            return Err(Unavailable::Storing(trouble));
        }
        let number = self.next_reply.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        lock(&self.waiting).insert(number, answer);
        let guard = Forget { waiting: &self.waiting, number };
        let message = Message::Asked(number, Box::new(input(ReplyTo(number))));
        self.messages.send(message).await.map_err(|_| Unavailable::Ending)?;
        let answer = answered.await.map_err(|_| Unavailable::Ending);
        drop(guard);
        answer.flatten()
    }

    /// Why nothing can be stored at the moment, in a few words; `None` when all is well.
    pub(crate) fn trouble(&self) -> Option<&'static str> {
        self.trouble.get()
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
        self.messages.send(message).await.map_err(|_| Unavailable::Ending)?;
        // It is dropped while the store can't even be read.
        answered.await.map_err(|_| self.trouble.get().map_or(Unavailable::Ending, Unavailable::Storing))
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
    trouble: Trouble,
    /// How long the store is left alone after the next commit that fails.
    pause: Duration,
}

/// Nobody waits for a driver that has ended, however it has.
struct Gone {
    waiting: Waiting,
    stop: CancellationToken,
}

impl Drop for Gone {
    fn drop(&mut self) {
        lock(&self.waiting).clear();
        self.stop.cancel();
    }
}

/// Makes the way in, before there is a driver, so that what runs effects can hold it.
pub(crate) fn channel() -> (DriverHandle, Inbox) {
    let (sender, receiver) = mpsc::channel(INPUTS_WAITING);
    let (waiting, trouble) = (Waiting::default(), Trouble::default());
    let handle = DriverHandle {
        messages: sender,
        waiting: Arc::clone(&waiting),
        next_reply: Arc::new(AtomicU64::new(1)),
        trouble: trouble.clone(),
    };
    (handle, Inbox { messages: receiver, waiting, trouble })
}

/// The driver's end of its channel.
pub(crate) struct Inbox {
    messages: mpsc::Receiver<Message>,
    waiting: Waiting,
    trouble: Trouble,
}

impl<W: World> Driver<W> {
    /// Loads the open work and carries out what it asks for.
    ///
    /// # Errors
    /// When the store can't be read, or does not take what follows from that.
    pub(crate) async fn start(inbox: Inbox, store: Store, config: Arc<Config>, world: W) -> anyhow::Result<Self> {
        let (snapshot, last) = load(&store).await?;
        let clock = Clock::resume(last);
        let (engine, outputs) = Engine::new(Arc::clone(&config), snapshot, clock.now());
        let Inbox { messages, waiting, trouble } = inbox;
        let pause = STORE_PAUSE_LEAST;
        let mut driver = Self { engine, config, store, clock, messages, waiting, world, trouble, pause };
        driver.commit_and_act(outputs).context("the open work can't be taken up")?;
        Ok(driver)
    }

    /// Runs until `stop`, on a thread of its own: a commit blocks it, and nothing else. Answers when it has ended in order; one that panics
    /// stops all.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(crate) fn spawn(self, stop: CancellationToken) -> std::io::Result<oneshot::Receiver<()>> {
        let runtime = tokio::runtime::Handle::current();
        let (ended, end) = oneshot::channel();
        let gone = Gone { waiting: Arc::clone(&self.waiting), stop: stop.clone() };
        std::thread::Builder::new().name("driver".to_owned()).spawn(move || {
            let gone = gone;
            runtime.block_on(self.run(stop));
            drop(gone);
            // Whoever waited may have gone.
            let _ = ended.send(());
        })?;
        Ok(end)
    }

    /// Inputs that are still waiting at the stop are not handled: nobody was told that they were.
    async fn run(mut self, stop: CancellationToken) {
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
            self.handle(&mut batch, &stop).await;
        }
    }

    #[tracing::instrument(target = "stampmill::stage", name = "batch", level = "debug", skip_all)]
    async fn handle(&mut self, batch: &mut Vec<Message>, stop: &CancellationToken) {
        let now = self.clock.now();
        self.world.handled(batch.len());
        let mut outputs = Vec::new();
        let (mut asked, mut views) = (Vec::new(), Vec::new());
        for message in batch.drain(..) {
            let input = match message {
                Message::Told(input) => input,
                Message::Asked(number, input) => {
                    asked.push(number);
                    input
                }
                Message::View(look) => {
                    views.push(look);
                    continue;
                }
            };
            if let Input::Configured(config) = &*input {
                self.config = Arc::clone(config);
            }
            outputs.extend(self.engine.handle(now, *input));
        }
        if self.engine.next_deadline().is_some_and(|at| at <= now.steady) {
            outputs.extend(self.engine.handle(now, Input::Tick));
        }
        self.carry_out(outputs, asked, stop).await;
        for look in views {
            look(&self.engine, now);
        }
    }

    /// Commits, then acts. After a failed commit nobody who asked is told anything else but that, and the engine is loaded again.
    async fn carry_out(&mut self, mut outputs: Vec<Output>, mut asked: Vec<u64>, stop: &CancellationToken) {
        while let Err(error) = self.commit_and_act(outputs) {
            self.fall(&error.into(), std::mem::take(&mut asked));
            match self.recover(stop).await {
                Some(again) => outputs = again,
                None => return,
            }
        }
    }

    fn commit_and_act(&mut self, outputs: Vec<Output>) -> Result<(), StoreError> {
        let mut writes = Vec::new();
        let mut effects = Vec::new();
        for output in outputs {
            match output {
                Output::Write(write) => writes.push(write),
                Output::Effect(effect) => effects.push(effect),
            }
        }
        if !writes.is_empty() {
            self.commit(&writes)?;
            self.world.written(&writes);
            self.pause = STORE_PAUSE_LEAST;
        }
        for effect in effects {
            self.act(effect);
        }
        Ok(())
    }

    #[tracing::instrument(target = "stampmill::stage", name = "commit", level = "debug", skip_all)]
    fn commit(&self, writes: &[Write]) -> Result<(), StoreError> {
        self.store.commit(writes, self.clock.now().steady)
    }

    fn act(&mut self, effect: Effect) {
        match effect {
            Effect::Answer { reply, answer } => {
                if let Some(waiting) = lock(&self.waiting).remove(&reply.0) {
                    // Whoever asked may have gone.
                    let _ = waiting.send(Ok(answer));
                }
            }
            Effect::Warn { message } => tracing::warn!("{message}"),
            effect => self.world.run(effect),
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
mod faults;
#[cfg(test)]
mod obstacle;
#[cfg(test)]
mod tests;

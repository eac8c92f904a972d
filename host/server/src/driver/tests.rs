//! The driver on a disk that can be held and broken: what shares a commit, and what waits for it.

use std::io;
use std::sync::{Condvar, MutexGuard};

use futures_util::future::join_all;
use stampmill_model::SeenChange;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::obstacle::{self, Obstacle};
use super::*;

/// How long anything may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default, Debug)]
struct DiskState {
    syncs: usize,
    held: bool,
    /// Whether a sync waits for the disk to be let go.
    waits: bool,
    broken: bool,
}

/// A disk that counts its syncs, and that a test can hold or break.
#[derive(Default, Debug)]
struct Disk {
    state: Mutex<DiskState>,
    changed: Condvar,
}

impl Disk {
    fn state(&self) -> MutexGuard<'_, DiskState> {
        lock(&self.state)
    }

    fn set(&self, change: impl FnOnce(&mut DiskState)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// Waits until a sync waits; not to be called where the driver runs.
    fn wait_until_a_sync_waits(&self) {
        let waited = self.changed.wait_timeout_while(self.state(), PATIENCE, |state| !state.waits);
        let (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(state.waits && !timeout.timed_out(), "nothing was stored");
    }
}

impl Obstacle for Disk {
    fn sync(&self) -> io::Result<()> {
        let mut state = self.state();
        state.syncs += 1;
        state.waits = state.held;
        self.changed.notify_all();
        let mut state = self.changed.wait_while(state, |state| state.held).unwrap_or_else(PoisonError::into_inner);
        state.waits = false;
        if state.broken { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }
}

/// What the driver did besides deciding.
#[derive(Default)]
struct Seen {
    commits: Vec<usize>,
    effects: usize,
    failures: usize,
}

struct Watch(Arc<Mutex<Seen>>);

impl World for Watch {
    fn run(&mut self, _effect: Effect) {
        lock(&self.0).effects += 1;
    }

    fn handled(&mut self, _inputs: usize) {}

    fn failed(&mut self) {
        lock(&self.0).failures += 1;
    }

    fn written(&mut self, writes: &[Write]) {
        lock(&self.0).commits.push(writes.len());
    }
}

/// A driver that does not run yet, and what surrounds it.
struct Ready {
    driver: Option<Driver<Watch>>,
    handle: DriverHandle,
    store: Store,
    disk: Arc<Disk>,
    seen: Arc<Mutex<Seen>>,
    stop: CancellationToken,
    _directory: TempDir,
}

impl Ready {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("stampmill.toml");
        std::fs::write(&config, "[[worker]]\nname = \"local\"\n").unwrap();
        let config = Arc::clone(&crate::config::load(&config).unwrap().engine);
        let disk = Arc::new(Disk::default());
        let store = obstacle::store(&directory.path().join("data"), &disk);
        let (handle, inbox) = channel();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let driver = Driver::start(inbox, store.clone(), config, Watch(Arc::clone(&seen))).await.unwrap();
        Self { driver: Some(driver), handle, store, disk, seen, stop: CancellationToken::new(), _directory: directory }
    }

    /// Asks for so many changes to be taken; each ask is in the queue when this returns.
    async fn ask(&self, changes: usize) -> Vec<JoinHandle<Result<Answer, Unavailable>>> {
        let before = lock(&self.handle.waiting).len();
        let asks = (0..changes).map(|_| {
            let handle = self.handle.clone();
            tokio::spawn(async move { handle.ask(change).await })
        });
        let asks = asks.collect();
        while lock(&self.handle.waiting).len() < before + changes {
            tokio::task::yield_now().await;
        }
        // Whoever is in the list sends without waiting: the queue has room for all.
        tokio::task::yield_now().await;
        asks
    }

    fn run(&mut self) {
        let driver = self.driver.take().expect("it runs once");
        driver.spawn(self.stop.clone()).unwrap();
    }

    async fn a_sync_waits(&self) {
        let disk = Arc::clone(&self.disk);
        tokio::task::spawn_blocking(move || disk.wait_until_a_sync_waits()).await.unwrap();
    }

    async fn stored(&self) -> usize {
        let store = self.store.clone();
        let (snapshot, _) = tokio::task::spawn_blocking(move || store.load()).await.unwrap().unwrap();
        usize::try_from(snapshot.last.change.0).unwrap()
    }
}

fn change(reply: ReplyTo) -> Input {
    let change = SeenChange {
        author: "Ann".to_owned(),
        committer: None,
        comments: String::new(),
        files: Vec::new(),
        repository: "/r".to_owned(),
        project: String::new(),
        revision: None,
        branch: None,
        category: None,
        link: None,
        committed_at: None,
        properties: Vec::new(),
    };
    Input::ChangeSent { change, codebase: None, trusted: false, reply }
}

async fn answers(asks: Vec<JoinHandle<Result<Answer, Unavailable>>>) -> Vec<Result<Answer, Unavailable>> {
    let answers = tokio::time::timeout(PATIENCE, join_all(asks)).await.expect("everybody is answered");
    answers.into_iter().map(|answer| answer.expect("nobody panics")).collect()
}

fn taken(answer: &Result<Answer, Unavailable>) -> bool {
    matches!(answer, Ok(Answer::ChangesTaken(ids)) if ids.len() == 1)
}

#[tokio::test]
async fn inputs_that_wait_together_share_one_commit_and_its_syncs() {
    let mut ready = Ready::new().await;
    let many = ready.ask(200).await;
    let before = ready.disk.state().syncs;
    ready.run();
    assert!(answers(many).await.iter().all(taken));
    let together = ready.disk.state().syncs - before;
    assert_eq!(lock(&ready.seen).commits.len(), 1);
    assert!(lock(&ready.seen).commits[0] >= 200);

    assert!(taken(&ready.handle.ask(change).await));
    let alone = ready.disk.state().syncs - before - together;
    assert!(alone > 0, "what is answered was synced");
    assert_eq!(together, alone, "two hundred cost as many syncs as one");
    assert_eq!(lock(&ready.seen).commits.len(), 2);
    assert_eq!(ready.stored().await, 201);
    ready.stop.cancel();
}

#[tokio::test]
async fn what_comes_during_a_commit_shares_the_next_one_and_nobody_is_answered_before_it_is_durable() {
    let mut ready = Ready::new().await;
    ready.disk.set(|disk| disk.held = true);
    let first = ready.ask(1).await;
    ready.run();
    ready.a_sync_waits().await;
    let more = ready.ask(150).await;
    assert!(first.iter().chain(&more).all(|ask| !ask.is_finished()), "nothing is durable yet");
    assert!(lock(&ready.seen).commits.is_empty(), "and nobody who watches has been told");
    ready.disk.set(|disk| disk.held = false);
    assert!(answers(first).await.iter().chain(&answers(more).await).all(taken));
    assert_eq!(lock(&ready.seen).commits.len(), 2, "one for the first, one for all that came meanwhile");
    assert_eq!(ready.stored().await, 151);
    ready.stop.cancel();
}

#[tokio::test]
async fn a_commit_that_fails_is_told_to_whoever_waits_and_the_driver_goes_on() {
    let mut ready = Ready::new().await;
    ready.disk.set(|disk| disk.broken = true);
    let lost = ready.ask(3).await;
    ready.run();
    assert!(answers(lost).await.iter().all(|answer| *answer == Err(Unavailable::Storing("its disk fails"))));
    assert!(lock(&ready.seen).commits.is_empty(), "nobody was told of what is not stored");
    ready.disk.set(|disk| disk.broken = false);
    let asking = async {
        loop {
            // Refused until the driver has tried its disk again.
            match ready.handle.ask(change).await {
                Err(Unavailable::Storing(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
                answer => return answer,
            }
        }
    };
    let answer = tokio::time::timeout(PATIENCE, asking).await.unwrap();
    assert!(taken(&answer), "{answer:?}");
    assert!(lock(&ready.seen).failures >= 1);
    let Ok(Answer::ChangesTaken(ids)) = answer else { panic!("it was taken") };
    assert_eq!(ready.stored().await, usize::try_from(ids[0].0).unwrap(), "what was answered is stored");
    ready.stop.cancel();
}

#[tokio::test]
async fn a_driver_that_panics_stops_the_host_and_leaves_nobody_waiting() {
    let mut ready = Ready::new().await;
    let driver = ready.driver.take().expect("it runs once");
    let ended = driver.spawn(ready.stop.clone()).unwrap();
    ready.disk.set(|state| state.held = true);
    let asks = ready.ask(1).await;
    ready.a_sync_waits().await;
    let handle = ready.handle.clone();
    let look = tokio::spawn(async move { handle.view(|_, _| -> () { panic!("on purpose") }).await });
    let late = ready.ask(1).await;
    ready.disk.set(|state| state.held = false);
    for ask in asks {
        assert!(ask.await.unwrap().is_ok(), "it was stored before");
    }
    assert!(look.await.unwrap().is_err());
    for ask in late {
        // It may have been in the batch before the panic.
        let _ = tokio::time::timeout(PATIENCE, ask).await.expect("nobody waits for ever");
    }
    assert!(ended.await.is_err(), "that was no end in order");
    assert!(ready.stop.is_cancelled());
    assert_eq!(ready.handle.ask(change).await, Err(Unavailable::Ending));
}

//! The real engine and store on a disk that fails at a chosen operation: whatever it was, no effect runs that is not stored, whoever asked is
//! told, what was acknowledged is there, and all goes on by itself when the disk is well again.

use std::io;

use stampmill_engine::input::Submission;
use stampmill_model::{BuildEvent, BuildId, SeenChange, SourceStamp, WorkerInfo};
use stampmill_store::limits::JOURNAL_RECORD_BYTES_MAX;
use tempfile::TempDir;
use tokio::sync::Notify;

use super::obstacle::{self, Obstacle};
use super::*;

/// How long anything may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Error numbers, as the kernel gives them.
const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const EROFS: i32 = 30;

/// What becomes of the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    /// One operation fails.
    Once(i32),
    /// Every write, sync and change of length fails until it is mended.
    Lasting(i32),
    /// Reads too.
    Dead,
}

#[derive(Default, Debug)]
struct DiskState {
    /// Operations that still succeed, and what comes then.
    armed: Option<(usize, Fault)>,
    failed: bool,
}

#[derive(Default, Debug)]
struct Disk(Mutex<DiskState>);

impl Disk {
    fn arm(&self, after: usize, fault: Fault) {
        *lock(&self.0) = DiskState { armed: Some((after, fault)), failed: false };
    }

    /// Makes it well; answers whether it had failed.
    fn mend(&self) -> bool {
        let mut state = lock(&self.0);
        state.armed = None;
        state.failed
    }
}

impl Obstacle for Disk {
    fn change(&self) -> io::Result<()> {
        let mut state = lock(&self.0);
        let Some((left, fault)) = state.armed else { return Ok(()) };
        if left > 0 {
            state.armed = Some((left - 1, fault));
            return Ok(());
        }
        state.failed = true;
        let number = match fault {
            Fault::Once(number) => {
                state.armed = None;
                number
            }
            Fault::Lasting(number) => number,
            Fault::Dead => EIO,
        };
        Err(io::Error::from_raw_os_error(number))
    }

    fn look(&self) -> io::Result<()> {
        match *lock(&self.0) {
            DiskState { armed: Some((_, Fault::Dead)), failed: true } => Err(io::Error::from_raw_os_error(EIO)),
            _ => Ok(()),
        }
    }
}

/// What the world has seen, checked against the store at the very moment.
#[derive(Default)]
struct Seen {
    dispatched: Option<BuildId>,
    acknowledged: u64,
    failures: usize,
    wrong: Vec<String>,
}

struct Watch {
    seen: Arc<Mutex<Seen>>,
    store: Store,
    changed: Arc<Notify>,
}

impl Watch {
    fn check(&self, effect: &Effect) -> Result<(), String> {
        let (snapshot, _) = self.store.load().map_err(|error| format!("{effect:?} while {error}"))?;
        let stored = |id: BuildId| snapshot.builds.iter().find(|(build, _)| build.id == id);
        let fine = match effect {
            Effect::Dispatch { order, .. } => stored(order.build.id).is_some(),
            Effect::Acknowledge { build, sequence, .. } => stored(*build).is_none_or(|(_, stored)| stored >= sequence),
            _ => true,
        };
        if fine { Ok(()) } else { Err(format!("{effect:?} is not stored")) }
    }
}

impl World for Watch {
    fn run(&mut self, effect: Effect) {
        let wrong = self.check(&effect).err();
        let mut seen = lock(&self.seen);
        seen.wrong.extend(wrong);
        match effect {
            Effect::Dispatch { order, .. } => seen.dispatched = Some(order.build.id),
            Effect::Acknowledge { sequence, .. } => seen.acknowledged = seen.acknowledged.max(sequence),
            _ => {}
        }
        drop(seen);
        self.changed.notify_one();
    }

    fn handled(&mut self, _inputs: usize) {}

    fn failed(&mut self) {
        lock(&self.seen).failures += 1;
        self.changed.notify_one();
    }

    fn written(&mut self, _writes: &[Write]) {}
}

const CONFIG: &str = r#"
[[job]]
name = "nothing"
[[job.step]]
plugin = "shell"
config = { command = ["true"] }
grant = { command = ["true"] }
[[builder]]
name = "linux"
job = "nothing"
[[worker]]
name = "local"
"#;

/// A running driver with a build on its worker.
struct Running {
    handle: DriverHandle,
    store: Store,
    disk: Arc<Disk>,
    seen: Arc<Mutex<Seen>>,
    changed: Arc<Notify>,
    stop: CancellationToken,
    /// What the worker has not been told to be stored: events by their numbers.
    unheard: Vec<u64>,
    _directory: TempDir,
}

impl Running {
    async fn start(config: &Arc<Config>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let disk = Arc::new(Disk::default());
        let store = obstacle::store(&directory.path().join("data"), &disk);
        let (handle, inbox) = channel();
        let (seen, changed) = (Arc::new(Mutex::new(Seen::default())), Arc::new(Notify::new()));
        let watch = Watch { seen: Arc::clone(&seen), store: store.clone(), changed: Arc::clone(&changed) };
        let driver = Driver::start(inbox, store.clone(), Arc::clone(config), watch).await.unwrap();
        let stop = CancellationToken::new();
        driver.spawn(stop.clone()).unwrap();
        let mut running = Self { handle, store, disk, seen, changed, stop, unheard: Vec::new(), _directory: directory };
        running.connect().await;
        assert!(running.handle.ask(submission).await.is_ok());
        running.until(|seen| seen.dispatched.is_some()).await;
        running
    }

    fn build(&self) -> BuildId {
        lock(&self.seen).dispatched.expect("a build was given to the worker")
    }

    /// The worker comes, as after each cut, and tells again what it does not know to be stored.
    async fn connect(&mut self) {
        let builds = lock(&self.seen).dispatched.into_iter().collect();
        self.handle.tell(Input::WorkerConnected { worker: "local".into(), info: info(), builds }).await;
        let acknowledged = lock(&self.seen).acknowledged;
        self.unheard.retain(|sequence| *sequence > acknowledged);
        for sequence in self.unheard.clone() {
            self.tell(sequence).await;
        }
    }

    async fn tell(&self, sequence: u64) {
        let event = BuildEvent::Accepted;
        let told = Input::BuildTold { worker: "local".into(), build: self.build(), sequence, previous: 0, event };
        self.handle.tell(told).await;
    }

    async fn until(&self, done: impl Fn(&Seen) -> bool) {
        let waiting = async {
            while !done(&lock(&self.seen)) {
                self.changed.notified().await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("it comes");
    }

    /// The ids of the changes that are stored.
    fn changes(&self) -> Vec<u64> {
        let page = self.store.read().unwrap().changes(&stampmill_store::ChangeFilter::default(), None, 100).unwrap();
        page.items.iter().map(|change| change.id.0).collect()
    }
}

fn info() -> WorkerInfo {
    WorkerInfo {
        version: "0".to_owned(),
        os: "linux".to_owned(),
        arch: "x86_64".to_owned(),
        uname: Vec::new(),
        cores: 1,
        max_builds: 1,
        tier: stampmill_model::Tier::Sandboxed,
        mechanisms: Vec::new(),
        tools: [].into(),
    }
}

fn submission(reply: ReplyTo) -> Input {
    let submission = Submission {
        builders: vec!["linux".into()],
        stamps: vec![SourceStamp::default()],
        reason: "the test asks".to_owned(),
        owner: "somebody".to_owned(),
        properties: [].into(),
        priority: 0,
        external_id: None,
    };
    Input::Submitted { submission, reply }
}

fn change(reply: ReplyTo) -> Input {
    let change = SeenChange { author: "Ann".to_owned(), repository: "/r".to_owned(), ..SeenChange::default() };
    Input::ChangeSent { change, codebase: None, trusted: false, reply }
}

/// Whether the next commit has room in the store's journal, or goes into the database itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Journal {
    HasRoom,
    IsFull,
}

/// One fault; says whether it came.
async fn withstand(config: &Arc<Config>, journal: Journal, after: usize, fault: Fault) -> bool {
    let mut running = Running::start(config).await;
    if journal == Journal::IsFull {
        // It begins anew, and has room for the next change then, not for the one after that.
        let cursor = "x".repeat(JOURNAL_RECORD_BYTES_MAX - 5_000);
        for writes in [vec![], vec![Write::Cursor("nobody".into(), cursor)]] {
            running.store.commit(&writes, stampmill_model::Steady(0)).unwrap();
        }
    }
    let Ok(Answer::ChangesTaken(first)) = running.handle.ask(change).await else { panic!("all is well as yet") };
    running.disk.arm(after, fault);
    running.unheard.push(1);
    running.tell(1).await;
    let answer = tokio::time::timeout(PATIENCE, running.handle.ask(change)).await.expect("it is answered");
    if fault == Fault::Dead && lock(&running.seen).failures > 0 {
        assert_eq!(running.handle.ask(change).await, Err(Unavailable::Storing("its disk fails")));
    }
    let failed = running.disk.mend();
    let what = format!("{fault:?} after {after} operations, the journal {journal:?}");
    if failed {
        running.until(|seen| seen.failures > 0).await;
    }
    let mut acknowledged: Vec<u64> = first.iter().map(|id| id.0).collect();
    match answer {
        Ok(Answer::ChangesTaken(ids)) => acknowledged.extend(ids.iter().map(|id| id.0)),
        Err(Unavailable::Storing(words)) => assert!(failed && words.starts_with("its disk"), "{what}: {words}"),
        other => panic!("{what}: {other:?}"),
    }
    let asking = async {
        loop {
            match running.handle.ask(change).await {
                Ok(Answer::ChangesTaken(ids)) => return ids[0].0,
                Err(Unavailable::Storing(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
                other => panic!("{what}: {other:?}"),
            }
        }
    };
    acknowledged.push(tokio::time::timeout(PATIENCE, asking).await.expect("it goes on by itself"));
    assert_eq!(running.handle.trouble(), None, "{what}");
    running.connect().await;
    running.until(|seen| seen.acknowledged == 1).await;
    assert_eq!(lock(&running.seen).wrong, Vec::<String>::new(), "{what}");
    let stored = running.changes();
    assert!(acknowledged.iter().all(|id| stored.contains(id)), "{what}: {acknowledged:?} of {stored:?}");
    assert!(stored.len() <= acknowledged.len() + 2, "{what}: {acknowledged:?} of {stored:?}");
    running.stop.cancel();
    failed
}

#[tokio::test]
async fn a_disk_that_fails_at_any_operation_costs_nothing_that_was_acknowledged_and_nothing_runs_that_is_not_stored() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("stampmill.toml");
    std::fs::write(&path, CONFIG).unwrap();
    let config = Arc::clone(&crate::config::load(&path).unwrap().engine);
    let faults = [Fault::Once(EIO), Fault::Once(ENOSPC), Fault::Lasting(ENOSPC), Fault::Lasting(EROFS), Fault::Dead];
    // Side by side: most of the time is pauses.
    let each = faults.iter().flat_map(|fault| [Journal::HasRoom, Journal::IsFull].map(|journal| (*fault, journal)));
    let each = each.map(|(fault, journal)| {
        let config = Arc::clone(&config);
        async move {
            let mut came = 0;
            while withstand(&config, journal, came, fault).await {
                came += 1;
            }
            let least = if journal == Journal::IsFull { 10 } else { 2 };
            assert!(came >= least, "{fault:?} came at {came} operations only");
        }
    });
    futures_util::future::join_all(each).await;
}

#[tokio::test]
async fn a_host_that_is_asked_to_end_while_nothing_can_be_stored_ends() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("stampmill.toml");
    std::fs::write(&path, CONFIG).unwrap();
    let config = Arc::clone(&crate::config::load(&path).unwrap().engine);
    let running = Running::start(&config).await;
    running.disk.arm(0, Fault::Lasting(ENOSPC));
    assert_eq!(running.handle.ask(change).await, Err(Unavailable::Storing("its disk is full")));
    // Looking goes on, at what is stored.
    assert_eq!(running.handle.view(|engine, _| engine.workers().len()).await, Ok(1));
    running.stop.cancel();
    let ended = async {
        while !running.handle.messages.is_closed() {
            tokio::task::yield_now().await
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the driver ends");
}

//! The agent: what it holds, which builds it takes, how it ends.

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stampmill_model::{BuildOrder, Tier, TriggerState, TriggerWish, WorkerInfo};
use stampmill_protocol::{Event, HeldBuild, Order, Secret, SecretValue};
use stampmill_sandbox::{Cgroups, Floor, Helper, Identity, Limits};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::build::{self, Demand, Told};
use crate::components::Components;
use crate::config::{ConfigError, Requirement, WorkerConfig};
use crate::connection;
use crate::convert;
use crate::info;
use crate::journal::Journal;
use crate::limits::{FREE_BYTES_MIN, GOODBYE_GRACE, HAND_IN_GRACE, SANDBOXES_AHEAD_MAX, STOP_GRACE};
use crate::state_lock::{StateLock, holder};
use crate::workdir::{WorkDirectories, remove_unused};

/// Why an agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The configuration cannot be meant.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The state directory cannot be used.
    #[error("state directory {path}: {source}")]
    State {
        /// Which directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another worker process uses the state directory.
    #[error("state directory {path} is used by another worker process{}; end that one, or name another `state-dir`", .holder.map(|id| format!(" ({id})")).unwrap_or_default())]
    InUse {
        /// Which directory.
        path: PathBuf,
        /// The process.
        holder: Option<u32>,
    },
}

/// A worker.
pub struct Agent;

/// What all parts of the agent share.
pub(crate) struct Shared {
    pub(crate) config: WorkerConfig,
    pub(crate) info: WorkerInfo,
    pub(crate) helper: Helper,
    pub(crate) identity: Identity,
    pub(crate) sockets: PathBuf,
    pub(crate) components: Components,
    pub(crate) work: WorkDirectories,
    /// Told when there is something new to send.
    pub(crate) outbox: Arc<Notify>,
    builds: Mutex<BTreeMap<u64, Held>>,
    tasks: TaskTracker,
    /// Told when a build has ended or was handed in.
    changed: Notify,
    /// Since when there is no host; `None` while there is one.
    alone_since: watch::Sender<Option<Instant>>,
    stopping: CancellationToken,
    /// Cancelled when the host was told that the worker stops.
    goodbye: CancellationToken,
    _lock: StateLock,
}

/// A build that the worker holds: it runs, or something of it is not acknowledged.
struct Held {
    journal: Arc<Journal>,
    /// `None` once it has ended.
    demand: Option<watch::Sender<Demand>>,
    /// The buildsets that it has asked for.
    triggers: watch::Sender<Triggers>,
    /// The last step that has got its locks.
    unlocked: watch::Sender<Option<u32>>,
}

impl Held {
    fn new(journal: Arc<Journal>, demand: Option<watch::Sender<Demand>>) -> Self {
        Self { journal, demand, triggers: watch::Sender::default(), unlocked: watch::Sender::default() }
    }

    /// Whether it has a slot: one that waits for what it has triggered leaves it to others, perhaps to that.
    fn has_slot(&self) -> bool {
        self.demand.is_some() && !self.triggers.borrow().values().any(Asked::is_awaited)
    }
}

/// The buildsets that a build has asked for, by the numbers of its wishes.
pub(crate) type Triggers = BTreeMap<u32, Asked>;

/// A buildset that a build has asked for.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// Whether it outlives the build.
    detached: bool,
    /// What became of it, once the host has said so.
    pub(crate) state: Option<TriggerState>,
}

impl Asked {
    fn is_awaited(&self) -> bool {
        !self.detached && matches!(self.state, None | Some(TriggerState::Open { .. }))
    }
}

impl Agent {
    /// Runs a worker until `shutdown`. Connects, and connects again for ever; nothing that happens to the host ends it, unless its configuration
    /// says how long it goes on alone.
    ///
    /// `helper` is the program that puts up the sandbox: [`Helper::this_program`] when `main` begins with the sandbox's `enter_if_asked`.
    ///
    /// At `shutdown` its builds are ended within a grace period and reported for a retry, as far as the host is there to hear it.
    ///
    /// # Errors
    /// When the configuration cannot be meant or the state directory cannot be used.
    pub async fn run(config: WorkerConfig, helper: Helper, shutdown: CancellationToken) -> Result<(), AgentError> {
        config.check()?;
        let shared = Arc::new(Shared::new(config, helper).await?);
        let disconnect = CancellationToken::new();
        let connection = tokio::spawn(connection::keep(Arc::clone(&shared), disconnect.clone()));
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = shared.deserted() => {}
        }
        shared.stop().await;
        disconnect.cancel();
        if let Err(error) = connection.await {
            tracing::error!(%error, "the connection's task failed");
        }
        // With it end the sandboxes that are ready.
        let end = move || {
            drop(shared);
            stampmill_sandbox::settle();
        };
        if let Err(error) = tokio::task::spawn_blocking(end).await {
            tracing::error!(%error, "sandboxes could not be ended in order");
        }
        Ok(())
    }
}

impl Shared {
    pub(crate) async fn new(mut config: WorkerConfig, helper: Helper) -> Result<Self, AgentError> {
        let failed = |path: &Path, source| AgentError::State { path: path.to_owned(), source };
        make_private(&config.state_dir).map_err(|source| failed(&config.state_dir, source))?;
        config.state_dir = config.state_dir.canonicalize().map_err(|source| failed(&config.state_dir, source))?;
        let state = config.state_dir.clone();
        let Some(lock) = StateLock::take(&state).map_err(|source| failed(&state, source))? else {
            return Err(AgentError::InUse { holder: holder(&state), path: state });
        };
        let spool = state.join("spool");
        let sockets = state.join("s");
        for directory in [&spool, &sockets] {
            make_private(directory).map_err(|source| failed(directory, source))?;
        }
        clear(&sockets).map_err(|source| failed(&sockets, source))?;
        remove_unused(&state);
        let identity = if nix::unistd::geteuid().is_root() {
            Identity::Ids { uid: config.step_uid, gid: config.step_gid }
        } else {
            Identity::Own
        };
        // A task that fails leaves limits to be kept by watching, as where there are no groups.
        let cgroups = tokio::task::spawn_blocking(Cgroups::detect).await.unwrap_or_default();
        let helper = helper.with_cgroups(cgroups);
        let probed = helper.clone();
        let ahead = (config.max_builds as usize).min(SANDBOXES_AHEAD_MAX);
        let helper = helper.making_ahead(ahead, identity, program_limits(&config));
        let outbox = Arc::new(Notify::new());
        let killed = format!("worker `{}` was killed while it ran this", config.name);
        let recovered = Journal::recover(&spool, config.limits.spool_bytes, &outbox, &killed);
        let recovered = recovered.map_err(|source| failed(&spool, source))?;
        let held = |journal: Journal| {
            let held = Held::new(Arc::new(journal), None);
            (held.journal.build(), held)
        };
        Ok(Self {
            info: info::gather(&probed, config.max_builds).await,
            helper,
            identity,
            sockets,
            components: Components::new(&state, Arc::clone(&outbox)).map_err(|source| failed(&state, source))?,
            work: WorkDirectories::new(&state, identity).map_err(|source| failed(&state, source))?,
            outbox,
            builds: Mutex::new(recovered.into_iter().map(held).collect()),
            tasks: TaskTracker::new(),
            changed: Notify::new(),
            alone_since: watch::channel(Some(Instant::now())).0,
            stopping: CancellationToken::new(),
            goodbye: CancellationToken::new(),
            config,
            _lock: lock,
        })
    }

    /// What programs may use up.
    pub(crate) fn program_limits(&self) -> Limits {
        program_limits(&self.config)
    }

    /// What must be in force for a program to run.
    pub(crate) fn floor(&self) -> Floor {
        match self.config.require {
            Requirement::Sandboxed => Floor::Required,
            Requirement::Degraded | Requirement::WasmOnly => Floor::Degraded,
        }
    }

    /// The builds for the greeting.
    pub(crate) fn held(&self) -> Vec<HeldBuild> {
        let held =
            |(build, held): (&u64, &Held)| HeldBuild { build: *build, last_sequence: held.journal.last_sequence() };
        self.builds().iter().map(held).collect()
    }

    /// All journals, by build.
    pub(crate) fn journals(&self) -> Vec<Arc<Journal>> {
        self.builds().values().map(|held| Arc::clone(&held.journal)).collect()
    }

    /// The host wants a build to be run. One that the worker holds already is a doubled message.
    pub(crate) fn dispatch(self: &Arc<Self>, order: Order, secrets: Vec<Secret>) {
        let build = order.build.id;
        let mut builds = self.builds();
        if builds.contains_key(&build) {
            return;
        }
        let spool = self.config.state_dir.join("spool");
        let journal = Journal::create(&spool, build, self.config.limits.spool_bytes, Arc::clone(&self.outbox));
        let journal = match journal {
            Ok(journal) => Arc::new(journal),
            Err(error) => {
                // Without a journal nothing can be said of it; the host sees that it is missing when the worker connects next.
                tracing::error!(build, %error, "a build cannot be taken");
                return;
            }
        };
        let order = Arc::new(convert::order_from_wire(order));
        let running = builds.values().filter(|held| held.has_slot()).count();
        let answer = match self.refusal(&order, running) {
            Some(reason) => Event::Declined { reason },
            None => Event::Accepted,
        };
        let accepted = answer == Event::Accepted;
        if let Err(error) = journal.tell(answer) {
            tracing::error!(build, %error, "a build cannot be answered");
            return;
        }
        let (demand, wanted) = watch::channel(Demand::GoOn);
        let held = Held::new(Arc::clone(&journal), accepted.then_some(demand));
        let (triggers, unlocked) = (held.triggers.subscribe(), held.unlocked.subscribe());
        builds.insert(build, held);
        drop(builds);
        if accepted {
            let secrets: BTreeMap<String, SecretValue> =
                secrets.into_iter().map(|secret| (secret.name, secret.value)).collect();
            let agent = Arc::clone(self);
            self.tasks.spawn(async move {
                build::drive(Arc::clone(&agent), journal, order, secrets, Told { demand: wanted, triggers, unlocked })
                    .await;
                agent.ended(build);
            });
        }
    }

    /// Why the worker will not run a build, if it won't.
    fn refusal(&self, order: &BuildOrder, running: usize) -> Option<String> {
        let name = &self.config.name;
        if self.stopping.is_cancelled() {
            return Some(format!("worker `{name}` is stopping"));
        }
        if order.build.worker.as_str() != name {
            return Some(format!("this is worker `{name}`, the build is for `{}`", order.build.worker));
        }
        let most = self.config.max_builds as usize;
        if running >= most {
            return Some(format!("worker `{name}` runs {running} builds already, the most is {most}"));
        }
        let required = match self.config.require {
            Requirement::Sandboxed => Tier::Sandboxed,
            Requirement::Degraded => Tier::Degraded,
            Requirement::WasmOnly => Tier::WasmOnly,
        };
        if self.info.tier > required {
            return Some(format!(
                "worker `{name}` can fence programs in only as `{}`, its configuration requires `{}`; see its mechanisms",
                self.info.tier.as_str(),
                required.as_str()
            ));
        }
        for step in &order.job.steps {
            if let Err(refused) = self.config.allow.effective(&step.plugin.name, &step.grant) {
                return Some(format!("step `{}`: {refused}", step.name));
            }
        }
        free_bytes(&self.config.state_dir).filter(|free| *free < FREE_BYTES_MIN).map(|free| {
            let state = self.config.state_dir.display();
            format!("worker `{name}` has only {free} bytes of disk left in {state}, the least is {FREE_BYTES_MIN}")
        })
    }

    /// The host wants a build to end; asked twice, at once.
    pub(crate) fn cancel(&self, build: u64, reason: &str) {
        self.demand(build, |now| match now {
            Demand::GoOn => Demand::Cancel { reason: reason.to_owned() },
            _ => Demand::CancelNow { reason: reason.to_owned() },
        });
    }

    /// The host says how far a buildset is that a build has triggered.
    pub(crate) fn triggered(&self, build: u64, number: u32, state: TriggerState) {
        if let Some(held) = self.builds().get(&build) {
            held.triggers.send_modify(|triggers| triggers.entry(number).or_default().state = Some(state));
        }
    }

    /// The host says that a step of a build has its locks.
    pub(crate) fn locks_taken(&self, build: u64, step: u32) {
        if let Some(held) = self.builds().get(&build) {
            held.unlocked.send_replace(Some(step));
        }
    }

    /// A build is about to ask for a buildset, or could not.
    pub(crate) fn asks(&self, build: u64, number: u32, wish: Option<&TriggerWish>) {
        if let Some(held) = self.builds().get(&build) {
            held.triggers.send_modify(|triggers| match wish {
                Some(wish) => triggers.entry(number).or_default().detached = wish.detached,
                None => drop(triggers.remove(&number)),
            });
        }
    }

    /// The host wants to hear no more of a build.
    pub(crate) fn forget(&self, build: u64) {
        self.demand(build, |_| Demand::Forget);
        let mut builds = self.builds();
        if let Some(held) = builds.get(&build) {
            held.journal.forget();
            if held.demand.is_none() {
                builds.remove(&build);
            }
        }
    }

    /// Everything of a build up to a sequence is durable.
    pub(crate) fn acknowledge(&self, build: u64, sequence: u64) {
        let mut builds = self.builds();
        if builds.get(&build).is_some_and(|held| held.journal.acknowledge(sequence)) {
            builds.remove(&build);
            drop(builds);
            self.changed.notify_waiters();
        }
    }

    fn demand(&self, build: u64, wanted: impl Fn(&Demand) -> Demand) {
        let builds = self.builds();
        if let Some(sender) = builds.get(&build).and_then(|held| held.demand.as_ref()) {
            sender.send_if_modified(|now| {
                let wanted = wanted(now);
                let stronger = wanted > *now;
                if stronger {
                    *now = wanted;
                }
                stronger
            });
        }
    }

    fn ended(&self, build: u64) {
        let mut builds = self.builds();
        if let Some(held) = builds.get_mut(&build) {
            held.demand = None;
            if held.journal.is_over() {
                builds.remove(&build);
            }
        }
        drop(builds);
        self.changed.notify_waiters();
    }

    /// The host has welcomed this worker.
    pub(crate) fn met(&self) {
        self.alone_since.send_replace(None);
    }

    /// The connection has ended, or there was none; answers whether the host had welcomed this worker.
    pub(crate) fn parted(&self) -> bool {
        self.alone_since.send_if_modified(|since| since.is_none().then(|| *since = Some(Instant::now())).is_some())
    }

    /// Waits until there was no host for as long as the configuration bears it, and no build runs.
    async fn deserted(&self) {
        let Some(seconds) = self.config.end_without_host_seconds else {
            return std::future::pending().await;
        };
        let limit = Duration::from_secs(seconds);
        let mut alone = self.alone_since.subscribe();
        loop {
            let since = *alone.borrow_and_update();
            let Some(since) = since else {
                // The sender lives as long as this does.
                let _ = alone.changed().await;
                continue;
            };
            tokio::select! {
                _ = alone.changed() => continue,
                () = tokio::time::sleep_until(since + limit) => {}
            }
            let at_rest = |held: &BTreeMap<u64, Held>| held.values().all(|held| held.demand.is_none());
            tokio::select! {
                _ = alone.changed() => {}
                () = self.until(at_rest) => {
                    tracing::warn!("no host for {seconds} s: this worker ends; what it could not hand in stays in {}", self.config.state_dir.display());
                    return;
                }
            }
        }
    }

    /// Whether the worker takes no more builds.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// The host was told that the worker stops.
    pub(crate) fn said_goodbye(&self) {
        self.goodbye.cancel();
    }

    /// Ends all builds for a retry and waits, for a while, until the host has heard of it.
    async fn stop(&self) {
        self.stopping.cancel();
        self.outbox.notify_one();
        // A host that is away can't be told.
        let _ = tokio::time::timeout(GOODBYE_GRACE, self.goodbye.cancelled()).await;
        let reason = format!("worker `{}` was stopped", self.config.name);
        let running: Vec<u64> = self.builds().keys().copied().collect();
        for build in running {
            self.demand(build, |_| Demand::Abandon { reason: reason.clone() });
        }
        let at_rest = |held: &BTreeMap<u64, Held>| held.values().all(|held| held.demand.is_none());
        self.wait_until(at_rest, STOP_GRACE).await;
        let all: Vec<u64> = self.builds().keys().copied().collect();
        for build in all {
            // What has not ended by now is killed; its journal is dropped at the next start, and the host retries it.
            self.demand(build, |_| Demand::Forget);
        }
        self.wait_until(BTreeMap::is_empty, HAND_IN_GRACE).await;
    }

    /// Waits until no task of a build is left.
    pub(crate) async fn at_rest(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn wait_until(&self, done: impl Fn(&BTreeMap<u64, Held>) -> bool, limit: Duration) {
        // Whoever calls this goes on in any case.
        let _ = tokio::time::timeout(limit, self.until(done)).await;
    }

    async fn until(&self, done: impl Fn(&BTreeMap<u64, Held>) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if done(&self.builds()) {
                return;
            }
            changed.await;
        }
    }

    fn builds(&self) -> MutexGuard<'_, BTreeMap<u64, Held>> {
        self.builds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn program_limits(config: &WorkerConfig) -> Limits {
    let limits = &config.limits;
    Limits {
        memory_bytes: limits.memory_bytes,
        processes: limits.processes,
        open_files: limits.open_files,
        scratch_bytes: limits.scratch_bytes,
        file_bytes: limits.file_bytes,
        ..Limits::default()
    }
}

fn make_private(directory: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// Removes the sockets of proxies that a worker left behind when it was killed.
fn clear(sockets: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(sockets)? {
        std::fs::remove_file(entry?.path())?;
    }
    Ok(())
}

fn free_bytes(directory: &Path) -> Option<u64> {
    let found = nix::sys::statvfs::statvfs(directory).ok()?;
    Some(found.blocks_available() * found.fragment_size())
}

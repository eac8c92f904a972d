//! A house for tests: a store with a little of everything in a temporary directory, and a host that remembers what it was asked. Texts are as
//! hostile as a repository can make them.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use stampmill_engine::{Answer, ChangeWait, Explanation, Write};
use stampmill_model::*;
use stampmill_service::*;
use stampmill_store::logs::Frame;
use tokio::sync::{broadcast, watch};

/// A text that runs when it is put into a page unescaped.
pub(crate) const HOSTILE: &str = "<script>alert('x')</script>\"'&";
/// Milliseconds since 1970 at which everything happens.
pub(crate) const NOON: u64 = 1_772_366_400_000;

/// The service with what is behind it.
pub(crate) struct House {
    pub(crate) store: Store,
    pub(crate) accounts: Accounts,
    pub(crate) host: Arc<FakeHost>,
    pub(crate) service: Arc<Service>,
    _directory: tempfile::TempDir,
}

impl House {
    /// A house that can be reached so.
    pub(crate) fn new(access: Access) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(directory.path()).expect("a new store opens");
        fill(&store);
        let host = Arc::new(FakeHost::new());
        let accounts = Accounts::new(store.clone());
        let service = Arc::new(Service::new(accounts.clone(), host.clone(), access));
        Self { store, accounts, host, service, _directory: directory }
    }

    /// Secret of a token with this role.
    pub(crate) fn token(&self, role: Role) -> String {
        let made = self.accounts.add_token(role.as_str(), role.as_str(), role, None);
        made.expect("a token can be made").1.reveal().to_owned()
    }

    /// Cookie header and csrf token of a user with this role who has logged in.
    pub(crate) async fn log_in(&self, role: Role) -> (String, String) {
        let password = stampmill_service::password::Password::parse("correct horse".into()).expect("long enough");
        self.accounts.add_user(role.as_str(), &password, role).expect("a new user");
        let peer = Peer::Tcp(([192, 0, 2, 1], 40_000).into());
        let cookie =
            self.service.log_in(role.as_str(), "correct horse".into(), peer).await.expect("the password is right");
        let cookie = cookie.split(';').next().expect("a cookie has a value").to_owned();
        let headers = [("cookie", cookie.as_str())].map(|(name, value)| {
            (http::HeaderName::from_static(name), http::HeaderValue::from_str(value).expect("a cookie is ASCII"))
        });
        let who = self.service.identify(peer, &headers.into_iter().collect()).expect("the cookie is known");
        (cookie, who.csrf().to_owned())
    }
}

/// A host that remembers what it was asked and answers that all is well.
pub(crate) struct FakeHost {
    asks: Mutex<Vec<Ask>>,
    calls: Mutex<Vec<HookCall>>,
    /// Tells everybody who watches.
    pub(crate) events: broadcast::Sender<Arc<Event>>,
    /// Whether it is about to end.
    pub(crate) ends: watch::Sender<bool>,
    catalogue: Arc<Catalogue>,
}

impl FakeHost {
    fn new() -> Self {
        Self {
            asks: Mutex::default(),
            calls: Mutex::default(),
            events: broadcast::channel(16).0,
            ends: watch::Sender::new(false),
            catalogue: Arc::new(catalogue()),
        }
    }

    /// What it was asked, and which hooks were called, since the last time.
    pub(crate) fn asked(&self) -> (Vec<Ask>, Vec<HookCall>) {
        let asks = std::mem::take(&mut *self.asks.lock().expect("no test panics with it"));
        (asks, std::mem::take(&mut *self.calls.lock().expect("no test panics with it")))
    }
}

#[async_trait]
impl Host for FakeHost {
    async fn submit(&self, ask: Ask) -> Result<Answer, Unavailable> {
        let answer = match &ask {
            Ask::Force(_) | Ask::Try(_) | Ask::Submit(_) | Ask::Rebuild(_) => {
                Answer::Buildset { id: BuildsetId(3), requests: vec![RequestId(3)] }
            }
            Ask::SendChange { .. } => Answer::ChangesTaken(vec![ChangeId(1)]),
            Ask::CancelBuild { .. }
            | Ask::CancelRequest { .. }
            | Ask::Approve { .. }
            | Ask::DisableScheduler { .. }
            | Ask::EnableScheduler(_)
            | Ask::PauseWorker { .. }
            | Ask::ResumeWorker(_)
            | Ask::PollNow(_) => Answer::Done,
        };
        self.asks.lock().expect("no test panics with it").push(ask);
        Ok(answer)
    }

    async fn hook(&self, _: &ChangeSourceName, call: HookCall) -> Result<HookAnswer, Unavailable> {
        self.calls.lock().expect("no test panics with it").push(call);
        Ok(HookAnswer { status: 202, body: "taken".into() })
    }

    async fn explain_request(&self, request: RequestId) -> Result<Option<Explanation>, Unavailable> {
        Ok((request == RequestId(3)).then(|| Explanation {
            summary: format!("no worker fits {HOSTILE}"),
            position: Some(1),
            workers: vec![("w1".into(), "lacks the tag windows".into())],
        }))
    }

    async fn explain_change(&self, change: ChangeId) -> Result<Vec<ChangeWait>, Unavailable> {
        let wait = |until| ChangeWait { scheduler: "quick".into(), reason: format!("waits for {HOSTILE}"), until };
        Ok(if change == ChangeId(1) { vec![wait(None), wait(Some(Wall(NOON)))] } else { Vec::new() })
    }

    async fn workers(&self) -> Result<Vec<WorkerView>, Unavailable> {
        let worker = |name: &str, state, running| WorkerView {
            name: name.into(),
            tags: vec!["linux".into(), HOSTILE.into()],
            max_builds: Some(2),
            running,
            paused: (name == "w2").then(|| Halt { by: "ann".into(), reason: HOSTILE.into(), at: Wall(NOON) }),
            state,
        };
        Ok(vec![
            worker(
                "w1",
                WorkerState::Connected { since: Wall(NOON), info: worker_info(Tier::Sandboxed) },
                vec![BuildId(2)],
            ),
            worker("w2", WorkerState::Away { since: Wall(NOON), info: worker_info(Tier::Degraded) }, vec![]),
            worker("w3", WorkerState::NeverSeen, vec![]),
        ])
    }

    async fn change_sources(&self) -> Result<Vec<ChangeSourceView>, Unavailable> {
        let source = |name: &str, kind, trouble| ChangeSourceView {
            name: name.into(),
            plugin: "git-poller".into(),
            kind,
            trusted: false,
            trouble,
        };
        let every = Milliseconds::from_seconds(30);
        let poller = ChangeSourceKind::Poller { every, next_poll_in: Some(Milliseconds(12_345)) };
        Ok(vec![source("app", poller, Some(HOSTILE.into())), source("forge", ChangeSourceKind::Hook, None)])
    }

    async fn schedulers(&self) -> Result<Vec<SchedulerNow>, Unavailable> {
        let halt = Halt { by: "ann".into(), reason: HOSTILE.into(), at: Wall(NOON) };
        let now = |name: &str, disabled, waiting, next_at| SchedulerNow {
            disabled,
            waiting,
            next_at,
            ..SchedulerNow::idle(name.into())
        };
        Ok(vec![
            now("quick", Some(halt), 3, None),
            now("force", None, 0, None),
            now("night", None, 0, Some(Wall(NOON))),
        ])
    }

    fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(&self.catalogue)
    }

    fn figures(&self) -> Figures {
        Figures {
            started_at: Wall(NOON),
            builds_finished: vec![(Outcome::Failure, 1)],
            changes_taken: 1,
            commits: 5,
            inputs: 9,
            trouble: None,
        }
    }

    async fn reload(&self) -> Result<(), ReloadError> {
        Err(ReloadError::Refused("stampmill.toml:3:1: unknown key `bilders`; did you mean `builders`?".into()))
    }

    async fn ending(&self) {
        // The sender lives as long as this does.
        let _ = self.ends.subscribe().wait_for(|ends| *ends).await;
    }

    fn subscribe(&self) -> broadcast::Receiver<Arc<Event>> {
        self.events.subscribe()
    }
}

fn catalogue() -> Catalogue {
    let builder = |name: &str| BuilderView {
        name: name.into(),
        project: "app".into(),
        description: HOSTILE.into(),
        interested: vec!["Sheriff <sheriff@example.org>".into(), HOSTILE.into()],
        worker_tags: vec![name.to_owned()],
        worker_names: vec![],
        tier: Tier::Sandboxed,
        job: "c-project".into(),
        steps: ["git", "compile", "test"].map(|step| StepOfJob { name: step.into(), plugin: "shell".into() }).into(),
    };
    let scheduler = |name: &str, kind: &str, when: &str| SchedulerView {
        name: name.into(),
        kind: kind.into(),
        when: when.into(),
        builders: vec!["linux".into()],
        codebases: vec![CodebaseDefault {
            codebase: "app".into(),
            repository: "https://git.example/app.git".into(),
            branch: Some("main".into()),
            revision: None,
        }],
        filters: vec![],
        form: (kind == "force").then(stampmill_service::Form::default),
    };
    Catalogue {
        title: "Mill & <i>Co".into(),
        builders: vec![builder("linux"), builder("windows")],
        schedulers: vec![
            scheduler("quick", "single-branch", &format!("on changes of `{HOSTILE}`, at once")),
            scheduler("force", "force", "when a person asks"),
            scheduler("night", "nightly", "at 03:00"),
        ],
        plugins: vec![PluginView {
            name: "shell".into(),
            kind: "step".into(),
            version: "0.1.0".into(),
            digest: Digest("0123456789abcdef".repeat(4).into()),
            summary: HOSTILE.into(),
            asks: vec!["command".into()],
            imports: vec!["stampmill:host/command@0.1.0".into()],
            uses: vec![PluginUse {
                place: "step compile of job c-project".into(),
                grant: Grant { command: vec!["make".into(), HOSTILE.into()], ..Grant::default() },
            }],
        }],
        hooks: vec!["forge".into()],
        change_sources: vec!["app".into(), "forge".into()],
        body_bytes_max: 1024 * 1024,
        version: "0.1.0".into(),
    }
}

fn worker_info(tier: Tier) -> WorkerInfo {
    WorkerInfo {
        version: "0.1.0".into(),
        os: "linux".into(),
        arch: "x86_64".into(),
        uname: vec!["Linux".into(), HOSTILE.into()],
        cores: 2,
        max_builds: 1,
        tier,
        mechanisms: vec![Mechanism { name: "landlock".into(), works: tier == Tier::Sandboxed, detail: HOSTILE.into() }],
        tools: [("git".to_owned(), "2.47".to_owned())].into(),
    }
}

fn stamp() -> SourceStamp {
    SourceStamp {
        codebase: "app".into(),
        repository: "https://git.example/app.git".into(),
        branch: Some(HOSTILE.into()),
        revision: Some("0123456789abcdef0123456789abcdef01234567".into()),
        trusted: true,
        changes: vec![ChangeId(1)],
        ..SourceStamp::default()
    }
}

fn change() -> Change {
    Change {
        id: ChangeId(1),
        source: Some("app".into()),
        arrived_at: Wall(NOON),
        trusted: true,
        seen: SeenChange {
            author: format!("Ann{HOSTILE} <ann@example.org>"),
            comments: format!("{HOSTILE}\n\nmore {HOSTILE}"),
            files: vec![HOSTILE.into(), "src/main.c".into()],
            repository: "javascript:alert(1)".into(),
            revision: Some("0123456789abcdef0123456789abcdef01234567".into()),
            branch: Some(HOSTILE.into()),
            link: Some("javascript:alert(1)".into()),
            ..SeenChange::default()
        },
        codebase: Some("app".into()),
        trouble: None,
        decisions: vec![Decision { scheduler: "quick".into(), verdict: Verdict::Important, reason: HOSTILE.into() }],
        decided: true,
        buildsets: vec![BuildsetId(1)],
    }
}

fn buildset(id: u64, requests: &[u64], state: BuildsetState) -> Buildset {
    Buildset {
        id: BuildsetId(id),
        reason: HOSTILE.into(),
        scheduler: Some("quick".into()),
        owner: Some(HOSTILE.into()),
        stamps: vec![stamp()],
        blamelist: vec![HOSTILE.into()],
        properties: Properties::new(),
        requests: requests.iter().copied().map(RequestId).collect(),
        external_id: None,
        parent: None,
        depth: 0,
        superseded: false,
        submitted_at: Wall(NOON),
        state,
    }
}

fn request(id: u64, set: u64, builder: &str, state: RequestState) -> Request {
    Request {
        id: RequestId(id),
        buildset: BuildsetId(set),
        builder: builder.into(),
        priority: 0,
        only_worker: None,
        submitted_at: Wall(NOON),
        attempts: 1,
        losses: 0,
        merge_key: MergeKey::Unasked,
        state,
    }
}

fn step(number: u32, name: &str, logs: &[&str], state: StepState) -> Step {
    Step {
        number,
        name: name.into(),
        summary: HOSTILE.into(),
        logs: logs.iter().map(|log| (*log).to_owned()).collect(),
        network: Network {
            attempts: vec![NetworkAttempt {
                protocol: NetworkProtocol::Socks5,
                target: HOSTILE.into(),
                address: Some(std::net::IpAddr::from([10, 0, 0, 5])),
                end: NetworkEnd::Refused,
                why: HOSTILE.into(),
                count: 1_000_000,
            }],
            unlisted: 3,
        },
        locks: Vec::new(),
        lock_state: LockState::Idle,
        state,
    }
}

fn build(id: u64, steps: Vec<Step>, state: BuildState) -> Build {
    let property = Property { value: HOSTILE.into(), source: PropertySource::Step(HOSTILE.into()) };
    Build {
        id: BuildId(id),
        number: id,
        builder: "linux".into(),
        project: "app".into(),
        request: RequestId(id),
        buildset: BuildsetId(id),
        merged: Vec::new(),
        locks: Vec::new(),
        triggers: vec![Trigger {
            step: 0,
            scheduler: "deploy".into(),
            detached: false,
            state: TriggerState::Refused { reason: HOSTILE.into() },
        }],
        attempt: 1,
        worker: "w1".into(),
        reason: HOSTILE.into(),
        owner: None,
        stamps: vec![stamp()],
        blamelist: vec![HOSTILE.into()],
        properties: [(HOSTILE.to_owned(), property)].into(),
        steps,
        started_at: Wall(NOON),
        state,
    }
}

fn notice() -> Notice {
    Notice {
        id: NoticeId(1),
        reporter: "webhook".into(),
        occasion: OccasionKind::BuildFinished,
        subject: Subject::Build(BuildId(1)),
        attempt: 12,
        state: NoticeState::Dead { error: "connection refused".into(), at: Wall(NOON) },
    }
}

fn fill(store: &Store) {
    let ended = |outcome| StepState::Finished { started_at: Wall(NOON), at: Wall(NOON + 4_200), outcome };
    let failed = build(
        1,
        vec![
            step(0, "git", &["stdio"], ended(Outcome::Success)),
            step(1, "compile", &["stdio", "empty"], ended(Outcome::Failure)),
            step(2, "test", &[], ended(Outcome::Skipped)),
        ],
        BuildState::Finished { outcome: Outcome::Failure, summary: HOSTILE.into(), at: Wall(NOON + 9_000) },
    );
    let running = build(
        2,
        vec![
            step(0, "git", &[], ended(Outcome::Success)),
            step(1, "compile", &["stdio"], StepState::Running { started_at: Wall(NOON) }),
            step(2, "test", &[], StepState::Waiting),
        ],
        BuildState::Running,
    );
    let writes = [
        Write::Change(change().into()),
        Write::Buildset(
            buildset(1, &[1], BuildsetState::Finished { outcome: Outcome::Failure, at: Wall(NOON) }).into(),
        ),
        Write::Request(
            request(
                1,
                1,
                "linux",
                RequestState::Complete {
                    outcome: Outcome::Failure,
                    build: Some(BuildId(1)),
                    at: Wall(NOON),
                    reason: String::new(),
                },
            )
            .into(),
        ),
        Write::Build(failed.into()),
        Write::Buildset(buildset(2, &[2], BuildsetState::Open { will_fail: false }).into()),
        Write::Request(request(2, 2, "linux", RequestState::Building(BuildId(2))).into()),
        Write::Build(running.into()),
        Write::Buildset(buildset(3, &[3, 4], BuildsetState::Open { will_fail: true }).into()),
        Write::Request(request(3, 3, "windows", RequestState::Pending).into()),
        Write::Request(request(4, 3, "linux", RequestState::AwaitingApproval).into()),
        Write::Notice(notice()),
    ];
    store.commit(&writes, Steady(1)).expect("the first commit");
    let mut text: String = (1..=999).map(|number| format!("line {number}\n")).collect();
    text.push_str("\u{1b}[31merror\u{1b}[0m: <b>bold</b> & so on");
    store.logs().append(BuildId(1), &[frame(1, 0, 0, text.as_bytes())]).expect("a log");
    store.logs().finish(BuildId(1), None).expect("an end");
    store.logs().append(BuildId(2), &[frame(1, 0, 0, b"one\ntwo\n\xff\nhalf a li")]).expect("a log");
    store.logs().sync(&[BuildId(1), BuildId(2)]).expect("durable logs");
}

/// A piece of the log `stdio`.
pub(crate) fn frame(step: u32, ordinal: u64, first_line: u64, text: &[u8]) -> Frame {
    Frame {
        step,
        log: "stdio".into(),
        ordinal,
        first_line,
        newlines: u32::try_from(text.iter().filter(|byte| **byte == b'\n').count()).expect("few lines"),
        raw_len: u32::try_from(text.len()).expect("a short text"),
        body: zstd::encode_all(text, 1).expect("zstd works in memory"),
    }
}

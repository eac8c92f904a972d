//! One of everything, for tests: with every field filled in, so that one that is lost on the way is seen.

use std::sync::Arc;

use serde_json::json;
pub(crate) use stampmill_engine::OccasionKind;
pub(crate) use stampmill_engine::Write;
pub(crate) use stampmill_engine::output;
pub(crate) use stampmill_engine::output::{Delivery, Notice, NoticeState, SchedulerState, Subject, WorkerKept};
pub(crate) use stampmill_model::*;

use crate::{Session, Token, TokenKind, User};

pub(crate) const PATCH: &[u8] = b"--- a\n+++ b\n\xff";

pub(crate) fn full_change() -> Change {
    Change {
        id: ChangeId(7),
        source: Some("forge".into()),
        arrived_at: Wall(1_700_000_000_123),
        trusted: true,
        seen: SeenChange {
            author: "Ann <ann@example.org>".to_owned(),
            committer: Some("Bob".to_owned()),
            comments: "first\n\nsecond: ümläut".to_owned(),
            files: vec!["a.c".to_owned(), "\"b\\303\".c".to_owned()],
            repository: "https://git.example/app.git".to_owned(),
            project: "app".to_owned(),
            revision: Some("abc123".to_owned()),
            branch: Some("main".to_owned()),
            category: Some("release".to_owned()),
            link: Some("https://git.example/app/abc123".to_owned()),
            committed_at: Some(Wall(1_699_999_999_000)),
            properties: vec![
                ("nested".to_owned(), json!({"z": [1, 2.5, "x", {"b": null, "c": true}], "a": 1.0})),
                ("large".to_owned(), json!(u64::MAX)),
            ],
        },
        codebase: Some("app".to_owned()),
        trouble: Some("the generator failed".to_owned()),
        decisions: [Verdict::Important, Verdict::Unimportant, Verdict::Ignored, Verdict::Failed]
            .into_iter()
            .map(|verdict| Decision { scheduler: "quick".into(), verdict, reason: verdict.as_str().to_owned() })
            .collect(),
        decided: true,
        buildsets: vec![BuildsetId(3), BuildsetId(4)],
    }
}

pub(crate) fn person() -> Person {
    let attribute = |text| Attribute::parse(text).unwrap();
    Person {
        id: PersonId(4),
        name: "Ann Example".to_owned(),
        attributes: ["email:ann@example.org", "irc:ann_", "user:ann"].map(attribute).into(),
        since: Wall(1_700_000_000_123),
    }
}

pub(crate) fn bare_person() -> Person {
    Person { attributes: Vec::new(), ..person() }
}

pub(crate) fn bare_change() -> Change {
    Change {
        id: ChangeId(8),
        source: None,
        arrived_at: Wall(1),
        trusted: false,
        seen: SeenChange::default(),
        codebase: None,
        trouble: None,
        decisions: Vec::new(),
        decided: false,
        buildsets: Vec::new(),
    }
}

fn stamps() -> Vec<SourceStamp> {
    vec![
        SourceStamp {
            codebase: "app".to_owned(),
            repository: "https://git.example/app.git".to_owned(),
            project: "app".to_owned(),
            branch: Some("main".to_owned()),
            revision: Some("abc123".to_owned()),
            patch: Some(Patch {
                level: 1,
                body: PATCH.to_vec(),
                subdirectory: "src".to_owned(),
                author: "ann".to_owned(),
                comment: "try this".to_owned(),
            }),
            trusted: true,
            changes: vec![ChangeId(7)],
        },
        SourceStamp::default(),
    ]
}

fn properties() -> Properties {
    [
        PropertySource::Global,
        PropertySource::Worker,
        PropertySource::Builder,
        PropertySource::Change,
        PropertySource::Scheduler,
        PropertySource::Force,
        PropertySource::Build,
        PropertySource::Step("compile".to_owned()),
    ]
    .into_iter()
    .map(|source| (source.to_string(), Property { value: json!({"a": [1, 2.5, "x", {"b": null}]}), source }))
    .collect()
}

pub(crate) fn open_buildset() -> Buildset {
    Buildset {
        id: BuildsetId(3),
        reason: "a change".to_owned(),
        scheduler: Some("quick".into()),
        owner: Some("ann".to_owned()),
        stamps: stamps(),
        blamelist: vec!["Ann <ann@example.org>".to_owned()],
        properties: properties(),
        requests: vec![RequestId(5), RequestId(6)],
        external_id: Some("key-1".to_owned()),
        parent: Some(Parent::Rebuild(BuildId(2))),
        depth: 0,
        superseded: false,
        submitted_at: Wall(77),
        state: BuildsetState::Open { will_fail: true },
    }
}

pub(crate) fn finished_buildset() -> Buildset {
    Buildset {
        scheduler: None,
        owner: None,
        external_id: None,
        parent: Some(Parent::Dependent(BuildsetId(1))),
        superseded: true,
        state: BuildsetState::Finished { outcome: Outcome::Warnings, at: Wall(99) },
        ..open_buildset()
    }
}

pub(crate) fn triggered_buildset() -> Buildset {
    let stamps = stamps();
    Buildset { parent: Some(Parent::Triggered(BuildId(9))), depth: 2, stamps, ..open_buildset() }
}

/// Of a build whose builder gives something to its job.
pub(crate) fn given_buildset() -> Buildset {
    let property = Property { value: json!("lib"), source: PropertySource::Job };
    Buildset { properties: [("package".to_owned(), property)].into(), ..open_buildset() }
}

pub(crate) fn pinged_buildset() -> Buildset {
    Buildset { parent: Some(Parent::Pinged(BuildsetId(2))), ..open_buildset() }
}

pub(crate) fn request_in(state: RequestState) -> Request {
    Request {
        id: RequestId(5),
        buildset: BuildsetId(3),
        builder: "linux".into(),
        priority: -3,
        only_worker: Some("w1".into()),
        submitted_at: Wall(77),
        attempts: 2,
        losses: 0,
        merge_key: MergeKey::Unasked,
        state,
    }
}

pub(crate) fn build_in(state: BuildState) -> Build {
    Build {
        id: BuildId(9),
        number: 4,
        builder: "linux".into(),
        project: "app".to_owned(),
        request: RequestId(5),
        buildset: BuildsetId(3),
        merged: Vec::new(),
        attempt: 2,
        worker: "w1".into(),
        reason: "a change".to_owned(),
        owner: Some("ann".to_owned()),
        stamps: stamps(),
        blamelist: vec!["Ann <ann@example.org>".to_owned()],
        properties: properties(),
        steps: vec![
            Step {
                number: 0,
                name: "git".to_owned(),
                summary: "updated".to_owned(),
                logs: vec!["stdio".to_owned(), "changes".to_owned()],
                network: Network::default(),
                locks: Vec::new(),
                lock_state: LockState::Idle,
                state: StepState::Finished { started_at: Wall(80), at: Wall(81), outcome: Outcome::Skipped },
            },
            Step {
                number: 1,
                name: "compile".to_owned(),
                summary: String::new(),
                logs: Vec::new(),
                network: Network::default(),
                locks: Vec::new(),
                lock_state: LockState::Idle,
                state: StepState::Running { started_at: Wall(82) },
            },
            Step {
                number: 2,
                name: "test".to_owned(),
                summary: String::new(),
                logs: Vec::new(),
                network: Network::default(),
                locks: Vec::new(),
                lock_state: LockState::Idle,
                state: StepState::Waiting,
            },
        ],
        locks: Vec::new(),
        triggers: Vec::new(),
        started_at: Wall(79),
        state,
    }
}

/// A build whose second step has tried to reach things.
pub(crate) fn networked_build() -> Build {
    let attempt = |protocol, end, why: &str, address: Option<&str>| NetworkAttempt {
        protocol,
        target: "git.example:443".to_owned(),
        address: address.map(|address| address.parse().expect("an address")),
        end,
        why: why.to_owned(),
        count: 1_000_000,
    };
    let mut build = build_in(BuildState::Running);
    build.steps[1].network = Network {
        attempts: vec![
            attempt(NetworkProtocol::Connect, NetworkEnd::Connected, "", Some("1.1.1.1")),
            attempt(NetworkProtocol::Socks5, NetworkEnd::Refused, "not granted", None),
            attempt(NetworkProtocol::Http, NetworkEnd::Failed, "nobody there", Some("2606:4700::1")),
            attempt(NetworkProtocol::Plugin, NetworkEnd::Refused, "private", Some("::ffff:10.0.0.1")),
        ],
        unlisted: 7,
    };
    build
}

/// A build that answers three requests.
pub(crate) fn merged_build() -> Build {
    let merged =
        [(6, 3), (8, 4)].map(|(request, set)| Merged { request: RequestId(request), buildset: BuildsetId(set) });
    Build { merged: merged.to_vec(), ..build_in(BuildState::Running) }
}

/// A build with a lock of each sort.
pub(crate) fn locked_build() -> Build {
    let lock = |(name, scope, access): (&str, _, _)| HeldLock { name: name.into(), scope, access };
    let locks = [("db", LockScope::Host, LockAccess::Exclusive), ("disk", LockScope::Worker, LockAccess::Counting)];
    Build { locks: locks.map(lock).to_vec(), ..build_in(BuildState::Running) }
}

/// A build of which a step has locks and another will want them.
pub(crate) fn step_locked_build() -> Build {
    let mut build = build_in(BuildState::Running);
    let locks = locked_build().locks;
    (build.steps[1].locks, build.steps[1].lock_state) = (locks.clone(), LockState::Held);
    (build.steps[2].locks, build.steps[2].lock_state) = (locks, LockState::Waiting);
    build
}

/// With triggers in each state.
pub(crate) fn triggering_build() -> Build {
    let states = [
        TriggerState::Refused { reason: "no".to_owned() },
        TriggerState::Open { buildset: BuildsetId(4) },
        TriggerState::Finished { buildset: BuildsetId(5), outcome: Outcome::Failure },
    ];
    let trigger = |state| Trigger { step: 1, scheduler: "deploy".into(), detached: true, state };
    Build { triggers: states.map(trigger).to_vec(), ..build_in(BuildState::Running) }
}

pub(crate) fn finished_build() -> Build {
    let state = BuildState::Finished { outcome: Outcome::Exception, summary: "no compiler".to_owned(), at: Wall(90) };
    Build { owner: None, ..build_in(state) }
}

pub(crate) fn scheduler_state() -> SchedulerState {
    SchedulerState {
        batches: vec![
            output::Batch { branch: Some("main".to_owned()), changes: vec![ChangeId(7)], fires_at: Some(Steady(500)) },
            output::Batch { branch: None, changes: vec![ChangeId(8)], fires_at: None },
        ],
        next_firing: Some(Steady(600)),
        done_until: Some(Wall(700)),
        ..SchedulerState::default()
    }
}

/// Of a scheduler with absolute stamps.
pub(crate) fn seeing_scheduler_state() -> SchedulerState {
    let core = output::LastSeen {
        change: ChangeId(7),
        repository: "https://git.example/core.git".to_owned(),
        project: "core".to_owned(),
        branch: Some("main".to_owned()),
        revision: Some("c7".to_owned()),
        trusted: true,
    };
    let bare = output::LastSeen { branch: None, revision: None, trusted: false, ..core.clone() };
    let last_seen = [(String::new(), bare), ("core".to_owned(), core)].into();
    SchedulerState { last_seen, ..SchedulerState::default() }
}

/// Of a scheduler that is pinged.
pub(crate) fn pinged_scheduler_state() -> SchedulerState {
    let ping = |wave, state| output::Ping { wave: BuildsetId(wave), from: "lib".to_owned(), state };
    let left = output::LeftOut { wave: BuildsetId(1), project: "a".to_owned(), why: "buildset 2 failed".to_owned() };
    SchedulerState {
        pings: vec![ping(3, output::PingState::Building(BuildsetId(5))), ping(4, output::PingState::Waiting)],
        left_out: Some(left),
        ..SchedulerState::default()
    }
}

pub(crate) fn disabled_scheduler_state() -> SchedulerState {
    SchedulerState { disabled: Some(halt("the compiler is broken")), ..SchedulerState::default() }
}

pub(crate) fn paused_worker() -> WorkerKept {
    WorkerKept { paused: Some(halt("a new disk")) }
}

pub(crate) fn halt(reason: &str) -> Halt {
    Halt { by: "ann".to_owned(), reason: reason.to_owned(), at: Wall(800) }
}

pub(crate) fn delivery(id: &str, at: u64) -> Delivery {
    Delivery { source: "forge".into(), id: id.to_owned(), changes: vec![ChangeId(7)], at: Wall(at) }
}

pub(crate) fn notices() -> Vec<(&'static str, Notice)> {
    let build = Subject::Build(BuildId(9));
    let buildset = Subject::Buildset(BuildsetId(3));
    let error = "no route".to_owned();
    let waiting = NoticeState::Waiting { until: Steady(700), error: error.clone() };
    let dead = NoticeState::Dead { error, at: Wall(95) };
    [
        ("notice-sending", OccasionKind::BuildStarted, build, NoticeState::Sending),
        ("notice-waiting", OccasionKind::BuildFinished, build, waiting.clone()),
        ("notice-first-failure", OccasionKind::FirstFailure, buildset, waiting),
        ("notice-dead", OccasionKind::BuildsetFinished, buildset, dead),
    ]
    .into_iter()
    .zip(1..)
    .map(|((name, occasion, subject, state), id)| {
        (name, Notice { id: NoticeId(id), reporter: "chat".into(), occasion, subject, attempt: 3, state })
    })
    .collect()
}

pub(crate) fn user(name: &str) -> User {
    User {
        name: name.to_owned(),
        password_hash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".to_owned(),
        role: "admin".to_owned(),
        created_at: Wall(10),
    }
}

pub(crate) fn user_token() -> Token {
    Token {
        id: "t1".to_owned(),
        name: "deploy script".to_owned(),
        secret_sha256: [0xa5; 32],
        kind: TokenKind::User,
        holder: "ann".to_owned(),
        role: Some("reader".to_owned()),
        created_at: Wall(11),
        expires_at: Some(Wall(13)),
    }
}

pub(crate) fn worker_token() -> Token {
    Token {
        id: "t2".to_owned(),
        secret_sha256: [0x5a; 32],
        kind: TokenKind::Worker,
        holder: "w1".to_owned(),
        role: None,
        expires_at: None,
        ..user_token()
    }
}

pub(crate) fn session(id: u8) -> Session {
    Session {
        id_sha256: [id; 32],
        user: "ann".to_owned(),
        csrf_token: "f00d".to_owned(),
        created_at: Wall(20),
        expires_at: Wall(30),
    }
}

/// A request, its set and a build of it, as they are when the build has begun.
pub(crate) fn running(id: u64, builder: &str, worker: &str) -> (Arc<Buildset>, Arc<Request>, Arc<Build>) {
    let buildset = Buildset { id: BuildsetId(id), requests: vec![RequestId(id)], ..open_buildset() };
    let request = Request {
        id: RequestId(id),
        buildset: BuildsetId(id),
        builder: builder.into(),
        ..request_in(RequestState::Building(BuildId(id)))
    };
    let build = Build {
        id: BuildId(id),
        number: id,
        builder: builder.into(),
        worker: worker.into(),
        request: RequestId(id),
        buildset: BuildsetId(id),
        ..build_in(BuildState::Running)
    };
    (Arc::new(buildset), Arc::new(request), Arc::new(build))
}

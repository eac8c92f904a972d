//! Every message goes to bytes and back, the bytes of version 1 stay as they are, and bad bytes are refused by name.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;
use stampmill_protocol::*;

fn frame() -> LogFrame {
    LogFrame {
        step: 1,
        log: "stdio".to_owned(),
        ordinal: 2,
        first_line: 40,
        newlines: 1,
        raw_len: 6,
        body: vec![0x28, 0xb5, 0x2f, 0xfd, 0, 255],
    }
}

fn info() -> Info {
    Info {
        version: "0.1.0".to_owned(),
        os: "linux".to_owned(),
        arch: "x86_64".to_owned(),
        uname: ["Linux", "box", "6.18.0", "#1", "x86_64"].map(str::to_owned).to_vec(),
        cores: 2,
        max_builds: 1,
        tier: Tier::Sandboxed,
        mechanisms: vec![Mechanism { name: "landlock".to_owned(), works: true, detail: "ABI 6".to_owned() }],
        tools: BTreeMap::from([("git".to_owned(), "git version 2.39.5".to_owned())]),
    }
}

fn order() -> Order {
    Order {
        build: Build {
            id: 7,
            number: 3,
            builder: "linux".to_owned(),
            project: "app".to_owned(),
            request: 5,
            buildset: 4,
            attempt: 1,
            worker: "w1".to_owned(),
            reason: "a change".to_owned(),
            owner: None,
            stamps: vec![SourceStamp {
                codebase: "app".to_owned(),
                repository: "/srv/git/app.git".to_owned(),
                project: String::new(),
                branch: Some("main".to_owned()),
                revision: Some("0123".to_owned()),
                patch: Some(Patch {
                    level: 1,
                    body: b"--- a\n+++ b\n\xff".to_vec(),
                    subdirectory: String::new(),
                    author: "ada".to_owned(),
                    comment: "try".to_owned(),
                }),
                trusted: true,
                changes: vec![9],
            }],
            blamelist: vec!["ada".to_owned()],
            properties: BTreeMap::from([(
                "color".to_owned(),
                Property {
                    value: json!({"b": [1, 2.5, null, true, u64::MAX, i64::MIN], "a": "x"}),
                    source: PropertySource::Step("configure".to_owned()),
                },
            )]),
            started_at: 1_700_000_000_000,
        },
        changes: vec![Change {
            id: 9,
            codebase: "app".to_owned(),
            arrived_at: 1_700_000_000_000,
            trusted: true,
            author: "ada".to_owned(),
            committer: None,
            comments: "mend it\n".to_owned(),
            files: vec!["src/a.c".to_owned()],
            repository: "/srv/git/app.git".to_owned(),
            project: String::new(),
            revision: Some("0123".to_owned()),
            branch: Some("main".to_owned()),
            category: None,
            link: None,
            committed_at: None,
            properties: vec![Setting { name: "k".to_owned(), value: json!("v") }],
        }],
        job: Job {
            name: "c-project".to_owned(),
            steps: vec![StepPlan {
                name: "compile".to_owned(),
                plugin: "shell".to_owned(),
                digest: "ab".repeat(32),
                config: json!({"command": ["make", "-j${{ worker.cores }}"]}),
                grant: Grant { command: vec!["*".to_owned()], ..Grant::default() },
                limits: PluginLimits::default(),
                when: Some("props.fast".to_owned()),
                locks: vec![LockUse { name: "db".to_owned(), exclusive: true }],
                halt_on_failure: true,
                flunk_on_failure: true,
                warn_on_failure: true,
                flunk_on_warnings: false,
                warn_on_warnings: true,
                always_run: false,
                time_limit_ms: 3_600_000,
            }],
        },
    }
}

fn attempt() -> NetworkAttempt {
    NetworkAttempt {
        protocol: NetworkProtocol::Socks5,
        target: "git.example:443".to_owned(),
        address: Some("10.0.0.5".parse().unwrap()),
        end: NetworkEnd::Refused,
        why: "a private address".to_owned(),
        count: 1_000_000,
    }
}

fn events() -> Vec<Event> {
    vec![
        Event::Accepted,
        Event::Declined { reason: "all slots are taken".to_owned() },
        Event::StepStarted { step: 0, at: 1 },
        Event::StepSummary { step: 0, summary: "half way".to_owned() },
        Event::LogOpened { step: 0, log: "stdio".to_owned() },
        Event::PropertySet { name: "got_revision".to_owned(), value: json!("0123"), step: 0 },
        Event::StepFinished { step: 0, outcome: Outcome::Warnings, summary: String::new(), at: 2 },
        Event::Finished { outcome: Outcome::Retry, summary: "worker w1 was stopped".to_owned(), at: 3, program: None },
        Event::NetworkTried { step: 0, attempts: vec![attempt()], unlisted: 3 },
        Event::Triggered { step: 0, wish: wish() },
        Event::Finished {
            outcome: Outcome::Failure,
            summary: String::new(),
            at: 3,
            program: Some(ProgramEnd::Exited(75)),
        },
    ]
}

fn wish() -> TriggerWish {
    let version = TriggerVersion { branch: None, revision: Some("0123".to_owned()) };
    TriggerWish {
        number: 0,
        scheduler: "deploy".to_owned(),
        latest: false,
        versions: BTreeMap::from([("app".to_owned(), version)]),
        properties: BTreeMap::from([("target".to_owned(), json!({"a": [1]}))]),
        detached: true,
    }
}

fn from_worker() -> Vec<WorkerMessage> {
    let mut all = vec![WorkerMessage::Hello {
        protocol: PROTOCOL,
        name: "w1".to_owned(),
        info: info(),
        builds: vec![HeldBuild { build: 7, last_sequence: 12 }],
    }];
    all.extend((1..).zip(events()).map(|(sequence, event)| WorkerMessage::Told { build: 7, sequence, event }));
    all.extend([
        WorkerMessage::Logs { build: 7, sequence: 9, frames: vec![frame()] },
        WorkerMessage::GetComponent { digest: "ab".repeat(32) },
        WorkerMessage::Goodbye { reason: "asked to stop".to_owned() },
        WorkerMessage::Pong { number: 4 },
    ]);
    all
}

fn from_host() -> Vec<HostMessage> {
    vec![
        HostMessage::Welcome {
            host_version: "0.1.0".to_owned(),
            acknowledged: vec![Acknowledged { build: 7, sequence: 11 }],
        },
        HostMessage::Refused { cause: RefusalCause::BadToken, reason: "the token is wrong".to_owned() },
        HostMessage::Dispatch {
            order: Box::new(order()),
            secrets: vec![Secret { name: "deploy-key".to_owned(), value: SecretValue::new("hunter2") }],
        },
        HostMessage::CancelBuild { build: 7, reason: "ada".to_owned() },
        HostMessage::Forget { build: 7 },
        HostMessage::Acknowledge { build: 7, sequence: 12 },
        HostMessage::Component { digest: "ab".repeat(32), bytes: vec![0, 0x61, 0x73, 0x6d, 255] },
        HostMessage::NoComponent { digest: "ab".repeat(32), reason: "not installed".to_owned() },
        HostMessage::Ping { number: 4 },
        HostMessage::Triggered { build: 7, number: 0, state: TriggerState::Refused { reason: "no".to_owned() } },
        HostMessage::Triggered { build: 7, number: 1, state: TriggerState::Open { buildset: 8 } },
        HostMessage::Triggered {
            build: 7,
            number: 1,
            state: TriggerState::Finished { buildset: 8, outcome: Outcome::Failure },
        },
    ]
}

#[test]
fn every_message_of_a_worker_survives_the_wire() {
    for message in from_worker() {
        assert_eq!(WorkerMessage::decode(&message.encode().unwrap()).unwrap(), message);
    }
}

#[test]
fn every_message_of_the_host_survives_the_wire() {
    for message in from_host() {
        assert_eq!(HostMessage::decode(&message.encode().unwrap()).unwrap(), message);
    }
}

/// The file holds what version 1 wrote: `worker` or `host`, the kind, the bytes in hexadecimal. A new optional field appends; nothing else may change.
/// `UPDATE_GOLDEN=1` writes it anew.
#[test]
fn the_bytes_of_version_1_stay_as_they_were() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1.txt");
    let mut text = String::new();
    for message in from_worker() {
        writeln!(text, "worker {} {}", message.kind(), hex::encode(message.encode().unwrap())).unwrap();
    }
    for message in from_host() {
        writeln!(text, "host {} {}", message.kind(), hex::encode(message.encode().unwrap())).unwrap();
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert_eq!(golden, text, "the wire format of version 1 has changed");
    let (mut workers, mut hosts) = (from_worker().into_iter(), from_host().into_iter());
    for line in golden.lines() {
        let bytes = hex::decode(line.rsplit(' ').next().unwrap()).unwrap();
        if line.starts_with("worker") {
            assert_eq!(WorkerMessage::decode(&bytes).unwrap(), workers.next().unwrap());
        } else {
            assert_eq!(HostMessage::decode(&bytes).unwrap(), hosts.next().unwrap());
        }
    }
}

#[test]
fn a_value_that_is_nested_without_end_is_refused_and_one_of_a_plugin_is_not() {
    let told = |depth: usize| {
        let value = (0..depth).fold(json!(null), |inner, _| json!([inner]));
        let event = Event::PropertySet { name: "p".to_owned(), value, step: 0 };
        WorkerMessage::Told { build: 7, sequence: 1, event }
    };
    let plugins = told(127);
    assert_eq!(WorkerMessage::decode(&plugins.encode().unwrap()).unwrap(), plugins);
    let endless = told(limits::NESTING_MAX).encode().unwrap();
    assert!(matches!(WorkerMessage::decode(&endless), Err(DecodeError::Malformed { .. })));
}

#[test]
fn an_unknown_field_is_ignored() {
    #[derive(serde::Serialize)]
    #[serde(rename_all = "kebab-case")]
    enum Later {
        Ping { number: u64, colour: &'static str },
    }
    let bytes = rmp_serde::to_vec_named(&Later::Ping { number: 4, colour: "green" }).unwrap();
    assert_eq!(HostMessage::decode(&bytes).unwrap(), HostMessage::Ping { number: 4 });
}

#[test]
fn an_unknown_kind_is_an_error_that_names_it() {
    #[derive(serde::Serialize)]
    #[serde(rename_all = "kebab-case")]
    enum Later {
        HoldTheLine { number: u64 },
    }
    let bytes = rmp_serde::to_vec_named(&Later::HoldTheLine { number: 4 }).unwrap();
    let error = HostMessage::decode(&bytes).unwrap_err();
    assert!(matches!(&error, DecodeError::UnknownKind { kind } if kind == "hold-the-line"), "{error}");
}

#[test]
fn a_known_kind_with_a_wrong_field_is_malformed_and_named() {
    let bytes = rmp_serde::to_vec_named(&BTreeMap::from([("ping", BTreeMap::from([("number", "four")]))])).unwrap();
    let error = HostMessage::decode(&bytes).unwrap_err();
    assert!(matches!(&error, DecodeError::Malformed { kind, .. } if kind == "ping"), "{error}");
}

#[test]
fn every_cut_and_every_flipped_byte_of_a_message_is_an_error_or_another_message_but_no_panic() {
    for message in from_worker() {
        let bytes = message.encode().unwrap();
        for length in 0..bytes.len() {
            assert!(WorkerMessage::decode(&bytes[..length]).is_err(), "cut to {length}");
        }
        for position in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[position] ^= 0xff;
            drop(WorkerMessage::decode(&flipped));
        }
    }
}

#[test]
fn a_list_of_network_attempts_has_its_limits() {
    let told = |attempts| {
        let event = Event::NetworkTried { step: 0, attempts, unlisted: 0 };
        WorkerMessage::decode(&WorkerMessage::Told { build: 1, sequence: 1, event }.encode().unwrap())
    };
    assert!(told(vec![attempt(); limits::NETWORK_ATTEMPTS_MAX]).is_ok());
    let long = || "x".repeat(limits::LINE_BYTES_MAX + 1);
    for bad in [
        vec![attempt(); limits::NETWORK_ATTEMPTS_MAX + 1],
        vec![NetworkAttempt { target: long(), ..attempt() }],
        vec![NetworkAttempt { why: long(), ..attempt() }],
    ] {
        assert!(matches!(told(bad), Err(DecodeError::Limit { kind: "told", .. })));
    }
}

#[test]
fn a_frame_that_claims_too_much_is_refused() {
    let claims = LogFrame { raw_len: limits::FRAME_RAW_BYTES_MAX + 1, ..frame() };
    let lines = LogFrame { newlines: 7, ..frame() };
    let name = LogFrame { log: "x".repeat(limits::LOG_NAME_BYTES_MAX + 1), ..frame() };
    for bad in [claims, lines, name] {
        let message = WorkerMessage::Logs { build: 1, sequence: 1, frames: vec![bad] };
        let error = WorkerMessage::decode(&message.encode().unwrap()).unwrap_err();
        assert!(matches!(error, DecodeError::Limit { kind: "logs", .. }), "{error}");
    }
}

#[test]
fn a_full_batch_of_frames_fits_one_message() {
    let full = LogFrame {
        raw_len: limits::FRAME_RAW_BYTES_MAX,
        body: vec![0xa5; limits::FRAME_BODY_BYTES_MAX],
        log: "x".repeat(limits::LOG_NAME_BYTES_MAX),
        ..frame()
    };
    let message = WorkerMessage::Logs { build: 1, sequence: 1, frames: vec![full; limits::FRAMES_MAX] };
    assert_eq!(WorkerMessage::decode(&message.encode().unwrap()).unwrap(), message);
}

#[test]
fn a_message_beyond_the_limit_is_refused_on_both_sides() {
    let message = WorkerMessage::Goodbye { reason: "x".repeat(limits::WORKER_MESSAGE_BYTES_MAX) };
    assert!(matches!(message.encode(), Err(EncodeError::TooLarge { .. })));
    let bytes = vec![0x81; limits::WORKER_MESSAGE_BYTES_MAX + 1];
    assert!(matches!(WorkerMessage::decode(&bytes), Err(DecodeError::TooLarge { .. })));
}

#[test]
fn a_refusal_of_a_later_version_is_kept_by_its_word() {
    let later = RefusalCause::from("too-hot".to_owned());
    assert_eq!(later.as_str(), "too-hot");
    for cause in ["bad-token", "unknown-worker", "protocol", "replaced", "shutting-down"] {
        let known = RefusalCause::from(cause.to_owned());
        assert_eq!(known.as_str(), cause);
        assert!(!matches!(known, RefusalCause::Other(_)), "{cause}");
    }
}

#[test]
fn debug_output_never_shows_the_value_of_a_secret() {
    let shown = format!("{:?}", from_host());
    assert!(shown.contains("deploy-key"));
    assert!(!shown.contains("hunter2"), "{shown}");
}

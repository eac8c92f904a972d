//! Nothing is lost between the model's words and those of the protocol.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use stampmill_agent::convert;
use stampmill_model::*;

fn order() -> BuildOrder {
    let sources = [
        PropertySource::Global,
        PropertySource::Worker,
        PropertySource::Builder,
        PropertySource::Change,
        PropertySource::Scheduler,
        PropertySource::Force,
        PropertySource::Trigger,
        PropertySource::Job,
        PropertySource::Build,
        PropertySource::Step("configure".to_owned()),
    ];
    let property =
        |(number, source): (usize, PropertySource)| (format!("p{number}"), Property { value: json!([number]), source });
    let step = |number: u32, name: &str| Step {
        number,
        name: name.to_owned(),
        summary: String::new(),
        logs: vec![],
        network: Network::default(),
        locks: Vec::new(),
        lock_state: LockState::Idle,
        state: StepState::Waiting,
    };
    let plan = |name: &str, always_run: bool| StepPlan {
        name: name.to_owned(),
        plugin: PluginRef { name: "shell".to_owned(), digest: Digest("ab".repeat(32).into()) },
        config: json!({"command": ["${{ props.p1 }}"]}),
        grant: Grant {
            command: vec!["a".to_owned()],
            net: vec!["b:1".to_owned()],
            read: vec!["/c".to_owned()],
            write: vec!["/d".to_owned()],
            http: vec!["https://e".to_owned()],
            secret: vec!["f".to_owned()],
            credential: [("g".to_owned(), vec!["https://e".to_owned()])].into(),
            trigger: vec!["h".to_owned()],
        },
        limits: PluginLimits {
            memory_bytes: Some(1 << 20),
            time: None,
            compute: Some(Milliseconds(11)),
            host_call: Some(Milliseconds(12)),
        },
        locks: Vec::new(),
        when: Some("true".to_owned()),
        halt_on_failure: !always_run,
        flunk_on_failure: always_run,
        warn_on_failure: !always_run,
        flunk_on_warnings: always_run,
        warn_on_warnings: !always_run,
        always_run,
        time_limit: Milliseconds(1234),
    };
    BuildOrder {
        build: Build {
            id: BuildId(1),
            number: 2,
            builder: "linux".into(),
            project: "app".to_owned(),
            request: RequestId(3),
            buildset: BuildsetId(4),
            merged: Vec::new(),
            locks: Vec::new(),
            triggers: Vec::new(),
            attempt: 5,
            worker: "w1".into(),
            reason: "because".to_owned(),
            owner: Some("ada".to_owned()),
            stamps: vec![SourceStamp {
                codebase: "app".to_owned(),
                repository: "/srv/app.git".to_owned(),
                project: "p".to_owned(),
                branch: Some("main".to_owned()),
                revision: None,
                patch: Some(Patch {
                    level: 1,
                    body: vec![0, 255],
                    subdirectory: "s".to_owned(),
                    author: "a".to_owned(),
                    comment: "c".to_owned(),
                }),
                trusted: true,
                changes: vec![ChangeId(6)],
            }],
            blamelist: vec!["ada".to_owned(), "grace".to_owned()],
            properties: sources.into_iter().enumerate().map(property).collect(),
            steps: vec![step(0, "one"), step(1, "two")],
            started_at: Wall(7),
            state: BuildState::Dispatched,
        },
        changes: vec![Change {
            id: ChangeId(6),
            source: None,
            arrived_at: Wall(8),
            trusted: true,
            seen: SeenChange {
                author: "ada".to_owned(),
                committer: Some("grace".to_owned()),
                comments: "mend\n".to_owned(),
                files: vec!["a.c".to_owned()],
                repository: "/srv/app.git".to_owned(),
                project: "p".to_owned(),
                revision: Some("0123".to_owned()),
                branch: Some("main".to_owned()),
                category: Some("c".to_owned()),
                link: Some("https://x".to_owned()),
                committed_at: Some(Wall(9)),
                properties: vec![("k".to_owned(), json!({"v": null}))],
            },
            codebase: Some("app".to_owned()),
            trouble: None,
            decisions: vec![],
            decided: true,
            buildsets: vec![],
        }],
        job: Arc::new(Job { name: "job".to_owned(), steps: vec![plan("one", false), plan("two", true)] }),
    }
}

#[test]
fn an_order_comes_back_as_it_went() {
    let order = order();
    let message =
        stampmill_protocol::HostMessage::Dispatch { order: Box::new(convert::order_to_wire(&order)), secrets: vec![] };
    let bytes = message.encode().unwrap();
    let stampmill_protocol::HostMessage::Dispatch { order: wire, .. } =
        stampmill_protocol::HostMessage::decode(&bytes).unwrap()
    else {
        panic!("a dispatch");
    };
    assert_eq!(convert::order_from_wire(*wire), order);
}

#[test]
fn every_event_and_outcome_comes_back_as_it_went() {
    let mut events = vec![
        BuildEvent::Accepted,
        BuildEvent::Declined { reason: "full".to_owned() },
        BuildEvent::StepStarted { step: 1, at: Wall(2) },
        BuildEvent::StepSummary { step: 1, summary: "half".to_owned() },
        BuildEvent::LogOpened { step: 1, log: "stdio".to_owned() },
        BuildEvent::PropertySet { name: "x".to_owned(), value: json!([1]), step: 1 },
    ];
    let protocols = [NetworkProtocol::Connect, NetworkProtocol::Socks5, NetworkProtocol::Http, NetworkProtocol::Plugin];
    let ends = [NetworkEnd::Connected, NetworkEnd::Refused, NetworkEnd::Failed, NetworkEnd::Refused];
    let addresses = [Some("10.0.0.1"), Some("::ffff:10.0.0.1"), None, Some("2606:4700::1")];
    let attempts = protocols.into_iter().zip(ends).zip(addresses).map(|((protocol, end), address)| NetworkAttempt {
        protocol,
        target: "git.example:443".to_owned(),
        address: address.map(|address| address.parse().unwrap()),
        end,
        why: "why".to_owned(),
        count: u64::MAX,
    });
    let network = Network { attempts: attempts.collect(), unlisted: 9 };
    events.push(BuildEvent::NetworkTried { step: 1, network });
    let wish = TriggerWish {
        number: 3,
        scheduler: "deploy".into(),
        latest: true,
        versions: [("app".to_owned(), StampChoice { branch: Some("b".to_owned()), revision: None })].into(),
        properties: [("x".to_owned(), json!([1]))].into(),
        detached: true,
    };
    events.push(BuildEvent::Triggered { step: 1, wish: Box::new(wish) });
    let set = BuildsetId(9);
    for state in [
        TriggerState::Refused { reason: "no".to_owned() },
        TriggerState::Open { buildset: set },
        TriggerState::Finished { buildset: set, outcome: Outcome::Failure },
    ] {
        let wire = convert::trigger_state_to_wire(state.clone());
        assert_eq!(convert::trigger_state_from_wire(wire), state);
    }
    for outcome in Outcome::BY_SEVERITY {
        events.push(BuildEvent::StepFinished { step: 1, outcome, summary: "s".to_owned(), at: Wall(3) });
        for program in [None, Some(ProgramEnd::Exited(75)), Some(ProgramEnd::Signalled(9))] {
            events.push(BuildEvent::Finished { outcome, summary: "s".to_owned(), at: Wall(4), program });
        }
        let wire = convert::outcome_to_wire(outcome);
        assert_eq!(convert::outcome_from_wire(wire), outcome);
    }
    for event in events {
        assert_eq!(convert::event_from_wire(convert::event_to_wire(event.clone())), event);
    }
}

#[test]
fn what_a_worker_says_of_itself_comes_back_as_it_went() {
    for tier in [Tier::Sandboxed, Tier::Degraded, Tier::WasmOnly] {
        let info = WorkerInfo {
            version: "0.1.0".to_owned(),
            os: "linux".to_owned(),
            arch: "x86_64".to_owned(),
            uname: vec!["Linux".to_owned()],
            cores: 2,
            max_builds: 3,
            tier,
            mechanisms: vec![Mechanism { name: "seccomp".to_owned(), works: false, detail: "why".to_owned() }],
            tools: BTreeMap::from([("git".to_owned(), "2".to_owned())]),
        };
        assert_eq!(convert::info_from_wire(convert::info_to_wire(info.clone())), info);
    }
}

#[test]
fn a_plugin_sees_the_build_as_it_is_now() {
    let order = order();
    let mut properties = order.build.properties.clone();
    properties.insert("new".to_owned(), Property { value: json!(1), source: PropertySource::Force });
    let facts = convert::running_build(&order, &properties);
    assert_eq!((facts.id, facts.number, facts.attempt), (1, 2, 5));
    assert_eq!(facts.properties["new"], json!(1));
    assert!(facts.trusted);
    assert_eq!(facts.changes[0].seen.files, ["a.c"]);
    assert_eq!(facts.stamps[0].patch.as_ref().unwrap().body, [0, 255]);
    let mut untrusted = order;
    untrusted.build.stamps.push(SourceStamp::default());
    assert!(!convert::running_build(&untrusted, &properties).trusted);
}

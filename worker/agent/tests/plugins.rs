//! Plugins that use every capability of a step, and plugins that misbehave, on a worker.

#[path = "host/fake.rs"]
mod host;

use std::sync::{Arc, Mutex};

use host::{Connection, Host, Record, Worker, config, order, state};
use serde_json::json;
use stampmill_protocol::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// The component of the guests that has every capability of a step, with a manifest.
fn guest() -> Vec<u8> {
    let permissions = ["command", "http", "secret", "workspace", "properties", "logs"];
    let manifest = json!({"manifest": 1, "id": "probe", "version": "0.0.1", "kind": "step", "summary": "a test", "permissions": permissions});
    let mut body = vec![18];
    body.extend(b"stampmill:manifest");
    body.extend(manifest.to_string().bytes());
    let mut bytes = stampmill_guests::STEP.to_vec();
    bytes.push(0);
    let (low, high) = (body.len() & 0x7f, body.len() >> 7);
    assert!(high < 0x80);
    bytes.extend([u8::try_from(low).unwrap() | 0x80, u8::try_from(high).unwrap()]);
    bytes.extend(body);
    bytes
}

/// A step of that guest that does this when it runs.
fn probe(digest: &str, name: &str, script: &str) -> StepPlan {
    StepPlan {
        plugin: "probe".to_owned(),
        config: json!(format!("run:{script}")),
        grant: Grant {
            command: vec!["*".to_owned()],
            http: vec!["https://nowhere.example".to_owned()],
            secret: vec!["key".to_owned()],
            ..Grant::default()
        },
        ..host::shell(digest, name, &[])
    }
}

struct Bench {
    host: Host,
    connection: Connection,
    worker: Worker,
    digest: String,
    next: u64,
    _state: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let (mut host, state) = (Host::new().await, state());
        let digest = host.install(&guest());
        let worker = Worker::start(config(&host, state.path()));
        let connection = host.welcome().await;
        Self { host, connection, worker, digest, next: 1, _state: state }
    }

    /// Runs one step after another in one build.
    async fn run(&mut self, scripts: &[&str]) -> &Record {
        let step = |(number, script): (usize, &&str)| probe(&self.digest, &format!("step {number}"), script);
        let steps = scripts.iter().enumerate().map(step).collect();
        let build = self.next;
        self.next += 1;
        self.connection.dispatch(order(build, steps), &[("key", "hunter2-long")]).await;
        self.host.listen_to_the_end(&mut self.connection, build).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_misbehaves_hurts_only_its_step_and_is_named() {
    let mut bench = Bench::new().await;
    for (script, words) in [
        ("panic", "the guest's own words"),
        ("recurse", "stack"),
        ("allocate", "memory"),
        ("eat", "memory"),
        ("refuse", "by its own will"),
        ("no-such-verb", "unknown words"),
        ("command|no-such-program", "program `no-such-program` is not on this machine"),
        ("command|a/../../b", "leaves the work directory"),
        ("read|../../secret", "secret"),
    ] {
        let record = bench.run(&[script]).await;
        let (outcome, summary) = record.finished().unwrap();
        assert_eq!(outcome, Outcome::Exception, "{script}: {summary}");
        assert!(summary.contains("probe"), "{script}: {summary}");
        let text = record.text(0, "error");
        assert!(text.to_lowercase().contains(words), "{script}: {text}");
    }
    assert_eq!(bench.run(&["nothing"]).await.finished().unwrap().0, Outcome::Success);
    bench.worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_in_an_endless_loop_is_ended_at_once_when_it_is_cancelled_twice() {
    let mut bench = Bench::new().await;
    let steps = vec![probe(&bench.digest, "loops", "loop")];
    bench.connection.dispatch(order(99, steps), &[]).await;
    let started = |host: &Host| {
        let started = |event: &Event| matches!(event, Event::StepStarted { .. });
        host.builds.get(&99).is_some_and(|record| record.events.iter().any(started))
    };
    bench.host.listen(&mut bench.connection, started).await;
    for _ in 0..2 {
        bench.connection.say(HostMessage::CancelBuild { build: 99, reason: "enough".to_owned() }).await;
    }
    let record = bench.host.listen_to_the_end(&mut bench.connection, 99).await;
    assert_eq!(record.finished(), Some((Outcome::Cancelled, "the build was cancelled: enough")));
    bench.worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plugin_writes_itself_its_programs_can_change_and_the_other_way() {
    let mut bench = Bench::new().await;
    let change =
        "command|sh|-c|echo changed >> sub/file && mv sub/file moved && cat moved && ls -ln moved | cut -c1-10";
    let record = bench.run(&["make-directory|sub", "write|sub/file|by the plugin ", change, "read|moved"]).await;
    assert_eq!(record.finished().unwrap().0, Outcome::Success, "{record:?}");
    let text = record.text(2, "stdio");
    assert!(text.starts_with("by the plugin changed\n-rw"), "{text}");
    assert_eq!(record.text(3, "plugin"), "info: by the plugin changed\n\n");
    bench.worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plugin_says_and_reads_goes_where_it_should() {
    let mut bench = Bench::new().await;
    let record = bench
        .run(&[
            "progress",
            "spawn|sh|-c|echo out; exec >&-; echo err >&2",
            "write-log|extra|some text",
            "link|report|https://ci.example/report",
            "reveal|key",
            "set-property|flag|[1]",
            "get-property|flag",
            "facts",
            "capture|1000",
        ])
        .await;
    let finished = |step: u32| {
        let summary = record.events.iter().find_map(|event| match event {
            Event::StepFinished { step: ended, summary, .. } if *ended == step => Some(summary.clone()),
            _ => None,
        });
        summary.unwrap()
    };
    assert_eq!(finished(0), "half");
    let text = record.text(1, "plugin");
    assert!(text.contains("stdout out"), "{text}");
    assert_eq!(record.text(1, "stdio"), "err\n");
    assert_eq!(record.text(2, "extra"), "some text");
    assert_eq!(record.text(3, "links"), "report: https://ci.example/report\n");
    assert_eq!(record.text(4, "plugin"), "info: ***\n");
    assert_eq!(record.text(6, "plugin"), "info: [1]\n");
    assert!(record.text(7, "plugin").contains("of linux by []: true"), "{}", record.text(7, "plugin"));
    assert!(!format!("{record:?}").contains("hunter2"));
    bench.worker.stop().await;
}

/// Answers every request with a redirect, and keeps what it was sent.
async fn listener(location: &str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (keep, answer) = (
        Arc::clone(&heard),
        format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
    );
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                if stream.read_buf(&mut request).await.unwrap() == 0 {
                    break;
                }
            }
            keep.lock().unwrap().push(String::from_utf8(request).unwrap());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (origin, heard)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_goes_to_its_origin_and_neither_elsewhere_nor_to_the_plugin_nor_to_its_programs() {
    let mut bench = Bench::new().await;
    let (other, heard_there) = listener("http://127.0.0.1:1/").await;
    let (bound, heard) = listener(&format!("{other}/next")).await;
    let scripts = [
        (format!("http-credential|GET|{bound}/a|key"), ""),
        (format!("http|GET|{bound}/b"), ""),
        (format!("http-credential|GET|{other}/c|key"), "credential `key` is not granted for"),
        ("reveal|key".to_owned(), "secret `key` is not granted"),
        ("secret-environment|KEY|key".to_owned(), "secret `key` is not granted"),
    ];
    let step = |(number, (script, _)): (usize, &(String, &str))| StepPlan {
        always_run: true,
        grant: Grant {
            command: vec!["*".to_owned()],
            http: vec![bound.clone(), other.clone()],
            secret: vec!["another".to_owned()],
            credential: [("key".to_owned(), vec![bound.clone()])].into(),
            ..Grant::default()
        },
        ..probe(&bench.digest, &format!("step {number}"), script)
    };
    let steps = scripts.iter().enumerate().map(step).collect();
    bench.connection.dispatch(order(1, steps), &[("key", "hunter2-long")]).await;
    let record = bench.host.listen_to_the_end(&mut bench.connection, 1).await;
    for (number, (script, refusal)) in (0..).zip(&scripts) {
        let error = record.text(number, "error");
        assert_eq!(error.is_empty(), refusal.is_empty(), "{script}: {error}");
        assert!(error.contains(refusal), "{script}: {error}");
    }
    let heard = heard.lock().unwrap().clone();
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(heard[0].contains("authorization: Bearer hunter2-long"), "{heard:?}");
    assert!(!heard[1].to_lowercase().contains("authorization"), "{heard:?}");
    // A redirect is the plugin's to follow, and this credential would not go along.
    assert_eq!(*heard_there.lock().unwrap(), Vec::<String>::new());
    assert!(!format!("{record:?}").contains("hunter2"));
    bench.worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_steps_plugin_ends_at_the_limits_that_its_order_has() {
    let mut bench = Bench::new().await;
    let limits = PluginLimits { memory_bytes: Some(5 << 20), compute_ms: Some(200), host_call_ms: None };
    for (build, script, words) in [(1, "eat", "5242880"), (2, "loop", "computing took longer than")] {
        let step = StepPlan { limits, ..probe(&bench.digest, "limited", script) };
        bench.connection.dispatch(order(build, vec![step]), &[]).await;
        let record = bench.host.listen_to_the_end(&mut bench.connection, build).await;
        assert_eq!(record.finished().unwrap().0, Outcome::Exception, "{script}");
        assert!(record.text(0, "error").contains(words), "{script}: {}", record.text(0, "error"));
    }
    bench.worker.stop().await;
}

//! A worker against a host: real connection, real component, real sandbox.

#[path = "host/fake.rs"]
mod host;

use std::path::Path;
use std::time::Duration;

use host::{Host, Worker, config, eventually, order, shell, state};
use serde_json::json;
use stampmill_agent::Allow;
use stampmill_protocol::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The story that events tell, without times.
fn story(events: &[Event]) -> Vec<String> {
    let tell = |event: &Event| match event {
        Event::LocksWanted { step } => format!("{step} wants locks"),
        Event::Accepted => "accepted".to_owned(),
        Event::Declined { reason } => format!("declined: {reason}"),
        Event::StepStarted { step, .. } => format!("{step} started"),
        Event::StepSummary { step, summary } => format!("{step} says {summary}"),
        Event::LogOpened { step, log } => format!("{step} log {log}"),
        Event::PropertySet { step, name, value } => format!("{step} {name}={value}"),
        Event::NetworkTried { step, attempts, .. } => format!("{step} tried {}", attempts.len()),
        Event::Triggered { step, wish } => format!("{step} triggers {} as {}", wish.scheduler, wish.number),
        Event::StepFinished { step, outcome, .. } => format!("{step} {outcome:?}"),
        Event::Finished { outcome, .. } => format!("{outcome:?}"),
    };
    // How often a running step says how it is doing depends on its speed.
    let kept = events.iter().filter(|event| !matches!(event, Event::StepSummary { .. }));
    kept.map(tell).collect()
}

fn lines(numbers: std::ops::RangeInclusive<u32>) -> String {
    numbers.map(|number| format!("line {number}\n")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_runs_in_the_sandbox_and_everything_is_told_in_order() {
    let (mut host, state) = (Host::new().await, state());
    let digest = host.bundled("shell");
    let worker = Worker::start(config(&host, state.path()));
    let mut connection = host.welcome().await;
    assert_eq!(connection.authorization, "Bearer t0ken");
    let WorkerMessage::Hello { protocol, name, info, builds } = &connection.hello else { panic!("a greeting") };
    assert_eq!((*protocol, name.as_str(), builds.len()), (PROTOCOL, "w1", 0));
    assert_eq!((info.os.as_str(), info.max_builds, info.uname.len()), ("linux", 1, 5));
    assert!(info.tools.contains_key("bash") && !info.mechanisms.is_empty());

    let script = "echo one; echo two >&2; echo kept > file; echo \"uid $(id -u)\"; ls -A /; pwd";
    let steps = vec![
        shell(&digest, "first", &["sh", "-c", script]),
        shell(&digest, "second", &["cat", "file"]),
        StepPlan {
            config: json!({"command": ["sh", "-c", "echo \"$BRANCH $0\"; env | cut -d= -f1 | sort | tr '\\n' ' '", "${{ props.buildername }}"],
                           "environment": {"BRANCH": "${{ src.branch }}"}}),
            when: Some("outcome == \"success\" && worker.cores > 0".to_owned()),
            ..shell(&digest, "third", &[])
        },
    ];
    connection.dispatch(order(7, steps), &[]).await;
    let record = host.listen_to_the_end(&mut connection, 7).await;
    let expected = [
        "accepted",
        "0 started",
        "0 log stdio",
        "0 Success",
        "1 started",
        "1 log stdio",
        "1 Success",
        "2 started",
        "2 log stdio",
        "2 Success",
        "Success",
    ];
    assert_eq!(story(&record.events), expected);
    let text = record.text(0, "stdio");
    for line in ["one", "two", "build", "/build"] {
        assert!(text.lines().any(|said| said == line), "{line}: {text}");
    }
    assert!(!text.contains("uid 0\n"), "{text}");
    assert_eq!(record.text(1, "stdio"), "kept\n");
    let text = record.text(2, "stdio");
    assert!(text.starts_with("main linux\n"), "{text}");
    let variables: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
    let unexpected: Vec<&&str> = variables
        .iter()
        .filter(|name| !["BRANCH", "HOME", "PATH", "PWD", "OLDPWD", "SHLVL", "_"].contains(name))
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_step_ends_the_build_but_what_always_runs_runs() {
    let (mut host, state) = (Host::new().await, state());
    let digest = host.bundled("shell");
    let worker = Worker::start(config(&host, state.path()));
    let mut connection = host.welcome().await;
    let always = StepPlan { always_run: true, ..shell(&digest, "always", &["true"]) };
    let steps = vec![shell(&digest, "fails", &["sh", "-c", "exit 3"]), shell(&digest, "not run", &["true"]), always];
    connection.dispatch(order(7, steps), &[]).await;
    let record = host.listen_to_the_end(&mut connection, 7).await;
    let story = story(&record.events);
    assert_eq!(story[1], "0 started");
    for told in ["0 Failure", "1 Skipped", "2 Success", "Failure"] {
        assert!(story.iter().any(|said| said == told), "{told}: {story:?}");
    }
    assert!(record.finished().unwrap().1.starts_with("fails: failure"));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_reaches_the_step_that_names_it_and_no_log() {
    let (mut host, state) = (Host::new().await, state());
    let (digest, setter) = (host.bundled("shell"), host.bundled("set-property"));
    let worker = Worker::start(config(&host, state.path()));
    let mut connection = host.welcome().await;
    let script = "printf %s \"$TOKEN\" | wc -c; echo \"<$TOKEN>\"; printf %s \"$TOKEN\" | base64; printf hun; printf ter2-long; echo .";
    let mut with = shell(&digest, "with", &[]);
    with.config = json!({"command": ["sh", "-c", script], "secret-environment": {"TOKEN": "key"}});
    with.grant.secret = vec!["key".to_owned()];
    let mut without = with.clone();
    without.name = "without".to_owned();
    without.grant.secret = vec!["other".to_owned()];
    // A property is stored and shown: it holds no secret either.
    let leak = StepPlan {
        config: json!({"property": "leak", "value": {"deep": ["<hunter2-long>"]}}),
        grant: Grant::default(),
        ..shell(&setter, "leak", &[])
    };
    let secrets = [("key", "hunter2-long"), ("other", "unrelated")];
    connection.dispatch(order(7, vec![with, leak, without]), &secrets).await;
    let record = host.listen_to_the_end(&mut connection, 7).await;
    assert_eq!(record.text(0, "stdio").replace(' ', ""), "12\n<***>\n***\n***.\n");
    let leaked = Event::PropertySet { name: "leak".to_owned(), value: json!({"deep": ["<***>"]}), step: 1 };
    assert!(record.events.contains(&leaked), "{:?}", record.events);
    assert_eq!(record.finished().unwrap().0, Outcome::Exception);
    assert!(format!("{:?}", record.events).contains("`key` is not granted"), "{:?}", record.events);
    assert!(!format!("{record:?}").contains("hunter2"));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_as_a_private_file_is_the_commands_own_and_gone_after_it() {
    let (mut host, state) = (Host::new().await, state());
    let digest = host.bundled("shell");
    let worker = Worker::start(config(&host, state.path()));
    let mut connection = host.welcome().await;
    // Shifted by a letter, the content gets past the masks of the log.
    let script = "echo \"$KEY\"; stat -c %a \"$KEY\"; test \"$(stat -c %u \"$KEY\")\" = \"$(id -u)\" && echo mine; \
                  wc -c < \"$KEY\"; tr a-z b-za < \"$KEY\"; echo; cat \"$KEY\"; echo; ls /run/secrets; \
                  (echo x >> \"$KEY\") 2>/dev/null || echo read-only; env | grep -c hunter2";
    let mut with = shell(&digest, "with", &[]);
    with.config =
        json!({"command": ["sh", "-c", script], "secret-files": {"KEY": "key", "SECOND": "other"}, "warnings-on": [1]});
    with.grant.secret = vec!["key".to_owned(), "other".to_owned()];
    let after = shell(
        &digest,
        "after",
        &["sh", "-c", "ls -A /run/secrets; echo \"<$KEY>\"; cat /run/secrets/key 2>&1 || echo none"],
    );
    let mut refused = with.clone();
    refused.name = "refused".to_owned();
    refused.grant.secret = vec!["other".to_owned()];
    let secrets = [("key", "hunter2-long"), ("other", "unrelated")];
    connection.dispatch(order(7, vec![with, after, refused]), &secrets).await;
    let record = host.listen_to_the_end(&mut connection, 7).await;
    assert_eq!(
        record.text(0, "stdio"),
        "/run/secrets/key\n400\nmine\n12\nivoufs2-mpoh\n***\nkey\nother\nread-only\n0\n"
    );
    let text = record.text(1, "stdio");
    assert!(text.starts_with("<>\n") && text.ends_with("No such file or directory\nnone\n"), "{text}");
    let error = record.text(2, "error");
    assert!(error.contains("`key` is not granted"), "{error}");
    assert_eq!(record.finished().unwrap().0, Outcome::Exception);
    assert!(!format!("{record:?}").contains("hunter2"));
    worker.stop().await;
}

/// The host goes away in the middle of a build and comes back after its end; `remembers` says whether it tells the worker what it has.
async fn host_goes_away(remembers: bool) {
    let (mut host, state) = (Host::new().await, state());
    let digest = host.bundled("shell");
    let worker = Worker::start(config(&host, state.path()));
    let mut connection = host.welcome().await;
    let script = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; \
                  if [ $i = 1000 ]; then until [ -e go ]; do sleep 0.02; done; fi; done; touch done";
    connection.dispatch(order(7, vec![shell(&digest, "count", &["sh", "-c", script])]), &[]).await;
    let seen = |host: &Host| host.builds.get(&7).is_some_and(|record| record.text(0, "stdio").len() > 1000);
    host.listen(&mut connection, seen).await;
    drop(connection);
    let work = state.path().join("builds/linux");
    std::fs::write(work.join("go"), "").unwrap();
    eventually("the step ends while the host is away", || work.join("done").exists()).await;

    let known = std::mem::take(&mut host.builds);
    if remembers {
        host.builds = known;
    }
    let mut connection = host.welcome().await;
    let WorkerMessage::Hello { builds, .. } = &connection.hello else { panic!("a greeting") };
    assert_eq!(builds.len(), 1);
    assert!(builds[0].build == 7 && builds[0].last_sequence > 3);
    if !remembers {
        // What was acknowledged is gone from the worker: this host begins where the worker does.
        let next = connection.hear().await;
        let (WorkerMessage::Told { sequence, .. } | WorkerMessage::Logs { sequence, .. }) = next else {
            panic!("{next:?}")
        };
        assert!(sequence > 1);
        worker.stop().await;
        return;
    }
    let record = host.listen_to_the_end(&mut connection, 7).await;
    assert_eq!(record.text(0, "stdio"), lines(1..=3000));
    assert_eq!(record.finished().unwrap().0, Outcome::Success);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_goes_on_while_the_host_is_away_and_no_line_is_lost_or_doubled() {
    host_goes_away(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_not_sent_again() {
    host_goes_away(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_host_took_but_did_not_acknowledge_comes_again_with_the_same_numbers() {
    let (mut host, state) = (Host::new().await, state());
    let digest = host.bundled("shell");
    let worker = Worker::start(config(&host, state.path()));
    let mut connection = host.welcome().await;
    connection.dispatch(order(7, vec![shell(&digest, "one", &["echo", "hello"])]), &[]).await;
    // The host hears the first message and dies before it acknowledges it.
    let heard = connection.hear_told().await;
    drop(connection);
    let mut connection = host.welcome().await;
    assert_eq!(connection.hear_told().await, heard);
    drop(connection);
    let mut connection = host.welcome().await;
    let record = host.listen_to_the_end(&mut connection, 7).await;
    assert_eq!(record.text(0, "stdio"), "hello\n");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_build_ends_its_programs_and_still_runs_what_always_runs() {
    let (mut host, state) = (Host::new().await, state());
    let digest = host.bundled("shell");
    let worker = Worker::start(config(&host, state.path()));
    let mut connection = host.welcome().await;
    let script = "trap 'echo asked to end; exit 1' TERM; echo ready; while :; do sleep 0.05; done";
    let always = StepPlan { always_run: true, ..shell(&digest, "always", &["echo", "cleaned up"]) };
    let steps = vec![shell(&digest, "waits", &["sh", "-c", script]), shell(&digest, "not run", &["true"]), always];
    connection.dispatch(order(7, steps), &[]).await;
    let ready = |host: &Host| host.builds.get(&7).is_some_and(|record| record.text(0, "stdio").contains("ready"));
    host.listen(&mut connection, ready).await;
    connection.say(HostMessage::CancelBuild { build: 7, reason: "ada".to_owned() }).await;
    let record = host.listen_to_the_end(&mut connection, 7).await;
    let story = story(&record.events);
    for told in ["0 Cancelled", "1 Skipped", "2 Success", "Cancelled"] {
        assert!(story.iter().any(|said| said == told), "{told}: {story:?}");
    }
    // The shell says on standard error that the program it waited for was terminated too, before or after.
    let text = record.text(0, "stdio");
    assert!(text.starts_with("ready\n") && text.contains("asked to end\n"), "{text}");
    assert_eq!(record.finished().unwrap().1, "the build was cancelled: ada");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_stopped_hands_its_build_back_for_a_retry() {
    let (mut host, state) = (Host::new().await, state());
    let digest = host.bundled("shell");
    let worker = Worker::start(config(&host, state.path()));
    let mut connection = host.welcome().await;
    let steps = vec![shell(&digest, "waits", &["sh", "-c", "echo ready; exec sleep 1000"])];
    connection.dispatch(order(7, steps), &[]).await;
    let ready = |host: &Host| host.builds.get(&7).is_some_and(|record| record.text(0, "stdio").contains("ready"));
    host.listen(&mut connection, ready).await;
    worker.ask_to_stop();
    let record = host.listen_to_the_end(&mut connection, 7).await;
    assert_eq!(record.finished(), Some((Outcome::Retry, "worker `w1` was stopped")));
    worker.stopped().await;
    assert_eq!(std::fs::read_dir(state.path().join("spool")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_killed_hands_in_what_ended_and_ends_what_did_not_to_be_tried_again() {
    let (mut host, state) = (Host::new().await, state());
    let digest = host.bundled("shell");
    let worker = Worker::start(config(&host, state.path()));
    let mut connection = host.welcome().await;
    connection.dispatch(order(7, vec![shell(&digest, "one", &["sh", "-c", "echo hello; touch done"])]), &[]).await;
    // The host answers the question for the plugin, records nothing and goes away.
    while !matches!(connection.hear().await, WorkerMessage::GetComponent { .. }) {}
    let bytes = stampmill_bundle::plugin("shell").unwrap().bytes.to_vec();
    connection.say(HostMessage::Component { digest: digest.clone(), bytes }).await;
    while !matches!(connection.hear().await, WorkerMessage::Told { event: Event::Finished { .. }, .. }) {}
    connection.dispatch(order(8, vec![shell(&digest, "one", &["sh", "-c", "echo begun; sleep 1000"])]), &[]).await;
    while !matches!(connection.hear().await, WorkerMessage::Logs { build: 8, .. }) {}
    // What a worker leaves that is killed now.
    let spool = state.path().join("spool");
    let left = std::fs::read(spool.join("8.spool")).unwrap();
    drop(connection);
    worker.stop().await;
    std::fs::write(spool.join("8.spool"), left).unwrap();

    let worker = Worker::start(config(&host, state.path()));
    let mut connection = host.welcome().await;
    let WorkerMessage::Hello { builds, .. } = &connection.hello else { panic!("a greeting") };
    let held: Vec<u64> = builds.iter().map(|held| held.build).collect();
    assert_eq!(held, [7, 8]);
    let record = host.listen_to_the_end(&mut connection, 7).await;
    assert_eq!(record.text(0, "stdio"), "hello\n");
    let record = host.listen_to_the_end(&mut connection, 8).await;
    assert_eq!(record.text(0, "stdio"), "begun\n", "what it wrote before is not lost");
    assert_eq!(record.finished(), Some((Outcome::Retry, "worker `w1` was killed while it ran this")));
    eventually("the spool is empty", || std::fs::read_dir(&spool).unwrap().count() == 0).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_the_worker_will_not_run_is_declined_with_the_reason() {
    let (mut host, state) = (Host::new().await, state());
    let digest = host.bundled("shell");
    let mut config = config(&host, state.path());
    config.allow = Allow { plugin: vec!["shell".to_owned()], ..Allow::default() };
    let worker = Worker::start(config);
    let mut connection = host.welcome().await;
    let mut networked = shell(&digest, "fetch", &["true"]);
    networked.grant.net = vec!["crates.example:443".to_owned()];
    let mut foreign = shell(&digest, "foreign", &["true"]);
    foreign.plugin = "git".to_owned();
    let mut elsewhere = order(3, vec![]);
    elsewhere.build.worker = "w2".to_owned();
    for (order, reason) in [
        (order(1, vec![networked]), "step `fetch`: this worker does not allow net \"crates.example:443\""),
        (order(2, vec![foreign]), "step `foreign`: this worker does not allow plugin \"git\""),
        (elsewhere, "this is worker `w1`, the build is for `w2`"),
    ] {
        let id = order.build.id;
        connection.dispatch(order, &[]).await;
        let record = host.listen_to_the_end(&mut connection, id).await;
        assert_eq!(record.events.len(), 1);
        let Event::Declined { reason: told } = &record.events[0] else { panic!("{record:?}") };
        assert!(told.starts_with(reason), "{told}");
    }
    let waits = vec![shell(&digest, "waits", &["sh", "-c", "until [ -e go ]; do sleep 0.02; done"])];
    connection.dispatch(order(10, waits), &[]).await;
    connection.dispatch(order(11, vec![]), &[]).await;
    let record = host.listen_to_the_end(&mut connection, 11).await;
    assert!(format!("{:?}", record.events).contains("runs 1 builds already, the most is 1"), "{record:?}");
    let work = state.path().join("builds/linux");
    eventually("the first build runs", || work.exists()).await;
    std::fs::write(work.join("go"), "").unwrap();
    let record = host.listen_to_the_end(&mut connection, 10).await;
    assert_eq!(record.finished().unwrap().0, Outcome::Success);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_is_missing_forged_or_none_is_an_exception_that_names_the_plugin() {
    let (mut host, state) = (Host::new().await, state());
    let digest = host.bundled("shell");
    let rubbish = host.install(b"\0asm rubbish");
    let worker = Worker::start(config(&host, state.path()));
    let mut connection = host.welcome().await;
    for (id, digest, why) in
        [(1, "ab".repeat(32).as_str(), "not installed"), (2, &rubbish, "cannot be loaded"), (3, "../x", "is no digest")]
    {
        connection.dispatch(order(id, vec![shell(digest, "step", &["true"])]), &[]).await;
        let record = host.listen_to_the_end(&mut connection, id).await;
        let (outcome, summary) = record.finished().unwrap();
        assert_eq!(outcome, Outcome::Exception);
        assert!(summary.contains("plugin `shell`") && summary.contains(why), "{summary}");
        assert!(record.text(0, "error").contains(why), "{record:?}");
    }
    connection.dispatch(order(4, vec![shell(&digest, "step", &["true"])]), &[]).await;
    while !matches!(connection.hear().await, WorkerMessage::GetComponent { .. }) {}
    connection.say(HostMessage::Component { digest: digest.clone(), bytes: b"other bytes".to_vec() }).await;
    loop {
        if let WorkerMessage::Told { event: Event::Finished { outcome, summary, .. }, .. } = connection.hear().await {
            assert_eq!(outcome, Outcome::Exception);
            assert!(summary.contains("is not what its digest says"), "{summary}");
            break;
        }
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_runs_too_long_is_ended_and_leaves_no_process() {
    let (mut host, state) = (Host::new().await, state());
    let digest = host.bundled("shell");
    let worker = Worker::start(config(&host, state.path()));
    let mut connection = host.welcome().await;
    // A process that outlives its parent, in a session of its own.
    let script = "setsid nohup sh -c 'while :; do date +%s%N > alive; sleep 0.05; done' >/dev/null 2>&1 & echo started; exec sleep 1000";
    let mut slow = shell(&digest, "slow", &["sh", "-c", script]);
    slow.time_limit_ms = 3_000;
    connection.dispatch(order(7, vec![slow]), &[]).await;
    let record = host.listen_to_the_end(&mut connection, 7).await;
    let (outcome, summary) = record.finished().unwrap();
    assert_eq!(outcome, Outcome::Exception);
    assert!(summary.contains("ran longer than 3 s"), "{summary}");
    assert_eq!(record.text(0, "stdio"), "started\n");
    let alive = state.path().join("builds/linux/alive");
    let before = std::fs::read_to_string(&alive).unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(std::fs::read_to_string(&alive).unwrap(), before, "it still writes");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_reaches_exactly_the_hosts_that_are_granted() {
    let (mut host, state) = (Host::new().await, state());
    let digest = host.bundled("shell");
    let echo = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let granted = format!("localhost:{}", echo.local_addr().unwrap().port());
    let serving = tokio::spawn(async move {
        let (mut stream, _) = echo.accept().await.unwrap();
        let mut asked = [0; 4];
        stream.read_exact(&mut asked).await.unwrap();
        stream.write_all(b"pong\n").await.unwrap();
        asked
    });
    let worker = Worker::start(config(&host, state.path()));
    let mut connection = host.welcome().await;
    let script = "ask() { exec 3<>/dev/tcp/127.0.0.1/3128; printf '%s HTTP/1.1\\r\\n\\r\\n%s' \"$1\" \"$2\" >&3; cat <&3; exec 3>&-; }; \
                  echo \"$https_proxy\"; ask \"CONNECT $TARGET\" ping; ask 'CONNECT other.example:443' ''; ask 'GET http://other.example/' ''";
    let mut step = shell(&digest, "net", &[]);
    step.config = json!({"command": ["bash", "-c", script], "environment": {"TARGET": granted}});
    step.grant.net = vec![granted.clone()];
    connection.dispatch(order(7, vec![step]), &[]).await;
    let record = host.listen_to_the_end(&mut connection, 7).await;
    let text = record.text(0, "stdio");
    for part in [
        "http://127.0.0.1:3128\n",
        "HTTP/1.1 200 ",
        "pong\n",
        "HTTP/1.1 403 Forbidden",
        "[stampmill network: refused: `other.example:443` is not granted",
        "[stampmill network: refused: `other.example:80` is not granted",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(&serving.await.unwrap(), b"ping");
    let told = record.events.iter().rev().find_map(|event| match event {
        Event::NetworkTried { step: 0, attempts, unlisted: 0 } => Some(attempts),
        _ => None,
    });
    let tried: Vec<_> =
        told.unwrap().iter().map(|tried| (tried.protocol, tried.target.as_str(), tried.end, tried.count)).collect();
    let expected = [
        (NetworkProtocol::Connect, granted.as_str(), NetworkEnd::Connected, 1),
        (NetworkProtocol::Connect, "other.example:443", NetworkEnd::Refused, 1),
        (NetworkProtocol::Http, "other.example:80", NetworkEnd::Refused, 1),
    ];
    assert_eq!(tried, expected);
    let sockets = state.path().join("s");
    assert_eq!(std::fs::read_dir(Path::new(&sockets)).unwrap().count(), 0);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_property_that_a_step_sets_is_told_and_seen_by_later_steps() {
    let (mut host, state) = (Host::new().await, state());
    let (digest, setter) = (host.bundled("shell"), host.bundled("set-property"));
    let worker = Worker::start(config(&host, state.path()));
    let mut connection = host.welcome().await;
    let set = StepPlan {
        plugin: "set-property".to_owned(),
        config: json!({"property": "colour", "value": {"rgb": [1, 2, 3]}}),
        grant: Grant::default(),
        ..shell(&setter, "set", &[])
    };
    let see = shell(&digest, "see", &["echo", "${{ string(props.colour.rgb[1]) }}", "all: ${{ props.colour }}"]);
    connection.dispatch(order(7, vec![set, see]), &[]).await;
    let record = host.listen_to_the_end(&mut connection, 7).await;
    let told = story(&record.events);
    assert!(told.iter().any(|said| said == r#"0 colour={"rgb":[1,2,3]}"#), "{told:?}");
    assert_eq!(record.text(1, "stdio"), "2 all: {\"rgb\":[1,2,3]}\n");
    worker.stop().await;
}

fn trigger(digest: &str, name: &str, config: serde_json::Value) -> StepPlan {
    let trigger = vec!["deploy".to_owned()];
    StepPlan {
        plugin: "trigger".to_owned(),
        config,
        grant: Grant { trigger, ..Grant::default() },
        ..shell(digest, name, &[])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_waits_for_what_it_has_triggered_though_the_connection_is_cut_meanwhile() {
    let (mut host, state) = (Host::new().await, state());
    let digest = host.bundled("trigger");
    let worker = Worker::start(config(&host, state.path()));
    let mut connection = host.welcome().await;
    let waits = json!({"schedulers": ["deploy"], "wait": true, "set": {"note": "it is s3cret"}});
    let refused = trigger(&digest, "refused", json!({"schedulers": ["deploy"]}));
    let mut ungranted = trigger(&digest, "ungranted", json!({"schedulers": ["docs"]}));
    ungranted.grant.secret = vec!["key".to_owned()];
    ungranted.always_run = true;
    let steps = vec![trigger(&digest, "waits", waits), refused, ungranted];
    connection.dispatch(order(7, steps), &[("key", "s3cret")]).await;
    let asked = |wanted: usize| {
        move |host: &Host| {
            let events = host.builds.get(&7).map_or(&[][..], |record| &record.events);
            events.iter().filter(|event| matches!(event, Event::Triggered { .. })).count() == wanted
        }
    };
    host.listen(&mut connection, asked(1)).await;
    let wish = host.builds[&7].events.iter().find_map(|event| match event {
        Event::Triggered { wish, .. } => Some(wish.clone()),
        _ => None,
    });
    let wish = wish.expect("a wish");
    assert_eq!((wish.number, wish.scheduler.as_str(), wish.detached), (0, "deploy", false));
    assert!(!wish.properties["note"].to_string().contains("s3cret"), "{wish:?}");
    let told = |number, state| HostMessage::Triggered { build: 7, number, state };
    connection.say(told(0, TriggerState::Open { buildset: 9 })).await;
    drop(connection);
    let mut connection = host.welcome().await;
    connection.say(told(0, TriggerState::Finished { buildset: 9, outcome: Outcome::Warnings })).await;
    host.listen(&mut connection, asked(2)).await;
    connection.say(told(1, TriggerState::Refused { reason: "scheduler `deploy` is disabled".to_owned() })).await;
    let record = host.listen_to_the_end(&mut connection, 7).await;
    let ends = record.events.iter().filter_map(|event| match event {
        Event::StepFinished { outcome, summary, .. } => Some((*outcome, summary.clone())),
        _ => None,
    });
    let ends: Vec<_> = ends.collect();
    assert_eq!(ends[0], (Outcome::Warnings, "deploy (buildset 9): warnings".to_owned()));
    assert!(ends[1].0 == Outcome::Exception && ends[1].1.contains("scheduler `deploy` is disabled"), "{ends:?}");
    assert!(ends[2].1.contains("scheduler `docs` is not granted"), "{ends:?}");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_the_host_forgets_is_killed_and_not_spoken_of_again() {
    let (mut host, state) = (Host::new().await, state());
    let digest = host.bundled("shell");
    let worker = Worker::start(config(&host, state.path()));
    let mut connection = host.welcome().await;
    let steps = vec![shell(&digest, "waits", &["sh", "-c", "echo ready; exec sleep 1000"])];
    connection.dispatch(order(7, steps), &[]).await;
    let ready = |host: &Host| host.builds.get(&7).is_some_and(|record| record.text(0, "stdio").contains("ready"));
    host.listen(&mut connection, ready).await;
    connection.say(HostMessage::Forget { build: 7 }).await;
    let spool = state.path().join("spool");
    eventually("the spool is gone", || std::fs::read_dir(&spool).unwrap().count() == 0).await;
    // The slot is free again, once the program is dead.
    let mut id = 8;
    loop {
        connection.dispatch(order(id, vec![]), &[]).await;
        let record = host.listen_to_the_end(&mut connection, id).await;
        if record.finished().is_some() {
            break;
        }
        id += 1;
    }
    assert!(host.builds[&7].finished().is_none());
    worker.stop().await;
}

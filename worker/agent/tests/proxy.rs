//! The proxy of native programs, spoken to as they do: over its real socket, to real listeners.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use stampmill_agent::command::OutputLog;
use stampmill_agent::command::proxy::{Errand, Proxy};
use stampmill_runtime::Fault;
use stampmill_runtime::egress::{Attempt, AttemptEnd, NetworkRecord, Protocol};
use stampmill_sandbox::Identity;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use tokio_util::task::TaskTracker;

/// Long enough for a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Default)]
struct Seen {
    attempts: Arc<Mutex<Vec<Attempt>>>,
    log: Arc<Mutex<String>>,
}

impl NetworkRecord for Seen {
    fn tried(&self, attempt: Attempt) {
        self.attempts.lock().unwrap().push(attempt);
    }
}

#[async_trait]
impl OutputLog for Seen {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.log.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

struct Scene {
    directory: tempfile::TempDir,
    proxy: Option<Proxy>,
    seen: Seen,
    tasks: TaskTracker,
}

impl Scene {
    fn granting(granted: &[String]) -> Scene {
        let (directory, seen, tasks) = (tempfile::tempdir().unwrap(), Seen::default(), TaskTracker::new());
        let (log, record) = (Box::new(seen.clone()), Some(Arc::new(seen.clone()) as _));
        let errand = Errand { granted, log, record, tasks: &tasks };
        let proxy = Proxy::open(&directory.path().join("p"), Identity::Own, errand).unwrap();
        Scene { directory, proxy: Some(proxy), seen, tasks }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("p")
    }

    /// Says something and reads the answer until the proxy has no more.
    async fn say(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = UnixStream::connect(self.socket()).await.unwrap();
        // It may have heard enough and be gone.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut heard = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut heard)).await;
        let _ = read.expect("the proxy answers in time");
        heard
    }

    async fn ask(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.say(text.as_bytes()).await).into_owned()
    }

    /// Ends the program; answers what it tried and its log.
    async fn end(mut self) -> (Vec<Attempt>, String) {
        drop(self.proxy.take());
        self.tasks.close();
        tokio::time::timeout(PATIENCE, self.tasks.wait()).await.expect("the proxy's tasks end with it");
        assert!(!self.socket().exists());
        let (attempts, log) = (self.seen.attempts.lock().unwrap().clone(), self.seen.log.lock().unwrap().clone());
        (attempts, log)
    }
}

/// A listener that keeps what it hears until the other side is done, and then answers.
struct Listener {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Listener {
    async fn start(answer: &'static str) -> Listener {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let hears = Arc::clone(&heard);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut bytes = Vec::new();
                let _ = stream.read_to_end(&mut bytes).await;
                hears.lock().unwrap().push(String::from_utf8_lossy(&bytes).into_owned());
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Listener { address, heard }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

/// A greeting, and a request for a connection to this kind of address.
fn socks(kind: u8, address: &[u8], port: u16) -> Vec<u8> {
    let length: &[u8] = if kind == 3 { &[u8::try_from(address.len()).unwrap()] } else { &[] };
    [&[5, 2, 0, 2, 5, 1, 0, kind], length, address, &port.to_be_bytes()].concat()
}

fn ends(attempts: &[Attempt]) -> Vec<(Protocol, &str, AttemptEnd)> {
    attempts.iter().map(|attempt| (attempt.protocol, attempt.target.as_str(), attempt.end)).collect()
}

#[tokio::test]
async fn a_granted_place_is_reached_by_connect_socks_and_a_plain_request() {
    let listener = Listener::start("HTTP/1.1 200 OK\r\n\r\npong").await;
    let (target, port) = (listener.address.to_string(), listener.address.port());
    let scene = Scene::granting(&[target.clone(), format!("LOCALHOST:{port}")]);

    let answer = scene.ask(&format!("CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\nping")).await;
    assert_eq!(answer, "HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 200 OK\r\n\r\npong");
    let open = [5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for (kind, address) in
        [(1, &[127, 0, 0, 1][..]), (3, b"127.0.0.1"), (3, b"0x7f.1"), (3, b"Localhost."), (3, b"localhost")]
    {
        let answer = scene.say(&[&socks(kind, address, port)[..], b"ping"].concat()).await;
        assert_eq!(answer[..12], open, "{address:?}");
        assert!(answer.ends_with(b"pong"), "{address:?}");
    }
    let answer = scene.ask(&format!("GET http://{target}/x?y HTTP/1.1\r\nHost: {target}\r\n\r\n")).await;
    assert_eq!(answer, "HTTP/1.1 200 OK\r\n\r\npong");

    let heard = listener.heard();
    assert_eq!(heard[..6], ["ping"; 6]);
    assert_eq!(heard[6], format!("GET /x?y HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n"));
    let (attempts, log) = scene.end().await;
    let localhost = format!("localhost:{port}");
    let expected = [
        (Protocol::Connect, target.as_str()),
        (Protocol::Socks5, &target),
        (Protocol::Socks5, &target),
        (Protocol::Socks5, &target),
        (Protocol::Socks5, &localhost),
        (Protocol::Socks5, &localhost),
        (Protocol::Http, &target),
    ];
    let expected = expected.map(|(protocol, target)| (protocol, target, AttemptEnd::Connected));
    assert_eq!(ends(&attempts), expected);
    assert!(attempts.iter().all(|attempt| attempt.address == Some(listener.address.ip())), "{attempts:?}");
    assert_eq!(log, "");
}

#[tokio::test]
async fn whatever_is_not_granted_is_refused_by_every_protocol_and_recorded() {
    let listener = Listener::start("caught").await;
    let port = listener.address.port();
    let scene = Scene::granting(&["git.example:443".to_owned(), format!("git.example:{port}")]);
    let spellings = [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "localhost",
        "LOCALHOST.",
        "[::ffff:127.0.0.1]",
        "[::1]",
    ];
    for spelling in spellings {
        let answer = scene.ask(&format!("CONNECT {spelling}:{port} HTTP/1.1\r\n\r\n")).await;
        assert!(
            answer.starts_with("HTTP/1.1 403 Forbidden\r\n") && answer.contains("is not granted"),
            "{spelling}: {answer}"
        );
        let answer = scene.ask(&format!("GET http://{spelling}:{port}/ HTTP/1.1\r\n\r\n")).await;
        assert!(
            answer.starts_with("HTTP/1.1 403 Forbidden\r\n") && answer.contains("is not granted"),
            "{spelling}: {answer}"
        );
        let name = spelling.trim_matches(['[', ']']);
        let answer = scene.say(&socks(3, name.as_bytes(), port)).await;
        assert_eq!(answer[..4], [5, 0, 5, 2], "{spelling}");
    }
    let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1];
    for (kind, address) in [(1, &[127, 0, 0, 1][..]), (1, &[169, 254, 169, 254]), (4, &mapped)] {
        assert_eq!(scene.say(&socks(kind, address, port)).await[..4], [5, 0, 5, 2], "{address:?}");
    }
    for odd in [format!("user@127.0.0.1:{port}"), format!("git.example:443@127.0.0.1:{port}")] {
        let answer = scene.ask(&format!("CONNECT {odd} HTTP/1.1\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("a user name has no place in it"), "{answer}");
        let answer = scene.ask(&format!("GET http://{odd}/ HTTP/1.1\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("a user name has no place in it"), "{answer}");
    }
    assert!(listener.heard().is_empty());
    let (attempts, log) = scene.end().await;
    assert_eq!(attempts.len(), spellings.len() * 3 + 3 + 4);
    assert!(attempts.iter().all(|attempt| attempt.end == AttemptEnd::Refused && !attempt.why.is_empty()));
    let metadata = attempts.iter().find(|attempt| attempt.target == format!("169.254.169.254:{port}")).unwrap();
    assert!(metadata.why.contains("metadata service"), "{metadata:?}");
    let loopback = attempts.iter().filter(|attempt| attempt.target == format!("127.0.0.1:{port}"));
    assert_eq!(loopback.count(), 5 * 3 + 1, "each spelling is one place");
    assert!(
        log.contains(&format!("[stampmill network: refused: `127.0.0.1:{port}`, a loopback address, is not granted"))
    );
}

#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_refused_unless_the_address_is_granted_too() {
    let name = nix::unistd::gethostname().unwrap().into_string().unwrap();
    let listener = Listener::start("caught").await;
    let port = listener.address.port();
    let found =
        tokio::net::lookup_host((name.as_str(), port)).await.map(Iterator::collect).unwrap_or_else(|_| Vec::new());
    if name == "localhost" || found.is_empty() || !found.iter().all(|address| address.ip().is_loopback()) {
        println!("skipped: the name of this machine does not lead to loopback");
        return;
    }
    let scene = Scene::granting(&[format!("{name}:{port}")]);
    let answer = scene.ask(&format!("CONNECT {name}:{port} HTTP/1.1\r\n\r\nping")).await;
    assert!(answer.contains("403 Forbidden") && answer.contains("a loopback address"), "{answer}");
    assert!(listener.heard().is_empty());
    let (attempts, _) = scene.end().await;
    assert_eq!(attempts[0].end, AttemptEnd::Refused);
    assert!(attempts[0].address.unwrap().is_loopback());

    let both = Scene::granting(&[format!("{name}:{port}"), listener.address.to_string()]);
    assert!(both.ask(&format!("CONNECT {name}:{port} HTTP/1.1\r\n\r\nping")).await.ends_with("caught"));
}

#[tokio::test]
async fn a_plain_request_takes_no_other_along_and_says_who_it_is_for() {
    let listener = Listener::start("HTTP/1.1 200 OK\r\n\r\n").await;
    let target = listener.address.to_string();
    let scene = Scene::granting(std::slice::from_ref(&target));
    let request = format!(
        "POST http://{target}?q#part HTTP/1.1\r\nHost: secret-site.internal\r\nProxy-Authorization: Basic eA==\r\nX-Mine: yes\r\n\
         connection: keep-alive, x-mine\r\nProxy-Connection: keep-alive\r\nUpgrade: x\r\nContent-Length: 4\r\n\r\nbody"
    );
    let second = "GET http://169.254.169.254/ HTTP/1.1\r\n\r\n";
    scene.ask(&format!("{request}{second}")).await;
    let expected = format!(
        "POST /?q HTTP/1.1\r\nHost: {target}\r\nX-Mine: yes\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody{second}"
    );
    assert_eq!(listener.heard(), [expected], "what follows goes to the same place and no other");
    for bad in [
        "GET http://x/ HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
        "GET http://x/ HTTP/1.1\r\nConnection : x\r\n\r\n",
        "GET http://x/ HTTP/1.1\r\nA: b\rHost: c\r\n\r\n",
        "GET http://x/ HTTP/1.1\r\nno colon\r\n\r\n",
        "GET  http://x/ HTTP/1.1\r\n\r\n",
        "GET http://x/ HTTP/2.0\r\n\r\n",
        "GET http://x/\r\n\r\n",
        "\r\n\r\n",
        "\u{4}\u{1}",
        "GET http://x/ HTTP/1.1\r\nA: b",
    ] {
        let answer = scene.ask(bad).await;
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{bad:?}: {answer}");
    }
    let long = format!("GET http://{target}/ HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(17_000));
    assert!(scene.ask(&long).await.starts_with("HTTP/1.1 400 Bad Request\r\n"));
    for (other, says) in [
        (format!("GET https://{target}/ HTTP/1.1\r\n\r\n"), "so use CONNECT"),
        (format!("GET ftp://{target}/ HTTP/1.1\r\n\r\n"), "so use CONNECT"),
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), "a whole URL is expected"),
        (format!("GET http://{target}\\@x/ HTTP/1.1\r\n\r\n"), "a user name has no place in it"),
        (format!("CONNECT http://{target} HTTP/1.1\r\n\r\n"), "is no place to connect to"),
        ("CONNECT git.example HTTP/1.1\r\n\r\n".to_owned(), "a port is missing"),
    ] {
        let answer = scene.ask(&other).await;
        assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n") && answer.contains(says), "{other:?}: {answer}");
    }
    assert_eq!(listener.heard().len(), 1);
}

#[tokio::test]
async fn socks_answers_what_it_does_not_serve_with_the_code_for_it() {
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let scene = Scene::granting(&[unused.to_string(), "no-such-name.invalid:80".to_owned()]);
    let asked = |command: u8| [&[5, 1, 0, 5, command, 0, 1, 127, 0, 0, 1], &unused.port().to_be_bytes()[..]].concat();
    for (bytes, answer) in [
        (vec![5, 1, 2], vec![5, 0xff]),
        (vec![5, 0], vec![5, 0xff]),
        (asked(2), vec![5, 0, 5, 7]),
        (asked(3), vec![5, 0, 5, 7]),
        (vec![5, 1, 0, 5, 1, 0, 9, 0, 0], vec![5, 0, 5, 8]),
        (vec![5, 1, 0, 4, 1, 0, 1, 127, 0, 0, 1, 0, 80], vec![5, 0, 5, 1]),
        (asked(1), vec![5, 0, 5, 5]),
        (socks(3, b"no-such-name.invalid", 80), vec![5, 0, 5, 4]),
        (socks(3, b"", 80), vec![5, 0, 5, 2]),
        (socks(3, b"a\0b", 80), vec![5, 0, 5, 2]),
        (socks(3, &[0xff; 255], 80), vec![5, 0, 5, 2]),
        (vec![5, 1, 0, 5, 1], vec![5, 0]),
    ] {
        let heard = scene.say(&bytes).await;
        assert!(heard.starts_with(&answer), "{bytes:?}: {heard:?}");
    }
    let (attempts, _) = scene.end().await;
    let failed: Vec<&str> = attempts
        .iter()
        .filter(|attempt| attempt.end == AttemptEnd::Failed)
        .map(|attempt| attempt.target.as_str())
        .collect();
    assert_eq!(failed, [unused.to_string().as_str(), "no-such-name.invalid:80"]);
    assert_eq!(attempts.len(), 9, "{attempts:?}");
}

#[tokio::test]
async fn a_request_that_arrives_byte_by_byte_is_the_same_request() {
    let listener = Listener::start("pong").await;
    let scene = Scene::granting(&[listener.address.to_string()]);
    for request in [
        socks(1, &[127, 0, 0, 1], listener.address.port()),
        format!("CONNECT {} HTTP/1.1\r\nA: b\r\n\r\n", listener.address).into_bytes(),
    ] {
        let mut stream = UnixStream::connect(scene.socket()).await.unwrap();
        for byte in request {
            stream.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        stream.write_all(b"ping").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut heard = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut heard)).await.unwrap().unwrap();
        assert!(heard.ends_with(b"pong"), "{heard:?}");
    }
    assert_eq!(listener.heard(), ["ping", "ping"]);
}

#[tokio::test]
async fn a_loop_of_refusals_is_recorded_each_time_and_told_in_the_log_once() {
    let scene = Scene::granting(&["git.example:443".to_owned()]);
    for _ in 0..200 {
        scene.ask("CONNECT evil.example:443 HTTP/1.1\r\n\r\n").await;
    }
    for number in 0..200 {
        scene.ask(&format!("CONNECT evil{number}.example:443 HTTP/1.1\r\n\r\n")).await;
    }
    let (attempts, log) = scene.end().await;
    assert_eq!(attempts.len(), 400);
    assert_eq!(log.matches("`evil.example:443`").count(), 1);
    assert_eq!(log.lines().count(), 51, "{log}");
    assert!(log.ends_with("[stampmill network: what else is refused is not told here]\n"), "{log}");
}

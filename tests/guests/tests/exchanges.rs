//! HTTP through the host, against a listener on loopback that remembers what it was sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stampmill_runtime::egress::{Attempt, AttemptEnd, NetworkRecord, Protocol};
use stampmill_runtime::{Fault, Outcome, PluginError, Use, limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::fakes::{Around, refusal, run_use, usage};

struct Server {
    origin: String,
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
    around: Arc<Around>,
}

impl Server {
    /// Answers every connection once, with this.
    async fn answering(answer: Vec<u8>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = requests.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut bytes = vec![0; 65_536];
                let read = stream.read(&mut bytes).await.unwrap();
                heard.lock().unwrap().push(String::from_utf8_lossy(&bytes[..read]).into_owned());
                if answer.is_empty() {
                    tokio::spawn(async move {
                        tokio::time::sleep(Duration::from_secs(3_600)).await;
                        drop(stream)
                    });
                } else {
                    let _ = stream.write_all(&answer).await;
                }
            }
        });
        Server { origin: format!("http://127.0.0.1:{port}"), port, requests, around: Arc::default() }
    }

    async fn saying(status: &str, headers: &str, body: &[u8]) -> Server {
        let mut answer =
            format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n", body.len())
                .into_bytes();
        answer.extend(body);
        Server::answering(answer).await
    }

    fn usage(&self, script: &str) -> Use {
        let mut usage = usage(&self.around, script);
        usage.grant.http = vec![self.origin.clone()];
        usage
    }

    async fn run(&self, script: &str) -> Result<Outcome, PluginError> {
        run_use(self.usage(script)).await
    }

    fn heard(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn a_request_to_a_granted_origin_is_sent_as_said() {
    let server = Server::saying("201 Created", "", b"welcome").await;
    let url = format!("{}/path?query", server.origin);
    server.run(&format!("run:http-header|POST|{url}|x-mine|yes")).await.unwrap();
    assert_eq!(server.around.said(), ["201  welcome"]);
    let [request] = server.heard().try_into().unwrap();
    assert!(request.starts_with("POST /path?query HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("x-mine: yes") && request.contains("user-agent: stampmill/"), "{request}");
    assert!(!request.contains("authorization"), "{request}");
}

#[tokio::test]
async fn another_origin_is_refused_before_anything_is_sent() {
    let server = Server::saying("200 OK", "", b"").await;
    let port = server.port;
    for url in [
        format!("https://127.0.0.1:{port}/"),
        format!("http://localhost:{port}/"),
        format!("http://127.0.0.2:{port}/"),
        "http://127.0.0.1:1/".to_owned(),
        "http://127.0.0.1/".to_owned(),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        "file:///etc/passwd".to_owned(),
    ] {
        let text = refusal(server.run(&format!("run:http|GET|{url}")).await);
        assert!(text.contains("is not granted; the grant `http = ["), "{url}: {text}");
    }
    for (url, says) in [
        (format!("http://127.0.0.1:{port}@localhost/"), "user name or password"),
        (format!("http://user:pw@127.0.0.1:{port}/"), "user name or password"),
        (format!("http://{}/", "a".repeat(1 << 20)), "bytes of URL"),
        ("not a url".to_owned(), "is no URL"),
        ("/relative".to_owned(), "is no URL"),
    ] {
        let text = refusal(server.run(&format!("run:http|GET|{url}")).await);
        assert!(text.contains(says), "{url}: {text}");
    }
    assert!(server.heard().is_empty());
}

#[tokio::test]
async fn a_redirect_is_told_and_not_followed() {
    let elsewhere = Server::saying("200 OK", "", b"caught").await;
    let location = format!("location: {}/x\r\n", elsewhere.origin);
    let server = Server::saying("302 Found", &location, b"").await;
    let url = format!("{}/", server.origin);
    server.run(&format!("run:http-credential|GET|{url}|deploy-key")).await.unwrap();
    assert_eq!(server.around.said(), [format!("302 {}/x ", elsewhere.origin)]);
    assert!(elsewhere.heard().is_empty());
}

#[tokio::test]
async fn the_connections_own_headers_and_methods_are_not_the_guests() {
    let server = Server::saying("200 OK", "", b"").await;
    let url = format!("{}/", server.origin);
    for name in ["Host", "content-length", "Transfer-Encoding", "connection", "proxy-authorization"] {
        let text = refusal(server.run(&format!("run:http-header|GET|{url}|{name}|evil.example")).await);
        assert!(text.contains("is the host's to set"), "{text}");
    }
    for (name, value) in [("x y", "1"), ("x", "a\\u000d\\u000aHost: b")] {
        let done = server.run(&format!("run:http-header|GET|{url}|{name}|{value}")).await;
        if name == "x y" {
            assert!(refusal(done).contains("is no name of a header"));
        }
    }
    for method in ["CONNECT", "TRACE", "G E T", ""] {
        refusal(server.run(&format!("run:http|{method}|{url}")).await);
    }
}

#[tokio::test]
async fn a_credential_is_attached_by_the_host_where_it_is_granted_and_nowhere_else() {
    let server = Server::saying("200 OK", "", b"fine").await;
    let url = format!("{}/", server.origin);
    server.run(&format!("run:http-credential|GET|{url}|deploy-key")).await.unwrap();
    assert!(server.heard()[0].contains("authorization: Bearer s3cret"));
    assert!(!server.around.said().join("").contains("s3cret"), "the guest didn't see it");

    assert!(
        refusal(server.run(&format!("run:http-credential|GET|{url}|other-key")).await)
            .contains("secret `other-key` is not granted")
    );
    let bound = |origin: &str| {
        let mut usage = server.usage(&format!("run:http-credential|GET|{url}|token"));
        usage.grant.credential = BTreeMap::from([("token".to_owned(), vec![origin.to_owned()])]);
        usage
    };
    let text = refusal(run_use(bound("https://elsewhere.example")).await);
    assert!(text.contains("credential `token` is not granted for"), "{text}");
    assert_eq!(server.heard().len(), 1);
    run_use(bound(&server.origin)).await.unwrap();
    assert!(server.heard()[1].contains("authorization: Bearer s3cret"));
    assert_eq!(
        *server.around.revealed.lock().unwrap(),
        ["deploy-key", "token"],
        "no secret is looked up for a refused request"
    );
}

#[tokio::test]
async fn an_origin_that_does_not_answer_is_unavailable_at_the_limit() {
    let server = Server::answering(Vec::new()).await;
    let mut usage = server.usage(&format!("run:http|GET|{}/", server.origin));
    usage.limits.host_call = Some(Duration::from_millis(200));
    let error = run_use(usage).await.unwrap_err();
    let Some(Fault::Unavailable { reason, .. }) = error.fault() else { panic!("{error}") };
    assert!(reason.contains(&server.origin) && reason.contains("took too long"), "{reason}");
}

#[tokio::test]
async fn an_origin_that_nobody_listens_at_is_unavailable() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let around = Arc::new(Around::default());
    let mut usage = usage(&around, &format!("run:http|GET|http://127.0.0.1:{port}/?secret=1"));
    usage.grant.http = vec![format!("http://127.0.0.1:{port}")];
    let error = run_use(usage).await.unwrap_err();
    let Some(Fault::Unavailable { reason, .. }) = error.fault() else { panic!("{error}") };
    assert!(!reason.contains("secret"), "{reason}");
}

#[tokio::test]
async fn a_body_is_given_whole_or_refused() {
    let server = Server::saying("200 OK", "", &[b'x'; 25]).await;
    server.run(&format!("run:http-body|{}/|25|25", server.origin)).await.unwrap();
    assert_eq!(server.around.said(), ["25 bytes", "25 bytes"]);
    let text = refusal(server.run(&format!("run:http-body|{}/|24", server.origin)).await);
    assert!(text.contains("bytes of response body: 25 are more than the limit of 24"), "{text}");

    let large = vec![b'x'; limits::HTTP_RESPONSE_BYTES_MAX as usize + 1];
    let server = Server::saying("200 OK", "", &large).await;
    let text = refusal(server.run(&format!("run:http-body|{}/|999999999", server.origin)).await);
    assert!(text.contains("bytes of response body"), "{text}");
}

/// Remembers what a plugin tried to reach.
#[derive(Default)]
struct Tried(Mutex<Vec<Attempt>>);

impl NetworkRecord for Tried {
    fn tried(&self, attempt: Attempt) {
        self.0.lock().unwrap().push(attempt);
    }
}

impl Tried {
    fn ends(&self) -> Vec<(String, AttemptEnd)> {
        let tried = self.0.lock().unwrap();
        assert!(tried.iter().all(|attempt| attempt.protocol == Protocol::Plugin));
        tried.iter().map(|attempt| (attempt.target.clone(), attempt.end)).collect()
    }
}

#[tokio::test]
async fn every_request_is_recorded_and_a_redirect_is_judged_as_a_request_of_its_own() {
    let (tried, elsewhere) = (Arc::new(Tried::default()), Server::saying("200 OK", "", b"caught").await);
    let location = format!("location: {}/x\r\n", elsewhere.origin);
    let server = Server::saying("302 Found", &location, b"").await;
    let mut usage = server.usage(&format!("run:http-follow|{}/", server.origin));
    usage.surroundings.network = Some(tried.clone());
    let text = refusal(run_use(usage).await);
    assert!(text.contains(&format!("`{}` is not granted", elsewhere.origin)), "{text}");
    assert!(elsewhere.heard().is_empty());
    let place = |server: &Server| format!("127.0.0.1:{}", server.port);
    let expected = [(place(&server), AttemptEnd::Connected), (place(&elsewhere), AttemptEnd::Refused)];
    assert_eq!(tried.ends(), expected);
    assert_eq!(tried.0.lock().unwrap()[0].address, Some("127.0.0.1".parse().unwrap()));

    let mut usage = server.usage(&format!("run:http-follow|{}/", server.origin));
    usage.grant.http.push(elsewhere.origin.clone());
    run_use(usage).await.unwrap();
    assert_eq!(elsewhere.heard().len(), 1);
}

#[tokio::test]
async fn a_name_is_asked_where_it_may_lead_and_nowhere_else() {
    let server = Server::saying("200 OK", "", b"home").await;
    let at = |name: &str| format!("http://{name}:{}", server.port);
    let asking = |name: &str, granted: Vec<String>, tried: &Arc<Tried>| {
        let mut usage = server.usage(&format!("run:http|GET|{}/", at(name)));
        usage.grant.http = granted;
        usage.surroundings.network = Some(tried.clone());
        usage
    };
    let tried = Arc::new(Tried::default());
    run_use(asking("localhost", vec![at("localhost")], &tried)).await.unwrap();
    run_use(asking("LOCALHOST", vec![at("localhost")], &tried)).await.unwrap();
    let localhost = format!("localhost:{}", server.port);
    assert_eq!(tried.ends(), [(localhost.clone(), AttemptEnd::Connected), (localhost, AttemptEnd::Connected)]);

    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_lowercase();
    let found = tokio::net::lookup_host((name.as_str(), 1)).await;
    let found: Vec<_> = found.map(Iterator::collect).unwrap_or_else(|_| Vec::new());
    if name == "localhost" || found.is_empty() || !found.iter().all(|address| address.ip().is_loopback()) {
        println!("skipped: the name of this machine does not lead to loopback");
        return;
    }
    let tried = Arc::new(Tried::default());
    let text = refusal(run_use(asking(&name, vec![at(&name)], &tried)).await);
    assert!(text.contains("a loopback address; the grant `http = [") && text.contains("beside it"), "{text}");
    assert_eq!(tried.ends(), [(format!("{name}:{}", server.port), AttemptEnd::Refused)]);
    run_use(asking(&name, vec![at(&name), at("127.0.0.1")], &tried)).await.unwrap();
    assert_eq!(tried.ends()[1].1, AttemptEnd::Connected);
    // What one use was granted opens nothing for the next one.
    refusal(run_use(asking(&name, vec![at(&name)], &tried)).await);
    assert_eq!(server.heard().len(), 3);
}

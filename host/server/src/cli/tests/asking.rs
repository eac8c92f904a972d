//! A host that answers from a script, at an administrator's socket: what commands send it and how they end.

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use clap::Parser as _;
use serde_json::{Value, json};

use crate::cli::arguments::{Cli, Command, Target};
use crate::cli::connection::Connection;
use crate::cli::failure::{self, Failure};
use crate::cli::{asking, changes, logs, operating};
use crate::listen::ADMIN_SOCKET;

/// What was asked, in order: method, path with query, body.
type Asked = Arc<Mutex<Vec<(String, String, String)>>>;
type Script = fn(&str, &str, usize) -> Response;

#[derive(Clone)]
struct Host {
    asked: Asked,
    script: Script,
}

async fn answer(State(host): State<Host>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let path = parts.uri.path_and_query().unwrap().to_string();
    let entry = (parts.method.to_string(), path.clone(), String::from_utf8_lossy(&body).into_owned());
    let before = {
        let mut asked = host.asked.lock().unwrap();
        let before = asked.iter().filter(|(_, asked, _)| *asked == path).count();
        asked.push(entry);
        before
    };
    (host.script)(parts.method.as_str(), &path, before)
}

/// A host in a data directory; it ends with the directory's test.
fn host(data: &Path, script: Script) -> Asked {
    let asked = Asked::default();
    let listener = tokio::net::UnixListener::bind(data.join(ADMIN_SOCKET)).unwrap();
    let router = Router::new().fallback(answer).with_state(Host { asked: Arc::clone(&asked), script });
    tokio::spawn(async move { axum::serve(listener, router).await });
    asked
}

fn json_answer(value: &Value) -> Response {
    axum::Json(value.clone()).into_response()
}

fn error(status: StatusCode, message: &str) -> Response {
    (status, axum::Json(json!({ "error": { "code": "x", "message": message } }))).into_response()
}

fn build(state: &str, result: Option<&str>, step: &str) -> Value {
    json!({
        "id": 7, "builder": "linux", "number": 3, "project": "", "state": state, "result": result, "summary": "", "worker": "w1",
        "reason": "forced", "owner": null, "request": 5, "buildset": 2, "attempt": 1, "started_at": "2026-01-01T00:00:00.000Z",
        "finished_at": null, "source_stamps": [], "blamelist": [], "properties": {},
        "steps": [{ "number": 0, "name": "compile", "state": step, "result": result, "summary": "", "logs": ["stdio"] }],
    })
}

fn command(line: &str) -> Command {
    Cli::try_parse_from(std::iter::once("stampmill").chain(line.split_whitespace())).unwrap().command
}

async fn run(line: &str) -> anyhow::Result<ExitCode> {
    match command(line) {
        Command::Force(args) => asking::force(args).await,
        Command::Rebuild(args) => asking::rebuild(args).await,
        Command::Cancel(args) => asking::cancel(args).await,
        Command::Builds(args) => asking::builds(args).await,
        Command::Log(args) => logs::run(args).await,
        Command::Change(args) => changes::send(args).await,
        Command::Scheduler(command) => operating::scheduler(command).await,
        other => panic!("{other:?}"),
    }
}

/// Exit codes can only be compared by what they print.
fn same(code: ExitCode, expected: u8) -> bool {
    format!("{code:?}") == format!("{:?}", ExitCode::from(expected))
}

/// A build that waits at the first look, runs at the second and has failed at the third.
fn failing_build(method: &str, path: &str, before: usize) -> Response {
    match (method, path) {
        ("POST", "/api/v1/builders/linux/force" | "/api/v1/builds/7/rebuild") => {
            json_answer(&json!({ "buildset": 2, "requests": [5] }))
        }
        ("GET", "/api/v1/requests/5") => {
            let (state, result) =
                [("pending", None), ("building", None)].get(before).copied().unwrap_or(("complete", Some("failure")));
            json_answer(&json!({ "id": 5, "buildset": 2, "builder": "linux", "state": state, "result": result }))
        }
        ("GET", "/api/v1/requests/5/explain") => {
            json_answer(&json!({ "summary": "no worker is connected", "position": 1, "workers": [] }))
        }
        ("GET", "/api/v1/builds?request=5&limit=1") => {
            let items = match before {
                0 => vec![],
                1 => vec![build("running", None, "running")],
                _ => vec![build("finished", Some("failure"), "finished")],
            };
            json_answer(&json!({ "items": items, "next": null }))
        }
        ("GET", "/api/v1/builds/7" | "/api/v1/builders/linux/builds/3") => {
            json_answer(&build("finished", Some("failure"), "finished"))
        }
        ("GET", "/api/v1/events") => {
            let events = "event: hello\ndata: {}\n\nevent: build\ndata: {\"id\":7}\n\n";
            ([("content-type", "text/event-stream")], events).into_response()
        }
        _ => error(StatusCode::NOT_FOUND, &format!("there is nothing at {method} {path}")),
    }
}

#[tokio::test]
async fn a_waited_for_build_ends_the_command_with_its_result() {
    let data = tempfile::tempdir().unwrap();
    let asked = host(data.path(), failing_build);
    let line = format!("force linux --wait --branch b --data {}", data.path().display());
    let code = run(&line).await.unwrap();
    assert!(same(code, failure::BUILD_FAILED), "{code:?}");
    let asked = asked.lock().unwrap();
    assert_eq!(
        asked[0],
        ("POST".to_owned(), "/api/v1/builders/linux/force".to_owned(), "{\"branch\":\"b\"}".to_owned())
    );
}

#[tokio::test]
async fn a_rebuild_takes_the_builders_count_and_does_not_wait_unless_told() {
    let data = tempfile::tempdir().unwrap();
    let asked = host(data.path(), failing_build);
    let code = run(&format!("rebuild linux/3 --data {}", data.path().display())).await.unwrap();
    assert!(same(code, 0), "{code:?}");
    let paths: Vec<String> = asked.lock().unwrap().iter().map(|(_, path, _)| path.clone()).collect();
    assert_eq!(paths, ["/api/v1/builders/linux/builds/3", "/api/v1/builds/7/rebuild"]);
}

/// A log of three lines that comes in two streams, the second of which repeats a line.
fn broken_stream(method: &str, path: &str, before: usize) -> Response {
    let stream = |text: &str| ([("content-type", "text/event-stream")], Body::from(text.to_owned())).into_response();
    match (method, path) {
        ("GET", "/api/v1/builds/7") => {
            let (state, result) = if before < 2 { ("running", None) } else { ("finished", Some("warnings")) };
            json_answer(&build(state, result, state))
        }
        ("GET", "/api/v1/builds/7/steps/0/logs/stdio/follow?from=1") => {
            stream("event: hello\ndata: {}\n\nevent: lines\nid: 3\ndata: {\"first\":1,\"lines\":[\"one\",\"two\"]}\n\n")
        }
        ("GET", "/api/v1/builds/7/steps/0/logs/stdio/follow?from=3") => {
            stream("event: lines\nid: 4\ndata: {\"first\":2,\"lines\":[\"two\",\"three\"]}\n\nevent: end\ndata: {}\n\n")
        }
        ("GET", "/api/v1/events?build=7") => stream("event: build\ndata: {\"id\":7}\n\n"),
        _ => error(StatusCode::NOT_FOUND, &format!("there is nothing at {method} {path}")),
    }
}

#[tokio::test]
async fn a_followed_log_goes_on_where_a_broken_stream_ended_and_ends_with_the_build() {
    let data = tempfile::tempdir().unwrap();
    let asked = host(data.path(), broken_stream);
    let code = run(&format!("log 7 --follow --data {}", data.path().display())).await.unwrap();
    assert!(same(code, 0), "{code:?}");
    let asked = asked.lock().unwrap();
    let follows: Vec<&str> = asked
        .iter()
        .filter_map(|(_, path, _)| path.strip_prefix("/api/v1/builds/7/steps/0/logs/stdio/follow?"))
        .collect();
    assert_eq!(follows, ["from=1", "from=3"]);
}

#[tokio::test]
async fn names_stay_one_part_of_the_address() {
    let data = tempfile::tempdir().unwrap();
    let asked = host(data.path(), failing_build);
    let line = format!("force ../users?x --data {}", data.path().display());
    let failed = run(&line).await.unwrap_err();
    assert!(matches!(failed.downcast_ref(), Some(Failure::Refused(_))), "{failed}");
    assert_eq!(asked.lock().unwrap()[0].1, "/api/v1/builders/..%2Fusers%3Fx/force");
}

#[tokio::test]
async fn a_change_is_sent_with_everything_that_was_said() {
    let data = tempfile::tempdir().unwrap();
    let asked = host(data.path(), |_, _, _| json_answer(&json!({ "changes": [9] })));
    let line = format!(
        "change --who ada --repository /r --branch b --revision r1 -m fix --codebase app --project p --property x:=true a.c b.c --data {}",
        data.path().display()
    );
    let code = run(&line).await.unwrap();
    assert!(same(code, 0), "{code:?}");
    let asked = asked.lock().unwrap();
    assert_eq!((asked[0].0.as_str(), asked[0].1.as_str()), ("POST", "/api/v1/changes"));
    let body: Value = serde_json::from_str(&asked[0].2).unwrap();
    assert_eq!(body["author"], "ada");
    assert_eq!(body["files"], json!(["a.c", "b.c"]));
    assert_eq!(body["properties"], json!({ "x": true }));
    assert_eq!((&body["codebase"], &body["project"], &body["revision"]), (&json!("app"), &json!("p"), &json!("r1")));
}

#[tokio::test]
async fn a_scheduler_is_disabled_with_its_reason_and_enabled() {
    let data = tempfile::tempdir().unwrap();
    let asked = host(data.path(), |_, _, _| json_answer(&json!({ "done": true })));
    for line in ["scheduler disable ../x -m broken", "scheduler enable ../x"] {
        let code = run(&format!("{line} --data {}", data.path().display())).await.unwrap();
        assert!(same(code, 0), "{code:?}");
    }
    let path = |what: &str| format!("/api/v1/schedulers/..%2Fx/{what}");
    let expected = [
        ("POST".to_owned(), path("disable"), r#"{"reason":"broken"}"#.to_owned()),
        ("POST".to_owned(), path("enable"), "{}".to_owned()),
    ];
    assert_eq!(*asked.lock().unwrap(), expected);
}

#[tokio::test]
async fn without_a_host_the_message_says_how_to_get_one() {
    let data = tempfile::tempdir().unwrap();
    let failed = run(&format!("builds --data {}", data.path().display())).await.unwrap_err();
    assert!(matches!(failed.downcast_ref(), Some(Failure::Unavailable(_))), "{failed}");
    let text = failed.to_string();
    assert!(text.contains("stampmill up") && text.contains(ADMIN_SOCKET), "{text}");
}

#[tokio::test]
async fn whose_fault_it_is_follows_the_hosts_answer() {
    let data = tempfile::tempdir().unwrap();
    host(data.path(), |_, path, _| match path {
        "/api/v1/builders/refused" => error(StatusCode::CONFLICT, "not now"),
        "/api/v1/builders/away" => error(StatusCode::SERVICE_UNAVAILABLE, "later"),
        "/api/v1/builders/broken" => error(StatusCode::INTERNAL_SERVER_ERROR, "a bug"),
        "/api/v1/builders/login" => error(StatusCode::UNAUTHORIZED, "this needs a login or a token"),
        _ => "no JSON".into_response(),
    });
    let target = Target { host: None, token: None, data: Some(data.path().to_owned()) };
    let connection = Connection::new(&target).unwrap();
    let code = async |name: &str| connection.get(&["builders", name], &[]).await.unwrap_err();
    assert!(matches!(code("refused").await.downcast_ref(), Some(Failure::Refused(text)) if text == "not now"));
    assert!(matches!(code("away").await.downcast_ref(), Some(Failure::Unavailable(_))));
    assert!(matches!(code("broken").await.downcast_ref(), Some(Failure::Broken(_))));
    assert!(matches!(code("other").await.downcast_ref(), Some(Failure::Broken(_))));
    let login = code("login").await.to_string();
    assert!(login.contains("stampmill token create"), "{login}");
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_before_anything_is_sent() {
    for host in ["ftp://h", "http://", "h h", "mailto:x@y"] {
        let target = Target { host: Some(host.to_owned()), token: None, data: None };
        let refused = Connection::new(&target).err().unwrap_or_else(|| panic!("{host} is taken"));
        assert!(matches!(refused.downcast_ref(), Some(Failure::Refused(_))), "{host}: {refused}");
    }
}

//! What routes answer, to good and to bad calls.

use axum::http::StatusCode;
use serde_json::{Value, json};
use stampmill_model::{BuildId, RequestId};
use stampmill_service::{Access, Ask, Role};

use super::call::{Call, call, message};
use crate::house::{HOSTILE, House};

fn house() -> House {
    House::new(Access { reading_open: true, ..Access::default() })
}

fn get(path: &str) -> Call {
    call("GET", path).header("host", "localhost")
}

#[tokio::test]
async fn a_build_has_the_promised_fields() {
    let house = house();
    let (status, build) = get("/api/v1/builds/1").value(&house).await;
    assert_eq!(status, StatusCode::OK);
    for field in [
        "id",
        "builder",
        "number",
        "state",
        "result",
        "worker",
        "reason",
        "started_at",
        "finished_at",
        "source_stamps",
        "properties",
        "steps",
    ] {
        assert!(build.get(field).is_some(), "{field}");
    }
    assert_eq!(build["state"], "finished");
    assert_eq!(build["result"], "failure");
    assert_eq!(build["started_at"], "2026-03-01T12:00:00.000Z");
    assert_eq!(build["finished_at"], "2026-03-01T12:00:09.000Z");
    assert_eq!(build["properties"][HOSTILE], json!({ "value": HOSTILE, "source": format!("Step {HOSTILE}") }));
    assert_eq!(build["source_stamps"][0]["changes"], json!([1]));
    let step = &build["steps"][1];
    for field in ["name", "number", "state", "result", "started_at", "finished_at", "summary", "logs"] {
        assert!(step.get(field).is_some(), "{field}");
    }
    assert_eq!(step["logs"], json!(["stdio", "empty"]));
    let (_, by_number) = get("/api/v1/builders/linux/builds/1").value(&house).await;
    assert_eq!(by_number, build);
}

#[tokio::test]
async fn lists_go_on_with_their_cursor() {
    let house = house();
    let (_, first) = get("/api/v1/builds?limit=1").value(&house).await;
    assert_eq!(first["items"][0]["id"], 2);
    let cursor = first["next"].as_str().expect("there is more").to_owned();
    let (_, second) = get(&format!("/api/v1/builds?limit=1&cursor={cursor}")).value(&house).await;
    assert_eq!(second["items"][0]["id"], 1);
    let (_, whole) = get("/api/v1/builds").value(&house).await;
    assert_eq!((whole["items"].as_array().unwrap().len(), &whole["next"]), (2, &Value::Null));
    let (_, failed) = get("/api/v1/builds?result=failure&builder=linux").value(&house).await;
    assert_eq!(failed["items"].as_array().unwrap().len(), 1);
    let (_, open) = get("/api/v1/builders/linux/builds?state=open").value(&house).await;
    assert_eq!(open["items"][0]["id"], 2);
}

#[tokio::test]
async fn every_list_answers_items_and_next() {
    let house = house();
    let admin = house.token(Role::Admin);
    for path in [
        "builders",
        "builds",
        "changes",
        "buildsets",
        "requests",
        "workers",
        "change-sources",
        "schedulers",
        "plugins",
        "notices",
        "people",
        "users",
        "tokens",
    ] {
        let (status, list) = call("GET", &format!("/api/v1/{path}")).bearer(&admin).value(&house).await;
        assert_eq!(status, StatusCode::OK, "{path}: {list}");
        let keys: Vec<&String> = list.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["items", "next"], "{path}");
        assert!(path == "users" || !list["items"].as_array().unwrap().is_empty(), "{path}");
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_a_sentence() {
    let house = house();
    let admin = house.token(Role::Admin);
    let force = || call("POST", "/api/v1/builders/linux/force").bearer(&admin);
    let huge = format!("{{\"reason\": \"{}\"}}", "x".repeat(5_000_000));
    for (call, status, expected) in [
        (force().json("{\n  \"reason\": \"x\",\n  broken"), 400, "line 3 column 3"),
        (force().json(r#"{"raeson": "x"}"#), 400, "unknown field `raeson`"),
        (force().json(r#"{"priority": "high"}"#), 400, "invalid type"),
        (force().json("[]"), 400, "can't be understood"),
        (force().body(b"reason=x".to_vec()), 415, "application/json"),
        (force().json(&huge), 413, "larger than"),
        (force().json(r#"{"branch": "a\u0000b"}"#), 422, "control characters"),
        (call("POST", "/api/v1/builders/linus/force").bearer(&admin), 404, "did you mean `linux`?"),
        (
            call("POST", "/api/v1/builders/windows/force").bearer(&admin).json(r#"{"branch": "x"}"#),
            409,
            "no force scheduler",
        ),
        (call("POST", "/api/v1/buildsets").bearer(&admin).json(r#"{"builders": []}"#), 422, "at least one"),
        (call("POST", "/api/v1/builds/99/cancel").bearer(&admin), 404, "no build 99"),
        (call("POST", "/api/v1/schedulers/quikc/disable").bearer(&admin), 404, "did you mean `quick`?"),
        (call("POST", "/api/v1/schedulers/quick/disable").bearer(&admin).json(r#"{"raeson": ""}"#), 400, "raeson"),
        (call("POST", "/api/v1/schedulers/quikc/enable").bearer(&admin), 404, "did you mean `quick`?"),
        (call("POST", "/api/v1/workers/w9/pause").bearer(&admin), 404, "did you mean `w1`?"),
        (call("POST", "/api/v1/workers/w9/resume").bearer(&admin), 404, "did you mean `w1`?"),
        (call("POST", "/api/v1/change-sources/apq/poll").bearer(&admin), 404, "did you mean `app`?"),
        (
            call("POST", "/api/v1/changes").bearer(&admin).json(r#"{"committed_at": "now"}"#),
            400,
            "2026-03-01T12:00:00Z",
        ),
        (call("POST", "/api/v1/reload").bearer(&admin), 422, "did you mean `builders`?"),
        (get("/api/v1/builders/linus"), 404, "did you mean `linux`?"),
        (get("/api/v1/builders/linus/builds"), 404, "did you mean `linux`?"),
        (get("/api/v1/builds/99"), 404, "no build 99"),
        (get("/api/v1/builds/x"), 404, "nothing at this address"),
        (get("/api/v1/builds/99999999999999999999999"), 404, "nothing at this address"),
        (get("/api/v1/builds?limit=0"), 400, "take 1 to"),
        (get("/api/v1/builds?limit=x"), 400, "limit"),
        (get("/api/v1/builds?bilder=x"), 400, "bilder"),
        (get("/api/v1/builds?result=green"), 400, "success"),
        (get("/api/v1/builds/1/steps/9/logs/stdio"), 404, "no step 9"),
        (get("/api/v1/builds/1/steps/1/logs/stdin"), 404, "did you mean `stdio`?"),
        (get("/api/v1/builds/1/steps/1/logs/..%2F..%2Fetc%2Fpasswd"), 404, "no log"),
        (get("/api/v1/builds/1/steps/1/logs/stdio?first=0"), 400, "from 1"),
        (get("/api/v1/builds/1/steps/1/logs/stdio?count=5001"), 400, "5000"),
        (get("/api/v1/nothing"), 404, "openapi.json"),
        (call("PUT", "/api/v1/builds/1"), 405, "PUT"),
    ] {
        let (got, body) = call.value(&house).await;
        assert_eq!(got.as_u16(), status, "{expected}: {body}");
        assert!(message(&body).contains(expected), "{expected}: {body}");
    }
    assert_eq!(house.host.asked(), (vec![], vec![]), "the host heard of none of it");
}

#[tokio::test]
async fn asks_reach_the_host_as_they_were_sent() {
    let house = house();
    let token = house.token(Role::Operator);
    let post = |path: &str, body: &str| call("POST", path).bearer(&token).json(body);
    let (status, made) = post(
        "/api/v1/builders/linux/force",
        r#"{"reason": "again", "branch": "-x", "properties": {"n": [1]}, "worker": "w1"}"#,
    )
    .value(&house)
    .await;
    assert_eq!((status, made), (StatusCode::CREATED, json!({ "buildset": 3, "requests": [3] })));
    let asked = house.host.asked().0;
    let [Ask::Force(force)] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!((force.reason.as_str(), force.owner.as_str()), ("again", "operator"));
    assert_eq!(force.stamps["app"].branch.as_deref(), Some("-x"));
    assert_eq!(force.properties["n"].value, json!([1]));

    for (path, body) in [
        ("/api/v1/builds/2/cancel", r#"{"reason": "slow"}"#),
        ("/api/v1/requests/3/cancel", "{}"),
        ("/api/v1/requests/4/approve", r#"{"approved": true}"#),
        ("/api/v1/schedulers/force/disable", r#"{"reason": "a freeze"}"#),
        ("/api/v1/schedulers/force/enable", ""),
        ("/api/v1/workers/w1/pause", r#"{"reason": "a new disk"}"#),
        ("/api/v1/workers/w1/resume", "{}"),
        ("/api/v1/change-sources/app/poll", ""),
    ] {
        assert_eq!(post(path, body).value(&house).await, (StatusCode::OK, json!({ "done": true })), "{path}");
    }
    let by = "operator".to_owned();
    assert_eq!(
        house.host.asked().0,
        [
            Ask::CancelBuild { build: BuildId(2), reason: "cancelled by operator: slow".into() },
            Ask::CancelRequest { request: RequestId(3), reason: "cancelled by operator".into() },
            Ask::Approve { request: RequestId(4), approved: true, by: by.clone() },
            Ask::DisableScheduler { scheduler: "force".into(), by: by.clone(), reason: "a freeze".into() },
            Ask::EnableScheduler("force".into()),
            Ask::PauseWorker { worker: "w1".into(), by, reason: "a new disk".into() },
            Ask::ResumeWorker("w1".into()),
            Ask::PollNow("app".into()),
        ]
    );

    let (status, _) = post("/api/v1/builds/1/rebuild", "").value(&house).await;
    assert_eq!(status, StatusCode::CREATED);
    let (status, taken) =
        post("/api/v1/changes", r#"{"author": "ann", "branch": "main", "codebase": "app"}"#).value(&house).await;
    assert_eq!((status, taken), (StatusCode::CREATED, json!({ "changes": [1] })));
    let asked = house.host.asked().0;
    let [Ask::Rebuild(rebuild), Ask::SendChange { change, codebase, trusted }] = asked.as_slice() else {
        panic!("{asked:?}")
    };
    assert_eq!((rebuild.build, rebuild.builder.as_str(), rebuild.owner.as_str()), (BuildId(1), "linux", "operator"));
    assert_eq!((change.author.as_str(), codebase.as_deref(), *trusted), ("ann", Some("app"), false));
}

#[tokio::test]
async fn a_hook_is_passed_on_as_it_came_and_a_large_one_is_not() {
    let house = House::new(Access::default());
    let body = b"\x00not json\xff".to_vec();
    let answer = call("POST", "/hooks/forge?a=1")
        .header("x-hub-signature-256", "sha256=00")
        .body(body.clone())
        .answer(&house)
        .await;
    assert_eq!((answer.0, answer.2.as_slice()), (StatusCode::ACCEPTED, b"taken".as_slice()));
    let calls = house.host.asked().1;
    let [passed] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!((passed.path.as_str(), passed.query.as_str(), &passed.body), ("/hooks/forge", "a=1", &body));
    assert!(passed.headers.contains(&("x-hub-signature-256".into(), "sha256=00".into())));

    let (status, body) = call("POST", "/hooks/forge").body(vec![b'x'; 1024 * 1024 + 1]).value(&house).await;
    assert_eq!((status, message(&body)), (StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 1048576 bytes"));
    for path in ["/hooks/app", "/hooks/nothing", "/hooks/a/b"] {
        assert_eq!(call("POST", path).open(&house).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(house.host.asked(), (vec![], vec![]));
}

#[tokio::test]
async fn a_request_says_why_it_waits() {
    let house = house();
    let (_, why) = get("/api/v1/requests/3/explain").value(&house).await;
    assert_eq!(why["position"], 1);
    assert_eq!(why["workers"][0], json!({ "worker": "w1", "reason": "lacks the tag windows" }));
    let (_, done) = get("/api/v1/requests/1/explain").value(&house).await;
    let said = done["summary"].as_str().unwrap();
    assert!(
        said.starts_with("it has ended: failure with build 1 of builder `linux`: "),
        "the build's own words follow: {said}"
    );
}

#[tokio::test]
async fn metrics_are_in_the_format_of_prometheus() {
    let house = house();
    let (status, headers, body) = get("/metrics").answer(&house).await;
    assert_eq!(status, StatusCode::OK);
    assert!(headers["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    let text = String::from_utf8(body).unwrap();
    for line in [
        "stampmill_builds_finished_total{outcome=\"failure\"} 1",
        "stampmill_builds_finished_total{outcome=\"success\"} 0",
        "stampmill_requests_pending{builder=\"windows\"} 1",
        "stampmill_worker_connected{worker=\"w2\"} 0",
        "stampmill_builds_open 1",
    ] {
        assert!(text.lines().any(|candidate| candidate == line), "{line} in {text}");
    }
}

#[tokio::test]
async fn a_worker_says_how_well_it_fences_programs_in() {
    let house = house();
    let (status, workers) = get("/api/v1/workers").value(&house).await;
    assert_eq!(status, StatusCode::OK);
    let told = |index: usize| workers["items"][index]["info"].clone();
    let mechanism = |works: bool| json!([{ "name": "landlock", "works": works, "detail": HOSTILE }]);
    assert_eq!((&told(0)["tier"], &told(0)["mechanisms"]), (&json!("sandboxed"), &mechanism(true)));
    assert_eq!((&told(1)["tier"], &told(1)["mechanisms"]), (&json!("degraded"), &mechanism(false)));
    assert_eq!(told(2), Value::Null, "one that never came has said nothing");
}

#[tokio::test]
async fn a_scheduler_says_what_it_waits_with_and_who_has_disabled_it() {
    let house = house();
    let (status, schedulers) = get("/api/v1/schedulers").value(&house).await;
    assert_eq!(status, StatusCode::OK);
    let told = |index: usize| {
        let it = &schedulers["items"][index];
        ["name", "disabled", "waiting", "next_at"].map(|field| it[field].clone())
    };
    let noon = "2026-03-01T12:00:00.000Z";
    let halt = json!({ "by": "ann", "reason": HOSTILE, "since": noon });
    assert_eq!(told(0), [json!("quick"), halt, json!(3), Value::Null]);
    assert_eq!(told(1), [json!("force"), Value::Null, json!(0), Value::Null]);
    assert_eq!(told(2), [json!("night"), Value::Null, json!(0), json!(noon)]);
}

#[tokio::test]
async fn a_worker_says_who_has_paused_it() {
    let house = house();
    let (_, workers) = get("/api/v1/workers").value(&house).await;
    let halt = json!({ "by": "ann", "reason": HOSTILE, "since": "2026-03-01T12:00:00.000Z" });
    let paused = [0, 1, 2].map(|index: usize| workers["items"][index]["paused"].clone());
    assert_eq!(paused, [Value::Null, halt, Value::Null]);
}

#[tokio::test]
async fn a_plugin_has_kind_digest_and_what_is_asked_and_granted() {
    let house = house();
    let (status, plugins) = get("/api/v1/plugins").value(&house).await;
    assert_eq!(status, StatusCode::OK);
    let plugin = &plugins["items"][0];
    assert_eq!((&plugin["name"], &plugin["kind"]), (&json!("shell"), &json!("step")));
    assert_eq!(plugin["digest"], "0123456789abcdef".repeat(4));
    assert_eq!(plugin["asks"], json!(["command"]));
    assert_eq!(plugin["imports"], json!(["stampmill:host/command@0.1.0"]));
    let granted = json!({
        "command": ["make", HOSTILE], "net": [], "read": [], "write": [], "http": [], "secret": [], "credential": {},
        "trigger": [],
    });
    assert_eq!(plugin["uses"], json!([{ "place": "step compile of job c-project", "granted": granted }]));
}

//! The API from outside: who may do what, what a browser can be led to, and what makes no sense. After every refusal nothing has changed.

use anyhow::{Context as _, bail};
use nix::sys::signal::Signal;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use stampmill_e2e::wire::{Body, exchange};
use stampmill_e2e::{Host, Place, Repository, command};

const PASSWORD: &str = "correct horse battery";

/// A poller, a builder that takes its time and a scheduler by which people start it.
fn config(repository: &Repository) -> String {
    let repository = repository.bare.display();
    format!(
        r#"
[[change-source]]
name = "app"
plugin = "git-poller"
every = "1h"
config = {{ repository = "{repository}", branches = ["main"] }}
grant = {{ command = ["git"], read = ["{repository}"] }}

[[scheduler]]
name = "changed"
kind = "any-branch"
builders = ["linux"]

[[scheduler]]
name = "by-hand"
kind = "force"
codebases."" = {{ repository = "{repository}", branch = "main" }}
builders = ["linux"]

[[scheduler]]
name = "release"
kind = "force"
reason-required = true
codebases."" = {{ repository = "{repository}", branch = "main", ask = ["repository"] }}
builders = ["linux"]
parameter = [
  {{ kind = "int", name = "jobs", max = 9, default = 4 }},
  {{ kind = "bool", name = "deploy" }},
  {{ kind = "choice", name = "targets", choices = ["a", "b"], multiple = true }},
]

[[job]]
name = "wait"
[[job.step]]
name = "wait"
plugin = "shell"
config = {{ script = "echo waiting; sleep 1000" }}
grant = {{ command = ["/bin/sh"] }}

[[builder]]
name = "linux"
job = "wait"

[[worker]]
name = "local"
"#
    )
}

async fn start(place: &Place) -> anyhow::Result<Host> {
    let repository = Repository::make(place.path())?;
    Host::up(place.path(), &config(&repository)).await
}

async fn answer(request: RequestBuilder) -> anyhow::Result<(StatusCode, Value)> {
    let response = request.send().await?;
    let status = response.status();
    let text = response.text().await?;
    Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}

/// The sentence of a refusal; without one the test fails.
fn sentence<'a>(place: &str, body: &'a Value) -> anyhow::Result<&'a str> {
    let message = body["error"]["message"].as_str().with_context(|| format!("{place} has no sentence: {body}"))?;
    if !message.contains(' ') || body["error"]["code"].as_str().is_none_or(str::is_empty) {
        bail!("{place}: {body}");
    }
    Ok(message)
}

/// Somebody who is logged in with a browser.
struct Session {
    cookie: String,
    csrf: String,
}

impl Session {
    async fn log_in(host: &Host, name: &str, role: &str) -> anyhow::Result<Self> {
        let said = command::typed_with(&host.place, &["user", "add", name, "--role", role], PASSWORD).await?;
        assert_eq!(said.code, 0, "{said:?}");
        let (status, cookie) = log_in(host, name, PASSWORD, Some(&host.url)).await?;
        assert_eq!(status, StatusCode::SEE_OTHER);
        let cookie = cookie.context("a login gives a cookie")?;
        let page = host.client().get(format!("{}/builders/linux", host.url)).header("cookie", &cookie);
        let page = page.send().await?.text().await?;
        let csrf = page.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
        Ok(Self { cookie, csrf: csrf.with_context(|| format!("a form has its token: {page}"))?.to_owned() })
    }

    fn request(&self, host: &Host, method: Method, path: &str) -> RequestBuilder {
        host.client().request(method, format!("{}{path}", host.url)).header("cookie", &self.cookie)
    }
}

async fn log_in(
    host: &Host,
    name: &str,
    password: &str,
    origin: Option<&str>,
) -> anyhow::Result<(StatusCode, Option<String>)> {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    let form = format!("name={name}&password={}", password.replace(' ', "+"));
    let mut request = client.post(format!("{}/login", host.url)).body(form);
    request = request.header("content-type", "application/x-www-form-urlencoded");
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    let response = request.send().await?;
    let cookie = response.headers().get("set-cookie").and_then(|value| value.to_str().ok()?.split(';').next());
    Ok((response.status(), cookie.map(str::to_owned)))
}

/// One operation of the host's own description.
struct Operation {
    method: Method,
    path: String,
    least: Option<String>,
}

impl Operation {
    fn place(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    fn changes_something(&self) -> bool {
        self.method != Method::GET
    }

    /// A request that would do something, were it let through.
    fn request(&self, host: &Host, token_id: &str) -> RequestBuilder {
        let name = match self.path.as_str() {
            path if path.contains("change-sources") => "app",
            path if path.contains("schedulers") => "by-hand",
            path if path.contains("users") => "ann",
            path if path.contains("workers") => "local",
            _ => "linux",
        };
        let id = if self.path.contains("/tokens/") { token_id } else { "1" };
        let path = self.path.replace("{name}", name).replace("{id}", id).replace("{number}", "1");
        let path =
            path.replace("{step}", "0").replace("{log}", "stdio").replace("{source}", "app").replace("{who}", "1");
        let request = host.client().request(self.method.clone(), format!("{}{path}", host.url));
        if self.changes_something() { request.json(&self.body()) } else { request }
    }

    fn body(&self) -> Value {
        match self.place().as_str() {
            "POST /api/v1/changes" => json!({ "author": "Eve", "repository": "/x", "branch": "main" }),
            "POST /api/v1/buildsets" => json!({ "builders": ["linux"], "source_stamps": [{ "branch": "main" }] }),
            "POST /api/v1/users" => json!({ "name": "eve", "password": PASSWORD, "role": "admin" }),
            "PATCH /api/v1/users/{name}" => json!({ "role": "admin" }),
            "POST /api/v1/tokens" => json!({ "name": "eve", "role": "admin" }),
            "POST /api/v1/people" => json!({ "name": "Eve" }),
            "PATCH /api/v1/people/{who}" => json!({ "add": [{ "kind": "user", "value": "ann" }] }),
            "POST /api/v1/people/{who}/merge" => json!({ "from": "2" }),
            "POST /api/v1/requests/{id}/approve" => json!({ "approved": true }),
            _ => json!({}),
        }
    }
}

async fn operations(host: &Host) -> anyhow::Result<Vec<Operation>> {
    let document = host.get("/api/v1/openapi.json").await?;
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().context("the description has paths")? {
        for (method, operation) in methods.as_object().context("a path has methods")? {
            let method = Method::from_bytes(method.to_uppercase().as_bytes())?;
            let least = operation["x-least-role"].as_str().map(str::to_owned);
            operations.push(Operation { method, path: path.clone(), least });
        }
    }
    Ok(operations)
}

/// All that can be changed through the API, as the administrator sees it.
async fn everything(host: &Host, admin: &str) -> anyhow::Result<Value> {
    let mut seen = serde_json::Map::new();
    for list in ["changes", "buildsets", "requests", "builds", "users", "tokens", "schedulers", "notices", "people"] {
        let request = host.client().get(format!("{}/api/v1/{list}", host.url)).bearer_auth(admin);
        let (status, answer) = answer(request).await?;
        assert_eq!(status, StatusCode::OK, "{list}: {answer}");
        seen.insert(list.to_owned(), answer["items"].clone());
    }
    Ok(Value::Object(seen))
}

async fn forced_and_running(host: &Host, developer: &str) -> anyhow::Result<()> {
    let force = host.client().post(format!("{}/api/v1/builders/linux/force", host.url)).bearer_auth(developer);
    let (status, made) = answer(force.json(&json!({}))).await?;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    host.wait_for("/api/v1/builds/1", |build| (build["steps"][0]["logs"][0] == "stdio").then_some(())).await
}

#[tokio::test]
async fn a9_01_no_route_does_anything_without_a_token_or_with_too_low_a_role() -> anyhow::Result<()> {
    let place = Place::new()?;
    let host = start(&place).await?;
    let mut tokens = Vec::new();
    for role in ["viewer", "developer", "operator", "admin"] {
        tokens.push((role, host.token(&format!("of-a-{role}"), role).await?));
    }
    let rank = |role: &str| tokens.iter().position(|(known, _)| *known == role).context("a role that is known");
    let said = command::typed_with(&host.place, &["user", "add", "ann", "--role", "developer"], PASSWORD).await?;
    assert_eq!(said.code, 0, "{said:?}");
    let [_, (_, developer), _, (_, admin)] = &tokens[..] else { bail!("four roles") };
    forced_and_running(&host, developer).await?;
    let before = everything(&host, admin).await?;
    let token_id = before["tokens"].as_array().into_iter().flatten().find(|token| token["name"] == "of-a-admin");
    let token_id = token_id.and_then(|token| token["id"].as_str()).context("the administrator's token is listed")?;

    let mut open = Vec::new();
    for operation in operations(&host).await? {
        let place = operation.place();
        let Some(least) = &operation.least else {
            open.push(place);
            continue;
        };
        // Reading is open on loopback; what only some may read is not.
        if operation.changes_something() || least != "viewer" {
            let (status, body) = answer(operation.request(&host, token_id)).await?;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{place}: {body}");
            assert!(sentence(&place, &body)?.contains("login or a token"), "{place}: {body}");
        }
        let forged = operation.request(&host, token_id).bearer_auth("smt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        let (status, body) = answer(forged).await?;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{place}: {body}");
        for (role, token) in &tokens[..rank(least)?] {
            let (status, body) = answer(operation.request(&host, token_id).bearer_auth(token)).await?;
            assert_eq!(status, StatusCode::FORBIDDEN, "{place} as {role}: {body}");
            let sentence = sentence(&place, &body)?;
            assert!(sentence.contains(role) && sentence.contains(least.as_str()), "{place} as {role}: {sentence}");
        }
    }
    open.sort();
    assert_eq!(open, ["GET /api/v1/openapi.json", "GET /healthz", "POST /hooks/{source}"], "open to everybody");
    assert_eq!(everything(&host, admin).await?, before, "something that was refused was done all the same");

    // It was the guard that refused: whoever may, can.
    let cancel = host.client().post(format!("{}/api/v1/builds/1/cancel", host.url)).bearer_auth(developer);
    let (status, body) = answer(cancel.json(&json!({ "reason": "enough" }))).await?;
    assert_eq!(status, StatusCode::OK, "{body}");
    let ended = |build: &Value| (build["state"] == "finished").then(|| build["result"].clone());
    assert_eq!(host.wait_for("/api/v1/builds/1", ended).await?, "cancelled");
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

#[tokio::test]
async fn attack_8_a_browser_that_is_led_to_another_site_changes_nothing() -> anyhow::Result<()> {
    let place = Place::new()?;
    let host = start(&place).await?;
    let admin = host.token("admin", "admin").await?;
    // Logging somebody in as somebody else is an attack too.
    let said = command::typed_with(&host.place, &["user", "add", "eve", "--role", "viewer"], PASSWORD).await?;
    assert_eq!(said.code, 0, "{said:?}");
    for origin in [Some("https://evil.example"), Some("null"), None] {
        let (status, cookie) = log_in(&host, "eve", PASSWORD, origin).await?;
        assert_eq!((status, cookie), (StatusCode::FORBIDDEN, None), "{origin:?}");
    }
    let (status, cookie) = log_in(&host, "eve", "wrong horse battery", Some(&host.url)).await?;
    assert_eq!((status, cookie), (StatusCode::UNAUTHORIZED, None));

    // An administrator may do all of it, so only the other site is the reason.
    let session = Session::log_in(&host, "ann", "admin").await?;
    let before = everything(&host, &admin).await?;
    let elsewhere: &[&[(&str, &str)]] = &[
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", "http://127.0.0.1:1")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "none")],
        &[("sec-fetch-site", "cross-site"), ("origin", host.url.as_str())],
        &[("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")],
        &[],
    ];
    let forms = [
        "/builders/linux/force",
        "/builds/1/cancel",
        "/builds/1/rebuild",
        "/requests/1/cancel",
        "/requests/1/approve",
        "/change-sources/app/poll",
        "/logout",
    ];
    for headers in elsewhere {
        let led = |mut request: RequestBuilder| {
            for (name, value) in *headers {
                request = request.header(*name, *value);
            }
            request.header("cookie", &session.cookie)
        };
        for operation in operations(&host).await? {
            if operation.least.is_none() || !operation.changes_something() {
                continue;
            }
            let place = format!("{} with {headers:?}", operation.place());
            let request = led(operation.request(&host, "x")).header("x-stampmill-csrf", &session.csrf);
            let (status, body) = answer(request).await?;
            assert_eq!(status, StatusCode::FORBIDDEN, "{place}: {body}");
            assert_eq!(body["error"]["code"], "cross-site", "{place}: {body}");
        }
        for form in forms {
            let request = host.client().post(format!("{}{form}", host.url)).body(format!("csrf={}", session.csrf));
            let (status, _) = answer(led(request)).await?;
            assert_eq!(status, StatusCode::FORBIDDEN, "{form} with {headers:?}");
        }
    }
    // A page of our own that does not know the session's token.
    for csrf in ["", "AAAA", &session.cookie] {
        for form in forms {
            let request = session.request(&host, Method::POST, form).header("origin", &host.url);
            let (status, _) = answer(request.body(format!("csrf={csrf}"))).await?;
            assert_eq!(status, StatusCode::FORBIDDEN, "{form} with {csrf}");
        }
        let force = session.request(&host, Method::POST, "/api/v1/builders/linux/force").header("origin", &host.url);
        let (status, body) = answer(force.header("x-stampmill-csrf", csrf).json(&json!({}))).await?;
        assert_eq!(status, StatusCode::FORBIDDEN, "{body}");
    }
    assert_eq!(everything(&host, &admin).await?, before, "something that was refused was done all the same");

    let force = session.request(&host, Method::POST, "/api/v1/builders/linux/force").header("origin", &host.url);
    let (status, body) = answer(force.header("x-stampmill-csrf", &session.csrf).json(&json!({}))).await?;
    assert_eq!(status, StatusCode::CREATED, "a page of our own: {body}");
    let request = host.get("/api/v1/buildsets").await?;
    assert_eq!(request["items"][0]["owner"], "ann", "{request:#}");
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

#[tokio::test]
async fn a_token_that_is_revoked_and_a_user_who_is_removed_are_refused_at_once() -> anyhow::Result<()> {
    let place = Place::new()?;
    let host = start(&place).await?;
    let whoami = |token: &str| host.client().get(format!("{}/api/v1/whoami", host.url)).bearer_auth(token);
    let (kept, token) = (host.token("kept", "developer").await?, host.token("ended", "developer").await?);
    assert_eq!(answer(whoami(&token)).await?.1["name"], "ended");
    let tokens = host.typed(&["token", "list", "--json"]).await?.json()?;
    let id = tokens["items"].as_array().into_iter().flatten().find(|token| token["name"] == "ended");
    let id = id.and_then(|token| token["id"].as_str()).context("it is listed")?;
    assert_eq!(host.typed(&["token", "revoke", id]).await?.code, 0);
    let (status, body) = answer(whoami(&token)).await?;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(sentence("whoami", &body)?.contains("revoked"), "{body}");
    let force = host.client().post(format!("{}/api/v1/builders/linux/force", host.url)).bearer_auth(&token);
    assert_eq!(answer(force.json(&json!({}))).await?.0, StatusCode::UNAUTHORIZED);
    assert_eq!(answer(whoami(&kept)).await?.0, StatusCode::OK, "the other one goes on");

    let session = Session::log_in(&host, "ann", "developer").await?;
    let own = |path: &str| session.request(&host, Method::GET, path);
    assert_eq!(answer(own("/api/v1/whoami")).await?.1["name"], "ann");
    assert_eq!(host.typed(&["user", "role", "ann", "viewer"]).await?.code, 0);
    assert_eq!(answer(own("/api/v1/whoami")).await?.1["role"], "viewer", "a role holds from now on");
    assert_eq!(host.typed(&["user", "remove", "ann"]).await?.code, 0);
    assert_eq!(answer(own("/api/v1/whoami")).await?.1["role"], Value::Null, "a session ends with its user");
    assert_eq!(log_in(&host, "ann", PASSWORD, Some(&host.url)).await?.0, StatusCode::UNAUTHORIZED);
    assert!(host.get("/api/v1/buildsets").await?["items"].as_array().is_some_and(Vec::is_empty));
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

/// What makes no sense: method, path, content type, body, status, and a word of the sentence.
const NONSENSE: &[(&str, &str, &str, &str, u16, &str)] = &[
    ("POST", "/api/v1/changes", "application/json", "{\"author\": ", 400, "can't be understood"),
    ("POST", "/api/v1/changes", "application/json", "[]", 400, "object"),
    ("POST", "/api/v1/changes", "application/json", "\u{fffd}", 400, "object"),
    ("POST", "/api/v1/changes", "application/json", "{\"author\": 7}", 400, "invalid type"),
    ("POST", "/api/v1/changes", "application/json", "{\"author\": \"x\", \"brunch\": \"y\"}", 400, "`brunch`"),
    ("POST", "/api/v1/changes", "text/plain", "{\"author\": \"x\"}", 415, "application/json"),
    ("POST", "/api/v1/changes", "application/json", "{\"author\": \"x\", \"branch\": \"a\\nb\"}", 422, "branch"),
    ("POST", "/api/v1/changes", "application/json", "{}", 422, "author"),
    ("POST", "/api/v1/builders/linus/force", "application/json", "{}", 404, "did you mean `linux`"),
    ("POST", "/api/v1/builders/linux/force", "application/json", "{\"worker\": \"locl\"}", 404, "`local`"),
    ("POST", "/api/v1/builders/linux/force", "application/json", "{\"scheduler\": \"changed\"}", 404, "by-hand"),
    ("POST", "/api/v1/builders/linux/force", "application/json", "{\"properties\": {\"\": 1}}", 422, "property name"),
    ("POST", "/api/v1/builders/linux/force", "application/json", "{\"priority\": 1e99}", 400, "can't be understood"),
    ("POST", "/api/v1/schedulers/linux/force", "application/json", "{}", 404, "by-hand"),
    ("POST", "/api/v1/buildsets", "application/json", "{\"builders\": []}", 422, "builders"),
    ("POST", "/api/v1/buildsets", "application/json", "{\"builders\": [\"windows\"]}", 404, "windows"),
    ("POST", "/api/v1/builds/99/cancel", "application/json", "{}", 404, "99"),
    ("POST", "/api/v1/builds/x/cancel", "application/json", "{}", 404, "x"),
    ("POST", "/api/v1/builds/-1/rebuild", "application/json", "{}", 404, "-1"),
    ("POST", "/api/v1/requests/99/cancel", "application/json", "{}", 404, "99"),
    ("POST", "/api/v1/change-sources/ap/poll", "application/json", "{}", 404, "`app`"),
    ("POST", "/api/v1/users", "application/json", "{\"name\": \"x\"}", 400, "password"),
    (
        "POST",
        "/api/v1/users",
        "application/json",
        "{\"name\":\"x\",\"password\":\"short\",\"role\":\"viewer\"}",
        422,
        "8",
    ),
    ("POST", "/api/v1/tokens", "application/json", "{\"name\": \"x\", \"role\": \"root\"}", 400, "root"),
    ("POST", "/api/v1/workers/nobody/token", "application/json", "{}", 404, "nobody"),
    ("DELETE", "/api/v1/tokens/nothing", "application/json", "", 404, "nothing"),
    ("DELETE", "/api/v1/users/nobody", "application/json", "", 404, "nobody"),
    ("DELETE", "/api/v1/builds/1", "application/json", "", 405, "DELETE"),
    ("GET", "/api/v1/builds/99", "application/json", "", 404, "99"),
    ("GET", "/api/v1/builds/18446744073709551616", "application/json", "", 404, "address"),
    ("GET", "/api/v1/builders/linux/builds/7", "application/json", "", 404, "7"),
    ("GET", "/api/v1/builds?limit=all", "application/json", "", 400, "limit"),
    ("GET", "/api/v1/builds?colour=red", "application/json", "", 400, "colour"),
    ("GET", "/api/v1/builds?result=great", "application/json", "", 400, "great"),
    ("GET", "/api/v2/builds", "application/json", "", 404, "openapi.json"),
];

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_a_sentence_and_stores_nothing() -> anyhow::Result<()> {
    let place = Place::new()?;
    let host = start(&place).await?;
    let admin = host.token("admin", "admin").await?;
    let before = everything(&host, &admin).await?;
    let mut wrong = Vec::new();
    for (method, path, kind, body, status, word) in NONSENSE {
        let request = host.client().request(Method::from_bytes(method.as_bytes())?, format!("{}{path}", host.url));
        let request = request.bearer_auth(&admin).header("content-type", *kind).body(*body);
        let (told, answer) = answer(request).await?;
        let fits = sentence(path, &answer).is_ok_and(|sentence| sentence.contains(word));
        if told.as_u16() != *status || !fits {
            wrong.push(format!("{method} {path} {body}: {told} {answer}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let head = format!("POST /api/v1/changes HTTP/1.1\nauthorization: Bearer {admin}\ncontent-type: application/json");
    let body = json!({ "author": "Eve", "comments": "x".repeat(11_000_000) }).to_string();
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for (head, bytes) in [
        (format!("{head}\ncontent-length: {}", body.len()), body.into_bytes()),
        (format!("{head}\ntransfer-encoding: chunked"), chunked.into_bytes()),
    ] {
        let answer = exchange(&host.url, &head, Body::Bytes(bytes)).await?;
        assert_eq!(answer.status, 413, "{}", answer.text);
        assert!(answer.text.contains("the body is larger than"), "{}", answer.text);
    }
    assert_eq!(everything(&host, &admin).await?, before);
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

#[tokio::test]
async fn a_host_that_others_can_reach_shows_nothing_without_a_login() -> anyhow::Result<()> {
    let place = Place::new()?;
    let repository = Repository::make(place.path())?;
    std::fs::write(place.path().join("stampmill.toml"), config(&repository))?;
    let host = Host::start_at(place.path(), "host", "0.0.0.0:0").await?;
    let (viewer, client) = (host.token("viewer", "viewer").await?, host.client());
    let mut asked = 0;
    for operation in operations(&host).await? {
        if operation.least.is_none() || operation.changes_something() {
            continue;
        }
        let place = operation.place();
        let (status, body) = answer(operation.request(&host, "x")).await?;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{place}: {body}");
        sentence(&place, &body)?;
        asked += 1;
    }
    assert!(asked > 15, "{asked}");
    for list in ["builds", "changes", "plugins", "workers"] {
        let request = client.get(format!("{}/api/v1/{list}", host.url)).bearer_auth(&viewer);
        assert_eq!(answer(request).await?.0, StatusCode::OK, "{list}");
    }
    assert_eq!(answer(client.get(format!("{}/healthz", host.url))).await?.0, StatusCode::OK);
    let plain = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    for page in ["/", "/builders", "/builders/linux", "/changes", "/workers", "/plugins", "/about"] {
        let response = plain.get(format!("{}{page}", host.url)).send().await?;
        assert_eq!(response.status(), StatusCode::SEE_OTHER, "{page}");
        let to = response.headers()["location"].to_str()?.to_owned();
        assert!(to.starts_with("/login?next="), "{page}: {to}");
    }
    assert_eq!(plain.get(format!("{}/login", host.url)).send().await?.status(), StatusCode::OK);
    host.end(Signal::SIGTERM).await?;

    // On loopback reading is open, but not under a name that anybody can point there.
    let host = Host::start(place.path(), "host").await?;
    let by_name = |name: &str| host.client().get(format!("{}/api/v1/builds", host.url)).header("host", name.to_owned());
    assert_eq!(answer(by_name("localhost")).await?.0, StatusCode::OK);
    assert_eq!(answer(by_name("evil.example")).await?.0, StatusCode::UNAUTHORIZED);
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

#[tokio::test]
async fn a5_10_answers_to_a_force_scheduler_are_typed_or_refused_field_by_field() -> anyhow::Result<()> {
    let place = Place::new()?;
    let host = start(&place).await?;
    let developer = host.token("dev", "developer").await?;
    let force = async |path: &str, body: Value| {
        answer(host.client().post(format!("{}/api/v1/{path}/force", host.url)).bearer_auth(&developer).json(&body))
            .await
    };
    let wrong = json!({ "branch": "topic", "properties": { "jobs": 10, "targets": ["a", 1], "depoly": true } });
    let (status, refused) = force("schedulers/release", wrong.clone()).await?;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{refused}");
    let fields = refused["error"]["fields"].as_array().context("each field")?;
    let fields: Vec<_> = fields.iter().map(|it| (it["field"].as_str(), it["message"].as_str())).collect();
    let expected = [
        ("reason", "the reason is missing; say why, for the others"),
        ("codebases..branch", "the branch of codebase `` is fixed, and `topic` can't be taken; leave it out"),
        ("properties.jobs", "parameter `jobs` is `10`, and a whole number of at most 9 is expected"),
        ("properties.targets", "parameter `targets` has `1`, and some of `a`, `b` are expected"),
        ("properties.depoly", "there is no parameter `depoly`; there are `jobs`, `deploy`, `targets`"),
    ];
    assert_eq!(fields, expected.map(|(field, message)| (Some(field), Some(message))));
    assert!(sentence("release", &refused)?.contains("a whole number of at most 9 is expected; parameter `targets`"));
    let (status, _) =
        force("builders/linux", json!({ "scheduler": "release", "properties": wrong["properties"] })).await?;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(host.get("/api/v1/buildsets").await?["items"], json!([]), "nothing is stored");

    let right = json!({
        "reason": "why not", "repository": "https://git.example/fork.git", "properties": { "jobs": "7", "targets": "b" },
    });
    let (status, made) = force("schedulers/release", right).await?;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let set = host.get(&format!("/api/v1/buildsets/{}", made["buildset"])).await?;
    let forced = |value: Value| json!({ "value": value, "source": "Force" });
    let properties =
        json!({ "deploy": forced(json!(false)), "jobs": forced(json!(7)), "targets": forced(json!(["b"])) });
    assert_eq!(set["properties"], properties, "{set:#}");
    assert_eq!(set["source_stamps"][0]["repository"], "https://git.example/fork.git", "{set:#}");
    assert_eq!(set["source_stamps"][0]["trusted"], false, "nobody vouches for it: {set:#}");
    // A scheduler that asks for nothing takes whatever it is sent, as it is.
    let (status, made) = force("schedulers/by-hand", json!({ "properties": { "jobs": "7", "x": [1] } })).await?;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let set = host.get(&format!("/api/v1/buildsets/{}", made["buildset"])).await?;
    assert_eq!(set["properties"], json!({ "jobs": forced(json!("7")), "x": forced(json!([1])) }));
    Ok(())
}

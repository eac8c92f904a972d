//! Changes of strangers: their builds see no secret, and wait for a person where the operator wants it.

use std::path::Path;

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use reqwest::StatusCode;
use serde_json::{Value, json};
use stampmill_e2e::{Host, Place};

const KEY: &str = "open-sesame-4711-under-the-stone";

/// Two hooks, one of them of strangers. On `main` everything is built at once, on `review` what strangers send waits.
const CONFIG: &str = r#"
[secret.deploy-key]
file = "deploy.key"

[[change-source]]
name = "known"
plugin = "hook"
trusted = true
config = { insecure = true, repositories = ["/r"] }
[[change-source]]
name = "strange"
plugin = "hook"
config = { insecure = true, repositories = ["/r"] }

[codebases]
plugin = "repository-map"
config = { "/r" = "app" }

[[scheduler]]
name = "quick"
kind = "single-branch"
branch = "main"
codebases.app = { repository = "/r", branch = "main" }
builders = ["guarded"]
[[scheduler]]
name = "careful"
kind = "single-branch"
branch = "review"
approve-untrusted = true
codebases.app = { repository = "/r", branch = "review" }
builders = ["guarded"]

[[job]]
name = "deploy"
[[job.step]]
name = "use"
plugin = "shell"
[job.step.config]
script = '''
echo "the key is <$KEY> and has ${#KEY} letters"
case "$KEY" in open-sesame-*) echo it is the right one ;; esac
'''
secret-environment = { KEY = "deploy-key" }
[job.step.grant]
command = ["/bin/sh"]
secret = ["deploy-key"]
[[job.step]]
name = "look"
plugin = "shell"
always-run = true
config = { script = "export -p; set; echo that was all" }
grant = { command = ["/bin/sh"] }

[[builder]]
name = "guarded"
job = "deploy"
[[worker]]
name = "local"
"#;

fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

async fn up(place: &Place) -> anyhow::Result<Host> {
    std::fs::write(place.path().join("deploy.key"), format!("{KEY}\n"))?;
    Host::up(place.path(), CONFIG).await
}

/// Delivers a change to a hook.
async fn deliver(host: &Host, source: &str, branch: &str, revision: &str) -> anyhow::Result<()> {
    let change =
        json!({ "author": "Eve <eve@example.org>", "branch": branch, "revision": revision, "comments": "Change it" });
    let request = host.client().post(format!("{}/hooks/{source}", host.url)).json(&change);
    let answer = request.send().await?;
    ensure!(answer.status() == StatusCode::ACCEPTED, "{}: {}", answer.status(), answer.text().await?);
    Ok(())
}

/// The request for a change's only build.
async fn request_of(host: &Host, revision: &str) -> anyhow::Result<u64> {
    let set = host
        .wait_for("/api/v1/buildsets", |sets| {
            items(sets).iter().find(|set| set["source_stamps"][0]["revision"] == revision).cloned()
        })
        .await?;
    set["requests"][0].as_u64().with_context(|| format!("a buildset has a request: {set:#}"))
}

/// Files below a directory in which the key stands.
fn with_the_key(directory: &Path) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            found.extend(with_the_key(&entry.path())?);
        } else if kind.is_file() {
            // It may have gone meanwhile.
            let bytes = std::fs::read(entry.path()).unwrap_or_default();
            if bytes.windows(KEY.len()).any(|window| window == KEY.as_bytes()) {
                found.push(entry.path().display().to_string());
            }
        }
    }
    Ok(found)
}

async fn log_of(host: &Host, build: &Value, step: u32, log: &str) -> anyhow::Result<String> {
    host.text(&format!("/api/v1/builds/{}/steps/{step}/logs/{log}", build["id"])).await
}

#[tokio::test]
async fn a_build_of_an_untrusted_change_sees_no_secret_and_says_why() -> anyhow::Result<()> {
    let place = Place::new()?;
    let host = up(&place).await?;
    deliver(&host, "strange", "main", "e1e1e1").await?;
    let strange = host.finished_build_of("e1e1e1").await?;
    assert_eq!(strange["result"], "exception", "{strange:#}");
    assert_eq!(strange["source_stamps"][0]["trusted"], false, "{strange:#}");
    let said = log_of(&host, &strange, 0, "error").await?;
    assert!(said.contains("no secret `deploy-key`") && said.contains("source is not trusted"), "{said}");
    let summary = strange["steps"][0]["summary"].as_str().unwrap_or_default();
    assert!(summary.contains("deploy-key"), "{strange:#}");
    assert_eq!(strange["steps"][0]["logs"], json!(["error"]), "the command never ran: {strange:#}");
    let look = log_of(&host, &strange, 1, "stdio").await?;
    assert!(look.contains("that was all") && !look.contains(KEY) && !look.contains("KEY="), "{look}");
    assert_eq!(with_the_key(&place.path().join("data"))?, Vec::<String>::new());

    // The same from a source that is trusted.
    deliver(&host, "known", "main", "c2c2c2").await?;
    let known = host.finished_build_of("c2c2c2").await?;
    assert_eq!(known["result"], "success", "{known:#}");
    assert_eq!(known["source_stamps"][0]["trusted"], true, "{known:#}");
    let said = log_of(&host, &known, 0, "stdio").await?;
    assert!(said.contains(&format!("and has {} letters", KEY.len())) && said.contains("it is the right one"), "{said}");
    assert!(said.contains("the key is <") && !said.contains(KEY), "masked: {said}");
    let look = log_of(&host, &known, 1, "stdio").await?;
    assert!(look.contains("that was all") && !look.contains("KEY="), "a step that was not granted it: {look}");

    // And again without: what one build had, the next one on the same worker does not.
    deliver(&host, "strange", "main", "e3e3e3").await?;
    let strange = host.finished_build_of("e3e3e3").await?;
    assert_eq!(strange["result"], "exception", "{strange:#}");
    // Who may rebuild has no say over trust.
    let again = host.typed(&["rebuild", &strange["id"].to_string(), "--wait"]).await?;
    assert_eq!(again.code, 4, "{again:?}");
    assert!(!host.log().contains(KEY));
    assert_eq!(with_the_key(&place.path().join("data"))?, Vec::<String>::new());
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

/// Says yes or no over the API.
async fn decide(host: &Host, token: &str, request: u64, approved: bool) -> anyhow::Result<(StatusCode, Value)> {
    let url = format!("{}/api/v1/requests/{request}/approve", host.url);
    let asked = host.client().post(url).bearer_auth(token).json(&json!({ "approved": approved }));
    let answer = asked.send().await?;
    Ok((answer.status(), answer.json().await?))
}

async fn awaits(host: &Host, request: u64) -> anyhow::Result<()> {
    let found = host.get(&format!("/api/v1/requests/{request}")).await?;
    ensure!(found["state"] == "awaiting-approval", "{found:#}");
    let explained = host.get(&format!("/api/v1/requests/{request}/explain")).await?;
    let summary = explained["summary"].as_str().unwrap_or_default();
    ensure!(summary.contains("awaits approval") && summary.contains("not trusted"), "{explained:#}");
    let said = host.typed(&["explain", &request.to_string()]).await?;
    ensure!(said.code == 0 && said.out.contains("awaits approval"), "{said:?}");
    ensure!(said.out.contains(&format!("stampmill approve {request}")), "{said:?}");
    Ok(())
}

async fn was_refused(host: &Host, request: u64) -> anyhow::Result<()> {
    let found = host.get(&format!("/api/v1/requests/{request}")).await?;
    ensure!((&found["state"], &found["result"]) == (&json!("complete"), &json!("cancelled")), "{found:#}");
    let builds = host.get(&format!("/api/v1/builds?request={request}")).await?;
    ensure!(items(&builds).is_empty(), "it was built: {builds:#}");
    let set = host.get(&format!("/api/v1/buildsets/{}", found["buildset"])).await?;
    ensure!((&set["state"], &set["result"]) == (&json!("finished"), &json!("cancelled")), "{set:#}");
    Ok(())
}

#[tokio::test]
async fn a_change_of_a_stranger_waits_until_an_operator_approves_or_refuses_it() -> anyhow::Result<()> {
    let place = Place::new()?;
    let host = up(&place).await?;
    for revision in ["e1e1e1", "e2e2e2", "e3e3e3", "e4e4e4"] {
        deliver(&host, "strange", "review", revision).await?;
    }
    let [first, second, third, fourth] = [
        request_of(&host, "e1e1e1").await?,
        request_of(&host, "e2e2e2").await?,
        request_of(&host, "e3e3e3").await?,
        request_of(&host, "e4e4e4").await?,
    ];
    // Only strangers wait, and nobody waits behind them.
    deliver(&host, "known", "review", "c1c1c1").await?;
    assert_eq!(host.finished_build_of("c1c1c1").await?["result"], "success");
    for request in [first, second, third, fourth] {
        awaits(&host, request).await?;
    }

    let tokens = (host.token("op", "operator").await?, host.token("dev", "developer").await?);
    for approved in [true, false] {
        let (status, body) = decide(&host, &tokens.1, first, approved).await?;
        assert_eq!(status, StatusCode::FORBIDDEN, "{body:#}");
        let (status, body) = decide(&host, "smt_0000_nobody", first, approved).await?;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{body:#}");
    }
    let mut typed = vec!["approve".to_owned(), first.to_string()];
    typed.extend(["--host".to_owned(), host.url.clone(), "--token".to_owned(), tokens.1.clone()]);
    let arguments: Vec<&str> = typed.iter().map(String::as_str).collect();
    let said = host.typed(&arguments).await?;
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("operator"), "it says who may: {said:?}");
    awaits(&host, first).await?;
    // It is no matter of the running process either.
    host.end(Signal::SIGKILL).await?;
    let host = Host::start(place.path(), "up").await?;
    awaits(&host, first).await?;

    let (status, body) = decide(&host, &tokens.0, first, true).await?;
    assert_eq!(status, StatusCode::OK, "{body:#}");
    let built = host.finished_build_of("e1e1e1").await?;
    assert_eq!(built["result"], "exception", "approved is not trusted: {built:#}");
    assert!(log_of(&host, &built, 0, "error").await?.contains("source is not trusted"));
    assert!(log_of(&host, &built, 1, "stdio").await?.contains("that was all"));
    let (status, body) = decide(&host, &tokens.0, second, false).await?;
    assert_eq!(status, StatusCode::OK, "{body:#}");
    was_refused(&host, second).await?;
    let (status, body) = decide(&host, &tokens.0, second, true).await?;
    assert_eq!(status, StatusCode::CONFLICT, "a word is given once: {body:#}");

    let said = host.typed(&["approve", &third.to_string()]).await?;
    assert_eq!((said.code, said.line()), (0, format!("request {third} is approved and in the queue").as_str()));
    host.finished_build_of("e3e3e3").await?;
    let said = host.typed(&["approve", &fourth.to_string(), "--refuse"]).await?;
    assert_eq!((said.code, said.line()), (0, format!("request {fourth} is refused and will not be built").as_str()));
    was_refused(&host, fourth).await?;
    let said = host.typed(&["approve", &fourth.to_string()]).await?;
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains(&format!("request {fourth}")), "{said:?}");
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

//! Changes that come in over HTTP: what is signed and listed is taken once, everything else is refused and changes nothing.

use anyhow::Context as _;
use hmac::{Hmac, Mac as _};
use nix::sys::signal::Signal;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sha2::Sha256;
use stampmill_e2e::wire::{Body, exchange};
use stampmill_e2e::{Host, Place, Repository};

const KEY: &str = "a key that only host and sender know";
const SUITE: &str = "https://github.com/mailinc/mailsuite.git";

/// The hook brings changes of a repository of this machine; what GitHub tells of is far away, and its job looks at no source.
fn config(repository: &Repository) -> String {
    let repository = repository.bare.display();
    format!(
        r#"
[secret.hook-key]
file = "hook.key"

[[change-source]]
name = "generic"
plugin = "hook"
config = {{ secret = "hook-key", repositories = ["{repository}"] }}
grant = {{ secret = ["hook-key"] }}

[[change-source]]
name = "github"
plugin = "github-hook"
config = {{ secret = "hook-key", repositories = ["mailinc/mailsuite"] }}
grant = {{ secret = ["hook-key"] }}

[[change-source]]
name = "polled"
plugin = "git-poller"
every = "1h"
config = {{ repository = "{repository}", branches = ["another"] }}
grant = {{ command = ["git"], read = ["{repository}"] }}

[codebases]
plugin = "repository-map"
config = {{ "{repository}" = "app", "{SUITE}" = "suite" }}

[[scheduler]]
name = "app"
kind = "single-branch"
branch = "main"
codebases.app = {{ repository = "{repository}", branch = "main" }}
builders = ["app"]

[[scheduler]]
name = "suite"
kind = "single-branch"
branch = "main"
codebases.suite = {{ repository = "{SUITE}", branch = "main" }}
builders = ["suite"]

[[job]]
name = "check"
[[job.step]]
name = "checkout"
plugin = "git"
config = {{ codebase = "app" }}
grant = {{ command = ["git"], read = ["{repository}"] }}

[[job]]
name = "look"
[[job.step]]
name = "say"
plugin = "shell"
config = {{ script = "echo told by a forge" }}
grant = {{ command = ["/bin/sh"] }}

[[builder]]
name = "app"
job = "check"
[[builder]]
name = "suite"
job = "look"

[[worker]]
name = "local"
"#
    )
}

async fn start(place: &Place) -> anyhow::Result<(Repository, Host)> {
    let repository = Repository::make(place.path())?;
    std::fs::write(place.path().join("hook.key"), format!("{KEY}\n"))?;
    let host = Host::up(place.path(), &config(&repository)).await?;
    Ok((repository, host))
}

fn signed_by(key: &str, body: &str) -> anyhow::Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes())?;
    mac.update(body.as_bytes());
    Ok(format!("sha256={}", hex::encode(mac.finalize().into_bytes())))
}

fn signed(body: &str) -> anyhow::Result<String> {
    signed_by(KEY, body)
}

fn post(host: &Host, source: &str, body: &str) -> RequestBuilder {
    host.client().post(format!("{}/hooks/{source}", host.url)).body(body.to_owned())
}

/// A delivery of the generic hook, right in every way.
fn delivery(host: &Host, id: &str, body: &str) -> anyhow::Result<RequestBuilder> {
    let request = post(host, "generic", body);
    Ok(request.header("x-stampmill-signature", signed(body)?).header("x-stampmill-delivery", id))
}

/// An event of GitHub, right in every way.
fn github(host: &Host, event: &str, id: &str, body: &str) -> anyhow::Result<RequestBuilder> {
    let request = post(host, "github", body).header("content-type", "application/json");
    let request = request.header("x-github-event", event).header("x-github-delivery", id);
    Ok(request.header("x-hub-signature-256", signed(body)?))
}

fn push(full_name: &str, revision: &str) -> String {
    let author = json!({ "name": "Gil", "email": "gil@example.org", "username": "gil" });
    let commit = json!({
        "id": revision, "message": "Mend it", "timestamp": "2026-01-02T03:04:05Z", "author": author, "committer": author,
        "url": "https://github.com/mailinc/mailsuite/commit/1", "added": ["a.c"], "removed": [], "modified": ["b.c"],
    });
    json!({
        "ref": "refs/heads/main", "deleted": false, "commits": [commit], "head_commit": commit,
        "repository": { "full_name": full_name, "clone_url": format!("https://github.com/{full_name}.git") },
    })
    .to_string()
}

async fn answer(request: RequestBuilder) -> anyhow::Result<(u16, String)> {
    let response = request.send().await?;
    Ok((response.status().as_u16(), response.text().await?))
}

async fn count(host: &Host, list: &str) -> anyhow::Result<usize> {
    let answer = host.get(&format!("/api/v1/{list}?limit=100")).await?;
    Ok(answer["items"].as_array().context("a list has items")?.len())
}

async fn stored(host: &Host) -> anyhow::Result<[usize; 4]> {
    let (changes, sets) = (count(host, "changes").await?, count(host, "buildsets").await?);
    Ok([changes, sets, count(host, "requests").await?, count(host, "builds").await?])
}

async fn newest_change(host: &Host) -> anyhow::Result<Value> {
    Ok(host.get("/api/v1/changes").await?["items"][0].clone())
}

#[tokio::test]
async fn a2_02_a_signed_delivery_is_one_change_and_its_build_however_often_it_comes() -> anyhow::Result<()> {
    let place = Place::new()?;
    let (repository, host) = start(&place).await?;
    let revision = repository.commit("Say more", &[("src/a.c", "int a;\n")], "Ann <ann@example.org>")?;
    let body = json!({
        "author": "Ann <ann@example.org>", "comments": "Say more\n\n<b>ü</b>", "files": ["src/a.c"], "branch": "main",
        "revision": revision, "category": "nightly", "project": "app", "properties": { "ticket": 17 },
    })
    .to_string();
    let first = answer(delivery(&host, "d-1", &body)?).await?;
    assert_eq!(first, (202, "1 change taken".to_owned()));
    let build = host.finished_build_of(&revision).await?;
    assert_eq!(build["result"], "success", "{build:#}");
    assert_eq!(build["properties"]["got_revision"]["value"], revision.as_str());
    assert_eq!(build["properties"]["ticket"]["value"], 17, "{build:#}");
    assert_eq!(build["blamelist"], json!(["Ann <ann@example.org>"]));
    let change = newest_change(&host).await?;
    assert_eq!(change["source"], "generic");
    assert_eq!(change["codebase"], "app");
    assert_eq!(change["repository"], repository.bare.to_str().context("a path is text")?);
    assert_eq!((change["category"].as_str(), change["files"][0].as_str()), (Some("nightly"), Some("src/a.c")));
    assert_eq!(change["trusted"], false, "nothing in the configuration says that it is");

    let pushed = push("mailinc/mailsuite", "5a5a5a");
    assert_eq!(answer(github(&host, "push", "g-1", &pushed)?).await?, (202, "1 change taken".to_owned()));
    let build = host.finished_build_of("5a5a5a").await?;
    assert_eq!((build["result"].as_str(), build["builder"].as_str()), (Some("success"), Some("suite")), "{build:#}");
    assert_eq!(build["blamelist"], json!(["Gil <gil@example.org>"]));

    let before = stored(&host).await?;
    assert_eq!(before, [2, 2, 2, 2]);
    assert_eq!(answer(delivery(&host, "d-1", &body)?).await?, first, "the first answer again");
    assert_eq!(answer(github(&host, "push", "g-1", &pushed)?).await?.0, 202);
    assert_eq!(stored(&host).await?, before, "a doubled delivery");
    host.end(Signal::SIGKILL).await?;

    let host = Host::start(place.path(), "up").await?;
    assert_eq!(answer(delivery(&host, "d-1", &body)?).await?, first, "the first answer again, after a restart");
    assert_eq!(answer(github(&host, "push", "g-1", &pushed)?).await?.0, 202);
    assert_eq!(stored(&host).await?, before, "a doubled delivery after a restart");
    // An id belongs to its sender: the same one at another hook is another delivery. And another id is another change.
    assert_eq!(answer(github(&host, "push", "d-1", &push("mailinc/mailsuite", "6b6b6b"))?).await?.0, 202);
    host.finished_build_of("6b6b6b").await?;
    assert_eq!(stored(&host).await?, [3, 3, 3, 3]);
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

/// What is refused: the request, its status, and a word of the sentence.
fn refused(host: &Host, listed: &str) -> anyhow::Result<Vec<(&'static str, RequestBuilder, u16, &'static str)>> {
    let good = json!({ "author": "Eve", "branch": "main", "revision": "666" }).to_string();
    let elsewhere =
        json!({ "author": "Eve", "branch": "main", "repository": "https://evil.example/app.git" }).to_string();
    let half_elsewhere = json!([
        { "author": "Eve", "branch": "main", "repository": listed },
        { "author": "Eve", "branch": "main", "repository": "https://evil.example/app.git" },
    ])
    .to_string();
    let pushed = push("mailinc/mailsuite", "666");
    let with = |header: &str, value: String| post(host, "generic", &good).header(header, value);
    let hook = |body: &str| delivery(host, "d-2", body);
    let at_github = |request: RequestBuilder| request.header("x-github-event", "push");
    let other = |method: Method, body: &str| -> anyhow::Result<RequestBuilder> {
        let request = host.client().request(method, format!("{}/hooks/generic", host.url)).body(body.to_owned());
        Ok(request.header("x-stampmill-signature", signed(body)?))
    };
    Ok(vec![
        ("no signature", post(host, "generic", &good), 401, "signature"),
        ("an empty signature", with("x-stampmill-signature", String::new()), 401, "signature"),
        ("another key", with("x-stampmill-signature", signed_by("guess", &good)?), 401, "signature"),
        ("an empty key", with("x-stampmill-signature", signed_by("", &good)?), 401, "signature"),
        ("another body's", with("x-stampmill-signature", signed("{}")?), 401, "signature"),
        ("half of it", with("x-stampmill-signature", signed(&good)?[..39].to_owned()), 401, "signature"),
        ("in another header", with("x-hub-signature-256", signed(&good)?), 401, "signature"),
        ("as a token", with("authorization", format!("Bearer {KEY}")), 401, "signature"),
        ("GitHub: none", at_github(post(host, "github", &pushed)), 401, "signature"),
        (
            "GitHub: another key",
            at_github(post(host, "github", &pushed).header("x-hub-signature-256", signed_by("guess", &pushed)?)),
            401,
            "signature",
        ),
        (
            "GitHub: SHA-1 alone",
            at_github(post(host, "github", &pushed).header("x-hub-signature", "sha1=da39a3ee5e6b4b0d3255bfef95601890")),
            401,
            "signature",
        ),
        ("a strange repository", hook(&elsewhere)?, 403, "not on the list"),
        ("a strange repository beside a good one", hook(&half_elsewhere)?, 403, "not on the list"),
        ("GitHub: a strange repository", github(host, "push", "g", &push("evil/app", "1"))?, 403, "not on the list"),
        ("malformed JSON", hook("{\"author\": ")?, 400, "not JSON"),
        ("no author", hook("{\"branch\": \"main\"}")?, 400, "`author`"),
        ("an unknown key", hook("{\"author\": \"x\", \"brunch\": \"main\"}")?, 400, "`brunch`"),
        ("not text at all", hook("[7]")?, 400, "invalid type"),
        ("no id in the header of it", delivery(host, "", &good)?, 400, "x-stampmill-delivery"),
        ("GitHub: no push", github(host, "push", "g", "{}")?, 400, "missing field"),
        ("an unknown hook", post(host, "generik", &good).header("x-stampmill-signature", signed(&good)?), 404, "hook"),
        ("a poller is no hook", post(host, "polled", &good).header("x-stampmill-signature", signed(&good)?), 404, ""),
        ("GET", other(Method::GET, "")?, 405, "GET"),
        ("PUT", other(Method::PUT, &good)?, 405, "PUT"),
    ])
}

#[tokio::test]
async fn a2_16_what_is_not_signed_or_not_listed_or_makes_no_sense_is_refused_and_changes_nothing() -> anyhow::Result<()>
{
    let place = Place::new()?;
    let (repository, host) = start(&place).await?;
    let listed = repository.bare.to_str().context("a path is text")?;
    for (what, request, status, word) in refused(&host, listed)? {
        let (told, text) = answer(request).await?;
        assert_eq!(told, status, "{what}: {text}");
        assert!(text.to_lowercase().contains(&word.to_lowercase()) && text.len() > 10, "{what}: {text}");
        assert!(!text.contains(KEY), "{what}: {text}");
        assert_eq!(stored(&host).await?, [0; 4], "{what} left something behind");
    }
    too_large(&host).await?;
    nothing_to_build(&host).await?;
    assert_eq!(stored(&host).await?, [0; 4]);

    // What the operator sees of it.
    let log = host.log();
    let lines = |words: &[&str]| log.lines().filter(|line| words.iter().all(|word| line.contains(word))).count();
    assert!(lines(&["WARN", "generic", "https://evil.example/app.git"]) >= 2, "{log}");
    assert!(lines(&["WARN", "github", "evil/app"]) >= 1, "{log}");
    assert!(lines(&["WARN", "generic", "401"]) >= 8 && lines(&["WARN", "github", "401"]) >= 3, "{log}");
    assert!(!log.contains(KEY));

    // It was not the host that was deaf.
    let body = json!({ "author": "Ann", "branch": "main" }).to_string();
    assert_eq!(answer(delivery(&host, "d-2", &body)?).await?.0, 202, "an id that was refused is not used up");
    assert_eq!(count(&host, "changes").await?, 1);
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

/// 11 MB, signed and all: once with its length and once without.
async fn too_large(host: &Host) -> anyhow::Result<()> {
    let body = json!({ "author": "Eve", "comments": "x".repeat(11_000_000) }).to_string();
    let head = format!("POST /hooks/generic HTTP/1.1\nx-stampmill-signature: {}", signed(&body)?);
    let declared = format!("{head}\ncontent-length: {}", body.len());
    let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let chunked = format!("{head}\ntransfer-encoding: chunked");
    for (head, bytes) in [(declared, body.into_bytes()), (chunked, chunk.into_bytes())] {
        let answer = exchange(&host.url, &head, Body::Bytes(bytes)).await?;
        assert_eq!(answer.status, 413, "{}", answer.text);
        assert!(answer.text.contains("larger than 10485760 bytes"), "{}", answer.text);
    }
    Ok(())
}

/// GitHub's words that are no change.
async fn nothing_to_build(host: &Host) -> anyhow::Result<()> {
    let ping = json!({ "zen": "Keep it logically awesome.", "hook_id": 1 }).to_string();
    assert_eq!(answer(github(host, "ping", "p-1", &ping)?).await?, (200, "pong".to_owned()));
    for event in ["pull_request", "star", "workflow_run"] {
        let (status, text) = answer(github(host, event, "e-1", &ping)?).await?;
        assert_eq!(status, 200, "{event}: {text}");
        assert!(text.starts_with("ignored"), "{event}: {text}");
    }
    let deleted = push("mailinc/mailsuite", "1").replace("\"deleted\":false", "\"deleted\":true");
    let (status, text) = answer(github(host, "push", "e-2", &deleted)?).await?;
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("deleted"), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_body_that_trickles_in_is_given_up_while_others_are_served() -> anyhow::Result<()> {
    let place = Place::new()?;
    let (_repository, host) = start(&place).await?;
    let token = host.token("slow", "operator").await?;
    let json = format!("authorization: Bearer {token}\ncontent-type: application/json\ncontent-length: 10000");
    let slow = [
        ("POST /hooks/generic HTTP/1.1\ncontent-length: 10000".to_owned(), &b"x"[..]),
        ("POST /hooks/generic HTTP/1.1\ntransfer-encoding: chunked".to_owned(), b"1\r\nx\r\n"),
        (format!("POST /api/v1/changes HTTP/1.1\n{json}"), b"x"),
    ];
    let slow: Vec<_> = slow
        .into_iter()
        .map(|(head, drop)| {
            let url = host.url.clone();
            tokio::spawn(async move { exchange(&url, &head, Body::Trickle(drop)).await })
        })
        .collect();
    let body = json!({ "author": "Ann", "branch": "main" }).to_string();
    assert_eq!(answer(delivery(&host, "quick", &body)?).await?.0, 202);
    for answer in slow {
        let answer = answer.await??;
        assert_eq!(answer.status, 408, "{}", answer.text);
        assert!(answer.text.contains("send it quicker"), "{}", answer.text);
    }
    assert_eq!(count(&host, "changes").await?, 1);
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

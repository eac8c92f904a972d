//! People, tokens, workers, plugins and the configuration.

use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::Signal;
use serde_json::json;
use stampmill_e2e::command::{start, typed, typed_with};
use stampmill_e2e::{Host, Place, Repository};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::{config, fine, refused, stored, up};

const PASSWORD: &str = "correct horse battery";

/// How long a worker may take to say that it was turned away.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test]
async fn a9_05_a9_08_people_and_tokens_are_added_listed_and_removed() -> anyhow::Result<()> {
    let place = Place::new()?;
    let repository = Repository::make(place.path())?;
    std::fs::write(place.path().join("stampmill.toml"), config(&repository))?;
    // The first administrator is made before any host runs.
    let said = typed_with(place.path(), &["user", "add", "root", "--role", "admin"], &format!("{PASSWORD}\n")).await?;
    assert_eq!(said.code, 0, "{said:?}");
    let host = Host::start(place.path(), "up").await?;
    assert_eq!(log_in(&host, "root", PASSWORD).await?, 303);

    let add = ["user", "add", "ann", "--role", "viewer"];
    assert_eq!(typed_with(&host.place, &add, PASSWORD).await?.code, 0);
    refused(&add, &typed_with(&host.place, &add, PASSWORD).await?, 2, &["ann", "already"]);
    refused(&add, &typed_with(&host.place, &["user", "add", "bob"], "short").await?, 2, &["8"]);
    refused(&add, &host.typed(&["user", "add", "bob"]).await?, 2, &["no password"]);
    let users = fine(&host, &["user", "list", "--json"]).await?.json()?;
    let names: Vec<_> =
        users["items"].as_array().into_iter().flatten().map(|user| (&user["name"], &user["role"])).collect();
    assert_eq!(names, [(&json!("ann"), &json!("viewer")), (&json!("root"), &json!("admin"))]);
    let list = fine(&host, &["user", "list"]).await?;
    assert!(list.out.starts_with("NAME") && list.out.lines().count() == 3, "{list:?}");
    assert_eq!(log_in(&host, "ann", PASSWORD).await?, 303);
    let other = "another horse battery";
    assert_eq!(typed_with(&host.place, &["user", "password", "ann"], other).await?.code, 0);
    assert_eq!((log_in(&host, "ann", PASSWORD).await?, log_in(&host, "ann", other).await?), (401, 303));
    fine(&host, &["user", "role", "ann", "developer"]).await?;
    fine(&host, &["user", "remove", "ann"]).await?;
    assert_eq!(log_in(&host, "ann", other).await?, 401);
    refused(&["user", "remove"], &host.typed(&["user", "remove", "ann"]).await?, 2, &["ann"]);

    let token = fine(&host, &["token", "create", "deploy", "--role", "developer", "--days", "9"]).await?;
    assert!(token.line().starts_with("smt_") && token.err.contains("shown this once"), "{token:?}");
    let list = fine(&host, &["token", "list"]).await?;
    assert!(list.out.contains("deploy") && list.out.contains("developer"), "{list:?}");
    assert!(!list.out.contains(token.line()), "{list:?}");
    remote(&host, token.line()).await?;
    let tokens = fine(&host, &["token", "list", "--json"]).await?.json()?;
    let id = tokens["items"].as_array().into_iter().flatten().find(|token| token["name"] == "deploy");
    let id = id.and_then(|token| token["id"].as_str()).context("it is listed")?;
    fine(&host, &["token", "revoke", id]).await?;
    refused(&["token", "revoke"], &host.typed(&["token", "revoke", id]).await?, 2, &[id]);
    let empty = Place::new()?;
    let gone = typed(empty.path(), &["force", "linux", "--host", &host.url, "--token", token.line()]).await?;
    refused(&["force"], &gone, 2, &["revoked", "stampmill token create"]);

    for file in ["data/stampmill.redb", "data/stampmill.journal", "host.log"] {
        let file = host.place.join(file);
        let bytes = std::fs::read(&file)?;
        let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!has(PASSWORD) && !has(token.line()), "{} has a secret in the clear", file.display());
    }
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

async fn log_in(host: &Host, name: &str, password: &str) -> anyhow::Result<u16> {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    let request = client.post(format!("{}/login", host.url)).header("origin", &host.url);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let response = request.body(format!("name={name}&password={}", password.replace(' ', "+"))).send().await?;
    Ok(response.status().as_u16())
}

/// From another machine there is only the address and the token.
async fn remote(host: &Host, developer: &str) -> anyhow::Result<()> {
    let elsewhere = Place::new()?;
    let at = |arguments: &[&str], token: &str| {
        let mut arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        arguments.extend(["--host".to_owned(), host.url.clone()]);
        arguments.extend((!token.is_empty()).then(|| format!("--token={token}")));
        let place = elsewhere.path().to_owned();
        async move { typed(&place, &arguments.iter().map(String::as_str).collect::<Vec<_>>()).await }
    };
    let before = stored(host).await?;
    refused(&["force"], &at(&["force", "linux"], "").await?, 2, &["login or a token", "STAMPMILL_TOKEN"]);
    let forged = at(&["force", "linux"], "smt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").await?;
    refused(&["force"], &forged, 2, &["the token is unknown", "stampmill token create"]);
    let change = at(&["change", "--author", "x", "--repository", "y"], developer).await?;
    refused(&["change"], &change, 2, &["deploy is a developer", "needs the role operator"]);
    refused(&["reload"], &at(&["reload"], developer).await?, 2, &["needs the role admin"]);
    refused(&["user"], &at(&["user", "list"], developer).await?, 2, &["needs the role admin"]);
    assert_eq!(stored(host).await?, before, "something that was refused was done all the same");
    let said = at(&["force", "linux", "--wait"], developer).await?;
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(host.get("/api/v1/buildsets/1").await?["owner"], "deploy");
    assert_eq!(at(&["builds", "--json"], developer).await?.json()?["items"][0]["result"], "success");
    assert!(at(&["log", "1", "run"], developer).await?.out.contains("the level is plain"));
    assert!(std::fs::read_dir(elsewhere.path())?.next().is_none(), "nothing is left where it was typed");
    Ok(())
}

#[tokio::test]
async fn a_worker_connects_with_the_token_that_was_made_for_it_and_with_no_earlier_one() -> anyhow::Result<()> {
    let place = Place::new()?;
    let (_repository, host) = up(&place).await?;
    refused(&["worker-token"], &host.typed(&["worker-token", "fra"]).await?, 2, &["`fra`", "`far`"]);
    let earlier = fine(&host, &["worker-token", "far"]).await?;
    let token = fine(&host, &["worker-token", "far"]).await?;
    assert!(token.line().starts_with("sm") && token.err.contains("shown this once"), "{token:?}");
    let grants = "command = [\"*\"]\nread = [\"*\"]\nplugin = [\"*\"]";
    let (url, state) = (&host.url, place.path().join("far").display().to_string());
    let config = format!("name = \"far\"\nhost = \"{url}\"\ntoken-file = \"far.token\"\nstate-dir = \"{state}\"\n");
    std::fs::write(place.path().join("far.toml"), format!("{config}[allow]\n{grants}\n"))?;
    std::fs::write(place.path().join("far.token"), earlier.line())?;
    let mut worker = start(place.path(), &["worker", "--config", "far.toml"])?;
    let mut said = BufReader::new(worker.stderr.take().context("standard error is piped")?).lines();
    let mut all = String::new();
    let reading = async {
        while let Some(line) = said.next_line().await? {
            all.push_str(&line);
            if line.contains("stampmill worker-token") {
                break;
            }
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, reading).await.context("the worker does not say what to mend")??;
    assert!(!all.contains(earlier.line()), "{all}");
    let far = host.get("/api/v1/workers").await?["items"][1].clone();
    assert_eq!((far["name"].as_str(), far["state"].as_str()), (Some("far"), Some("never-seen")), "{far:#} {all}");

    // A worker reads its token anew for each attempt.
    std::fs::write(place.path().join("far.token"), token.line())?;
    host.wait_for("/api/v1/workers", |list| (list["items"][1]["state"] == "connected").then_some(())).await?;
    let built = fine(&host, &["force", "linux", "--worker", "far", "--wait"]).await?;
    assert!(built.out.contains("build linux/1 (id 1) on far"), "{built:?}");
    worker.start_kill()?;
    host.wait_for("/api/v1/workers", |list| (list["items"][1]["state"] == "away").then_some(())).await?;
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

#[tokio::test]
async fn a_reload_takes_a_good_configuration_and_keeps_the_old_one_for_a_bad_one() -> anyhow::Result<()> {
    let place = Place::new()?;
    let (repository, host) = up(&place).await?;
    let file = place.path().join("stampmill.toml");
    let good =
        config(&repository).replace("builders = [\"linux\", \"slow\"]", "builders = [\"linux\", \"slow\", \"new\"]");
    let good = format!("{good}\n[[builder]]\nname = \"new\"\njob = \"check\"\n");
    refused(&["force"], &host.typed(&["force", "new"]).await?, 2, &["no builder `new`"]);
    std::fs::write(&file, &good)?;
    assert!(fine(&host, &["reload"]).await?.out.contains("is in force"));
    fine(&host, &["force", "new", "--wait"]).await?;

    for (bad, words) in [
        (
            good.replace("job = \"check\"\n", "jbo = \"check\"\n"),
            &["stampmill.toml:", "unknown key `jbo`", "did you mean `job`"][..],
        ),
        (good.replace("plugin = \"shell\"", "plugin = \"shel\""), &["stampmill.toml:", "`shel`", "`shell`"]),
        (good.replace("[[worker]]", "[[worker"), &["stampmill.toml"]),
    ] {
        std::fs::write(&file, bad)?;
        refused(&["reload"], &host.typed(&["reload"]).await?, 2, words);
        fine(&host, &["force", "new", "--wait"]).await?;
    }
    std::fs::remove_file(&file)?;
    refused(&["reload"], &host.typed(&["reload"]).await?, 2, &["stampmill.toml"]);
    fine(&host, &["builds", "new"]).await?;
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

#[tokio::test]
async fn plugins_are_listed_and_inspected_without_a_host() -> anyhow::Result<()> {
    let place = Place::new()?;
    let list = typed(place.path(), &["plugin", "list"]).await?;
    assert_eq!(list.code, 0, "{list:?}");
    for words in [["git-poller", "command"], ["github-hook", "secret"], ["webhook", "http"], ["path-filter", "filter"]]
    {
        let has = |line: &str| words.iter().all(|word| line.contains(word));
        assert!(list.out.lines().any(has), "{words:?}: {list:?}");
    }
    let items = typed(place.path(), &["plugin", "list", "--json"]).await?.json()?;
    let shell = items["items"].as_array().into_iter().flatten().find(|plugin| plugin["name"] == "shell");
    let shell = shell.context("the step for commands is there")?;
    assert_eq!((shell["kind"].as_str(), &shell["asks"]), (Some("step"), &json!(["command"])));
    let digest = shell["digest"].as_str().filter(|digest| digest.len() == 64).context("a digest is SHA-256")?;
    let inspected = typed(place.path(), &["plugin", "inspect", "shell"]).await?;
    for word in ["(step)", "asks for: command", digest, "JSON Schema", "silence-timeout", "stampmill:host/command@"] {
        assert!(inspected.out.contains(word), "{word}: {inspected:?}");
    }
    let unknown = ["plugin", "inspect", "shel"];
    refused(&unknown, &typed(place.path(), &unknown).await?, 2, &["no plugin `shel`", "shell", "by its path"]);
    std::fs::write(place.path().join("text.wasm"), "not a component")?;
    let text = ["plugin", "inspect", "text.wasm"];
    refused(&text, &typed(place.path(), &text).await?, 2, &["text.wasm", "component"]);
    Ok(())
}

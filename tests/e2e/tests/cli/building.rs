//! Changes, builds and logs.

use anyhow::Context as _;
use nix::sys::signal::Signal;
use serde_json::json;
use stampmill_e2e::Place;
use stampmill_e2e::command::{answer, start};

use super::{fine, refused, up};

#[tokio::test]
async fn a2_25_a2_26_a_change_sent_by_hand_is_built_with_its_properties() -> anyhow::Result<()> {
    let place = Place::new()?;
    let (repository, host) = up(&place).await?;
    let revision = repository.commit("Code", &[("src/x.c", "int x;\n")], "Ann <ann@example.org>")?;
    let address = repository.bare.to_str().context("a path is text")?;
    let said = fine(
        &host,
        &[
            "change",
            "--author",
            "Cy <cy@example.org>",
            "--repository",
            address,
            "--branch",
            "main",
            "--revision",
            &revision,
            "--comments",
            "by hand\n\nfor <b>good</b> reasons",
            "--project",
            "mail",
            "--category",
            "hot",
            "--link",
            "https://git.example/1",
            "--property",
            "level=deep",
            "--property",
            "tree:={\"a\":[1,2.5,null]}",
            "src/x.c",
            "docs/y.md",
        ],
    )
    .await?;
    assert!(said.out.contains("change 1 was taken in"), "{said:?}");
    let build = host.finished_build_of(&revision).await?;
    assert_eq!(build["result"], "success", "{build:#}");
    assert_eq!(build["properties"]["level"], json!({ "value": "deep", "source": "Change" }), "{build:#}");
    assert_eq!(build["properties"]["tree"]["value"], json!({ "a": [1, 2.5, null] }));
    assert_eq!(build["properties"]["got_revision"]["value"], revision.as_str());
    assert_eq!(build["blamelist"], json!(["Cy <cy@example.org>"]));
    let change = host.get("/api/v1/changes/1").await?;
    assert_eq!(change["author"], "Cy <cy@example.org>");
    assert_eq!(change["comments"], "by hand\n\nfor <b>good</b> reasons");
    assert_eq!(change["files"], json!(["src/x.c", "docs/y.md"]));
    assert_eq!(change["repository"], address);
    assert_eq!((change["branch"].as_str(), change["revision"].as_str()), (Some("main"), Some(revision.as_str())));
    assert_eq!((change["project"].as_str(), change["category"].as_str()), (Some("mail"), Some("hot")));
    assert_eq!((change["link"].as_str(), change["codebase"].as_str()), (Some("https://git.example/1"), Some("app")));
    let log = fine(&host, &["log", "linux/1", "run"]).await?;
    assert!(log.out.contains("the level is deep\n"), "{log:?}");

    // What becomes of a change that nothing builds is said as well.
    let of_docs = ["change", "--author", "Cy", "--repository", address, "--branch", "main", "docs/z.md", "--json"];
    assert_eq!(fine(&host, &of_docs).await?.json()?, json!({ "changes": [2] }));
    host.wait_for("/api/v1/changes/2", |change| change["decided"].as_bool().filter(|decided| *decided)).await?;
    let said = fine(&host, &["explain", "change", "2"]).await?;
    assert!(said.out.contains("quick") && said.out.contains("unimportant"), "{said:?}");
    assert!(said.out.contains("scheduler `quick`: it waits for an important change"), "{said:?}");
    fine(&host, &["change", "--author", "Cy", "--repository", "/elsewhere.git", "--branch", "main"]).await?;
    host.wait_for("/api/v1/changes/3", |change| change["decided"].as_bool().filter(|decided| *decided)).await?;
    let said = fine(&host, &["explain", "change", "3"]).await?;
    assert!(said.out.contains("it is not built: repository `/elsewhere.git` is not in the codebase map"), "{said:?}");
    let said = fine(&host, &["explain", "change", "1"]).await?;
    assert!(said.out.contains("important") && said.out.contains("it is in buildset 1"), "{said:?}");
    let said = fine(&host, &["explain", "build", "linux/1"]).await?;
    assert!(said.out.contains("scheduler `quick`") && said.out.contains("change 1: by hand by Cy"), "{said:?}");
    assert_eq!(host.get("/api/v1/builds").await?["items"].as_array().map(Vec::len), Some(1));
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

#[tokio::test]
async fn a5_10_a_force_waits_for_its_build_and_ends_by_its_result() -> anyhow::Result<()> {
    let place = Place::new()?;
    let (repository, host) = up(&place).await?;
    let old = repository.git(&["rev-parse", "HEAD"])?;
    let new = repository.commit("More", &[("README", "more of it\n")], "Ann <ann@example.org>")?;

    let said = fine(&host, &["force", "linux", "--wait"]).await?;
    assert!(said.out.contains("build linux/1 (id 1) on local"), "{said:?}");
    assert!(said.out.contains("build linux/1: success"), "{said:?}");
    let build = host.get("/api/v1/builds/1").await?;
    assert_eq!(build["properties"]["got_revision"]["value"], new.as_str(), "the newest of the default branch");

    let red = ["force", "linux", "--wait", "--revision", &old, "--property", "level=broken", "--reason", "try it"];
    let said = host.typed(&red).await?;
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.contains("run: failure") && said.out.contains("build linux/2: failure"), "{said:?}");
    let build = host.get("/api/v1/builds/2").await?;
    assert_eq!(build["properties"]["got_revision"]["value"], old.as_str());
    assert_eq!(build["properties"]["level"], json!({ "value": "broken", "source": "Force" }));
    assert!(build["reason"].as_str().is_some_and(|reason| reason.contains("try it")), "{build:#}");
    let log = fine(&host, &["log", "2", "run"]).await?;
    assert!(
        log.out.contains("the README says: an application\n") && log.out.contains("the level is broken"),
        "{log:?}"
    );
    let tail = fine(&host, &["log", "linux/2", "run", "--tail", "1"]).await?;
    assert_eq!(tail.out.lines().count(), 1, "{tail:?}");
    let whole = fine(&host, &["log", "2"]).await?;
    assert!(whole.out.contains("=== checkout (stdio) ===") && whole.out.contains("=== run (stdio) ==="), "{whole:?}");

    // Again with the same sources and properties: red stays red, green stays green.
    let said = host.typed(&["rebuild", "linux/2", "--wait", "--json"]).await?;
    assert_eq!(said.code, 1, "{said:?}");
    assert_eq!(said.json()?["builds"][0]["properties"]["level"]["value"], "broken", "{said:?}");
    assert_eq!(said.json()?["builds"][0]["properties"]["got_revision"]["value"], old.as_str());
    let said = fine(&host, &["rebuild", "1", "--wait", "--json"]).await?;
    assert_eq!(said.json()?["result"], "success");
    let said = fine(&host, &["explain", "build", "linux/3"]).await?;
    assert!(said.out.contains("a rebuild of build 2"), "{said:?}");

    let list = fine(&host, &["builds"]).await?;
    let rows: Vec<&str> = list.out.lines().collect();
    assert_eq!(rows.len(), 5, "{list:?}");
    assert!(rows[0].starts_with("BUILD") && rows[0].contains("REVISION"), "{list:?}");
    assert!(rows[1].starts_with("linux/4") && rows[1].contains("success"), "the newest first: {list:?}");
    assert!(rows[3].contains("failure") && rows[3].contains(&old[..12]), "{list:?}");
    let list = fine(&host, &["builds", "linux", "--result", "failure", "--limit", "1", "--json"]).await?.json()?;
    assert_eq!((list["items"][0]["number"].as_u64(), list["items"].as_array().map(Vec::len)), (Some(3), Some(1)));
    let none = fine(&host, &["builds", "--state", "open"]).await?;
    assert_eq!((none.out.as_str(), none.err.trim()), ("", "no builds"));
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

#[tokio::test]
async fn a5_10_a_force_answers_what_its_scheduler_asks() -> anyhow::Result<()> {
    let place = Place::new()?;
    let (_repository, host) = up(&place).await?;
    std::fs::write(host.place.join("NEWS"), "more\nof it\n")?;
    let asked = fine(&host, &["scheduler", "list", "--json"]).await?.json()?;
    let form = &asked["items"][2]["form"];
    let names: Vec<_> = form["parameters"].as_array().into_iter().flatten().map(|it| it["name"].clone()).collect();
    assert_eq!(names, ["level", "version", "notes", "upload.tries", "upload.to"], "{form:#}");
    assert_eq!(form["reason_required"], false);
    let question = json!({
        "name": "upload.tries", "label": "", "kind": "int", "required": false, "hide": false, "default": 3, "regex": null,
        "min": 1, "max": 9, "choices": [], "strict": false, "multiple": false, "max_size": null,
    });
    assert_eq!(form["parameters"][3], question);
    assert_eq!(
        (&form["parameters"][1]["regex"], &form["parameters"][2]["max_size"]),
        (&json!("v[0-9]+"), &json!(65_536))
    );
    assert_eq!(asked["items"][2]["codebases"][0]["ask"], json!(["revision"]));
    assert_eq!((&asked["items"][0]["form"], &asked["items"][0]["codebases"][0]["ask"]), (&json!(null), &json!([])));

    let news = host.place.join("NEWS");
    let news = format!("notes={}", news.to_str().context("a path is text")?);
    let answers = ["-p", "version=v12", "-p", "upload.tries=5", "-p", "upload.to:=[\"b\",\"a\"]", "--file", &news];
    let said = fine(&host, &[&["force", "--scheduler", "release", "--wait"][..], &answers].concat()).await?;
    assert!(said.out.contains("build linux/1: success"), "{said:?}");
    let build = host.get("/api/v1/builds/1").await?;
    let property = |name: &str| build["properties"][name].clone();
    assert_eq!(property("level"), json!({ "value": "deep", "source": "Force" }), "the default reaches the build");
    assert_eq!(property("upload"), json!({ "value": { "tries": 5, "to": ["b", "a"] }, "source": "Force" }));
    assert_eq!((&property("version")["value"], &property("notes")["value"]), (&json!("v12"), &json!("more\nof it\n")));
    let log = fine(&host, &["log", "1", "run"]).await?;
    assert!(log.out.contains("the level is deep"), "{log:?}");
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

#[tokio::test]
async fn a_log_is_followed_to_the_end_of_its_build_and_a_build_is_cancelled() -> anyhow::Result<()> {
    let place = Place::new()?;
    let (_repository, host) = up(&place).await?;
    let running = async |number: u64| {
        let path = format!("/api/v1/builds/{number}");
        host.wait_for(&path, |build| (build["steps"][0]["state"] == "running").then_some(())).await
    };
    let whole: String = (1..=8).map(|number| format!("line {number}\n")).collect();
    fine(&host, &["force", "slow", "--property", "code=3"]).await?;
    running(1).await?;
    let (all, step) =
        (start(&host.place, &["log", "slow/1", "--follow"])?, start(&host.place, &["log", "1", "wait", "-f"])?);
    let (all, step) = (answer(all).await?, answer(step).await?);
    assert_eq!((all.code, step.code), (1, 1), "{all:?} {step:?}");
    assert_eq!(all.out, format!("=== wait (stdio) ===\n{whole}"), "each line once, in order, and all of them");
    assert_eq!(step.out, whole);
    assert!(all.err.contains("build slow/1: failure"), "{all:?}");
    // One that is over is shown whole, with the same code.
    assert_eq!(host.typed(&["log", "slow/1", "--follow"]).await?.code, 1);

    fine(&host, &["force", "slow", "--property", "longer=1000"]).await?;
    running(2).await?;
    let following = start(&host.place, &["log", "slow/2", "--follow"])?;
    let waiting = start(&host.place, &["force", "slow", "--wait"])?;
    let third = host.wait_for("/api/v1/requests", |requests| requests["items"].get(2)?["id"].as_u64()).await?;
    assert_eq!(third, 1, "newest first, so the third is the oldest");
    let said = fine(&host, &["explain", "3"]).await?;
    assert!(said.out.contains("request 3 of slow") && said.out.contains("number 1 in the queue"), "{said:?}");
    let open = fine(&host, &["builds", "--state", "open", "--json"]).await?.json()?;
    assert_eq!((open["items"][0]["id"].as_u64(), open["items"].as_array().map(Vec::len)), (Some(2), Some(1)));

    let said = fine(&host, &["cancel", "--request", "3", "--reason", "not needed"]).await?;
    assert!(said.out.contains("request 3 is being ended"), "{said:?}");
    let waiting = answer(waiting).await?;
    assert_eq!(waiting.code, 4, "{waiting:?}");
    assert!(waiting.out.contains("cancelled without a build"), "{waiting:?}");
    let said = fine(&host, &["cancel", "slow/2", "--reason", "wrong branch"]).await?;
    assert!(said.out.contains("build slow/2 is being ended"), "{said:?}");
    let following = answer(following).await?;
    assert_eq!(following.code, 4, "{following:?}");
    assert!(following.out.starts_with("=== wait (stdio) ===\nline 1\n"), "{following:?}");
    assert!(following.err.contains("build slow/2: cancelled"), "{following:?}");
    let build = host.get("/api/v1/builds/2").await?;
    assert!(build.to_string().contains("wrong branch"), "the reason is kept: {build:#}");
    let again = host.typed(&["cancel", "slow/2"]).await?;
    refused(&["cancel"], &again, 2, &["2"]);
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

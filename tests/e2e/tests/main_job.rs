//! The main job, end to end on real input: a pushed commit becomes a sandboxed build with a page of its own.

use nix::sys::signal::Signal;
use serde_json::Value;
use stampmill_e2e::{Browser, Host, Listener, Place, Repository, main_job};

fn items(list: &Value) -> &Vec<Value> {
    list["items"].as_array().expect("a list has items")
}

#[tokio::test]
async fn a_pushed_commit_becomes_a_build_that_is_reported() -> anyhow::Result<()> {
    let place = Place::new()?;
    let repository = Repository::make(place.path())?;
    let mut listener = Listener::start().await?;
    let config = main_job(&repository.bare, &listener.url, "echo the README says: $(cat README); printf 'no newline'");
    let host = Host::up(place.path(), &config).await?;
    host.polled("app").await?;

    let revision = repository.commit(
        "Say more\n\nwith a second paragraph: <b>ü</b>",
        &[("README", "an application, and more\n"), ("src/$(touch x).c", "int main;\n")],
        "Bob <bob@example.org>",
    )?;
    let build = host.finished_build_of(&revision).await?;
    assert_eq!(build["result"], "success", "{build:#}");
    assert_eq!(build["builder"], "linux");
    assert_eq!(build["worker"], "local");
    assert_eq!(build["properties"]["got_revision"]["value"], revision.as_str());
    assert_eq!(build["blamelist"], serde_json::json!(["Bob <bob@example.org>"]));
    let stamps = build["source_stamps"].as_array().expect("a build has source stamps");
    assert_eq!(stamps.len(), 1);
    assert_eq!(stamps[0]["codebase"], "app");
    assert_eq!(stamps[0]["branch"], "main");

    let steps = build["steps"].as_array().expect("a build has steps");
    let names: Vec<&str> = steps.iter().filter_map(|step| step["name"].as_str()).collect();
    assert_eq!(names, ["checkout", "run"]);
    let log = host.text(&format!("/api/v1/builds/{}/steps/1/logs/stdio", build["id"])).await?;
    assert!(log.contains("the README says: an application, and more\n"), "{log}");
    assert!(log.ends_with("no newline"), "{log}");

    let changes = host.get("/api/v1/changes").await?;
    let change = &items(&changes)[0];
    assert_eq!(change["revision"], revision.as_str());
    assert_eq!(change["codebase"], "app");
    assert_eq!(change["files"], serde_json::json!(["README", "src/$(touch x).c"]));
    assert!(change["comments"].as_str().is_some_and(|text| text.contains("second paragraph: <b>ü</b>")), "{change:#}");
    let buildset = host.get(&format!("/api/v1/buildsets/{}", build["buildset"])).await?;
    assert_eq!(buildset["result"], "success", "{buildset:#}");
    let request = host.get(&format!("/api/v1/requests/{}", build["request"])).await?;
    assert_eq!(request["builder"], "linux");

    // Reports of a build and of its set go out side by side.
    let mut reports = [listener.next().await?, listener.next().await?];
    reports.sort_by_key(|report| report["event"].to_string());
    assert_eq!(reports[0]["event"], "build-finished", "{reports:#?}");
    assert_eq!(reports[0]["build"]["got_revision"], revision.as_str());
    assert_eq!(reports[1]["event"], "buildset-finished");
    assert_eq!(reports[1]["buildset"]["result"], "success");

    let page = host.text(&format!("/changes/{}", change["id"])).await?;
    assert!(page.contains("&lt;b&gt;ü&lt;/b&gt;"), "what comes from a repository is escaped");
    assert!(!page.contains("<b>ü</b>"));
    if let Some(browser) = Browser::start().await? {
        let tab = browser.visitor().await?;
        // The log's lines are put there by the page's script.
        tab.go(&format!("{}/builds/{}/steps/1/logs/stdio", host.url, build["id"])).await?;
        tab.shows("the README says: an application, and more").await?;
    }
    assert!(host.end(Signal::SIGTERM).await?.success());
    Ok(())
}

#[tokio::test]
async fn a_change_that_a_filter_finds_unimportant_starts_no_build() -> anyhow::Result<()> {
    let place = Place::new()?;
    let repository = Repository::make(place.path())?;
    let listener = Listener::start().await?;
    let host = Host::up(place.path(), &main_job(&repository.bare, &listener.url, "true")).await?;
    host.polled("app").await?;

    let documented = repository.commit("Document", &[("docs/a.md", "words\n")], "Ann <ann@example.org>")?;
    let elsewhere = repository.commit_on("dev", "Elsewhere", &[("a.c", "int a;\n")], "Ann <ann@example.org>")?;
    let built = repository.commit("Code", &[("b.c", "int b;\n")], "Ann <ann@example.org>")?;
    let build = host.finished_build_of(&built).await?;
    let builds = host.get("/api/v1/builds").await?;
    assert_eq!(items(&builds).len(), 1, "one build for three changes");
    assert_eq!(build["number"], 1);
    let changes = host.get("/api/v1/changes").await?;
    let verdict = |revision: &str| {
        let change = items(&changes).iter().find(|change| change["revision"] == revision).expect("the change is there");
        change["decisions"].as_array().expect("it was decided")[0]["verdict"].as_str().map(str::to_owned)
    };
    assert_eq!(verdict(&documented).as_deref(), Some("unimportant"));
    assert_eq!(verdict(&elsewhere).as_deref(), Some("ignored"));
    assert_eq!(verdict(&built).as_deref(), Some("important"));
    host.end(Signal::SIGINT).await?;
    Ok(())
}

#[tokio::test]
async fn a_native_step_sees_nothing_of_the_machine_outside_its_sandbox() -> anyhow::Result<()> {
    let place = Place::new()?;
    std::fs::write(place.path().join("canary"), "a secret of the machine")?;
    let repository = Repository::make(place.path())?;
    let listener = Listener::start().await?;
    let canary = place.path().join("canary");
    let port = listener.url.trim_start_matches("http://127.0.0.1:").trim_end_matches("/report").to_owned();
    let script = format!(
        r#"
if cat {canary}; then echo LEAKED canary; fi
if cat /etc/shadow; then echo LEAKED shadow; fi
if cat {data}/stampmill.redb > /dev/null; then echo LEAKED database; fi
if cat {data}/stampmill.journal > /dev/null; then echo LEAKED journal; fi
if ls /proc/1/root/ > /dev/null 2>&1 && test -e /proc/1/root{canary}; then echo LEAKED root; fi
if (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null; then echo LEAKED network; fi
echo "uid $(cat /proc/self/uid_map | tr -s ' ')"
env | sort
echo survived
"#,
        canary = canary.display(),
        data = place.path().join("data").display(),
    );
    let config = main_job(&repository.bare, &listener.url, &script.replace("'''", ""));
    let config = config
        .replace(
            "[[job.step]]\nname = \"run\"\nplugin = \"shell\"\nconfig = {",
            "[[job.step]]\nname = \"run\"\nplugin = \"shell\"\nconfig = { shell = [\"/bin/bash\"],",
        )
        .replace("command = [\"/bin/sh\"]", "command = [\"/bin/bash\"]");
    let host = Host::up(place.path(), &config).await?;
    host.polled("app").await?;
    let revision = repository.commit("Look around", &[("a", "a\n")], "Eve <eve@example.org>")?;
    let build = host.finished_build_of(&revision).await?;
    let log = host.text(&format!("/api/v1/builds/{}/steps/1/logs/stdio", build["id"])).await?;
    assert!(log.contains("survived"), "{log}");
    assert!(!log.contains("LEAKED"), "{log}");
    assert!(!log.contains("a secret of the machine"), "{log}");
    assert!(!log.contains("STAMPMILL") && !log.contains("CARGO"), "the environment is what was declared: {log}");
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

#[tokio::test]
async fn a_host_that_is_killed_goes_on_where_it_was() -> anyhow::Result<()> {
    let place = Place::new()?;
    let repository = Repository::make(place.path())?;
    let listener = Listener::start().await?;
    let script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do echo line $i; sleep 0.25; done";
    let host = Host::up(place.path(), &main_job(&repository.bare, &listener.url, script)).await?;
    host.polled("app").await?;
    let revision = repository.commit("Slowly", &[("a", "a\n")], "Ann <ann@example.org>")?;
    host.wait_for("/api/v1/builds", |builds| {
        let build = items(builds).first()?;
        (build["steps"][1]["state"] == "running").then_some(())
    })
    .await?;
    host.end(Signal::SIGKILL).await?;

    let missed = repository.commit("While it was away", &[("b", "b\n")], "Ann <ann@example.org>")?;
    let host = Host::start(place.path(), "up").await?;
    let build = host.finished_build_of(&revision).await?;
    assert_eq!(build["result"], "success", "{build:#}");
    let log = host.text(&format!("/api/v1/builds/{}/steps/1/logs/stdio", build["id"])).await?;
    let lines: Vec<&str> = log.lines().filter(|line| line.starts_with("line ")).collect();
    let expected: Vec<String> = (1..=16).map(|number| format!("line {number}")).collect();
    assert_eq!(lines, expected, "no gap and no doubled line");
    host.finished_build_of(&missed).await?;
    let builds = host.get("/api/v1/builds").await?;
    assert_eq!(items(&builds).len(), 2, "nothing was lost and nothing ran twice: {builds:#}");
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

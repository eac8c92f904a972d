//! Builds of several codebases, each in a repository of its own or in several.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use stampmill_e2e::{Host, Place, Repository, without_merging};

const ANN: &str = "Ann <ann@example.org>";
const BOB: &str = "Bob <bob@example.org>";

/// Repositories that are polled, with their codebases, and one of the codebase `data` that nobody polls.
fn intake(polled: &[(&str, &Path)], data: &Path) -> String {
    let mut text = String::new();
    let mut map =
        format!("[codebases]\nplugin = \"repository-map\"\n[codebases.config]\n\"{}\" = \"data\"\n", data.display());
    for (codebase, repository) in polled {
        let name = repository.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        let repository = repository.display();
        let _ = write!(
            text,
            r#"
[[change-source]]
name = "{name}"
plugin = "git-poller"
every = "1s"
trusted = true
config = {{ repository = "{repository}", branches = ["main"] }}
grant = {{ command = ["git"], read = ["{repository}"] }}
"#
        );
        let _ = writeln!(map, "\"{repository}\" = \"{codebase}\"");
    }
    text + &map
}

/// A product of `app`, `core` and `data`, each checked out into a directory of its own. `keys` are more lines of the scheduler.
fn product([app, core, data]: [&Path; 3], keys: &str) -> String {
    let mut text = format!(
        r#"
[[scheduler]]
name = "quick"
kind = "single-branch"
branch = "main"
{keys}
codebases.app = {{ repository = "{}", branch = "main" }}
codebases.core = {{ repository = "{}", branch = "main" }}
codebases.data = {{ repository = "{}", branch = "stable" }}
builders = ["product"]
[[builder]]
name = "product"
job = "product"
[[worker]]
name = "local"
[[job]]
name = "product"
"#,
        app.display(),
        core.display(),
        data.display()
    );
    // A fork of `core` lies beside it.
    let place = core.parent().unwrap_or(core).display();
    for codebase in ["app", "core", "data"] {
        let _ = write!(
            text,
            r#"
[[job.step]]
name = "checkout-{codebase}"
plugin = "git"
config = {{ codebase = "{codebase}", directory = "{codebase}" }}
grant = {{ command = ["git"], read = ["{place}"] }}
"#
        );
    }
    text + r#"
[[job.step]]
name = "see"
plugin = "shell"
config = { command = ["cat", "app/text", "core/text", "data/text"] }
grant = { command = ["cat"] }
[[job.step]]
name = "pack"
plugin = "shell"
config = { command = ["tar", "--verbose", "-cf", "app-${{ props.got_revision.app }}-${{ src.core.branch }}-${{ src.data.branch }}.tar", "app/text"] }
grant = { command = ["tar"] }
[[job.step]]
name = "packed"
plugin = "shell"
config = { script = "ls *.tar; rm *.tar" }
grant = { command = ["/bin/sh"] }
"#
}

fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

fn commit(repository: &Repository, text: &str, author: &str) -> anyhow::Result<String> {
    repository.commit(text, &[("text", &format!("{text}\n"))], author)
}

/// The product's repositories; `data` differs between its branches.
fn repositories(place: &Path) -> anyhow::Result<[Repository; 3]> {
    let data = Repository::named(place, "data")?;
    commit(&data, "data of main", ANN)?;
    data.commit_on("stable", "Settle", &[("text", "data of stable\n")], ANN)?;
    let [app, core] = [Repository::named(place, "app")?, Repository::named(place, "core")?];
    commit(&app, "app 0", ANN)?;
    commit(&core, "core 0", ANN)?;
    Ok([app, core, data])
}

fn stamp<'a>(build: &'a Value, codebase: &str) -> anyhow::Result<&'a Value> {
    let stamps = build["source_stamps"].as_array().context("a list")?;
    stamps.iter().find(|stamp| stamp["codebase"] == codebase).with_context(|| format!("no {codebase} in {build:#}"))
}

async fn output(host: &Host, build: &Value, step: usize) -> anyhow::Result<String> {
    host.text(&format!("/api/v1/builds/{}/steps/{step}/logs/stdio", build["id"])).await
}

async fn explained(host: &Host, revision: &str) -> anyhow::Result<String> {
    let change = host
        .wait_for("/api/v1/changes", |changes| {
            items(changes).iter().find(|it| it["revision"] == revision && !it["decisions"].is_null()).cloned()
        })
        .await?;
    Ok(host.typed(&["explain", "change", &change["id"].to_string()]).await?.out)
}

#[tokio::test]
async fn a13_01_a13_02_changes_of_two_codebases_are_one_build_and_the_third_is_at_its_default() -> anyhow::Result<()> {
    let place = Place::new()?;
    let [app, core, data] = repositories(place.path())?;
    let bare = [app.bare.as_path(), &core.bare, &data.bare];
    let config = intake(&[("app", bare[0]), ("core", bare[1])], bare[2]) + &product(bare, "stable-for = \"5s\"");
    let host = Host::up(place.path(), &config).await?;
    host.polled("app").await?;
    host.polled("core").await?;
    let [app_1, core_1] = [commit(&app, "app 1", ANN)?, commit(&core, "core 1", BOB)?];
    let build = host.finished_build_of(&app_1).await?;
    ensure!(build["result"] == "success", "{build:#}");
    ensure!(stamp(&build, "app")?["revision"] == *app_1 && stamp(&build, "core")?["revision"] == *core_1, "{build:#}");
    let untouched = stamp(&build, "data")?;
    ensure!(untouched["branch"] == "stable" && untouched["revision"].is_null(), "{build:#}");
    ensure!(build["blamelist"].as_array().map(Vec::len) == Some(2), "{build:#}");
    ensure!(output(&host, &build, 3).await? == "app 1\ncore 1\ndata of stable\n");
    let stable = data.git(&["rev-parse", "stable"])?;
    let got = json!({ "app": app_1, "core": core_1, "data": stable });
    ensure!(build["properties"]["got_revision"]["value"] == got, "{build:#}");
    ensure!(output(&host, &build, 5).await? == format!("app-{app_1}-main-stable.tar\n"));

    let core_2 = commit(&core, "core 2", BOB)?;
    let build = host.finished_build_of(&core_2).await?;
    ensure!(build["result"] == "success" && stamp(&build, "app")?["revision"].is_null(), "{build:#}");
    ensure!(build["properties"]["got_revision"]["value"] == json!({ "app": app_1, "core": core_2, "data": stable }));
    ensure!(output(&host, &build, 3).await? == "app 1\ncore 2\ndata of stable\n");
    ensure!(items(&host.get("/api/v1/buildsets").await?).len() == 2, "two of one push are one");
    ensure!(host.end(Signal::SIGTERM).await?.success());
    Ok(())
}

#[tokio::test]
async fn a1_02_a1_03_a_revision_that_only_a_fork_has_is_built_from_there() -> anyhow::Result<()> {
    let place = Place::new()?;
    let [app, core, data] = repositories(place.path())?;
    core.git(&["clone", "--quiet", "--bare", "../core.git", "../fork.git"])?;
    let fork = place.path().join("fork.git");
    // From here on the fork lacks what `core` has, and has what `core` lacks.
    commit(&core, "core 1", ANN)?;
    let bare = [app.bare.as_path(), &core.bare, &data.bare];
    let config = intake(&[("app", bare[0]), ("core", bare[1]), ("core", &fork)], bare[2]) + &product(bare, "");
    let host = Host::up(place.path(), &config).await?;
    host.polled("core").await?;
    host.polled("fork").await?;

    core.git(&["reset", "--quiet", "--hard", "HEAD~1"])?;
    std::fs::write(core.work().join("text"), "only in the fork\n")?;
    let only_there = core.record("Leave", BOB)?;
    core.git(&["push", "--quiet", "../fork.git", "HEAD:refs/heads/main"])?;
    let build = host.finished_build_of(&only_there).await?;
    ensure!(build["result"] == "success", "{build:#}");
    ensure!(stamp(&build, "core")?["repository"] == fork.display().to_string(), "{build:#}");
    ensure!(output(&host, &build, 3).await? == "app 0\nonly in the fork\ndata of stable\n");

    core.git(&["reset", "--quiet", "--hard", "origin/main"])?;
    let here = commit(&core, "core 2", ANN)?;
    let build = host.finished_build_of(&here).await?;
    ensure!(build["result"] == "success", "{build:#}");
    ensure!(stamp(&build, "core")?["repository"] == bare[1].display().to_string(), "{build:#}");
    ensure!(output(&host, &build, 3).await? == "app 0\ncore 2\ndata of stable\n");
    let changes = host.get("/api/v1/changes").await?;
    ensure!(items(&changes).len() == 2 && items(&changes).iter().all(|it| it["codebase"] == "core"), "{changes:#}");
    ensure!(host.end(Signal::SIGTERM).await?.success());
    Ok(())
}

#[tokio::test]
async fn a13_09_with_absolute_source_stamps_the_untouched_is_built_as_it_was_seen_last() -> anyhow::Result<()> {
    let place = Place::new()?;
    let [app, core, data] = repositories(place.path())?;
    let bare = [app.bare.as_path(), &core.bare, &data.bare];
    let keys = "absolute-source-stamps = true\n\
                filter = [{ plugin = \"path-filter\", config = { exclude = [\"docs/**\"], otherwise = \"ignore\" } }]";
    let config = intake(&[("app", bare[0]), ("core", bare[1])], bare[2]) + &product(bare, keys);
    let host = Host::up(place.path(), &config).await?;
    host.polled("app").await?;
    host.polled("core").await?;
    let core_1 = commit(&core, "core 1", BOB)?;
    host.finished_build_of(&core_1).await?;
    let ignored = core.commit("core 2", &[("docs/text", "the newest of the branch\n")], BOB)?;
    let said = explained(&host, &ignored).await?;
    ensure!(said.contains("ignored"), "{said}");
    ensure!(host.end(Signal::SIGTERM).await?.success());

    let host = Host::start(place.path(), "up").await?;
    let app_1 = commit(&app, "app 1", ANN)?;
    let build = host.finished_build_of(&app_1).await?;
    ensure!(build["result"] == "success" && stamp(&build, "core")?["revision"] == *core_1, "{build:#}");
    ensure!(stamp(&build, "data")?["revision"].is_null(), "nobody has seen it: {build:#}");
    ensure!(build["properties"]["got_revision"]["value"]["core"] == *core_1, "{build:#}");
    ensure!(build["blamelist"].as_array().map(Vec::len) == Some(1), "{build:#}");
    ensure!(host.end(Signal::SIGTERM).await?.success());
    Ok(())
}

#[tokio::test]
async fn a2_19_a2_20_a6_06_what_is_built_is_the_revision_of_the_change_or_the_newest_where_it_has_none()
-> anyhow::Result<()> {
    let place = Place::new()?;
    let [app, core, data] = repositories(place.path())?;
    let bare = [app.bare.as_path(), &core.bare, &data.bare];
    let intake = intake(&[("app", bare[0])], bare[2])
        .replace("[codebases.config]\n", "[codebases.config]\n\"/docs\" = \"docs\"\n");
    let host = Host::up(place.path(), &without_merging(&(intake + &product(bare, "")))).await?;
    host.polled("app").await?;
    let checked = host.typed(&["check"]).await?;
    let words = "yields the codebase `docs`, which no scheduler lists";
    ensure!(checked.code == 0 && checked.err.contains(words) && !checked.err.contains("`core`, which"), "{checked:?}");

    for (text, name) in [("app 1", "text"), ("app 2", "text")] {
        std::fs::write(app.work().join(name), format!("{text}\n"))?;
        app.record(text, ANN)?;
    }
    app.push("HEAD:refs/heads/main")?;
    let [first, second] = [app.git(&["rev-parse", "HEAD~1"])?, app.git(&["rev-parse", "HEAD"])?];
    for (revision, text) in [(&first, "app 1"), (&second, "app 2")] {
        let build = host.finished_build_of(revision).await?;
        ensure!(build["properties"]["got_revision"]["value"]["app"] == **revision, "{build:#}");
        ensure!(output(&host, &build, 3).await?.starts_with(text), "{build:#}");
    }

    let core_repository = bare[1].display().to_string();
    let send = |more: &[&str]| {
        let change = ["change", "--author", "Cid", "--branch", "main"].iter().chain(more);
        change.map(|word| (*word).to_owned()).collect::<Vec<_>>()
    };
    let typed = send(&["--repository", &core_repository, "--codebase", "core"]);
    let said = host.typed(&typed.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    ensure!(said.code == 0, "{said:?}");
    let build = host
        .wait_for("/api/v1/builds?state=finished", |builds| {
            items(builds).iter().find(|build| build["blamelist"][0] == "Cid").cloned()
        })
        .await?;
    ensure!(stamp(&build, "core")?["revision"].is_null() && stamp(&build, "core")?["branch"] == "main", "{build:#}");
    let newest = core.git(&["rev-parse", "HEAD"])?;
    ensure!(build["properties"]["got_revision"]["value"]["core"] == *newest, "{build:#}");
    let changes = host.get("/api/v1/changes").await?;
    ensure!(items(&changes)[0]["revision"].is_null(), "{changes:#}");

    let typed = send(&["--repository", "/docs", "--revision", "d1"]);
    host.typed(&typed.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let said = explained(&host, "d1").await?;
    ensure!(said.contains("not my codebase `docs`"), "{said}");
    ensure!(items(&host.get("/api/v1/buildsets").await?).len() == 3, "none for the docs");
    ensure!(host.end(Signal::SIGTERM).await?.success());
    Ok(())
}

/// Two builders of one job, which finds in its work directory what an earlier build of the same builder has left there.
const SHARED: &str = r#"
[[scheduler]]
name = "by-hand"
kind = "force"
builders = ["one", "two"]
[[job]]
name = "shared"
[[job.step]]
name = "leave"
plugin = "shell"
config = { script = "echo told of $NAME; cat left 2>/dev/null || echo nothing; echo $NAME was here > left", environment = { NAME = "${{ build.builder }}" } }
grant = { command = ["/bin/sh"] }
[[builder]]
name = "one"
job = "shared"
[[builder]]
name = "two"
job = "shared"
[[worker]]
name = "local"
"#;

#[tokio::test]
async fn a8_04_a8_06_builders_of_one_job_have_a_directory_each_and_change_with_their_job() -> anyhow::Result<()> {
    let place = Place::new()?;
    let host = Host::up(place.path(), SHARED).await?;
    let built = async |builder: &str| {
        let said = host.typed(&["force", builder, "--wait"]).await?;
        ensure!(said.code == 0, "{said:?}");
        let builds = host.get(&format!("/api/v1/builds?builder={builder}")).await?;
        output(&host, &items(&builds)[0], 0).await
    };
    ensure!(built("one").await? == "told of one\nnothing\n");
    ensure!(built("two").await? == "told of two\nnothing\n");
    ensure!(built("one").await? == "told of one\none was here\n");
    std::fs::write(place.path().join("stampmill.toml"), SHARED.replace("told of", "new to"))?;
    let said = host.typed(&["reload"]).await?;
    ensure!(said.code == 0, "{said:?}");
    ensure!(built("one").await? == "new to one\none was here\n");
    ensure!(built("two").await? == "new to two\ntwo was here\n");
    ensure!(host.end(Signal::SIGTERM).await?.success());
    Ok(())
}

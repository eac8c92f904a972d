//! What a repository can do to the host that watches it: odd histories, odd names, payloads, floods. Whatever it is, the poller goes on.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use stampmill_e2e::{Host, Place, Repository};

const ANN: &str = "Ann <ann@example.org>";

/// A host's configuration for one repository of this name: polled, every branch built by a builder of the same name. `stable_for` is a line of
/// the scheduler, or nothing.
fn watched(name: &str, repository: &Repository, stable_for: &str) -> String {
    let bare = repository.bare.display();
    format!(
        r#"
[[change-source]]
name = "{name}"
plugin = "git-poller"
every = "1s"
config = {{ repository = "{bare}" }}
grant = {{ command = ["git"], read = ["{bare}"] }}

[[scheduler]]
name = "{name}"
kind = "any-branch"
{stable_for}
codebases.{name} = {{ repository = "{bare}", branch = "main" }}
builders = ["{name}"]

[[scheduler]]
name = "{name}-by-hand"
kind = "force"
codebases.{name} = {{ repository = "{bare}", branch = "main" }}
builders = ["{name}"]

[[job]]
name = "{name}"
[[job.step]]
name = "checkout"
plugin = "git"
config = {{ codebase = "{name}" }}
grant = {{ command = ["git"], read = ["{bare}"] }}
[[job.step]]
name = "run"
plugin = "shell"
config = {{ script = 'printf "the branch is <%s>\n" "$BRANCH"', environment = {{ BRANCH = "${{{{ src.{name}.branch }}}}" }} }}
grant = {{ command = ["/bin/sh"] }}

[[builder]]
name = "{name}"
job = "{name}"
"#
    )
}

/// One host for these repositories, each with the scheduler's line.
fn watching(repositories: &[(&str, &Repository, &str)]) -> String {
    let mut text = String::new();
    for (name, repository, stable_for) in repositories {
        text += &watched(name, repository, stable_for);
    }
    text += "[[worker]]\nname = \"local\"\n[codebases]\nplugin = \"repository-map\"\n[codebases.config]\n";
    for (name, repository, _) in repositories {
        let _ = writeln!(text, "\"{}\" = \"{name}\"", repository.bare.display());
    }
    text
}

fn items(list: &Value) -> &Vec<Value> {
    list["items"].as_array().expect("a list has items")
}

/// Every change of a source, oldest first.
async fn changes_of(host: &Host, source: &str) -> anyhow::Result<Vec<Value>> {
    let (mut changes, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = host.get(&format!("/api/v1/changes?source={source}&limit=200{cursor}")).await?;
        changes.extend(items(&page).iter().cloned());
        match &page["next"] {
            Value::Null => break,
            Value::String(next) => cursor = format!("&cursor={next}"),
            next => cursor = format!("&cursor={next}"),
        }
    }
    changes.reverse();
    Ok(changes)
}

/// The change of a revision, once it is there.
async fn change(host: &Host, source: &str, revision: &str) -> anyhow::Result<Value> {
    host.wait_for(&format!("/api/v1/changes?source={source}"), |changes| {
        items(changes).iter().find(|change| change["revision"] == revision).cloned()
    })
    .await
}

/// An ordinary commit is polled and built: the poller goes on, and the API shows no trouble.
async fn goes_on(host: &Host, source: &str, repository: &Repository) -> anyhow::Result<()> {
    repository.git(&["checkout", "--quiet", "main"])?;
    // The name keeps commits of different repositories apart, which are otherwise the same to the last byte.
    let revision = repository.commit(&format!("Go on with {source}"), &[("later", "an ordinary commit\n")], ANN)?;
    let build = host.finished_build_of(&revision).await?;
    ensure!(build["result"] == "success", "{build:#}");
    ensure!(build["builder"] == source, "{build:#}");
    let trouble = trouble(host, source).await?;
    ensure!(trouble.is_null(), "{trouble}");
    Ok(())
}

async fn trouble(host: &Host, source: &str) -> anyhow::Result<Value> {
    let sources = host.get("/api/v1/change-sources").await?;
    let found = items(&sources).iter().find(|found| found["name"] == source).context("the source is listed")?;
    Ok(found["trouble"].clone())
}

#[tokio::test]
async fn a2_06_a2_10_a2_13_commits_that_are_pushed_at_once_arrive_whole_and_in_topological_order() -> anyhow::Result<()>
{
    let place = Place::new()?;
    let app = Repository::named(place.path(), "app")?;
    app.commit("Lay out", &[("keep", "1\n"), ("drop", "1\n")], ANN)?;
    // One build for the whole push.
    let host = Host::up(place.path(), &watching(&[("app", &app, "stable-for = \"1s\"")])).await?;
    host.polled("app").await?;

    let comment: String = (1..=60).map(|line| format!("Zeile {line}: Grüße, 你好, 🦀 & <b>\n")).collect();
    let comment = format!("Tout à la fois\n\n{comment}\n\tindented, and a last line");
    fs::write(app.work().join("keep"), "2\n")?;
    fs::write(app.work().join("new"), "1\n")?;
    fs::remove_file(app.work().join("drop"))?;
    let mixed = app.record(&comment, "Zoë Ünal <zoë@example.org>")?;
    app.git(&["checkout", "--quiet", "-b", "side"])?;
    let mut side = Vec::new();
    for number in 1..=2 {
        fs::write(app.work().join(format!("side-{number}")), "s\n")?;
        side.push(app.record(&format!("Side {number}"), ANN)?);
    }
    app.git(&["checkout", "--quiet", "main"])?;
    fs::write(app.work().join("main-1"), "m\n")?;
    let main = app.record("Main 1", ANN)?;
    app.git(&["merge", "--quiet", "--no-ff", "--message", "Merge side", "side"])?;
    let merge = app.git(&["rev-parse", "HEAD"])?;
    let mut after = Vec::new();
    for number in 1..=5 {
        after.push(app.record(&format!("After {number}"), ANN)?);
    }
    app.push("main:main")?;

    let build = host.finished_build_of(&after[4]).await?;
    assert_eq!(build["result"], "success", "{build:#}");
    let changes = changes_of(&host, "app").await?;
    let revisions: Vec<&str> = changes.iter().filter_map(|change| change["revision"].as_str()).collect();
    let place_of = |revision: &String| revisions.iter().position(|found| found == revision).expect("it is a change");
    assert_eq!(revisions.len(), 10, "each commit once: {revisions:?}");
    let ids: Vec<u64> = changes.iter().filter_map(|change| change["id"].as_u64()).collect();
    assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
    assert_eq!(place_of(&mixed), 0);
    assert!(place_of(&side[0]) < place_of(&side[1]) && place_of(&side[1]) < place_of(&merge), "{revisions:?}");
    assert!(place_of(&main) < place_of(&merge), "{revisions:?}");
    assert_eq!(revisions[5..], after, "after the merge, in order");
    let stamp = &build["source_stamps"][0];
    assert_eq!(stamp["changes"].as_array().map(Vec::len), Some(10), "{stamp:#}");

    assert_eq!(changes[0]["files"], json!(["drop", "keep", "new"]), "deleted, modified and added in one change");
    assert_eq!(changes[0]["comments"].as_str(), Some(comment.as_str()), "every line, unaltered");
    assert_eq!(changes[0]["author"], "Zoë Ünal <zoë@example.org>");
    assert_eq!(changes[place_of(&merge)]["files"], json!(["side-1", "side-2"]), "what differs from the first parent");
    goes_on(&host, "app", &app).await?;
    assert!(host.end(Signal::SIGTERM).await?.success());
    Ok(())
}

#[tokio::test]
async fn whatever_a_repository_does_the_pollers_go_on() -> anyhow::Result<()> {
    let place = Place::new()?;
    let make = |name| Repository::named(place.path(), name);
    let (deleted, rewritten, gone, odd, hostile) =
        (make("deleted")?, make("rewritten")?, make("gone")?, make("odd")?, make("hostile")?);
    let all = [
        ("deleted", &deleted, ""),
        ("rewritten", &rewritten, ""),
        ("gone", &gone, ""),
        ("odd", &odd, ""),
        ("hostile", &hostile, ""),
    ];
    let host = Host::up(place.path(), &watching(&all)).await?;
    for (name, _, _) in all {
        host.polled(name).await?;
    }
    tokio::try_join!(
        a_deleted_branch_is_forgotten(&host, &deleted),
        rewritten_history_is_built_once(&host, &rewritten),
        a_repository_that_is_gone_is_shown(&host, &gone),
        odd_commits_are_changes(&host, &odd),
        payloads_arrive_as_text(&host, &hostile),
    )?;
    assert_eq!(found_below(place.path(), OsStr::new("pwned")), Vec::<String>::new(), "a payload was run");
    assert!(host.end(Signal::SIGTERM).await?.success());
    Ok(())
}

async fn a_deleted_branch_is_forgotten(host: &Host, repository: &Repository) -> anyhow::Result<()> {
    let short = repository.commit_on("short-lived", "Try", &[("a", "a\n")], ANN)?;
    ensure!(change(host, "deleted", &short).await?["branch"] == "short-lived");
    repository.push(":refs/heads/short-lived")?;
    goes_on(host, "deleted", repository).await?;
    // Made again at the same commit it is a new branch, whose commits are known by its head alone.
    repository.push(&format!("{short}:refs/heads/short-lived"))?;
    host.wait_for("/api/v1/changes?source=deleted&branch=short-lived", |changes| {
        (items(changes).len() == 2).then_some(())
    })
    .await?;
    Ok(())
}

async fn rewritten_history_is_built_once(host: &Host, repository: &Repository) -> anyhow::Result<()> {
    let base = repository.git(&["rev-parse", "HEAD"])?;
    let first = repository.commit("Right at first", &[("a", "1\n")], ANN)?;
    host.finished_build_of(&first).await?;
    fs::write(repository.work().join("a"), "2\n")?;
    repository.git(&["add", "--all"])?;
    repository.git(&["commit", "--quiet", "--amend", "--message", "Right at second"])?;
    let second = repository.git(&["rev-parse", "HEAD"])?;
    repository.push("HEAD:refs/heads/main")?;
    let build = host.finished_build_of(&second).await?;
    ensure!(build["result"] == "success", "the earlier commit is on no branch any more: {build:#}");
    // Set back to what was reported long ago: nothing is new.
    repository.git(&["reset", "--quiet", "--hard", &base])?;
    repository.push("HEAD:refs/heads/main")?;
    goes_on(host, "rewritten", repository).await?;
    let changes = changes_of(host, "rewritten").await?;
    let comments: Vec<&str> = changes.iter().filter_map(|change| change["comments"].as_str()).collect();
    ensure!(comments == ["Right at first", "Right at second", "Go on with rewritten"], "{comments:?}");
    Ok(())
}

async fn a_repository_that_is_gone_is_shown(host: &Host, repository: &Repository) -> anyhow::Result<()> {
    let elsewhere = repository.bare.with_extension("away");
    fs::rename(&repository.bare, &elsewhere)?;
    let trouble = host
        .wait_for("/api/v1/change-sources", |sources| {
            let source = items(sources).iter().find(|source| source["name"] == "gone")?;
            source["trouble"].as_str().map(str::to_owned)
        })
        .await?;
    let named = repository.bare.display().to_string();
    ensure!(trouble.contains("`git-poller`") && trouble.contains(&named), "{trouble}");
    fs::rename(&elsewhere, &repository.bare)?;
    goes_on(host, "gone", repository).await
}

async fn odd_commits_are_changes(host: &Host, repository: &Repository) -> anyhow::Result<()> {
    let empty = repository.commit("Nothing in it", &[], ANN)?;
    ensure!(change(host, "odd", &empty).await?["files"] == json!([]));
    let build = host.finished_build_of(&empty).await?;
    ensure!(build["result"] == "success", "{build:#}");

    let names: [&[u8]; 5] = [b"new\nline", b"caf\xe9", b"-rf", "naïve ☃".as_bytes(), b"\"quoted\""];
    for name in names {
        fs::write(repository.work().join(OsStr::from_bytes(name)), "odd\n")?;
    }
    let odd = repository.record("Odd names", ANN)?;
    repository.push("HEAD:refs/heads/main")?;
    let files = &change(host, "odd", &odd).await?["files"];
    let mut files: Vec<&str> = files.as_array().context("a list")?.iter().filter_map(Value::as_str).collect();
    files.sort_unstable();
    // What is no text is quoted as git quotes it.
    let mut expected = ["new\nline", r#""caf\351""#, "-rf", "naïve ☃", "\"quoted\""];
    expected.sort_unstable();
    ensure!(files == expected, "{files:?}");
    let build = host.finished_build_of(&odd).await?;
    ensure!(build["result"] == "success", "{build:#}");
    goes_on(host, "odd", repository).await
}

/// Attack 7: text from a repository is an argument or a value, never a command.
async fn payloads_arrive_as_text(host: &Host, repository: &Repository) -> anyhow::Result<()> {
    let comment = "$(touch${IFS}pwned)\n\n`touch pwned`; touch pwned\n-oProxyCommand=touch pwned\n${{ props.branch }}";
    let files = [("$(touch${IFS}pwned)", "x\n"), ("`touch pwned`", "x\n"), ("--upload-pack=touch pwned", "x\n")];
    let author = "$(touch${IFS}pwned) `touch pwned` <$(touch${IFS}pwned)@example.org>";
    for branch in ["$(touch${IFS}pwned)", "`touch${IFS}pwned`", "a;touch${IFS}pwned", "a&&touch${IFS}pwned|sh"] {
        let revision = repository.commit_on(branch, comment, &files, author)?;
        let change = change(host, "hostile", &revision).await?;
        ensure!(change["branch"] == branch, "{change:#}");
        ensure!(change["author"] == author, "{change:#}");
        ensure!(change["comments"] == comment, "{change:#}");
        let build = host.finished_build_of(&revision).await?;
        ensure!(build["result"] == "success", "{branch}: {build:#}");
        let log = host.text(&format!("/api/v1/builds/{}/steps/1/logs/stdio", build["id"])).await?;
        ensure!(log.contains(&format!("the branch is <{branch}>")), "{log}");
    }
    // Git's own commands make no such branches; whoever can write the files of a repository can.
    let head = repository.git(&["rev-parse", "HEAD"])?;
    for branch in ["--upload-pack=touch${IFS}pwned", "-oProxyCommand=touch${IFS}pwned", "--output=pwned"] {
        fs::write(repository.bare.join("refs/heads").join(branch), format!("{head}\n"))?;
        let asked = host.cli(&["force", "hostile", &format!("--branch={branch}"), "--wait"]).await?;
        ensure!(!asked.status.success(), "{asked:?}");
        let builds = host.get("/api/v1/builds?builder=hostile&limit=1").await?;
        let summary = items(&builds)[0]["steps"][0]["summary"].as_str().unwrap_or_default();
        ensure!(summary.contains("is not a name of a git reference"), "{builds:#}");
    }
    goes_on(host, "hostile", repository).await?;
    let changes = changes_of(host, "hostile").await?;
    ensure!(changes.iter().all(|change| !change["branch"].as_str().is_some_and(|name| name.starts_with('-'))));
    Ok(())
}

/// Files of this very name, anywhere below a directory.
fn found_below(directory: &Path, name: &OsStr) -> Vec<String> {
    let mut found = Vec::new();
    // What goes away meanwhile is not what is looked for.
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name() == name {
            found.push(path.display().to_string());
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(found_below(&path, name));
        }
    }
    found
}

#[tokio::test]
async fn ten_thousand_new_commits_in_one_poll_are_changes_in_order_and_each_is_built_once() -> anyhow::Result<()> {
    const COMMITS: u64 = 10_000;
    let place = Place::new()?;
    let flood = Repository::named(place.path(), "flood")?;
    let host = Host::up(place.path(), &watching(&[("flood", &flood, "stable-for = \"2s\"")])).await?;
    host.polled("flood").await?;
    let mut stream = String::new();
    for number in 1..=COMMITS {
        let comment = format!("Commit {number}\n");
        let _ = write!(
            stream,
            "commit refs/heads/main\ncommitter Flo <flo@example.org> {} +0000\ndata {}\n{comment}",
            1_700_000_000 + number,
            comment.len()
        );
        if number == 1 {
            stream += "from refs/heads/main^0\n";
        }
        let text = number.to_string();
        let _ = write!(stream, "M 100644 inline file-{}\ndata {}\n{text}\n", number % 100, text.len());
    }
    flood.import(stream.as_bytes())?;

    // In stages, each with the patience of one wait: on a busy machine the whole takes minutes.
    for stage in 1..=10 {
        host.wait_for("/api/v1/changes?source=flood&limit=1", |changes| {
            let newest = items(changes).first()?["comments"].as_str()?.strip_prefix("Commit ")?;
            (newest.parse::<u64>().ok()? >= stage * COMMITS / 10).then_some(())
        })
        .await?;
    }
    // One build of all of them, or a few where a page was late: each change is in one.
    let builds = host
        .wait_for("/api/v1/builds", |builds| {
            let builds = items(builds);
            let built = |build: &Value| build["source_stamps"][0]["changes"].as_array().map_or(0, Vec::len);
            let all = builds.iter().map(built).sum::<usize>() as u64 == COMMITS;
            (all && builds.iter().all(|build| build["state"] == "finished")).then(|| builds.clone())
        })
        .await?;
    let mut built = Vec::new();
    for build in builds.iter().rev() {
        assert_eq!(build["result"], "success");
        built.extend(build["source_stamps"][0]["changes"].as_array().into_iter().flatten().filter_map(Value::as_u64));
    }
    let changes = changes_of(&host, "flood").await?;
    let comments: Vec<&str> = changes.iter().filter_map(|change| change["comments"].as_str()).collect();
    let expected: Vec<String> = (1..=COMMITS).map(|number| format!("Commit {number}")).collect();
    assert!(comments == expected, "each once and in order; there are {}", comments.len());
    let ids: Vec<u64> = changes.iter().filter_map(|change| change["id"].as_u64()).collect();
    assert!(built == ids, "each is built once and in order");
    flood.git(&["pull", "--quiet", "origin", "main"])?;
    goes_on(&host, "flood", &flood).await?;
    assert!(host.end(Signal::SIGTERM).await?.success());
    Ok(())
}

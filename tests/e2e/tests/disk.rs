//! Disks that are full, become read-only, or lose the end of a file: what cannot be stored is refused with a sentence, what was acknowledged is
//! there, and everything goes on by itself.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use stampmill_e2e::command::typed;
use stampmill_e2e::{FragileDisk, Host, Place, SmallDisk, stampmill};
use tokio::process::{Child, Command};

/// Far beyond every pause: who takes this long hangs.
const PATIENCE: Duration = Duration::from_secs(120);

const REPOSITORY: &str = "https://git.example/app.git";

/// Lines of a build's log.
const LINES: u32 = 40;

/// A hook whose changes are built by a worker on another disk.
fn config() -> String {
    format!(
        r#"
[[change-source]]
name = "push"
plugin = "hook"
config = {{ insecure = true, repositories = ["{REPOSITORY}"] }}
[codebases]
plugin = "repository-map"
config = {{ "{REPOSITORY}" = "app" }}
[[scheduler]]
name = "each"
kind = "any-branch"
codebases.app = {{ repository = "{REPOSITORY}", branch = "main" }}
builders = ["lines"]
[[scheduler]]
name = "by-hand"
kind = "force"
codebases.app = {{ repository = "{REPOSITORY}", branch = "main" }}
builders = ["lines"]
[[job]]
name = "print"
[[job.step]]
name = "lines"
plugin = "shell"
config = {{ script = 'i=0; while [ $i -lt {LINES} ]; do i=$((i + 1)); echo line $i; sleep 0.05; done' }}
grant = {{ command = ["/bin/sh"] }}
[[builder]]
name = "lines"
job = "print"
merge = false
[[worker]]
name = "far"
max-builds = 3
[limits]
declined-for = "1s"
"#
    )
}

fn all_lines() -> String {
    (1..=LINES).map(|number| format!("line {number}\n")).collect()
}

/// Starts a host whose data directory is on the disk that is mounted there. What it only keeps to be quick is elsewhere: it would fill it.
async fn host_on_small_disk(place: &Path) -> anyhow::Result<Host> {
    let cache = place.join("cache");
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&cache)?;
    if !place.join("data/cache").exists() {
        std::os::unix::fs::symlink(&cache, place.join("data/cache"))?;
        std::os::unix::fs::symlink(&cache, place.join("data/worker"))?;
    }
    std::fs::write(place.join("stampmill.toml"), config())?;
    Host::start(place, "host").await
}

/// Starts the process of the worker; `at` is where it keeps everything.
async fn worker(host: &Host, at: &str) -> anyhow::Result<Child> {
    let token = host.typed(&["worker-token", "far"]).await?;
    ensure!(token.code == 0, "{token:?}");
    std::fs::write(
        host.place.join("worker.toml"),
        format!(
            "name = \"far\"\nhost-file = \"address\"\ntoken = {:?}\nstate-dir = {at:?}\nmax-builds = 3\n[allow]\ncommand = [\"*\"]\n",
            token.line()
        ),
    )?;
    move_to(host)?;
    let log = std::fs::File::options().create(true).append(true).open(host.place.join("worker.log"))?;
    let mut command = Command::new(stampmill());
    command.args(["worker", "--config", "worker.toml"]).current_dir(&host.place).stdin(Stdio::null()).stderr(log);
    Ok(command.kill_on_drop(true).spawn()?)
}

/// Tells the worker where the host is now.
fn move_to(host: &Host) -> anyhow::Result<()> {
    let new = host.place.join("address.new");
    std::fs::write(&new, &host.url)?;
    Ok(std::fs::rename(new, host.place.join("address"))?)
}

/// What a delivery was answered.
#[derive(Debug)]
struct Answer {
    status: u16,
    retry_after: Option<u64>,
    text: String,
}

async fn answer(request: reqwest::RequestBuilder) -> anyhow::Result<Answer> {
    let response = request.send().await?;
    let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    Ok(Answer { status: response.status().as_u16(), retry_after, text: response.text().await? })
}

/// Delivers a change of this revision, a hundred kilobytes of it.
async fn deliver(host: &Host, revision: &str) -> anyhow::Result<Answer> {
    let body = json!({
        "author": "Ann <ann@example.org>", "repository": REPOSITORY, "branch": "main", "revision": revision,
        "comments": format!("{revision} {}", "x".repeat(100_000)),
    });
    let request = host.client().post(format!("{}/hooks/push", host.url)).body(body.to_string());
    answer(request.header("x-stampmill-delivery", revision)).await
}

/// Delivers until something is refused; answers what was taken and what was refused.
async fn deliver_until_refused(host: &Host, trouble: &str) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let (mut taken, mut refused) = (Vec::new(), Vec::new());
    for number in 0..150 {
        let revision = format!("full-{number}");
        let answer = deliver(host, &revision).await?;
        match answer.status {
            202 => taken.push(revision),
            503 => {
                is_refusal(&answer, trouble)?;
                refused.push(revision);
            }
            _ => anyhow::bail!("{answer:?}"),
        }
        if refused.len() == 4 {
            return Ok((taken, refused));
        }
    }
    anyhow::bail!("all was taken: {taken:?}")
}

fn is_refusal(answer: &Answer, trouble: &str) -> anyhow::Result<()> {
    ensure!(answer.status == 503 && answer.retry_after.is_some(), "{answer:?}");
    ensure!(answer.text.contains("can't answer now") && answer.text.contains(trouble), "{answer:?}");
    Ok(())
}

/// Delivers until it is taken.
async fn deliver_in_the_end(host: &Host, revision: &str) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        let answer = deliver(host, revision).await?;
        if answer.status == 202 {
            return Ok(());
        }
        ensure!(answer.status == 503 && started.elapsed() < PATIENCE, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn items(list: &Value) -> &Vec<Value> {
    list["items"].as_array().expect("a list has items")
}

/// Each of these revisions is one change and one build that went well, and its log is what the step has printed.
async fn each_was_built_once(host: &Host, revisions: &[String]) -> anyhow::Result<()> {
    for revision in revisions {
        let build = host.finished_build_of(revision).await?;
        ensure!(build["result"] == "success", "{build:#}");
        let log = host.text(&format!("/api/v1/builds/{}/steps/0/logs/stdio", build["id"])).await?;
        ensure!(log == all_lines(), "the log of {revision} is {log:?}");
    }
    let changes = host.get("/api/v1/changes?limit=200").await?;
    let builds = host.get("/api/v1/builds?limit=200").await?;
    for revision in revisions {
        let of = |found: &&Value| found["revision"] == revision.as_str();
        ensure!(items(&changes).iter().filter(of).count() == 1, "{revision}: {changes:#}");
        let of = |found: &&Value| found["source_stamps"][0]["revision"] == revision.as_str();
        ensure!(items(&builds).iter().filter(of).count() == 1, "{revision}: {builds:#}");
    }
    ensure!(items(&changes).len() == revisions.len(), "what was refused is not half there: {changes:#}");
    Ok(())
}

async fn first_line_is_there(host: &Host) -> anyhow::Result<()> {
    host.wait_for("/api/v1/builds", |builds| {
        let logs = items(builds).first()?["steps"][0]["logs"].as_array()?;
        (!logs.is_empty()).then_some(())
    })
    .await
}

async fn can_still_be_read(host: &Host, trouble: &str) -> anyhow::Result<()> {
    for page in ["/", "/changes", "/builders/lines", "/builds/1"] {
        let page = host.text(page).await.with_context(|| format!("{page} can't be read"))?;
        ensure!(page.contains("The host can't store anything") && page.contains(trouble), "{page}");
    }
    ensure!(!items(&host.get("/api/v1/builds").await?).is_empty());
    let health = answer(host.client().get(format!("{}/healthz", host.url))).await?;
    ensure!(health.status == 503 && health.text.contains(trouble), "{health:?}");
    ensure!(host.text("/metrics").await?.contains("stampmill_store_fails 1"));
    Ok(())
}

/// Waits until the host says of itself that all is well.
async fn works_again(host: &Host) -> anyhow::Result<()> {
    let started = Instant::now();
    while host.text("/healthz").await.is_err() {
        ensure!(started.elapsed() < PATIENCE, "it does not go on: {}", host.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_full_disk_is_answered_with_503_and_when_there_is_room_all_goes_on_and_nothing_was_lost() -> anyhow::Result<()>
{
    let name = "a_full_disk_is_answered_with_503_and_when_there_is_room_all_goes_on_and_nothing_was_lost";
    let place = Place::new()?;
    let Some(disk) = SmallDisk::at(&place.path().join("data"), name, 24)? else { return Ok(()) };
    let host = host_on_small_disk(place.path()).await?;
    let token = host.token("sender", "operator").await?;
    let mut worker = worker(&host, "far").await?;
    ensure!(deliver(&host, "before").await?.status == 202);
    first_line_is_there(&host).await?;

    disk.fill()?;
    let (taken, mut refused) = deliver_until_refused(&host, "its disk is full").await?;
    can_still_be_read(&host, "its disk is full").await?;
    let sent = host.client().post(format!("{}/api/v1/changes", host.url)).bearer_auth(&token);
    let change = json!({ "author": "Ann", "repository": REPOSITORY, "branch": "main", "revision": "by-api" });
    is_refusal(&answer(sent.json(&change)).await?, "its disk is full")?;
    let said = host.typed(&["force", "lines", "--reason", "on a full disk"]).await?;
    ensure!(said.code == 3, "{said:?}");
    ensure!(worker.try_wait()?.is_none(), "the worker lives");

    disk.free()?;
    works_again(&host).await?;
    for revision in &refused {
        deliver_in_the_end(&host, revision).await?;
    }
    let mut all = vec!["before".to_owned()];
    all.extend(taken);
    all.append(&mut refused);
    each_was_built_once(&host, &all).await?;
    ensure!(host.log().contains("the store takes everything again"), "{}", host.log());
    ensure!(host.end(Signal::SIGTERM).await?.success());
    starting_says_what_to_do(&place, &disk).await?;
    worker.kill().await?;
    Ok(())
}

/// A host that is started where it can't write says where and what to do, and ends.
async fn starting_says_what_to_do(place: &Place, disk: &SmallDisk) -> anyhow::Result<()> {
    let start = ["host", "--config", "stampmill.toml", "--data", "data", "--listen", "127.0.0.1:0"];
    if disk.read_only(true)? {
        let said = typed(place.path(), &start).await?;
        ensure!(said.code == 3 && said.err.contains("data/lock"), "{said:?}");
        ensure!(said.err.contains("must be writable"), "{said:?}");
        disk.read_only(false)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_disk_that_becomes_read_only_is_answered_with_503_and_a_start_on_it_says_what_to_do() -> anyhow::Result<()> {
    let place = Place::new()?;
    let data = place.path().join("data");
    let Some(disk) = FragileDisk::at(&data, &place.path().join("image"), 24)? else { return Ok(()) };
    let host = host_on_small_disk(place.path()).await?;
    let mut worker = worker(&host, "far").await?;
    ensure!(deliver(&host, "before").await?.status == 202);
    first_line_is_there(&host).await?;

    disk.fail()?;
    deliver_until_refused(&host, "its disk ").await?;
    can_still_be_read(&host, "its disk ").await?;
    ensure!(host.end(Signal::SIGTERM).await?.success(), "it ends in order all the same");
    let start = ["host", "--config", "stampmill.toml", "--data", "data", "--listen", "127.0.0.1:0"];
    let said = typed(place.path(), &start).await?;
    ensure!(said.code == 3 && said.err.contains("data/lock"), "{said:?}");
    ensure!(worker.try_wait()?.is_none(), "the worker lives");

    worker.kill().await?;
    Ok(())
}

#[tokio::test]
async fn a_worker_whose_disk_is_full_says_so_with_the_directory_and_lives() -> anyhow::Result<()> {
    let name = "a_worker_whose_disk_is_full_says_so_with_the_directory_and_lives";
    let place = Place::new()?;
    let far = place.path().join("far");
    // More than a worker must have to take a build.
    let Some(disk) = SmallDisk::at(&far, name, 300)? else { return Ok(()) };
    std::fs::write(place.path().join("stampmill.toml"), config())?;
    let host = Host::start(place.path(), "host").await?;
    let mut worker = worker(&host, "far").await?;
    ensure!(deliver(&host, "before").await?.status == 202);
    each_was_built_once(&host, &["before".to_owned()]).await?;

    ensure!(deliver(&host, "full").await?.status == 202);
    newest_build(&host, |build| is_of(build, "full") && build["steps"][0]["logs"] == json!(["stdio"])).await?;
    disk.fill()?;
    let ended = newest_build(&host, |build| is_of(build, "full") && build["state"] == "finished").await?;
    // What it had to keep may have found room in what its spool had already.
    let text = ended.to_string();
    let named = text.contains("No space left") && text.contains("far/spool/");
    ensure!(ended["result"] == "success" || named, "{ended:#}");

    // While there is no room it takes no build, and says so.
    ensure!(deliver(&host, "waits").await?.status == 202);
    let declined = newest_build(&host, |build| is_of(build, "waits") && build["state"] == "finished").await?;
    let text = declined.to_string();
    ensure!(text.contains("bytes of disk left in ") && text.contains("far, the least"), "{declined:#}");
    ensure!(worker.try_wait()?.is_none(), "the worker lives");

    disk.free()?;
    newest_build(&host, |build| is_of(build, "waits") && build["result"] == "success").await?;
    ensure!(host.end(Signal::SIGTERM).await?.success());
    worker.kill().await?;
    Ok(())
}

fn is_of(build: &Value, revision: &str) -> bool {
    build["source_stamps"][0]["revision"] == revision
}

/// Waits until the newest build is like this.
async fn newest_build(host: &Host, like: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
    host.wait_for("/api/v1/builds?limit=1", |builds| items(builds).first().filter(|build| like(build)).cloned()).await
}

#[tokio::test]
async fn a_data_directory_that_lost_an_end_is_refused_or_says_what_is_lost() -> anyhow::Result<()> {
    let place = Place::new()?;
    std::fs::write(place.path().join("stampmill.toml"), config())?;
    let host = Host::start(place.path(), "host").await?;
    let mut worker = worker(&host, "far").await?;
    for revision in ["one", "two"] {
        ensure!(deliver(&host, revision).await?.status == 202);
        host.finished_build_of(revision).await?;
    }
    worker.kill().await?;
    host.end(Signal::SIGKILL).await?;

    let database = place.path().join("data/stampmill.redb");
    let whole = std::fs::read(&database)?;
    let start = ["host", "--config", "stampmill.toml", "--data", "data", "--listen", "127.0.0.1:0"];
    for len in [0, 512, whole.len() / 2, whole.len() - 4096, whole.len() - 512] {
        std::fs::write(&database, &whole[..len])?;
        let said = typed(place.path(), &start).await?;
        ensure!(said.code == 3, "cut at {len}: {said:?}");
        let text = &said.err;
        ensure!(text.contains("stampmill.redb is damaged") && text.contains("from a backup"), "cut at {len}: {said:?}");
        ensure!(!text.contains("panicked"), "cut at {len}: {said:?}");
    }
    std::fs::remove_file(&database)?;
    let said = typed(place.path(), &start).await?;
    ensure!(said.code == 3 && said.err.contains("it is not there"), "{said:?}");
    std::fs::write(&database, &whole)?;
    let journal = place.path().join("data/stampmill.journal");
    let records = std::fs::read(&journal)?;
    for len in [0, 4096, records.len() - 1] {
        std::fs::write(&journal, &records[..len])?;
        let said = typed(place.path(), &start).await?;
        ensure!(said.code == 3 && said.err.contains("stampmill.journal is damaged: it has "), "cut at {len}: {said:?}");
    }
    std::fs::remove_file(&journal)?;
    let said = typed(place.path(), &start).await?;
    ensure!(said.code == 3 && said.err.contains("stampmill.journal is damaged: it is not there"), "{said:?}");
    std::fs::write(&journal, &records)?;

    let log = place.path().join("data/logs/0/1.log");
    let bytes = std::fs::read(&log)?;
    std::fs::write(&log, &bytes[..bytes.len() - 60])?;
    let host = Host::start(place.path(), "host").await?;
    let address = format!("{}/api/v1/builds/1/steps/0/logs/stdio", host.url);
    let response = host.client().get(address).send().await?;
    let lost = response.headers().get("x-log-lost").and_then(|value| value.to_str().ok()).map(str::to_owned);
    ensure!(lost.is_some_and(|lost| lost.contains("the end of this log is lost")), "{:?}", response.headers());
    ensure!(all_lines().starts_with(&response.text().await?));
    ensure!(host.text("/builds/1/steps/0/logs/stdio").await?.contains("The end of this log is lost"));
    let said = host.typed(&["log", "1"]).await?;
    ensure!(said.err.contains("the end of this log is lost"), "{said:?}");
    let followed = host.text("/api/v1/builds/1/steps/0/logs/stdio/follow").await?;
    ensure!(followed.contains("\"lost\":true"), "{followed}");
    let other = host.text("/api/v1/builds/2/steps/0/logs/stdio").await?;
    ensure!(other == all_lines(), "the other build's is whole: {other}");
    ensure!(host.end(Signal::SIGTERM).await?.success());
    Ok(())
}

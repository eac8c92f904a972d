//! A patch is built before it is committed.

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use stampmill_e2e::command::typed_with;
use stampmill_e2e::{Host, Place, Repository};

/// `try` builds what `cat` shows of the checkout; the job would get the secret from a trusted source.
fn config(repository: &Repository) -> String {
    format!(
        r#"
[[scheduler]]
name = "try"
kind = "try"
codebases.app = {{ repository = "{bare}", branch = "main" }}
builders = ["show", "other"]
[[job]]
name = "show"
[[job.step]]
name = "checkout"
plugin = "git"
config = {{ codebase = "app" }}
grant = {{ command = ["git"], read = ["{bare}"] }}
[[job.step]]
name = "show"
plugin = "shell"
config = {{ script = "cat README new sub/inner; ls" }}
grant = {{ command = ["/bin/sh"] }}
[[builder]]
name = "show"
job = "show"
[[builder]]
name = "other"
job = "show"
[[worker]]
name = "local"
"#,
        bare = repository.bare.display()
    )
}

fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

async fn newest(host: &Host) -> anyhow::Result<(Value, String)> {
    let builds = host.get("/api/v1/builds?builder=show&limit=1").await?;
    let build = items(&builds).first().cloned().context("it was built")?;
    let step = build["steps"][1]["logs"].as_array().is_some_and(|logs| !logs.is_empty());
    let log = host.text(&format!("/api/v1/builds/{}/steps/{}/logs/stdio", build["id"], u8::from(step))).await?;
    Ok((build, log))
}

#[tokio::test]
async fn a6_09_a6_10_a9_10_a_work_tree_is_built_as_it_is_before_it_is_committed() -> anyhow::Result<()> {
    let place = Place::new()?;
    let repository = Repository::make(place.path())?;
    let base = repository.commit("Add an inner file", &[("sub/inner", "inner\n")], "Ann <ann@example.org>")?;
    let host = Host::up(place.path(), &config(&repository)).await?;
    let clean = host.typed(&["try", "--directory", "app"]).await?;
    ensure!(clean.code == 2 && clean.err.contains("nothing differs from"), "{clean:?}");

    // One commit that is not pushed, one change that is not committed, one file that git does not know, and somebody else's push.
    let work = repository.work();
    std::fs::write(work.join("new"), "new, in no UTF-8: \u{e9}\n".chars().map(|it| it as u8).collect::<Vec<_>>())?;
    repository.record("Add a file", "Cy <cy@example.org>")?;
    std::fs::write(work.join("README"), "an application, tried\n")?;
    std::fs::write(work.join("forgotten"), "never added\n")?;
    let tried = host.typed(&["try", "--directory", "app", "--wait", "--builder", "show", "-m", "is it good?"]).await?;
    ensure!(
        tried.code == 0 && tried.err.contains("a file that git does not know is not part of the patch"),
        "{tried:?}"
    );
    let (build, log) = newest(&host).await?;
    ensure!(log.starts_with("an application, tried\nnew, in no UTF-8") && log.contains("inner\n"), "{log}");
    ensure!(!log.contains("forgotten"), "{log}");
    let stamp = &build["source_stamps"][0];
    ensure!(stamp["revision"] == base.as_str() && stamp["branch"] == "main" && stamp["trusted"] == false, "{build:#}");
    ensure!(stamp["patch"]["author"] == build["owner"] && build["reason"] == "is it good?", "{build:#}");
    ensure!(build["blamelist"] == json!([build["owner"]]), "the submitter is responsible: {build:#}");
    let other = host.get("/api/v1/builds?builder=other").await?;
    ensure!(items(&other).is_empty(), "only what was asked for: {other:#}");

    // The next build of the same work directory has nothing of the patch.
    let diff = "--- inner\n+++ inner\n@@ -1 +1 @@\n-inner\n+from a file\n";
    let line = ["try", "--diff", "-", "--patchlevel", "0", "--subdirectory", "sub", "--builder", "show", "--wait"];
    let sent = typed_with(place.path(), &line, diff).await?;
    ensure!(sent.code == 1, "`new` is gone with the other patch: {sent:?}");
    let (_, log) = newest(&host).await?;
    ensure!(log.contains("an application\n") && log.contains("from a file\n") && !log.contains("no UTF-8"), "{log}");

    let stale = diff.replace("-inner", "-something else");
    let sent = typed_with(place.path(), &line, &stale).await?;
    ensure!(sent.code == 1, "{sent:?}");
    let (build, log) = newest(&host).await?;
    let summary = build["steps"][0]["summary"].as_str().unwrap_or_default();
    ensure!(build["result"] == "failure" && summary.contains("the patch does not apply"), "{build:#}");
    ensure!(log.contains("patch does not apply"), "the reject text is in the log: {log}");
    ensure!(host.end(Signal::SIGTERM).await?.success());
    Ok(())
}

#[tokio::test]
async fn a_patch_that_leads_out_or_is_none_or_comes_from_a_viewer_is_refused_and_nothing_is_made() -> anyhow::Result<()>
{
    let place = Place::new()?;
    let repository = Repository::make(place.path())?;
    let host = Host::up(place.path(), &config(&repository)).await?;
    let outside = "--- a/x\n+++ b/../../x\n@@ -0,0 +1 @@\n+a\n";
    for (line, diff, wanted) in [
        (&["try", "--diff", "-"][..], outside, "line 2 of the patch: `b/../../x` leads out of the checkout"),
        (&["try", "--diff", "-"], "hello\n", "the patch changes no file"),
        (
            &["try", "--diff", "-", "--subdirectory", "../.."],
            "--- x\n+++ x\n",
            "directory `../..` leads out of the checkout",
        ),
        (&["try", "--diff", "-", "--builder", "shw"], "--- x\n+++ x\n", "shw"),
        (
            &["try", "--diff", "-", "--scheduler", "quick"],
            "--- x\n+++ x\n",
            "there is no scheduler `quick` of kind `try`",
        ),
        (&["try", "--diff", "-", "--codebase", "core"], "--- x\n+++ x\n", "has no codebase `core`; it has `app`"),
    ] {
        let said = typed_with(place.path(), line, diff).await?;
        ensure!(said.code != 0 && said.err.contains(wanted), "{line:?}: {said:?}");
    }
    let viewer = host.token("watcher", "viewer").await?;
    let address = format!("{}/api/v1/try", host.url);
    let body = json!({ "diff": "--- x\n+++ x\n" });
    let answer = host.client().post(&address).bearer_auth(viewer).json(&body).send().await?;
    ensure!(answer.status() == 403, "{}", answer.status());
    let elsewhere = typed_with(&place.path().join("data"), &["try", "--host", &host.url], "").await?;
    ensure!(elsewhere.err.contains("is in no git work tree"), "{elsewhere:?}");
    ensure!(items(&host.get("/api/v1/buildsets").await?).is_empty());
    ensure!(host.end(Signal::SIGTERM).await?.success());
    Ok(())
}

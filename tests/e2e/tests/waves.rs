//! Projects that depend on others: a wave through a diamond, with the host killed in the middle, and one that stops.

use std::path::Path;

use anyhow::ensure;
use nix::sys::signal::Signal;
use serde_json::Value;
use stampmill_e2e::{Host, Place};

/// `a` and `b` depend on `lib`, `app` on both. Each build waits until its project's name is a file in `open`, and fails where that says so.
fn config(open: &Path) -> String {
    let open = open.display();
    let mut text = format!(
        r#"
[[job]]
name = "package"
[[job.parameter]]
kind = "string"
name = "package"
regex = "[a-z]+"
required = true
[[job.step]]
name = "build"
plugin = "shell"
config = {{ environment = {{ PACKAGE = "${{{{ props.package }}}}" }}, script = '''
until test -e "{open}/$PACKAGE"; do sleep 0.05; done
test "$(cat "{open}/$PACKAGE")" != bad
''' }}
grant = {{ command = ["/bin/sh"], read = ["{open}"] }}
[[scheduler]]
name = "news"
kind = "force"
builders = ["lib"]
pings = true
[[project]]
name = "a"
depends-on = ["lib"]
[[project]]
name = "b"
depends-on = ["lib"]
[[project]]
name = "app"
depends-on = ["a", "b"]
[[worker]]
name = "local"
max-builds = 4
"#
    );
    for project in ["lib", "a", "b", "app"] {
        text += &format!(
            "[[builder]]\nname = \"{project}\"\njob = \"package\"\nproject = \"{project}\"\nwith = {{ package = \"{project}\" }}\n"
        );
    }
    for project in ["a", "b", "app"] {
        text += &format!("[[scheduler]]\nname = \"after-{project}\"\nkind = \"pinged\"\nbuilders = [\"{project}\"]\n");
    }
    text
}

fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

/// The buildsets as `scheduler by parent: result`, oldest first.
async fn sets(host: &Host) -> anyhow::Result<Vec<String>> {
    let list = host.get("/api/v1/buildsets").await?;
    let line = |set: &Value| {
        let by = set["pinged_by"].as_u64().map_or(String::new(), |by| format!(" by {by}"));
        let word = |key: &str| set[key].as_str().unwrap_or("open").to_owned();
        format!("{}{by}: {}", word("scheduler"), word("result"))
    };
    Ok(items(&list).iter().rev().map(line).collect())
}

async fn finished(host: &Host, builder: &str, count: usize) -> anyhow::Result<()> {
    let path = format!("/api/v1/builds?builder={builder}&state=finished");
    host.wait_for(&path, |builds| (items(builds).len() == count).then_some(())).await
}

async fn scheduler(host: &Host, name: &str) -> anyhow::Result<Value> {
    let list = host.get("/api/v1/schedulers").await?;
    Ok(items(&list).iter().find(|it| it["name"] == name).cloned().unwrap_or_default())
}

#[tokio::test]
async fn a15_04_a_wave_builds_what_depends_on_a_library_in_order_and_once_across_a_host_that_is_killed()
-> anyhow::Result<()> {
    let place = Place::new()?;
    let open = place.path().join("open");
    std::fs::create_dir(&open)?;
    let goes = |project: &str, how: &str| std::fs::write(open.join(project), how);
    let host = Host::up(place.path(), &config(&open)).await?;
    let said = host.typed(&["force", "lib"]).await?;
    ensure!(said.code == 0, "{said:?}");
    goes("lib", "good")?;
    goes("a", "good")?;
    finished(&host, "a", 1).await?;
    ensure!(scheduler(&host, "after-app").await?["waits_for"] == serde_json::json!(["b"]));
    host.end(Signal::SIGKILL).await?;
    let host = Host::start(place.path(), "up").await?;
    goes("b", "good")?;
    goes("app", "good")?;
    finished(&host, "app", 1).await?;
    let whole = ["news: success", "after-a by 1: success", "after-b by 1: success", "after-app by 3: success"];
    ensure!(sets(&host).await? == whole, "{:?}", sets(&host).await?);
    let app = host.get("/api/v1/builds?builder=app").await?;
    ensure!(items(&app)[0]["properties"]["package"]["source"] == "Job", "{app:#}");
    let said = host.typed(&["explain", "build", &items(&app)[0]["id"].to_string()]).await?;
    ensure!(said.out.contains("scheduler `after-app`, pinged by buildset 3"), "{said:?}");
    let page = host.text("/buildsets/4").await?;
    ensure!(page.contains("Pinged by") && page.contains("href=\"/buildsets/3\""), "{page}");

    goes("a", "bad")?;
    let said = host.typed(&["force", "lib"]).await?;
    ensure!(said.code == 0, "{said:?}");
    finished(&host, "b", 2).await?;
    finished(&host, "a", 2).await?;
    let after = scheduler(&host, "after-app").await?;
    let why = "not built after buildset 5: project `a` has not passed: buildset 6 ended with failure";
    ensure!(after["left_out"] == why && after["waits_for"] == serde_json::json!([]), "{after:#}");
    let page = host.text("/schedulers").await?;
    ensure!(page.contains("after buildset 5"), "{page}");
    ensure!(sets(&host).await?[4..] == ["news: success", "after-a by 5: failure", "after-b by 5: success"]);
    ensure!(host.end(Signal::SIGTERM).await?.success());
    Ok(())
}

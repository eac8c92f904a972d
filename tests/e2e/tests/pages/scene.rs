//! What these tests share: a host whose builds wait for the test, users, and a browser.

use std::path::{Path, PathBuf};

use anyhow::bail;
use serde_json::{Value, json};
use stampmill_e2e::command::typed_with;
use stampmill_e2e::{Browser, Host, Place, Tab};

/// A title that is no harmless text.
pub(crate) const TITLE: &str = "Mill & <i>Söhne";

/// The password of every user here.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A host and a browser. The host is first, as it must end before its directory does.
pub(crate) struct Scene {
    pub(crate) host: Host,
    pub(crate) browser: Browser,
    pub(crate) place: Place,
}

impl Scene {
    /// Sets it; `None` where there is no browser.
    pub(crate) async fn set() -> anyhow::Result<Option<Self>> {
        let Some(browser) = Browser::start().await? else { return Ok(None) };
        let place = Place::new()?;
        std::fs::create_dir(gate(place.path()))?;
        let host = Host::up(place.path(), &config(place.path())).await?;
        Ok(Some(Self { host, browser, place }))
    }

    /// The address of a page.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.host.url)
    }

    /// Lets the build of `gated` go on to here.
    pub(crate) fn open_gate(&self, number: u32) -> anyhow::Result<()> {
        open_gate(self.place.path(), number)
    }

    /// Makes a user, as the administrator does.
    pub(crate) async fn user(&self, name: &str, role: &str) -> anyhow::Result<()> {
        let said =
            typed_with(self.place.path(), &["user", "add", name, "--role", role], &format!("{PASSWORD}\n")).await?;
        if said.code != 0 {
            bail!("no user: {said:?}");
        }
        Ok(())
    }

    /// Forces a build as the administrator does, and waits until it is there; answers its id.
    pub(crate) async fn force(&self, builder: &str) -> anyhow::Result<u64> {
        let before = self.host.get("/api/v1/builds").await?["items"].as_array().map_or(0, Vec::len);
        let said = self.host.typed(&["force", builder, "--reason", "the test asks"]).await?;
        if said.code != 0 {
            bail!("not forced: {said:?}");
        }
        self.host
            .wait_for("/api/v1/builds", |builds| {
                let builds = builds["items"].as_array()?;
                (builds.len() > before).then(|| builds[0]["id"].as_u64())?
            })
            .await
    }

    /// Waits until a build has ended; answers it.
    pub(crate) async fn ended(&self, build: u64) -> anyhow::Result<Value> {
        let ended = |build: &Value| (build["state"] == "finished").then(|| build.clone());
        self.host.wait_for(&format!("/api/v1/builds/{build}"), ended).await
    }

    /// How many buildsets there are.
    pub(crate) async fn buildsets(&self) -> anyhow::Result<usize> {
        Ok(self.host.get("/api/v1/buildsets").await?["items"].as_array().map_or(0, Vec::len))
    }
}

/// Logs in by the form, and is led on from it.
pub(crate) async fn log_in(tab: &Tab, name: &str) -> anyhow::Result<()> {
    tab.fill("input[name=name]", name).await?;
    tab.fill("input[name=password]", PASSWORD).await?;
    tab.leads_on(tab.click("main button[type=submit]")).await
}

/// Sends a form from the page that the tab is on, as its own script could; answers the status.
pub(crate) async fn post(tab: &Tab, path: &str, fields: &Value) -> anyhow::Result<Value> {
    let script = format!(
        "fetch({}, {{ method: 'POST', body: new URLSearchParams({fields}), redirect: 'manual' }})\
         .then((answer) => answer.type === 'opaqueredirect' ? 303 : answer.status)",
        json!(path)
    );
    tab.eval(&script).await
}

/// Lets the build of `gated` below this directory go on to here.
pub(crate) fn open_gate(place: &Path, number: u32) -> anyhow::Result<()> {
    Ok(std::fs::write(gate(place).join(number.to_string()), "")?)
}

fn gate(place: &Path) -> PathBuf {
    place.join("gate")
}

/// Builders that people force. `gated` waits for [`Scene::open_gate`] twice.
fn config(place: &Path) -> String {
    let gate = gate(place);
    let gate = gate.display();
    format!(
        r#"
title = "{TITLE}"

[[scheduler]]
name = "by-hand"
kind = "force"
codebases.app = {{ repository = "https://git.example/app.git", branch = "main" }}
builders = ["gated", "hostile", "long"]

[[scheduler]]
name = "release"
kind = "force"
reason-required = true
codebases.app = {{ repository = "https://git.example/app.git", branch = "main", ask = ["revision"] }}
builders = ["asked"]
parameter = [
  {{ kind = "string", name = "version", label = "Which version <b>", regex = "v[0-9]+", required = true }},
  {{ kind = "text", name = "notes" }},
  {{ kind = "int", name = "jobs", min = 1, max = 9, default = 4 }},
  {{ kind = "bool", name = "deploy" }},
  {{ kind = "choice", name = "which", choices = ["quick", "all"], default = "all" }},
  {{ kind = "group", label = "Upload", parameter = [
    {{ kind = "choice", name = "targets", choices = ["linux", "bsd"], multiple = true, required = true }},
    {{ kind = "group", name = "upload", parameter = [{{ kind = "bool", name = "public", default = true }}] }},
  ] }},
  {{ kind = "choice", name = "extra", choices = ["one"], strict = false }},
  {{ kind = "user", name = "by" }},
  {{ kind = "file", name = "changes", max-size = "1KiB" }},
  {{ kind = "string", name = "kind", default = "release", hide = true }},
]

[[job]]
name = "gated"
[[job.step]]
name = "prepare"
plugin = "shell"
config = {{ script = "echo prepared" }}
grant = {{ command = ["/bin/sh"] }}
[[job.step]]
name = "wait"
plugin = "shell"
config = {{ script = '''
echo 'begun & waiting for <1>'
until test -e {gate}/1; do sleep 0.1; done
i=0; while test $i -lt 300; do i=$((i+1)); echo "after the first gate $i"; done
until test -e {gate}/2; do sleep 0.1; done
echo 'after the second gate'
''' }}
grant = {{ command = ["/bin/sh"], read = ["{gate}"] }}

[[job]]
name = "hostile"
[[job.step]]
name = "shout"
plugin = "shell"
config = {{ script = '''
echo '<script>document.title = "owned"</script><img src=x onerror="document.title=1">&amp;'
printf '\033[1;31mred and bold\033[0m plain \033[38;5;200mpink\033[0m \033[2Jcleared\n'
printf '\033]0;owned\007after a title \033]8;;javascript:alert(1)\033\\link\033]8;;\033\\ end\n'
printf 'invalid \377\376 bytes \300\200 end\n'
printf 'nul \000 bell \007 back \010 end\n'
printf 'half done\rwhole done\n'
head -c 3000000 /dev/zero | tr '\000' 'x'
printf '\nthe line after the long one\n'
printf 'ünïcödé 日本語 \342\200\256gnirts\n'
printf 'no newline at the end'
exit 3
''' }}
grant = {{ command = ["/bin/sh"] }}

[[job]]
name = "long"
[[job.step]]
name = "count"
plugin = "shell"
config = {{ script = "seq -f 'line %.0f of the log' 1 1000000" }}
grant = {{ command = ["/bin/sh"] }}

[[builder]]
name = "gated"
job = "gated"
project = "app"
description = "waits for the test"

[[builder]]
name = "asked"
job = "gated"
description = "asks <b>"

[[builder]]
name = "hostile"
job = "hostile"

[[builder]]
name = "long"
job = "long"

[[worker]]
name = "local"
"#
    )
}

//! Pages that are open while things happen: they change without being loaded again, and catch up after the host was away.

use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use nix::sys::signal::Signal;
use serde_json::json;
use stampmill_e2e::{Host, Place, Tab};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::scene::{Scene, open_gate};

/// A page that is marked, so that loading it again would be noticed.
struct Watched {
    name: &'static str,
    tab: Tab,
}

impl Watched {
    async fn open(scene: &Scene, name: &'static str, path: &str) -> anyhow::Result<Self> {
        let tab = scene.browser.visitor().await?;
        tab.go(&scene.at(path)).await?;
        tab.eval("window.marker = 'the same document'").await?;
        tab.until("!document.querySelector('#live-state').hidden || !!document.querySelector('#log')").await?;
        Ok(Self { name, tab })
    }

    async fn until(&self, script: &str) -> anyhow::Result<()> {
        self.tab.until(script).await.map_err(|error| error.context(self.name))
    }

    async fn is_the_same_document(&self) -> anyhow::Result<()> {
        assert_eq!(self.tab.text("window.marker ?? 'another document'").await?, "the same document", "{}", self.name);
        assert_eq!(self.tab.loads(), 1, "{}", self.name);
        Ok(())
    }
}

#[tokio::test]
async fn pages_change_while_a_build_runs_and_catch_up_after_the_host_was_away() -> anyhow::Result<()> {
    let Some(scene) = Scene::set().await? else { return Ok(()) };
    let home = Watched::open(&scene, "home", "/").await?;
    let builders = Watched::open(&scene, "builders", "/builders").await?;
    let builder = Watched::open(&scene, "builder", "/builders/gated").await?;
    let workers = Watched::open(&scene, "workers", "/workers").await?;
    home.until("document.querySelector('#builders').innerText.includes('never built')").await?;

    // Whoever goes through a page by keyboard, or marks text in it, is not disturbed.
    let gated = "document.querySelector('main a[href=\"/builders/gated\"]')";
    home.tab.eval(&format!("{gated}.focus()")).await?;
    builders.tab.eval(&format!("getSelection().selectAllChildren({gated})")).await?;
    workers.until("!!document.querySelector('#workers summary')").await?;
    let unfolded = "document.querySelector('#workers details').open";
    let before = workers.tab.eval(unfolded).await? == true;
    workers.tab.click("#workers summary").await?;
    workers.until(&format!("{unfolded} === {}", !before)).await?;

    let id = scene.force("gated").await?;
    let page = format!("/builds/{id}");
    for watched in [&home, &builders, &builder, &workers] {
        watched.until(&format!("!!document.querySelector('main a[href={}]')", json!(page))).await?;
        watched.until("!!document.querySelector('main .badge.running')").await?;
    }
    let build = Watched::open(&scene, "build", &page).await?;
    build.until("!!document.querySelector('#step-0 .badge.success, #step-1 .badge.success')").await?;
    build.until("document.querySelector('pre.tail')?.innerText.includes('begun & waiting for <1>')").await?;
    let log = Watched::open(&scene, "log", &format!("{page}/steps/1/logs/stdio")).await?;
    log.until("document.querySelector('#log').innerText.includes('begun & waiting for <1>')").await?;
    log.until("document.querySelector('#follow').getAttribute('aria-pressed') === 'true'").await?;

    scene.open_gate(1)?;
    build.until("document.querySelector('pre.tail').innerText.includes('after the first gate 300')").await?;
    log.until("document.querySelector('#log').innerText.includes('after the first gate 300')").await?;
    log.until("document.querySelector('#log-count').innerText === '301 lines'").await?;
    assert_eq!(workers.tab.eval(unfolded).await?, !before, "what was folded or unfolded stays so");
    // Whoever scrolls up reads on in peace: what comes later moves nothing.
    log.tab.wheel("#log", -2000).await?;
    log.until("document.querySelector('#follow').getAttribute('aria-pressed') === 'false'").await?;
    let first = "document.querySelector('#log').scrollTop";
    log.until(&format!(
        "(() => {{ const now = {first}, same = now === window.was; window.was = now; return same; }})()"
    ))
    .await?;
    let reading = log.tab.eval(first).await?;

    let Scene { host, browser: _browser, place } = scene;
    let address = host.url.trim_start_matches("http://").to_owned();
    host.end(Signal::SIGKILL).await?;
    for watched in [&home, &builders, &builder, &workers, &build] {
        watched.until("!document.querySelector('#live-state.live')").await?;
    }
    // What a proxy before the host would say meanwhile.
    let mut asked = nobody_home(&address).await?;
    asked.paths_with("/api/v1/events", 5).await?;
    asked.paths_with("/follow", 2).await?;
    open_gate(place.path(), 2)?;
    drop(asked);
    let _host = started_again(&place, &address).await?;

    build.until("!!document.querySelector('#head .badge.success')").await?;
    log.until("document.querySelector('#log-count').innerText === '302 lines'").await?;
    log.until("!!document.querySelector('#log-state .badge.success')").await?;
    for watched in [&home, &builders, &builder] {
        watched
            .until("!!document.querySelector('main .badge.success') && !document.querySelector('main .running')")
            .await?;
    }
    workers.until("document.querySelector('#workers').innerText.includes('No build.')").await?;
    assert_eq!(home.tab.text("document.activeElement.getAttribute('href') ?? 'lost'").await?, "/builders/gated");
    assert_eq!(builders.tab.text("getSelection().toString()").await?, "gated");
    assert_eq!(log.tab.eval(first).await?, reading, "the reader's place stayed");
    log.tab.click("#log").await?;
    log.tab.press("End", 35).await?;
    log.until(
        "document.querySelector('#log').innerText.includes('302after the second gate') || \
        [...document.querySelectorAll('#log .line')].at(-1)?.innerText.includes('after the second gate')",
    )
    .await?;
    let numbers = "[...document.querySelectorAll('#log .line > a')].map((a) => Number(a.textContent))";
    log.until(&format!("{numbers}.at(-1) === 302 && {numbers}.every((n, i, all) => i === 0 || n === all[i - 1] + 1)"))
        .await?;
    for watched in [&home, &builders, &builder, &workers, &build, &log] {
        watched.is_the_same_document().await?;
    }
    Ok(())
}

/// Stands where a host was and says 502 to everything.
struct NobodyHome {
    asked: mpsc::Receiver<String>,
    seen: Vec<String>,
    serving: tokio::task::JoinHandle<()>,
}

async fn nobody_home(address: &str) -> anyhow::Result<NobodyHome> {
    let (sender, asked) = mpsc::channel(10_000);
    let answer = move |request: axum::extract::Request| {
        let sender = sender.clone();
        async move {
            // A full queue is a test that has stopped looking.
            let _ = sender.try_send(request.uri().path().to_owned());
            (StatusCode::BAD_GATEWAY, [("connection", "close")], "nobody is home").into_response()
        }
    };
    let listener = TcpListener::bind(address).await?;
    let router = Router::new().fallback(answer);
    let serving = tokio::spawn(async move {
        // It ends with the test.
        let _ = axum::serve(listener, router).await;
    });
    Ok(NobodyHome { asked, seen: Vec::new(), serving })
}

impl NobodyHome {
    /// Waits until so many requests had this in their path.
    async fn paths_with(&mut self, part: &str, times: usize) -> anyhow::Result<()> {
        let wait = async {
            while self.seen.iter().filter(|path| path.contains(part)).count() < times {
                match self.asked.recv().await {
                    Some(path) => self.seen.push(path),
                    None => anyhow::bail!("nobody asks any more"),
                }
            }
            Ok(())
        };
        tokio::time::timeout(std::time::Duration::from_secs(120), wait).await?
    }
}

impl Drop for NobodyHome {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The host again at its address, which the one before it in this test leaves a moment later.
async fn started_again(place: &Place, address: &str) -> anyhow::Result<Host> {
    let mut tries = 0;
    loop {
        match Host::start_at(place.path(), "up", address).await {
            Err(error) if tries == 10 => return Err(error),
            Err(_) => tries += 1,
            Ok(host) => return Ok(host),
        }
    }
}

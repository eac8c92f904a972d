//! What is granted reaches where it was granted for, and nothing else does: the real host, real reporters, a real listener.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use stampmill_e2e::command::typed;
use stampmill_e2e::{Host, Place};
use tokio::net::TcpListener;

/// Long enough for a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// The path of each request and what it had as `Authorization`.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<BTreeMap<String, Option<String>>>>);

impl Heard {
    /// Listens at a port of its own, and sends whoever asks for `/moved` on to there.
    async fn listen(&self, moved: &str) -> anyhow::Result<String> {
        let (heard, moved) = (self.clone(), moved.to_owned());
        let answer = move |request: Request| {
            let (heard, moved) = (heard.clone(), moved.clone());
            async move { heard.take(&request, &moved) }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let origin = format!("http://{}", listener.local_addr()?);
        tokio::spawn(async move {
            // It ends with the test.
            let _ = axum::serve(listener, Router::new().fallback(answer)).await;
        });
        Ok(origin)
    }

    fn take(&self, request: &Request, moved: &str) -> Response {
        let path = request.uri().path().to_owned();
        let authorization = request.headers().get(header::AUTHORIZATION);
        let authorization = authorization.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let go_on = path == "/moved";
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(path, authorization);
        if go_on {
            return (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, moved)]).into_response();
        }
        StatusCode::OK.into_response()
    }

    async fn paths(&self, wanted: &[&str]) -> anyhow::Result<BTreeMap<String, Option<String>>> {
        let started = Instant::now();
        loop {
            let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if wanted.iter().all(|path| heard.contains_key(*path)) {
                return Ok(heard);
            }
            anyhow::ensure!(started.elapsed() < PATIENCE, "not all of {wanted:?} were asked for: {heard:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn config(bound: &str, other: &str) -> String {
    let reporter = |name: &str, url: &str, extra: &str, grant: &str| {
        format!(
            "[[reporter]]\nname = \"{name}\"\nplugin = \"webhook\"\non = [\"build-finished\"]\n\
             config = {{ url = \"{url}\"{extra} }}\ngrant = {{ http = [\"{bound}\", \"{other}\"]{grant} }}\n"
        )
    };
    let credential = ", credential = \"chat\"";
    let granted = format!(", credential = {{ chat = [\"{bound}\"] }}");
    let reporters = [
        reporter("shown", &format!("{bound}/shown"), credential, &granted),
        reporter("moved", &format!("{bound}/moved"), credential, &granted),
        reporter("elsewhere", &format!("{other}/elsewhere"), credential, &granted),
        reporter("unnamed", &format!("{bound}/unnamed"), "", &granted),
    ];
    format!(
        r#"
[[change-source]]
name = "told"
plugin = "hook"
trusted = true
config = {{ insecure = true, repositories = ["*"] }}
[[scheduler]]
name = "by-hand"
kind = "force"
builders = ["one"]
[[job]]
name = "one"
[[job.step]]
plugin = "set-property"
config = {{ property = "colour", value = "green" }}
[[builder]]
name = "one"
job = "one"
isolation = "wasm-only"
[[worker]]
name = "local"
[secret.chat]
file = "chat-token"
{}
"#,
        reporters.concat()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_reaches_the_origin_that_it_is_granted_for_and_no_other() -> anyhow::Result<()> {
    let place = Place::new()?;
    let (there, here) = (Heard::default(), Heard::default());
    let other = there.listen("").await?;
    let bound = here.listen(&format!("{other}/after-the-move")).await?;
    std::fs::write(place.path().join("chat-token"), "open-sesame-4711\n")?;
    let host = Host::up(place.path(), &config(&bound, &other)).await?;
    let forced = host.typed(&["force", "one", "--wait"]).await?;
    assert_eq!(forced.code, 0, "{forced:?}");

    let heard = here.paths(&["/shown", "/moved", "/unnamed"]).await?;
    assert_eq!(heard["/shown"].as_deref(), Some("Bearer open-sesame-4711"));
    assert_eq!(heard["/moved"].as_deref(), Some("Bearer open-sesame-4711"));
    assert_eq!(heard["/unnamed"], None, "nothing is attached unless the configuration names it");

    // What would have gone elsewhere is given up, and says why.
    let dead = |notices: &serde_json::Value| {
        let reasons: BTreeMap<String, String> = notices["items"]
            .as_array()?
            .iter()
            .filter_map(|notice| Some((notice["reporter"].as_str()?.to_owned(), notice["error"].as_str()?.to_owned())))
            .collect();
        (reasons.len() >= 2).then_some(reasons)
    };
    let token = host.token("reading", "operator").await?;
    let started = Instant::now();
    let reasons = loop {
        let asked = host.client().get(format!("{}/api/v1/notices", host.url)).bearer_auth(&token);
        let notices: serde_json::Value = asked.send().await?.error_for_status()?.json().await?;
        if let Some(reasons) = dead(&notices) {
            break reasons;
        }
        anyhow::ensure!(started.elapsed() < PATIENCE, "two reports should have been given up: {notices}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(reasons["elsewhere"].contains("credential `chat` is not granted for"), "{reasons:?}");
    assert!(reasons["moved"].contains("redirect"), "{reasons:?}");
    assert!(there.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty(), "nobody asked the other origin");
    assert!(!host.log().contains("open-sesame"), "{}", host.log());

    a_token_in_the_open_is_warned_of(&host, &token).await?;
    host.end(nix::sys::signal::Signal::SIGTERM).await?;
    Ok(())
}

/// On this machine 0.0.0.0 leads to loopback; to the command line it is an address like any other.
async fn a_token_in_the_open_is_warned_of(host: &Host, token: &str) -> anyhow::Result<()> {
    let open = host.url.replace("127.0.0.1", "0.0.0.0");
    let said = typed(&host.place, &["builds", "--host", &open, "--token", token]).await?;
    assert_eq!(said.code, 0, "{said:?}");
    let warning = format!("warning: the token goes to {open} unencrypted");
    assert_eq!(said.err.matches(&warning).count(), 1, "{said:?}");
    for quiet in
        [vec!["builds", "--host", &open], vec!["builds", "--host", &host.url, "--token", token], vec!["builds"]]
    {
        let said = typed(&host.place, &quiet).await?;
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{quiet:?}: {said:?}");
    }
    Ok(())
}

//! What people do on the pages, and what others are refused.

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use serde_json::json;
use stampmill_e2e::Tab;
use tokio::net::TcpListener;

use super::scene::{PASSWORD, Scene, log_in, post};

#[tokio::test]
async fn a9_08_people_log_in_with_their_password_and_out_by_the_button() -> anyhow::Result<()> {
    let Some(scene) = Scene::set().await? else { return Ok(()) };
    scene.user("ann", "developer").await?;
    let tab = scene.browser.visitor().await?;

    tab.go(&scene.at("/")).await?;
    tab.leads_on(tab.click("header a[href='/login']")).await?;
    tab.fill("input[name=name]", "ann").await?;
    tab.fill("input[name=password]", "wrong horse battery").await?;
    tab.leads_on(tab.click("main button[type=submit]")).await?;
    assert_eq!(tab.status(), Some(401));
    let refusal = tab.text("document.querySelector('[role=alert]').innerText").await?;
    assert!(refusal.contains("password"), "{refusal}");
    assert_eq!(tab.text("document.querySelector('input[name=name]').value").await?, "ann", "the name is kept");
    assert_eq!(tab.text("document.activeElement.name").await?, "password", "one goes on where one erred");
    let stranger = scene.browser.visitor().await?;
    stranger.go(&scene.at("/login")).await?;
    stranger.fill("input[name=name]", "nobody").await?;
    stranger.fill("input[name=password]", PASSWORD).await?;
    stranger.leads_on(stranger.click("main button[type=submit]")).await?;
    let other = stranger.text("document.querySelector('[role=alert]').innerText").await?;
    assert_eq!(other, refusal, "nobody learns who has an account here");

    // The keyboard is enough.
    tab.eval("document.querySelector('input[name=password]').select()").await?;
    tab.fill("input[name=password]", PASSWORD).await?;
    tab.leads_on(tab.press("Enter", 13)).await?;
    assert_eq!(tab.text("location.pathname").await?, "/");
    assert_eq!(tab.text("document.querySelector('header .who').innerText").await?, "ann");
    assert_eq!(tab.text("document.cookie").await?, "", "no script can read the session");

    tab.leads_on(tab.click("header form[action='/logout'] button")).await?;
    assert!(tab.has("header a[href='/login']").await?);
    assert!(!tab.has("header .who").await?);

    // Under a name that somebody else could point here, nothing is shown without a login.
    let named = scene.at("/builders/gated").replace("127.0.0.1", "ci.example");
    tab.go(&named).await?;
    assert_eq!(tab.text("location.pathname + location.search").await?, "/login?next=%2Fbuilders%2Fgated");
    assert!(!tab.text("document.body.innerText").await?.contains("waits for the test"));
    log_in(&tab, "ann").await?;
    assert_eq!(tab.text("location.href").await?, named, "the login leads to what was asked for");
    tab.shows("waits for the test").await?;
    Ok(())
}

#[tokio::test]
async fn a5_10_a_build_is_forced_cancelled_and_repeated_by_whoever_may_and_by_nobody_else() -> anyhow::Result<()> {
    let Some(scene) = Scene::set().await? else { return Ok(()) };
    scene.user("ann", "developer").await?;
    scene.user("vic", "viewer").await?;
    let ann = scene.browser.visitor().await?;
    let vic = scene.browser.visitor().await?;
    let stranger = scene.browser.visitor().await?;

    vic.go(&scene.at("/login?next=%2Fbuilders%2Fgated")).await?;
    log_in(&vic, "vic").await?;
    stranger.go(&scene.at("/builders/gated")).await?;
    for (tab, status) in [(&vic, 403), (&stranger, 401)] {
        assert!(!tab.has(".force").await?, "a button that is refused is not shown");
        let csrf = csrf(tab).await?;
        let fields = json!({ "csrf": csrf, "reason": "all the same", "scheduler": "by-hand" });
        assert_eq!(post(tab, "/builders/gated/force", &fields).await?, status);
    }
    assert!(stranger.has("main a[href='/login?next=%2Fbuilders%2Fgated']").await?, "it says what is missing");
    assert_eq!(scene.buildsets().await?, 0);

    ann.go(&scene.at("/login?next=%2Fbuilders%2Fgated")).await?;
    log_in(&ann, "ann").await?;
    assert_eq!(post(&ann, "/builders/gated/force", &json!({ "scheduler": "by-hand" })).await?, 403, "without token");
    ann.click(".force > summary").await?;
    ann.fill("[name=reason]", "to see <b>it</b>").await?;
    ann.fill("[name='codebases.app.branch']", "topic/ü").await?;
    ann.fill("[name=properties]", "no equals sign").await?;
    ann.leads_on(ann.click(".force button[type=submit]")).await?;
    ann.shows("\"no equals sign\" has no `=`; write name=value").await?;
    assert_eq!(scene.buildsets().await?, 0, "a form that makes no sense starts nothing");
    ann.leads_on(async { ann.eval("history.back()").await.map(|_| ()) }).await?;
    if !ann.has(".force [name=reason]").await? {
        ann.click(".force > summary").await?;
    }
    ann.fill("[name=reason]", "to see <b>it</b>").await?;
    ann.fill("[name='codebases.app.branch']", "topic/ü").await?;
    ann.fill("[name=properties]", "color=red & <blue>\nempty=").await?;
    ann.leads_on(ann.click(".force button[type=submit]")).await?;
    ann.until("/^\\/buildsets\\/\\d+$/.test(location.pathname)").await?;
    // The page of the set gets the link without being loaded again, for the build begins after it.
    ann.until("!!document.querySelector('main a[href^=\"/builds/\"]')").await?;
    ann.leads_on(ann.click("main a[href^='/builds/']")).await?;
    let path = ann.text("location.pathname").await?;
    for text in ["to see <b>it</b>", "red & <blue>", "topic/ü", "ann"] {
        ann.shows(text).await?;
    }
    let build = scene.host.get(&format!("/api/v1{path}")).await?;
    assert_eq!(build["properties"]["color"]["value"], "red & <blue>");
    assert_eq!(build["properties"]["empty"]["value"], "");
    assert_eq!(build["owner"], "ann", "{build:#}");

    ann.until("!!document.querySelector('#cancel')").await?;
    for (tab, status) in [(&vic, 403), (&stranger, 401)] {
        tab.go(&scene.at(&path)).await?;
        assert!(!tab.has("#cancel").await? && !tab.has("#rebuild").await?);
        for deed in ["cancel", "rebuild"] {
            assert_eq!(post(tab, &format!("{path}/{deed}"), &json!({ "csrf": csrf(tab).await? })).await?, status);
        }
    }
    a_form_of_another_site_does_nothing(&scene, &ann, &path).await?;
    assert_eq!(scene.host.get(&format!("/api/v1{path}")).await?["state"], "running", "nobody has cancelled it");

    ann.leads_on(ann.click("#cancel")).await?;
    assert_eq!(ann.text("location.pathname").await?, path);
    ann.until("!!document.querySelector('#head .badge.cancelled')").await?;
    scene.open_gate(1)?;
    scene.open_gate(2)?;
    ann.until("!!document.querySelector('#rebuild')").await?;
    ann.leads_on(ann.click("#rebuild")).await?;
    ann.shows("Repeats").await?;
    ann.until("!!document.querySelector('#head .badge.success')").await?;
    assert_eq!(scene.buildsets().await?, 2);

    let token = csrf(&ann).await?;
    let other = ann.another().await?;
    other.go(&scene.at("/")).await?;
    other.leads_on(other.click("header form[action='/logout'] button")).await?;
    assert_eq!(post(&ann, &format!("{path}/rebuild"), &json!({ "csrf": token })).await?, 401, "a session that ended");
    assert_eq!(scene.buildsets().await?, 2);
    Ok(())
}

#[tokio::test]
async fn a9_06_people_are_listed_with_what_they_are_known_by_and_lead_to_their_changes() -> anyhow::Result<()> {
    let Some(scene) = Scene::set().await? else { return Ok(()) };
    let send = async |author: &str, comment: &str| {
        let change = ["change", "--repository", "/r", "--branch", "main", "--author", author, "--comments", comment];
        let said = scene.host.typed(&change).await?;
        assert_eq!(said.code, 0, "{said:?}");
        anyhow::Ok(())
    };
    let tab = scene.browser.visitor().await?;
    tab.go(&scene.at("/people")).await?;
    tab.shows("Nobody has made a change yet.").await?;
    // Whoever looks sees them come.
    send("Ann <i>Example</i> <ann@example.org>", "Begin").await?;
    tab.until("document.querySelectorAll('#people tbody tr').length === 1").await?;
    send("bob", "Go on").await?;
    tab.until("document.querySelectorAll('#people tbody tr').length === 2").await?;
    send("A. Example <Ann@Example.ORG>", "End").await?;
    let said = scene.host.typed(&["person", "update", "ann@example.org", "--add", "irc:ann_"]).await?;
    assert_eq!(said.code, 0, "{said:?}");
    tab.go(&scene.at("/people")).await?;
    let rows = "[...document.querySelectorAll('#people tbody tr')].map((row) => row.innerText.replace(/\\s+/g, ' ')).join('|')";
    let shown = tab.text(rows).await?;
    let (bob, ann) = shown.split_once('|').unwrap_or_default();
    assert!(bob.starts_with("bob author bob "), "{shown}");
    assert!(ann.starts_with("Ann <i>Example</i> email ann@example.org irc ann_ "), "{shown}");

    tab.leads_on(tab.click("#people tbody tr:last-child a")).await?;
    assert_eq!(tab.text("document.querySelector('h1').innerText").await?, "Ann <i>Example</i>");
    let comments = "[...document.querySelectorAll('#changes tbody td.wide')].map((it) => it.innerText).join(' ')";
    assert_eq!(tab.text(comments).await?, "End Begin");
    tab.leads_on(tab.click("#changes tbody tr:first-child a")).await?;
    tab.shows("A. Example <Ann@Example.ORG>").await?;
    tab.leads_on(tab.click("dl.facts a[href='/people/1']")).await?;
    assert_eq!(tab.text("location.pathname").await?, "/people/1");
    Ok(())
}

/// The token that the page's forms carry, or nothing.
async fn csrf(tab: &Tab) -> anyhow::Result<String> {
    tab.text("document.querySelector('[name=csrf]')?.value ?? ''").await
}

/// Another site, of the same address and of another, sends the very forms with the visitor's own cookie and even with the right token.
async fn a_form_of_another_site_does_nothing(scene: &Scene, ann: &Tab, build: &str) -> anyhow::Result<()> {
    let token = csrf(ann).await?;
    let before = scene.buildsets().await?;
    for (path, fields) in [
        (format!("{build}/cancel"), String::new()),
        ("/builders/gated/force".to_owned(), "<input name=scheduler value=by-hand>".to_owned()),
        ("/logout".to_owned(), String::new()),
    ] {
        let page = format!(
            "<title>another site</title><form method=post action='{}'><input name=csrf value='{token}'>{fields}</form>\
             <script>document.forms[0].submit()</script>",
            scene.at(&path)
        );
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let router = Router::new().route("/", get(move || async move { Html(page) }));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await });
        for site in ["127.0.0.1", "evil.example"] {
            let tab = ann.another().await?;
            tab.go(&format!("http://{site}:{port}/")).await?;
            tab.until(&format!("location.pathname === {}", json!(path))).await?;
            // From another site the cookie does not even come along; from another port it does.
            tab.until("/Not allowed|Log in first/.test(document.body.innerText)").await?;
            assert!(matches!(tab.status(), Some(401 | 403)), "{site}{path}: {:?}", tab.status());
        }
        serving.abort();
    }
    assert_eq!(scene.buildsets().await?, before, "nothing was started");
    ann.go(&scene.at(build)).await?;
    assert!(ann.has("header .who").await?, "nobody was logged out");
    Ok(())
}

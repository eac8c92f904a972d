//! Every page, looked at with care: nothing from elsewhere, no errors, readable without a script, on a phone, in the dark and by keyboard.

use serde_json::{Value, json};
use stampmill_e2e::Tab;

use super::scene::{Scene, log_in};

/// What is wrong with how the page is made, as a list of sentences.
const FAULTS: &str = include_str!("faults.js");

/// Every page of the menu and those behind it, with something that it must show.
fn every_page(build: u64) -> Vec<(String, &'static str)> {
    let mut pages: Vec<(String, &str)> = [
        ("/", "gated"),
        ("/builders", "hostile"),
        ("/builders/gated", "waits for the test"),
        ("/builders/asked", "asks <b>"),
        ("/changes", "Make the page wide"),
        ("/changes/1", "Make the page wide"),
        ("/people", "ann@example.org"),
        ("/people/1", "Make the page wide"),
        ("/schedulers", "by-hand"),
        ("/workers", "local"),
        ("/plugins", "shell"),
        ("/about", "by-hand"),
        ("/buildsets/1", "hostile"),
        ("/login", "Log in"),
        ("/nothing/here", "there is no page at /nothing/here"),
        ("/builds/999", "999"),
        ("/builders/nobody", "nobody"),
        ("/builders?before=what", "Builders"),
        ("/changes?before=what", "can't be understood"),
    ]
    .map(|(path, text)| (path.to_owned(), text))
    .into();
    pages.push((format!("/builds/{build}"), "no newline at the end"));
    pages.push((format!("/builds/{build}/steps/0/logs/stdio"), "no newline at the end"));
    pages.push((format!("/builds/{build}/steps/0/logs/none"), "none"));
    pages
}

async fn scene_with_history() -> anyhow::Result<Option<(Scene, u64)>> {
    let Some(scene) = Scene::set().await? else { return Ok(None) };
    let wide = "w".repeat(300);
    let change = [
        "change",
        "--repository",
        "https://git.example/app.git",
        "--branch",
        "main",
        "--author",
        "Ann <ann@example.org>",
        "--comments",
        "Make the page wide <b>ü</b>",
        "--revision",
        "0123456789abcdef0123456789abcdef01234567",
        &wide,
    ];
    let said = scene.host.typed(&change).await?;
    assert_eq!(said.code, 0, "{said:?}");
    let build = scene.force("hostile").await?;
    scene.ended(build).await?;
    scene.host.wait_for("/api/v1/changes", |changes| changes["items"].as_array()?.first().map(|_| ())).await?;
    Ok(Some((scene, build)))
}

#[tokio::test]
async fn every_page_is_sound_wide_and_narrow_light_and_dark_with_scripts_and_without() -> anyhow::Result<()> {
    let Some((scene, build)) = scene_with_history().await? else { return Ok(()) };
    scene.user("ada", "admin").await?;
    let stranger = scene.browser.visitor().await?;
    let ada = scene.browser.visitor().await?;
    ada.go(&scene.at("/login")).await?;
    log_in(&ada, "ada").await?;

    let mut faults = Vec::new();
    for (path, text) in every_page(build) {
        for (who, tab, width, scheme, scripts) in [
            ("a stranger", &stranger, 1280, "light", true),
            ("a stranger", &stranger, 390, "dark", false),
            ("ada", &ada, 390, "light", true),
            ("ada", &ada, 1280, "dark", true),
        ] {
            if who == "ada" && path == "/login" {
                continue;
            }
            tab.window(width, 844).await?;
            tab.scheme(scheme).await?;
            tab.scripts(scripts).await?;
            tab.go(&scene.at(&path)).await?;
            tab.shows(text).await?;
            let place = format!("{path} at {width}, {scheme}, scripts {scripts}, as {who}");
            faults.extend(faults_of(tab, &scene, &path).await?.into_iter().map(|fault| format!("{place}: {fault}")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    the_look_at_a_page_is_a_careful_one(&ada, &scene).await
}

/// Spoils a page in every way that the look at it is to find, so that a look that sees nothing is noticed.
async fn the_look_at_a_page_is_a_careful_one(tab: &Tab, scene: &Scene) -> anyhow::Result<()> {
    tab.window(390, 844).await?;
    tab.scheme("light").await?;
    tab.go(&scene.at("/")).await?;
    tab.eval(
        "document.querySelector('main').insertAdjacentHTML('beforeend', `<h1>again</h1><input><p class=spoilt>pale</p>\
         <a href='javascript:x'>runs</a><img id=main src='http://elsewhere.example/x.png'><pre>${'x'.repeat(900)}</pre>`); \
         document.querySelector('.spoilt').style.color = '#ddd'; console.error('a complaint')",
    )
    .await?;
    let found = faults_of(tab, scene, "/").await?.join("\n");
    for fault in [
        "it has 2 first headings",
        "a field has no label",
        "pale text, contrast",
        "a link that runs",
        "a picture has no words",
        "two elements have the id main",
        "wide in a window of 390",
        "a complaint",
        "it asks http://elsewhere.example",
    ] {
        assert!(found.contains(fault), "{fault} was not found in {found}");
    }
    Ok(())
}

pub(crate) async fn faults_of(tab: &Tab, scene: &Scene, path: &str) -> anyhow::Result<Vec<String>> {
    let missing = !matches!(tab.status(), Some(200));
    let mut faults: Vec<String> = tab.troubles();
    // The browser notes the status of a page that is not there; it is the page that was asked for.
    faults.retain(|trouble| !(missing && trouble.contains("the server responded with a status of")));
    let elsewhere = tab.requests().into_iter().filter(|url| !url.starts_with(&format!("{}/", scene.host.url)));
    faults.extend(elsewhere.map(|url| format!("it asks {url}")));
    let found = tab.eval(FAULTS).await?;
    faults.extend(found.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
    let title = tab.text("document.title").await?;
    if !title.ends_with(" · Mill & <i>Söhne") {
        faults.push(format!("its title is {title}"));
    }
    if path == "/nothing/here" && tab.status() != Some(404) {
        faults.push("its status is not 404".to_owned());
    }
    Ok(faults)
}

#[tokio::test]
async fn the_keyboard_reaches_everything_and_shows_where_it_is() -> anyhow::Result<()> {
    let Some((scene, build)) = scene_with_history().await? else { return Ok(()) };
    scene.user("ann", "developer").await?;
    let tab = scene.browser.visitor().await?;
    tab.go(&scene.at("/login")).await?;
    log_in(&tab, "ann").await?;
    for path in [
        "/".to_owned(),
        "/builders/gated".to_owned(),
        "/builders/asked".to_owned(),
        format!("/builds/{build}"),
        format!("/builds/{build}/steps/0/logs/stdio"),
    ] {
        tab.go(&scene.at(&path)).await?;
        tab.eval("document.querySelectorAll('details').forEach((details) => { details.open = true; })").await?;
        tab.press("Tab", 9).await?;
        assert_eq!(tab.text("document.activeElement.innerText").await?, "Skip to content", "{path}");
        assert_eq!(tab.eval("document.activeElement.getBoundingClientRect().left >= 0").await?, true, "{path}");
        // Everything that can be clicked, except what is drawn by the thousand.
        let wanted = tab
            .eval("[...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex=\"0\"]')]\
                .filter((it) => it.checkVisibility() && !it.closest('#log .line'))\
                .map((it, i) => { it.order = i; return it.outerHTML.slice(0, 120); })")
            .await?;
        let mut reached = std::collections::BTreeSet::new();
        for _ in 0..wanted.as_array().map_or(0, Vec::len) + 60 {
            let focused = tab
                .eval("(() => { const it = document.activeElement, s = getComputedStyle(it); return { order: it.order ?? null, \
                    shown: s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2, html: it.outerHTML.slice(0, 120) }; })()")
                .await?;
            if let Some(order) = focused["order"].as_u64() {
                assert_eq!(focused["shown"], true, "{path}: nothing shows that {} is where one is", focused["html"]);
                reached.insert(order);
            }
            tab.press("Tab", 9).await?;
        }
        for (position, html) in wanted.as_array().into_iter().flatten().enumerate() {
            assert!(reached.contains(&(position as u64)), "{path}: the keyboard does not reach {html}");
        }
    }
    // Skipping leads past the menu.
    tab.go(&scene.at("/builders")).await?;
    tab.press("Tab", 9).await?;
    tab.press("Enter", 13).await?;
    tab.press("Tab", 9).await?;
    assert_eq!(tab.eval("document.querySelector('main').contains(document.activeElement)").await?, json!(true));
    Ok(())
}

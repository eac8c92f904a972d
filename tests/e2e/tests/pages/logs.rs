//! The view of a log: of a million lines, and of the worst that a build can write.

use serde_json::json;
use stampmill_e2e::Tab;

use super::scene::Scene;

/// The numbers of the lines that are in sight.
const IN_SIGHT: &str = "[...document.querySelectorAll('#log .line')].filter((row) => { \
    const r = row.getBoundingClientRect(), b = document.querySelector('#log').getBoundingClientRect(); \
    return r.top >= b.top - 1 && r.bottom <= b.bottom + 1; })";

/// Waits until a line is in sight, with its number and text.
async fn sees(tab: &Tab, number: u64) -> anyhow::Result<()> {
    let row = json!(format!("{number}line {number} of the log"));
    tab.until(&format!("{IN_SIGHT}.some((row) => row.textContent === {row})")).await
}

#[tokio::test]
async fn a_log_of_a_million_lines_opens_at_once_and_leads_to_any_line() -> anyhow::Result<()> {
    let Some(scene) = Scene::set().await? else { return Ok(()) };
    let id = scene.force("long").await?;
    assert_eq!(scene.ended(id).await?["result"], "success");
    let page = scene.at(&format!("/builds/{id}/steps/0/logs/stdio"));
    let tab = scene.browser.visitor().await?;

    tab.go(&page).await?;
    sees(&tab, 1).await?;
    assert_eq!(tab.text("document.querySelector('#log-count').innerText").await?, "1,000,000 lines");
    let loaded = "performance.getEntriesByType('resource').reduce((sum, entry) => sum + entry.encodedBodySize, 0)";
    assert!(tab.eval(loaded).await?.as_u64() < Some(200_000), "only what is looked at is loaded");
    assert!(tab.eval("document.querySelectorAll('#log .line').length").await?.as_u64() < Some(200));

    tab.fill("#jump input", "777777").await?;
    tab.press("Enter", 13).await?;
    sees(&tab, 777_777).await?;
    assert_eq!(tab.text("location.hash").await?, "#L777777");
    assert_eq!(tab.text("document.querySelector('#log .at > span').textContent").await?, "line 777777 of the log");
    // A line's number is its link.
    tab.until("document.querySelectorAll('#log .line > a[href=\"#L777780\"]').length === 1").await?;
    tab.click("#log a[href='#L777780']").await?;
    tab.until("location.hash === '#L777780' && document.querySelector('#log .at > a').textContent === '777780'")
        .await?;
    tab.eval("history.back()").await?;
    tab.until("location.hash === '#L777777' && document.querySelector('#log .at > a').textContent === '777777'")
        .await?;
    // So is its address for somebody else, and for oneself after loading it again.
    let other = scene.browser.visitor().await?;
    other.go(&format!("{page}#L500000")).await?;
    sees(&other, 500_000).await?;
    other.leads_on(async { other.eval("location.reload()").await.map(|_| ()) }).await?;
    sees(&other, 500_000).await?;

    for (key, code, line) in [("End", 35, 1_000_000), ("Home", 36, 1)] {
        tab.eval("document.querySelector('#log').focus()").await?;
        tab.press(key, code).await?;
        sees(&tab, line).await?;
    }
    tab.wheel("#log", 2_000).await?;
    sees(&tab, 101).await?;
    // The scroll bar stands for the whole of it.
    tab.eval("(() => { const box = document.querySelector('#log'); box.scrollTop = box.scrollHeight / 2; })()").await?;
    tab.until(&format!(
        "{IN_SIGHT}.some((row) => /^4999\\d\\dline 4999\\d\\d of/.test(row.textContent) || \
        /^5000\\d\\dline 5000\\d\\d of/.test(row.textContent))"
    ))
    .await?;
    for beyond in ["0", "99999999", "-5", "1e3"] {
        tab.go(&format!("{page}#L{beyond}")).await?;
        tab.until(
            "[...document.querySelectorAll('#log .line > span')].some((line) => line.textContent.startsWith('line '))",
        )
        .await?;
    }
    assert_eq!(tab.troubles(), Vec::<String>::new());

    tab.scripts(false).await?;
    tab.go(&format!("{page}?first=777777")).await?;
    let lines = tab.text("document.querySelector('#log').innerText.replaceAll('\\n', ' ')").await?;
    assert!(lines.contains("777777") && lines.contains("line 777976 of the log"), "{lines}");
    for (link, line) in [("Next", 777_977), ("Last", 1_000_000), ("Before", 999_601), ("First", 1)] {
        let place = format!("[...document.querySelectorAll('#log-pages a')].find((a) => a.innerText === '{link}')");
        tab.eval(&format!("{place}.id = 'wanted'")).await?;
        tab.leads_on(tab.click("#wanted")).await?;
        tab.shows(&format!("line {line} of the log")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn whatever_a_build_writes_is_shown_as_text_and_does_nothing() -> anyhow::Result<()> {
    let Some(scene) = Scene::set().await? else { return Ok(()) };
    let id = scene.force("hostile").await?;
    assert_eq!(scene.ended(id).await?["result"], "failure");
    let page = scene.at(&format!("/builds/{id}/steps/0/logs/stdio"));
    let first = "<script>document.title = \"owned\"</script><img src=x onerror=\"document.title=1\">&amp;";
    let shown = [
        first,
        "red and bold plain pink cleared",
        "after a title link end",
        "invalid \u{fffd}\u{fffd} bytes \u{fffd}\u{fffd} end",
        "nul  bell  back  end",
        "whole done",
    ];
    let tab = scene.browser.visitor().await?;

    for scripts in [true, false] {
        tab.scripts(scripts).await?;
        tab.go(&page).await?;
        tab.shows("no newline at the end").await?;
        for (number, line) in (1..).zip(shown) {
            let row = format!("[...document.querySelectorAll('#log .line')][{}].children[1].textContent", number - 1);
            assert_eq!(tab.text(&row).await?, line, "line {number}, scripts {scripts}");
        }
        assert_eq!(tab.eval("document.querySelectorAll('#log .line').length").await?, 10);
        assert_eq!(tab.eval("document.querySelectorAll('#log script, #log img').length").await?, 0);
        assert!(tab.text("document.title").await?.starts_with("stdio of shout"));
        let long = tab.text("[...document.querySelectorAll('#log .line')][6].children[1].textContent").await?;
        assert!(long.len() < 30_000 && long.starts_with("xxxxxxxxxx") && long.contains('…'), "{} bytes", long.len());
        assert_eq!(
            tab.text("[...document.querySelectorAll('#log .line')][7].innerText.replaceAll('\\n', '')").await?,
            "8the line after the long one"
        );
        assert_eq!(
            tab.eval("document.documentElement.scrollWidth <= document.documentElement.clientWidth").await?,
            true,
            "only the log scrolls"
        );
        assert_eq!(tab.troubles(), Vec::<String>::new());
    }
    tab.scripts(true).await?;
    tab.go(&page).await?;
    tab.until("document.querySelector('#log .c1.b')?.textContent === 'red and bold'").await?;
    // The end of the log of a step that failed is on the page of its build.
    tab.go(&scene.at(&format!("/builds/{id}"))).await?;
    let tail = tab.text("document.querySelector('pre.tail').textContent").await?;
    assert!(tail.contains(first) && tail.contains("nul  bell  back  end") && tail.len() < 30_000, "{tail}");
    assert_eq!(tab.eval("document.documentElement.scrollWidth <= document.documentElement.clientWidth").await?, true);
    assert_eq!(tab.troubles(), Vec::<String>::new());
    // A reader of the log as a program gets what was written.
    let raw = scene.host.client().get(scene.at(&format!("/api/v1/builds/{id}/steps/0/logs/stdio"))).send().await?;
    assert_eq!(raw.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(raw.headers()["x-content-type-options"], "nosniff");
    let bytes = raw.bytes().await?;
    assert!(bytes.len() > 3_000_000 && bytes.windows(8).any(|part| part == b"\xff\xfe bytes"));
    Ok(())
}

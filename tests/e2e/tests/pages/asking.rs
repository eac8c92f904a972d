//! The form of a force scheduler that asks for parameters.

use serde_json::{Value, json};
use stampmill_e2e::Tab;

use super::looks::faults_of;
use super::scene::{Scene, log_in, post};

/// What each field is: its tag or type, and what it holds.
const FIELDS: &str = "Object.fromEntries([...document.querySelectorAll('.fields [name]')].filter((it) => it.type !== 'hidden')\
    .map((it) => [it.name + (it.type === 'checkbox' ? '=' + it.value : ''), [it.type, it.type === 'checkbox' ? it.checked : it.value]]))";

async fn open_form(tab: &Tab, scene: &Scene) -> anyhow::Result<()> {
    tab.go(&scene.at("/builders/asked")).await?;
    tab.click(".force > summary").await
}

/// What stands beside a field that was refused.
async fn beside(tab: &Tab, field: &str) -> anyhow::Result<String> {
    let field = json!(format!("[name='{field}']"));
    tab.text(&format!(
        "(() => {{ const it = document.querySelector({field}); \
         const told = document.getElementById((it.getAttribute('aria-describedby') ?? it.closest('fieldset').getAttribute('aria-describedby'))); \
         return told.checkVisibility() ? told.innerText : 'hidden'; }})()"
    ))
    .await
}

#[tokio::test]
async fn a5_10_a_page_asks_for_parameters_and_says_beside_each_field_what_is_wrong_with_it() -> anyhow::Result<()> {
    let Some(scene) = Scene::set().await? else { return Ok(()) };
    scene.user("ann", "developer").await?;
    let ann = scene.browser.visitor().await?;
    ann.go(&scene.at("/login")).await?;
    log_in(&ann, "ann").await?;
    open_form(&ann, &scene).await?;
    let fields = ann.eval(FIELDS).await?;
    let expected = json!({
        "reason": ["text", ""], "codebases.app.revision": ["text", ""], "priority": ["number", ""],
        "properties.version": ["text", ""], "properties.notes": ["textarea", ""], "properties.jobs": ["number", "4"],
        "properties.deploy=true": ["checkbox", false], "properties.which": ["select-one", "all"],
        "properties.targets=linux": ["checkbox", false], "properties.targets=bsd": ["checkbox", false],
        "properties.extra": ["text", ""], "properties.by": ["text", "ann"], "properties.changes": ["textarea", ""],
        "properties.upload.public=true": ["checkbox", true],
    });
    assert_eq!(fields, expected, "{fields:#}");
    for text in ["Which version <b>", "(required)", "branch main", "Upload", "the whole must match v[0-9]+"] {
        ann.shows(text).await?;
    }

    ann.fill("[name=reason]", "monthly").await?;
    ann.fill("[name='properties.version']", "latest & <best>").await?;
    ann.fill("[name='properties.notes']", "two\nlines").await?;
    ann.click("[name='properties.deploy']").await?;
    ann.click("[name='properties.upload.public']").await?;
    ann.eval("document.querySelector(\"[name='properties.which']\").value = 'quick'").await?;
    // A browser would not send such a number; whoever bypasses it gets the same answer.
    ann.eval("document.querySelector(\"[name='properties.jobs']\").type = 'text'").await?;
    ann.fill("[name='properties.jobs']", "99").await?;
    ann.leads_on(ann.click(".force button[type=submit]")).await?;
    assert_eq!(ann.status(), Some(422));
    assert_eq!(scene.buildsets().await?, 0, "nothing is built");
    assert_eq!(
        ann.text("document.querySelector('[role=alert]').innerText").await?,
        "Nothing was built: 3 answers can't be taken."
    );
    assert_eq!(
        beside(&ann, "properties.version").await?,
        "parameter `version` is `latest & <best>`, and one line of at most 4096 bytes of which the whole matches `v[0-9]+` is expected"
    );
    assert_eq!(
        beside(&ann, "properties.jobs").await?,
        "parameter `jobs` is `99`, and a whole number from 1 to 9 is expected"
    );
    assert_eq!(
        beside(&ann, "properties.targets").await?,
        "parameter `targets` is missing; give some of `linux`, `bsd`"
    );
    let kept = ann.eval(FIELDS).await?;
    let mut expected = expected;
    for (field, value) in [
        ("reason", json!(["text", "monthly"])),
        ("properties.version", json!(["text", "latest & <best>"])),
        ("properties.notes", json!(["textarea", "two\nlines"])),
        ("properties.deploy=true", json!(["checkbox", true])),
        ("properties.upload.public=true", json!(["checkbox", false])),
        ("properties.which", json!(["select-one", "quick"])),
        // A number field shows it, wrong as it is.
        ("properties.jobs", json!(["number", "99"])),
    ] {
        expected[field] = value;
    }
    assert_eq!(kept, expected, "what was typed is kept: {kept:#}");
    for (width, scheme) in [(390, "light"), (1280, "dark")] {
        ann.window(width, 844).await?;
        ann.scheme(scheme).await?;
        let faults = faults_of(&ann, &scene, "/builders/asked/force").await?;
        assert!(faults.is_empty(), "{width} {scheme}: {}", faults.join("\n"));
    }

    ann.fill("[name='properties.version']", "v12").await?;
    ann.fill("[name='properties.jobs']", "9").await?;
    ann.click("[name='properties.targets'][value=bsd]").await?;
    ann.fill("[name='properties.extra']", "of my own").await?;
    ann.fill("[name=priority]", "7").await?;
    a_file_is_read_into_its_field(&ann).await?;
    ann.leads_on(ann.click("main button[type=submit]")).await?;
    ann.until("/^\\/buildsets\\/\\d+$/.test(location.pathname)").await?;
    let set = scene.host.get(&format!("/api/v1{}", ann.text("location.pathname").await?)).await?;
    let forced: Value = set["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, it)| (name.clone(), it["value"].clone()))
        .collect();
    let expected = json!({
        "version": "v12", "notes": "two\nlines", "jobs": 9, "deploy": true, "which": "quick", "targets": ["bsd"],
        "extra": "of my own", "by": "ann", "changes": "news\nof today\n", "upload": { "public": false }, "kind": "release",
    });
    assert_eq!(forced, expected, "{set:#}");
    assert!(set["properties"].as_object().into_iter().flatten().all(|(_, it)| it["source"] == "Force"), "{set:#}");
    assert_eq!((&set["owner"], &set["reason"]), (&json!("ann"), &json!("monthly")), "{set:#}");
    let request = scene.host.get("/api/v1/requests").await?["items"][0].clone();
    assert_eq!(request["priority"], 7, "{request:#}");

    // What has no field on the page is said as well.
    let csrf = ann.text("document.querySelector('[name=csrf]').value").await?;
    let fields = json!({ "csrf": csrf, "scheduler": "release", "codebases.app.branch": "topic" });
    assert_eq!(post(&ann, "/builders/asked/force", &fields).await?, 422);
    assert_eq!(scene.buildsets().await?, 1);
    Ok(())
}

/// A file that is too large, one that is no text, and one that goes into the field.
async fn a_file_is_read_into_its_field(tab: &Tab) -> anyhow::Result<()> {
    let choose = |bytes: &str| {
        format!(
            "(() => {{ const files = new DataTransfer(); files.items.add(new File([{bytes}], 'NEWS')); \
             const it = document.querySelector('[data-into]'); it.files = files.files; it.dispatchEvent(new Event('change')); }})()"
        )
    };
    tab.eval(&choose("'x'.repeat(1025)")).await?;
    tab.until("document.querySelector('[data-into]').validationMessage === 'The file has 1025 bytes, and at most 1024 are taken.'").await?;
    tab.eval(&choose("new Uint8Array([255, 254])")).await?;
    tab.until("document.querySelector('[data-into]').validationMessage === 'The file is no text in UTF-8.'").await?;
    assert_eq!(tab.text("document.querySelector(\"[name='properties.changes']\").value").await?, "");
    tab.eval(&choose("'news\\nof today\\n'")).await?;
    tab.until("document.querySelector(\"[name='properties.changes']\").value === 'news\\nof today\\n'").await?;
    assert_eq!(tab.text("document.querySelector('[data-into]').validationMessage").await?, "");
    Ok(())
}

//! The pictures in the documents, taken of the tour.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, bail};
use stampmill_e2e::{Browser, Place, stampmill};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

#[tokio::test]
#[ignore = "writes docs/screens: cargo test --workspace --test pages -- --ignored"]
async fn the_pictures_of_the_documents_are_taken_again() -> anyhow::Result<()> {
    let Some(browser) = Browser::start().await? else { bail!("there is no browser") };
    let place = Place::new()?;
    let mut tour = Command::new(stampmill())
        .args(["demo", "--listen", "127.0.0.1:0", "--data"])
        .arg(place.path().join("data"))
        .current_dir(place.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(tour.stdout.take().context("it is piped")?).lines();
    let (mut url, mut built) = (String::new(), false);
    while !built {
        let line = lines.next_line().await?.context("the tour has ended")?;
        if let Some(address) = line.strip_prefix("listening on ") {
            url = address.to_owned();
        }
        built = line.starts_with("build 1: ");
    }
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });

    let screens = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/screens");
    let tab = browser.visitor().await?;
    for (name, path, size, scheme, seen) in [
        ("home", "/", (1280, 620), "light", "main .badge.success"),
        ("builder", "/builders/linux", (1280, 620), "light", "main .badge.success"),
        ("build", "/builds/1", (1280, 900), "light", "#step-1 .badge.success, #step-2 .badge.success"),
        ("log", "/builds/1/steps/1/logs/stdio", (1280, 560), "dark", "#log .line"),
        ("changes", "/changes", (1280, 560), "light", "main table"),
        ("plugins", "/plugins", (1280, 900), "light", "main article"),
        ("phone", "/builds/1", (390, 844), "dark", "#head .badge.success"),
    ] {
        tab.window(size.0, size.1).await?;
        tab.scheme(scheme).await?;
        tab.go(&format!("{url}{path}")).await?;
        tab.until(&format!("!!document.querySelector('{seen}')")).await?;
        tab.picture(&screens.join(format!("{name}.png"))).await?;
    }
    Ok(())
}

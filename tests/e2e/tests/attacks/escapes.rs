//! Attack 13: nothing that a build leaves in its work directory leads the worker, a checkout or a component out of it.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::ensure;
use stampmill_e2e::{Place, Repository, stranger};

use super::house::{House, Plan, plain, step};

const MAPPED: &str = "[codebases]\nplugin = \"repository-map\"\nconfig = { \"PLACE/app.git\" = \"app\" }\n\
                      [plugin.stranger]\nfile = \"stranger.wasm\"\n[secret.canary]\nfile = \"canary\"\n";

/// A component that asks for whatever there is.
fn greedy() -> Vec<u8> {
    let asks = ["command", "http", "secret", "workspace", "properties", "logs"];
    stranger(stampmill_guests::STEP, "stranger-step", "step", &asks)
}

/// A step of the stranger; it may fail.
fn wasm(name: &str, script: &str) -> String {
    format!(
        "[[job.step]]\nname = \"{name}\"\nplugin = \"stranger\"\nconfig = \"run:{script}\"\nhalt-on-failure = false\nalways-run = true\n\
         grant = {{ command = [\"BIN/hostile\"], read = [\"BIN\"], http = [\"http://127.0.0.1:1\"], secret = [\"canary\"] }}\n"
    )
}

fn checkout(mode: &str) -> String {
    super::house::CHECKOUT.replace("codebase = \"app\"", &format!("codebase = \"app\"{mode}"))
}

/// What must not be touched, and the things beside a host that a step of a stranger needs.
fn prepare(place: &Place) -> anyhow::Result<Repository> {
    fs::create_dir(place.path().join("outside"))?;
    fs::set_permissions(place.path().join("outside"), std::os::unix::fs::PermissionsExt::from_mode(0o777))?;
    fs::write(place.path().join("outside/precious"), "precious")?;
    fs::set_permissions(place.path().join("outside/precious"), std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
    fs::write(place.path().join("stranger.wasm"), greedy())?;
    fs::write(place.path().join("canary"), "a secret")?;
    Repository::named(place.path(), "app")
}

fn is_untouched(outside: &Path) -> anyhow::Result<()> {
    let names: Vec<_> = fs::read_dir(outside)?.flatten().map(|entry| entry.file_name()).collect();
    ensure!(names == ["precious"], "{names:?}");
    ensure!(fs::read_to_string(outside.join("precious"))? == "precious");
    Ok(())
}

/// What a component tries on each of the links that a program planted before.
const TRIES: [(&str, &str); 10] = [
    ("leaf-read", "read|leaf"),
    ("leaf-write", "write|leaf|evil"),
    ("dangling-write", "write|dangling|evil"),
    ("directory-read", "read|directory/precious"),
    ("directory-write", "write|directory/planted|evil"),
    ("up-read", "read|up/etc/passwd"),
    ("parent-list", "entries|parent"),
    ("climb-read", "read|a/../../precious"),
    ("absolute-read", "read|/etc/passwd"),
    ("directory-append", "append|directory/precious|evil"),
];

#[tokio::test]
async fn attack_13_links_in_a_work_directory_lead_neither_a_component_nor_a_checkout_nor_a_patch_out()
-> anyhow::Result<()> {
    let place = Place::new()?;
    let repository = prepare(&place)?;
    repository.commit(
        "Names that are links in the work directory",
        &[("leaf", "of the repository\n"), ("directory/precious", "of the repository\n"), ("dangling", "x\n")],
        "Ann <ann@example.org>",
    )?;
    let mut steps = plain("plant", "exec $H plant PLACE/outside");
    for (name, script) in TRIES {
        steps += &wasm(name, script);
    }
    steps += &checkout("").replace("plugin = \"git\"", "plugin = \"git\"\nalways-run = true");
    let race = wasm("race", "race|swapped|2000|BIN/hostile|swap|swapped|PLACE/outside/precious");
    let jobs = [("links", steps), ("race", race)];
    let house = House::open(place, Plan { jobs: &jobs, more: MAPPED.to_owned(), limits: "" }).await?;
    let outside = house.place.path().join("outside");
    for seat in house.seats.clone() {
        let build = house.build("links", seat).await?;
        let planted = house.log(&build, 0, "stdio").await?;
        for link in ["leaf", "dangling", "directory", "up", "parent"] {
            ensure!(planted.contains(&format!("{link}: DONE")), "a link may be made: {planted}");
        }
        for refused in ["hard-passwd", "hard-sh", "hard-victim", "read it here", "climb", "climb by link", "set-uid"] {
            ensure!(planted.contains(&format!("{refused}: refused")), "{seat:?} {refused}: {planted}");
        }
        for (number, (name, script)) in (1..).zip(TRIES) {
            let step = &build["steps"][number as usize];
            ensure!(step["name"] == name && step["result"] == "exception", "{seat:?} {name}: {step:#}");
            let path = script.split('|').nth(1).unwrap_or_default();
            house.shows(&build, number, "error", path).await?;
        }
        let last = &build["steps"][TRIES.len() + 1];
        ensure!(last["name"] == "checkout" && last["result"] == "success", "{seat:?}: {build:#}");
        let checked_out = house.work(seat, "links").join("directory");
        ensure!(!checked_out.is_symlink() && checked_out.join("precious").exists(), "it replaced the link");
        is_untouched(&outside)?;

        let build = house.build("race", seat).await?;
        let said = house.log(&build, 0, "plugin").await?;
        ensure!(build["result"] == "success", "{seat:?}: {build:#}\n{said}");
        ensure!(!said.contains("ESCAPED") && said.contains("times"), "{seat:?}: {said}");
        is_untouched(&outside)?;
    }
    house.close().await
}

#[tokio::test]
async fn attack_13_a_tree_that_is_deep_and_wide_on_purpose_is_cleaned_up_and_leads_nowhere() -> anyhow::Result<()> {
    let place = Place::new()?;
    let repository = prepare(&place)?;
    repository.commit("Something", &[("file", "x\n")], "Ann <ann@example.org>")?;
    // As deep as a path may be, and so deep that nothing can name it.
    let nameable = plain("dig", "ln -s PLACE/outside out\nexec $H dig 500");
    let nameless = plain("dig", "ln -s PLACE/outside out\n$H dig 1500\nexec $H sleep");
    let jobs = [
        ("deep", nameable.clone()),
        ("deeper", nameless),
        ("clobber", nameable + &checkout(", mode = \"full\", method = \"clobber\"")),
        ("good", step("work", "echo works", "", "]")),
    ];
    let mut house = House::open(place, Plan { jobs: &jobs, more: MAPPED.to_owned(), limits: "" }).await?;
    let outside = house.place.path().join("outside");
    for seat in house.seats.clone() {
        // What the step left is removed through the component's own workspace.
        let build = house.build("clobber", seat).await?;
        ensure!(build["result"] == "success", "{seat:?}: {build:#}");
        ensure!(
            house.work(seat, "clobber").join("file").exists() && !house.work(seat, "clobber").join("deep").exists()
        );
        is_untouched(&outside)?;
        // By the worker, when the step was ended for it.
        let build = house.build("deeper", seat).await?;
        ensure!(build["result"] == "exception", "{seat:?}: {build:#}");
        house.shows(&build, 0, "error", "has paths longer than 3072 bytes").await?;
        ensure!(fs::read_dir(house.work(seat, "deeper"))?.count() == 0, "{seat:?}: it was not emptied");
        is_untouched(&outside)?;
        // And by the worker, when the directory was not used for long.
        ensure!(house.build("deep", seat).await?["state"] == "finished");
        let work = house.work(seat, "deep");
        ensure!(work.join("wide/1199").exists());
        house
            .restart(seat, |_| {
                let long_ago = SystemTime::now() - Duration::from_secs(60 * 24 * 3600);
                fs::File::open(&work)?.set_modified(long_ago)?;
                Ok(())
            })
            .await?;
        house.says("good", seat, 0, "success").await?;
        ensure!(!work.exists(), "{seat:?}: it is still there");
        is_untouched(&outside)?;
    }
    ensure!(house.host.log().matches("removed, it was not used for long").count() >= house.seats.len());
    house.close().await
}

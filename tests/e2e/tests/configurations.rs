//! Mistakes in a configuration, through the real binary: what is said, what goes on, and that nothing comes of them.

use std::path::Path;
use std::process::Output;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use stampmill_e2e::host::run;
use stampmill_e2e::{Host, Listener, Place, Repository, main_job};

const ANN: &str = "Ann <ann@example.org>";
const UP: [&str; 7] = ["up", "--config", "stampmill.toml", "--data", "data", "--listen", "127.0.0.1:0"];

fn items(list: &Value) -> &Vec<Value> {
    list["items"].as_array().expect("a list has items")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Line and column of a text in a configuration, both counted from 1.
fn place_of(text: &str, part: &str) -> String {
    let at = text.find(part).expect("the mistake is in the text");
    let before = &text[..at];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("stampmill.toml:{line}:{column}")
}

/// A mistake: what is replaced by what, where it is shown, and words of message and mend.
struct Mistake {
    right: &'static str,
    wrong: &'static str,
    at: &'static str,
    words: &'static [&'static str],
}

const MISTAKES: [Mistake; 8] = [
    Mistake {
        right: "builders = [\"linux\"]\n\n[[job]]",
        wrong: "builders = [linux]\n\n[[job]]",
        at: "linux]\n\n[[job]]",
        words: &["syntax error", "quotes"],
    },
    Mistake {
        right: "branch = \"main\"\ncodebases",
        wrong: "brnach = \"main\"\nbranch = \"main\"\ncodebases",
        at: "brnach",
        words: &["unknown key `brnach` in scheduler `quick`", "did you mean `branch`?"],
    },
    Mistake {
        right: "plugin = \"shell\"",
        wrong: "plugin = \"shel\"",
        at: "\"shel\"",
        words: &["unknown plugin `shel`", "did you mean `shell`?"],
    },
    Mistake {
        right: "branches = [\"main\", \"dev\"]",
        wrong: "branches = 7",
        at: "7 }",
        words: &["`config.branches` of change source `app`", "is a number", "stampmill plugin inspect git-poller"],
    },
    Mistake {
        right: "config = { exclude = [\"docs/**\"] }",
        wrong: "config = { exclud = [\"docs/**\"] }",
        at: "exclud ",
        words: &["unknown key `exclud`", "did you mean `exclude`?"],
    },
    Mistake {
        right: "grant = { command = [\"/bin/sh\"] }\n",
        wrong: "",
        at: "\"shell\"",
        words: &["asks for `command`, and nothing of it is granted", "add `grant = { command = ["],
    },
    Mistake {
        right: "name = \"by-hand\"",
        wrong: "name = \"quick\"",
        at: "\"quick\"\nkind = \"force\"",
        words: &["`quick`", "scheduler"],
    },
    Mistake {
        right: "job = \"check\"",
        wrong: "job = \"chek\"",
        at: "\"chek\"",
        words: &["`chek`", "did you mean `check`?"],
    },
];

fn config(place: &Path) -> anyhow::Result<String> {
    let repository = Repository::make(place)?;
    Ok(main_job(&repository.bare, "http://127.0.0.1:9/report", "true"))
}

#[tokio::test]
async fn a5_01_each_mistake_is_shown_with_its_place_and_its_mend_and_nothing_is_made() -> anyhow::Result<()> {
    let place = Place::new()?;
    let right = config(place.path())?;
    for mistake in &MISTAKES {
        let wrong = right.replacen(mistake.right, mistake.wrong, 1);
        assert_ne!(wrong, right, "{}", mistake.right);
        std::fs::write(place.path().join("stampmill.toml"), &wrong)?;
        let at = place_of(&wrong, mistake.at);
        for command in [&["check", "--config", "stampmill.toml"] as &[&str], &UP] {
            let output = run(place.path(), command).await?;
            let said = said(&output);
            assert_eq!(output.status.code(), Some(2), "{command:?}: {said}");
            assert!(said.contains(&at), "{at} is not in: {said}");
            for words in mistake.words {
                assert!(said.contains(words), "{words} is not in: {said}");
            }
            assert_eq!(output.stdout, b"", "it never listened");
        }
        assert!(!place.path().join("data").exists(), "{}", mistake.wrong);
        assert!(!place.path().join("stampmill.lock").exists(), "{}", mistake.wrong);
    }
    // What only the plugin can know to be wrong is found by starting it.
    let wrong = right.replacen("docs/**", "docs/[", 1);
    std::fs::write(place.path().join("stampmill.toml"), &wrong)?;
    for command in [&["check", "--config", "stampmill.toml"] as &[&str], &UP] {
        let output = run(place.path(), command).await?;
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{command:?}: {said}");
        assert!(said.contains("`path-filter`") && said.contains("docs/["), "{said}");
        assert!(said.contains(&place_of(&wrong, "\"path-filter\"")), "{said}");
        assert!(!place.path().join("stampmill.lock").exists(), "{said}");
    }
    std::fs::write(place.path().join("stampmill.toml"), &right)?;
    let output = run(place.path(), &["check", "--config", "stampmill.toml"]).await?;
    assert!(output.status.success(), "{output:?}");
    Ok(())
}

#[tokio::test]
async fn a_reload_with_a_mistake_changes_nothing_and_a_good_one_drops_no_build() -> anyhow::Result<()> {
    let place = Place::new()?;
    let repository = Repository::make(place.path())?;
    let listener = Listener::start().await?;
    // It goes on until the test has reloaded.
    let gate = place.path().join("gate");
    std::fs::create_dir(&gate)?;
    let script = format!("while [ ! -e {}/open ]; do sleep 0.1; done; echo through the gate", gate.display());
    let right = main_job(&repository.bare, &listener.url, &script).replace(
        "grant = { command = [\"/bin/sh\"] }",
        &format!("grant = {{ command = [\"/bin/sh\"], read = [\"{}\"] }}", gate.display()),
    );
    let host = Host::up(place.path(), &right).await?;
    host.polled("app").await?;
    let id: i32 = std::fs::read_to_string(place.path().join("data/lock"))?.trim().parse()?;
    let hang_up = || kill(Pid::from_raw(id), Signal::SIGHUP);
    let file = place.path().join("stampmill.toml");
    let revision = repository.commit("Wait", &[("a", "a\n")], ANN)?;
    host.wait_for("/api/v1/builds", |builds| {
        items(builds).first().filter(|build| build["steps"][1]["state"] == "running").map(drop)
    })
    .await?;

    // The line with the missing grant is another one here.
    let mistakes: Vec<&Mistake> = MISTAKES.iter().filter(|mistake| right.contains(mistake.right)).collect();
    assert_eq!(mistakes.len(), MISTAKES.len() - 1);
    for mistake in mistakes {
        let wrong = right.replacen(mistake.right, mistake.wrong, 1);
        std::fs::write(&file, &wrong)?;
        hang_up()?;
        let output = host.cli(&["reload"]).await?;
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        let at = place_of(&wrong, mistake.at);
        assert!(said.contains(&at), "{at} is not in: {said}");
        assert!(mistake.words.iter().all(|words| said.contains(words)), "{:?}: {said}", mistake.words);
    }
    // The old one goes on: it polls, judges and queues.
    let next = repository.commit("Wait too", &[("b", "b\n")], ANN)?;
    host.wait_for("/api/v1/requests", |requests| (items(requests).len() == 2).then_some(())).await?;
    let builders = host.get("/api/v1/builders").await?;
    assert_eq!(items(&builders).len(), 1, "{builders:#}");

    let more = "\n[[builder]]\nname = \"second\"\njob = \"check\"\n";
    std::fs::write(&file, right.clone() + more)?;
    hang_up()?;
    host.wait_for("/api/v1/builders", |builders| (items(builders).len() == 2).then_some(())).await?;
    std::fs::write(&file, right.clone() + more + &more.replace("second", "third"))?;
    let output = host.cli(&["reload"]).await?;
    assert!(output.status.success(), "{output:?}");
    let builders = host.get("/api/v1/builders").await?;
    assert_eq!(items(&builders).len(), 3, "it is in force when the command ends");

    std::fs::write(gate.join("open"), "")?;
    for revision in [&revision, &next] {
        let build = host.finished_build_of(revision).await?;
        assert_eq!((&build["result"], &build["attempt"]), (&"success".into(), &1.into()), "{build:#}");
    }
    assert_eq!(items(&host.get("/api/v1/builds").await?).len(), 2);
    assert!(host.end(Signal::SIGTERM).await?.success());
    Ok(())
}

#[tokio::test]
async fn a_second_host_on_one_data_directory_is_refused_with_a_sentence() -> anyhow::Result<()> {
    let place = Place::new()?;
    let host = Host::up(place.path(), &config(place.path())?).await?;
    let id = std::fs::read_to_string(place.path().join("data/lock"))?;
    for command in ["host", "up"] {
        let output = run(place.path(), &[&[command], &UP[1..]].concat()).await?;
        let said = said(&output);
        assert_eq!(output.status.code(), Some(3), "{said}");
        let sentence = format!("is in use by another host (process {}); stop that one", id.trim());
        assert!(said.contains(&sentence), "{said}");
    }
    assert_eq!(std::fs::read_to_string(place.path().join("data/lock"))?, id);
    let builders = host.cli(&["builds"]).await?;
    assert!(builders.status.success(), "the first is there for its administrator: {builders:?}");
    assert!(host.end(Signal::SIGTERM).await?.success());
    Ok(())
}

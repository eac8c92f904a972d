//! `stampmill run`: a job on this machine, without a server, on what is in a person's work tree.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use stampmill_e2e::{Place, Repository, Said, command, compiled, main_job, stampmill};

const SCRIPT: &str = r#"
cat greeting
if test -e ignored; then echo "the ignored file is here"; fi
cat "$PEEK" 2>&1 || true
echo "said $SAID"
exit "$CODE"
"#;

/// A work tree with a configuration beside it whose job runs [`SCRIPT`].
fn place() -> anyhow::Result<(Place, Repository)> {
    let place = Place::new()?;
    let repository = Repository::make(place.path())?;
    repository.commit("Greet", &[("greeting", "hello\n"), (".gitignore", "ignored\n")], "Ann <ann@example.org>")?;
    std::fs::write(repository.work().join("ignored"), "only here\n")?;
    let peek = repository.work().join("ignored").display().to_string();
    let environment = format!(
        "environment = {{ PEEK = \"{peek}\", SAID = \"${{{{ props.said }}}}\", CODE = \"${{{{ props.code }}}}\" }}, script = '''"
    );
    let config = main_job(&repository.bare, "http://127.0.0.1:9/report", SCRIPT).replace("script = '''", &environment);
    std::fs::write(place.path().join("stampmill.toml"), config)?;
    compiled::give(&place.path().join("data"));
    Ok((place, repository))
}

async fn run(place: &Place, more: &[&str]) -> anyhow::Result<Said> {
    let mut arguments = vec!["run", "check", "--dir", "app", "--data", "data/worker", "--property", "said=hi"];
    arguments.extend(more);
    let said = command::typed(place.path(), &arguments).await;
    compiled::keep(&place.path().join("data"));
    said
}

fn lines(path: &Path, git: &[&str]) -> anyhow::Result<String> {
    Ok(String::from_utf8(Command::new("git").args(git).current_dir(path).output()?.stdout)?)
}

#[tokio::test]
async fn a_job_runs_on_the_edits_of_a_work_tree_and_changes_nothing_in_it() -> anyhow::Result<()> {
    let (place, repository) = place()?;
    let work = repository.work();
    let green = run(&place, &["--property", "code:=0"]).await?;
    assert_eq!(green.code, 0, "{green:?}");
    assert!(green.out.contains("hello\n") && green.out.contains("said hi"), "{green:?}");
    assert!(green.err.contains("job check: success"), "{green:?}");
    assert!(!green.err.contains("with edits"), "{green:?}");
    let sources = place.path().join("data/worker/sources");
    assert_eq!(std::fs::metadata(sources)?.permissions().mode() & 0o077, 0, "nobody else reads what is not pushed");

    std::fs::write(work.join("greeting"), "good evening\n")?;
    std::fs::write(work.join("added"), "new\n")?;
    let before = (lines(work, &["status", "--porcelain"])?, lines(work, &["count-objects"])?);
    let red = run(&place, &["--property", "code:=3"]).await?;
    assert_eq!(red.code, 1, "{red:?}");
    assert!(red.out.contains("good evening\n") && !red.out.contains("hello\n"), "{red:?}");
    assert!(red.err.contains("with edits") && red.err.contains("job check: failure"), "{red:?}");
    assert_eq!((lines(work, &["status", "--porcelain"])?, lines(work, &["count-objects"])?), before);

    std::fs::remove_file(work.join("added"))?;
    let again = run(&place, &["--property", "code:=0"]).await?;
    assert_eq!(again.code, 0, "a file of the edits before is in nobody's way: {again:?}");
    Ok(())
}

#[tokio::test]
async fn a_step_of_a_local_run_sees_what_could_be_committed_and_no_other_file() -> anyhow::Result<()> {
    let (place, _repository) = place()?;
    let said = run(&place, &["--property", "code:=0"]).await?;
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("No such file") || said.out.contains("Permission denied"), "{said:?}");
    assert!(!said.out.contains("only here") && !said.out.contains("the ignored file is here"), "{said:?}");
    Ok(())
}

#[tokio::test]
async fn what_can_not_be_run_is_named_with_the_mend() -> anyhow::Result<()> {
    let (place, _repository) = place()?;
    for (arguments, part) in [
        (vec!["run", "chekc"], "did you mean `check`?"),
        (vec!["run", "check", "--dir", "nowhere"], "--dir nowhere can't be found"),
        (vec!["run", "check", "--dir", "/"], "is in no git repository"),
        (vec!["run", "check", "--dir", "app", "--dir", "app=app"], "has a directory already"),
        (vec!["run", "check", "--config", "absent.toml"], "absent.toml"),
        (vec!["run", "check", "--property", "x:=["], "is no JSON"),
    ] {
        let mut typed = arguments.clone();
        typed.extend(["--data", "untouched"]);
        let said = command::typed(place.path(), &typed).await?;
        assert_eq!(said.code, 2, "{arguments:?}: {said:?}");
        assert!(said.err.contains(part), "{arguments:?}: {said:?}");
    }
    assert!(!place.path().join("untouched").exists());
    Ok(())
}

#[test]
fn ctrl_c_ends_the_job_and_everything_that_it_started() -> anyhow::Result<()> {
    let (place, _repository) = place()?;
    let config = std::fs::read_to_string(place.path().join("stampmill.toml"))?;
    let marker = format!("sleep 3600.{}", std::process::id());
    let slow = config.replace("exit \"$CODE\"", &format!("({marker}) & echo begun; wait"));
    std::fs::write(place.path().join("stampmill.toml"), slow)?;
    let mut child = Command::new(stampmill())
        .args(["run", "check", "--dir", "app", "--data", "data/worker"])
        .args(["--property", "said=hi", "--property", "code:=0"])
        .current_dir(place.path())
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(place.path().join("out"))?)
        .stderr(Stdio::piped())
        .spawn()?;
    let begun = Instant::now();
    while !std::fs::read_to_string(place.path().join("out"))?.contains("begun") {
        let waits = child.try_wait()?.is_none() && begun.elapsed() < Duration::from_secs(120);
        anyhow::ensure!(waits, "the script never began");
        std::thread::sleep(Duration::from_millis(20));
    }
    kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGINT)?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!((output.status.code(), output.status.signal()), (Some(4), None), "{said}");
    assert!(said.contains("job check: cancelled") && said.contains("Ctrl-C"), "{said}");
    let left = Command::new("pgrep").args(["-f", &marker]).output().context("pgrep")?;
    assert!(left.stdout.is_empty(), "still there: {}", String::from_utf8_lossy(&left.stdout));
    Ok(())
}

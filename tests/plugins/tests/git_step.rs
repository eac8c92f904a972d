//! The step `git`, on real repositories.

use crate::around::Place;
use crate::around::repository::Repository;
use serde_json::{Value, json};
use stampmill_runtime::{BuildFacts, Outcome, Patch, SourceStamp};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

pub(crate) fn stamp(repository: &str) -> SourceStamp {
    SourceStamp {
        codebase: String::new(),
        repository: repository.to_owned(),
        project: String::new(),
        branch: None,
        revision: None,
        patch: None,
        extra: Vec::new(),
    }
}

pub(crate) fn on(repository: &Repository, branch: Option<&str>, revision: Option<&str>) -> SourceStamp {
    SourceStamp {
        branch: branch.map(str::to_owned),
        revision: revision.map(str::to_owned),
        ..stamp(repository.address())
    }
}

pub(crate) async fn check_out(place: &Place, config: Value, stamps: Vec<SourceStamp>) -> Outcome {
    place.set_facts(BuildFacts { stamps, ..BuildFacts::default() });
    let grant = json!({"command": ["git"], "read": ["/"], "secret": ["forge-token"]});
    let mut step = place.start("git", config, grant).await.unwrap_or_else(|error| panic!("{error}"));
    step.run().await.unwrap_or_else(|error| panic!("{error}"))
}

fn read(place: &Place, name: &str) -> Option<String> {
    std::fs::read_to_string(place.work().join(name)).ok()
}

fn plant(place: &Place, name: &str, content: &str) -> PathBuf {
    let path = place.work().join(name);
    std::fs::create_dir_all(path.parent().expect("it is below the work directory")).expect("a directory");
    std::fs::write(&path, content).expect("a file");
    path
}

/// `main` with two commits and a tag, `dev` with one more.
fn repository(place: &Place) -> (Repository, String, String, String) {
    let repository = Repository::new(place, "app");
    let one = repository.commit("one", &[("a", "1"), (".gitignore", "*.o\n")]);
    repository.git(&["tag", "v1"]);
    let two = repository.commit("two", &[("a", "2")]);
    repository.git(&["checkout", "--quiet", "-b", "dev"]);
    let dev = repository.commit("dev", &[("a", "3")]);
    repository.push();
    (repository, one, two, dev)
}

#[tokio::test]
async fn a6_07_without_branch_and_revision_the_default_branch_is_checked_out() {
    let place = Place::new();
    let (repository, _, two, _) = repository(&place);
    assert_eq!(
        check_out(&place, json!({}), vec![on(&repository, None, None)]).await,
        Outcome::Success,
        "{}",
        place.log("stdio")
    );
    assert_eq!(read(&place, "a").as_deref(), Some("2"));
    assert_eq!(place.property("got_revision"), Some(json!(two)));
    assert_eq!(place.summary(), format!("at {}", &two[..10]));
}

#[tokio::test]
async fn a6_08_a_branch_alone_is_its_newest_commit() {
    let place = Place::new();
    let (repository, one, _, dev) = repository(&place);
    for (branch, commit) in [("dev", dev.as_str()), ("refs/tags/v1", one.as_str())] {
        assert_eq!(check_out(&place, json!({}), vec![on(&repository, Some(branch), None)]).await, Outcome::Success);
        assert_eq!(place.property("got_revision"), Some(json!(commit)), "{branch}");
    }
}

#[tokio::test]
async fn a4_07_a_revision_that_is_not_on_the_branch_is_checked_out() {
    let place = Place::new();
    let (repository, one, _, dev) = repository(&place);
    for revision in [&dev, &one] {
        assert_eq!(
            check_out(&place, json!({}), vec![on(&repository, Some("main"), Some(revision))]).await,
            Outcome::Success
        );
        assert_eq!(place.property("got_revision"), Some(json!(revision)));
    }
    assert_eq!(read(&place, "a").as_deref(), Some("1"));
}

#[tokio::test]
async fn a_short_name_and_a_tag_are_revisions_too() {
    let place = Place::new();
    let (repository, one, _, dev) = repository(&place);
    for (revision, commit) in [("v1", &one), (&dev[..9], &dev), ("dev", &dev)] {
        assert_eq!(
            check_out(&place, json!({}), vec![on(&repository, None, Some(revision))]).await,
            Outcome::Success,
            "{revision}"
        );
        assert_eq!(place.property("got_revision"), Some(json!(commit)), "{revision}");
    }
}

#[tokio::test]
async fn a4_09_always_latest_checks_out_the_tip() {
    let place = Place::new();
    let (repository, one, two, _) = repository(&place);
    let stamps = vec![on(&repository, Some("main"), Some(&one))];
    assert_eq!(check_out(&place, json!({"always-latest": true}), stamps).await, Outcome::Success);
    assert_eq!(place.property("got_revision"), Some(json!(two)));
}

#[tokio::test]
async fn a4_10_incremental_keeps_untracked_files_and_full_removes_them() {
    let place = Place::new();
    let (repository, one, two, _) = repository(&place);
    let stamps = |revision: &str| vec![on(&repository, Some("main"), Some(revision))];
    assert_eq!(check_out(&place, json!({}), stamps(&one)).await, Outcome::Success);
    for (config, untracked, ignored) in [
        (json!({}), true, true),
        (json!({"mode": "full", "method": "clean"}), false, true),
        (json!({"mode": "full"}), false, false),
        (json!({"mode": "full", "method": "clobber"}), false, false),
    ] {
        plant(&place, "sub/marker", "x");
        plant(&place, "a.o", "x");
        plant(&place, "a", "edited");
        plant(&place, "nested/.git/HEAD", "ref: refs/heads/x\n");
        let odd = place.work().join(OsStr::from_bytes(b"odd\xe9"));
        std::fs::write(&odd, "x").expect("a file");
        assert_eq!(check_out(&place, config.clone(), stamps(&two)).await, Outcome::Success);
        assert_eq!(read(&place, "sub/marker").is_some(), untracked, "{config}");
        assert_eq!(read(&place, "a.o").is_some(), ignored, "{config}");
        assert_eq!(read(&place, "nested/.git/HEAD").is_some(), untracked, "{config}");
        assert_eq!(odd.exists(), untracked, "{config}");
        assert_eq!(read(&place, "a").as_deref(), Some("2"), "{config}");
    }
}

#[tokio::test]
async fn a11_06_several_codebases_have_a_revision_each_in_directories_of_their_own() {
    let place = Place::new();
    let app = Repository::new(&place, "app");
    let core = Repository::new(&place, "core");
    let in_app = app.commit("app", &[("a", "app")]);
    let in_core = core.commit("core", &[("a", "core")]);
    app.push();
    core.push();
    let stamps = vec![
        SourceStamp { codebase: "app".to_owned(), ..on(&app, None, None) },
        SourceStamp { codebase: "core".to_owned(), ..on(&core, None, None) },
    ];
    for codebase in ["app", "core"] {
        let config = json!({"codebase": codebase, "directory": format!("src/{codebase}")});
        assert_eq!(check_out(&place, config, stamps.clone()).await, Outcome::Success);
        assert_eq!(read(&place, &format!("src/{codebase}/a")).as_deref(), Some(codebase));
    }
    assert_eq!(place.property("got_revision"), Some(json!({"app": in_app, "core": in_core})));
}

#[tokio::test]
async fn what_does_not_exist_fails_with_a_sentence() {
    let place = Place::new();
    let (repository, ..) = repository(&place);
    let missing = "0123456789012345678901234567890123456789";
    for (stamp, word) in [
        (on(&repository, Some("no-such"), None), "refs/heads/no-such"),
        (on(&repository, Some("main"), Some(missing)), missing),
        (on(&repository, None, Some("v99")), "v99"),
        (stamp("/no/such/repository.git"), "/no/such/repository.git"),
    ] {
        assert_eq!(check_out(&place, json!({}), vec![stamp]).await, Outcome::Failure);
        assert!(place.summary().contains(word), "{}", place.summary());
    }
    assert_eq!(place.property("got_revision"), None);
}

#[tokio::test]
async fn a_shallow_checkout_has_no_history_and_can_move_on() {
    let place = Place::new();
    let (repository, one, two, _) = repository(&place);
    for revision in [&two, &one] {
        assert_eq!(
            check_out(&place, json!({"depth": 1}), vec![on(&repository, None, Some(revision))]).await,
            Outcome::Success
        );
        assert_eq!(place.property("got_revision"), Some(json!(revision)));
    }
    assert_eq!(crate::around::repository::run(&place.work(), &["rev-list", "--count", &two]), "1");
}

#[tokio::test]
async fn submodules_are_checked_out_and_follow() {
    let place = Place::new();
    let library = Repository::new(&place, "library");
    library.commit("one", &[("l", "1")]);
    library.push();
    let repository = Repository::new(&place, "app");
    repository.git(&["submodule", "--quiet", "add", library.address(), "lib"]);
    let first = repository.commit("with library", &[("a", "1")]);
    library.commit("two", &[("l", "2")]);
    library.push();
    repository.git(&["-C", "lib", "fetch", "--quiet", "origin"]);
    repository.git(&["-C", "lib", "checkout", "--quiet", "origin/main"]);
    let second = repository.commit("newer library", &[]);
    repository.push();
    for (revision, content) in [(&first, "1"), (&second, "2"), (&first, "1")] {
        let config = json!({"submodules": true, "mode": "full"});
        let outcome = check_out(&place, config, vec![on(&repository, None, Some(revision))]).await;
        assert_eq!(outcome, Outcome::Success, "{} {}", place.summary(), place.log("stdio"));
        assert_eq!(read(&place, "lib/l").as_deref(), Some(content));
    }
}

fn patch(body: &str, subdirectory: &str) -> Option<Patch> {
    Some(Patch {
        level: 1,
        body: body.as_bytes().to_vec(),
        subdirectory: subdirectory.to_owned(),
        author: "Cid".to_owned(),
        comment: String::new(),
    })
}

#[tokio::test]
async fn a6_09_a_patch_is_applied_and_one_that_does_not_fit_fails_with_its_text() {
    let place = Place::new();
    let repository = Repository::new(&place, "app");
    repository.commit("one", &[("sub/a", "old\n")]);
    repository.push();
    let diff = "--- a/a\n+++ b/a\n@@ -1 +1 @@\n-old\n+new\n";
    let fits = SourceStamp { patch: patch(diff, "sub"), ..on(&repository, Some("main"), None) };
    assert_eq!(check_out(&place, json!({}), vec![fits]).await, Outcome::Success, "{}", place.log("stdio"));
    assert_eq!(read(&place, "sub/a").as_deref(), Some("new\n"));
    let misfit =
        SourceStamp { patch: patch(&diff.replace("-old", "-other"), "sub"), ..on(&repository, Some("main"), None) };
    assert_eq!(check_out(&place, json!({}), vec![misfit]).await, Outcome::Failure);
    assert!(place.summary().starts_with("the patch does not apply"), "{}", place.summary());
    assert!(place.log("stdio").contains("patch failed"), "{}", place.log("stdio"));
}

#[tokio::test]
async fn a6_09_a_file_that_a_patch_adds_is_gone_in_the_next_build() {
    let place = Place::new();
    let repository = Repository::new(&place, "app");
    repository.commit("one", &[("a", "1")]);
    repository.push();
    let diff = "diff --git a/new b/new\nnew file mode 100644\n--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+x\n";
    let patched = || SourceStamp { patch: patch(diff, ""), ..on(&repository, Some("main"), None) };
    for round in ["first", "second"] {
        assert_eq!(
            check_out(&place, json!({}), vec![patched()]).await,
            Outcome::Success,
            "{round}: {}",
            place.log("stdio")
        );
        assert_eq!(read(&place, "new").as_deref(), Some("x\n"));
    }
    let stamps = vec![on(&repository, Some("main"), None)];
    assert_eq!(check_out(&place, json!({}), stamps).await, Outcome::Success);
    assert_eq!(read(&place, "new"), None);
}

#[tokio::test]
async fn attack_13_a_patch_does_not_leave_the_checkout() {
    let place = Place::new();
    let repository = Repository::new(&place, "app");
    repository.commit("one", &[("a", "1")]);
    repository.push();
    for diff in [
        "--- /dev/null\n+++ b/../planted\n@@ -0,0 +1 @@\n+x\n",
        "--- /dev/null\n+++ b/.git/hooks/post-checkout\n@@ -0,0 +1 @@\n+x\n",
        "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+..\n\\ No newline at end of file\n\
         diff --git a/l/planted b/l/planted\nnew file mode 100644\n--- /dev/null\n+++ b/l/planted\n@@ -0,0 +1 @@\n+x\n",
    ] {
        let stamps = vec![SourceStamp { patch: patch(diff, ""), ..on(&repository, Some("main"), None) }];
        assert_eq!(check_out(&place, json!({}), stamps).await, Outcome::Failure, "{diff}");
        assert!(!place.path().join("planted").exists() && !place.work().join(".git/hooks/post-checkout").exists());
    }
}

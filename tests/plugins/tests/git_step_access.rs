//! What the step `git` does not let happen: programs planted in a checkout, credentials left behind, names as options.

use crate::around::Place;
use crate::around::http::{Answer, Received, Server};
use crate::around::repository::{Repository, run};
use crate::git_step::{check_out, on, stamp};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use stampmill_runtime::{BuildFacts, Outcome, PluginErrorKind, SourceStamp};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

const TOKEN: &str = "tok-3n/+secret";

fn base(place: &Place) -> Repository {
    let repository = Repository::new(place, "app");
    repository.commit("one", &[("a", "1")]);
    repository.push();
    repository
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![directory.to_path_buf()];
    while let Some(next) = directories.pop() {
        for entry in std::fs::read_dir(next).expect("a directory") {
            let entry = entry.expect("an entry");
            match entry.file_type().expect("a type").is_dir() {
                true => directories.push(entry.path()),
                false => found.push(entry.path()),
            }
        }
    }
    found
}

/// Attack 3: whatever an earlier build wrote into `.git`, the next checkout runs none of it.
#[tokio::test]
async fn attack_3_programs_that_an_earlier_build_planted_do_not_run() {
    let place = Place::new();
    let repository = base(&place);
    assert_eq!(check_out(&place, json!({}), vec![on(&repository, None, None)]).await, Outcome::Success);
    let planted = place.path().join("planted");
    let program = place.path().join("program.sh");
    std::fs::write(&program, format!("#!/bin/sh\ntouch {}\ncat\n", planted.display())).expect("a file");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("permissions");
    let git_directory = place.work().join(".git");
    let config = format!(
        "[core]\n\trepositoryformatversion = 0\n\tfsmonitor = {0}\n\thooksPath = {1}\n\tsshCommand = {0}\n\tpager = {0}\n\tworktree = {1}\n\
         [filter \"x\"]\n\tsmudge = {0}\n\tclean = {0}\n\trequired = true\n[uploadpack]\n\tpackObjectsHook = {0}\n\
         [url \"ext::{0} %S \"]\n\tinsteadOf = /\n[alias]\n\tcheckout = !{0}\n",
        program.display(),
        place.path().display()
    );
    for name in ["config", "stampmill-gitconfig", "config.worktree"] {
        std::fs::write(git_directory.join(name), &config).expect("a file");
    }
    std::fs::create_dir_all(git_directory.join("hooks")).expect("a directory");
    std::fs::create_dir_all(git_directory.join("info")).expect("a directory");
    for hook in ["post-checkout", "reference-transaction", "post-index-change"] {
        std::fs::copy(&program, git_directory.join("hooks").join(hook)).expect("a copy");
    }
    std::fs::write(git_directory.join("info/attributes"), "* filter=x\n").expect("a file");
    std::fs::create_dir_all(git_directory.join("refs/stampmill")).expect("a directory");
    for lock in ["index.lock", "refs/stampmill/checkout.lock"] {
        std::fs::write(git_directory.join(lock), "").expect("a file");
    }
    repository.commit("two", &[("a", "2"), (".gitattributes", "* filter=x\n")]);
    repository.push();
    let outcome = check_out(&place, json!({}), vec![on(&repository, None, None)]).await;
    assert_eq!(outcome, Outcome::Success, "{} {}", place.summary(), place.log("stdio"));
    assert_eq!(std::fs::read_to_string(place.work().join("a")).expect("it is checked out"), "2");
    assert!(!planted.exists());
}

#[tokio::test]
async fn a_git_directory_that_is_a_link_or_a_file_is_replaced() {
    let place = Place::new();
    let repository = base(&place);
    let elsewhere = place.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).expect("a directory");
    symlink(&elsewhere, place.work().join(".git")).expect("a link");
    assert_eq!(check_out(&place, json!({}), vec![on(&repository, None, None)]).await, Outcome::Success);
    assert!(place.work().join(".git").symlink_metadata().expect("it is there").is_dir());
    assert_eq!(std::fs::read_dir(&elsewhere).expect("a directory").count(), 0);
    std::fs::remove_dir_all(place.work().join(".git")).expect("it can be removed");
    std::fs::write(place.work().join(".git"), format!("gitdir: {}\n", repository.bare().display())).expect("a file");
    assert_eq!(check_out(&place, json!({}), vec![on(&repository, None, None)]).await, Outcome::Success);
    assert!(place.work().join(".git").is_dir());
}

#[tokio::test]
async fn a_broken_checkout_is_thrown_away_and_made_again() {
    let place = Place::new();
    let repository = base(&place);
    assert_eq!(check_out(&place, json!({}), vec![on(&repository, None, None)]).await, Outcome::Success);
    std::fs::write(place.work().join(".git/index"), "not an index").expect("a file");
    std::fs::write(place.work().join("marker"), "x").expect("a file");
    let outcome = check_out(&place, json!({}), vec![on(&repository, None, None)]).await;
    assert_eq!(outcome, Outcome::Success, "{} {}", place.summary(), place.log("stdio"));
    assert!(!place.work().join("marker").exists());
}

/// Serves a bare repository's files, as any web server can, to whoever has the token.
async fn serve(bare: PathBuf) -> Server {
    run(&bare, &["update-server-info"]);
    let expected = format!("Basic {}", STANDARD.encode(format!("bot:{TOKEN}")));
    Server::start(move |request: &Received| {
        if request.headers.get("authorization") != Some(&expected) {
            return Answer {
                headers: vec![("www-authenticate", "Basic realm=\"git\"".to_owned())],
                ..Answer::status(401)
            };
        }
        let path = request.path.split('?').next().unwrap_or_default().trim_start_matches("/app.git/");
        match std::fs::read(bare.join(path)) {
            Ok(body) => Answer { body, ..Answer::status(200) },
            Err(_) => Answer::status(404),
        }
    })
    .await
}

/// Attack 4: a credential is in no file, no argument and no log after the checkout.
#[tokio::test(flavor = "multi_thread")]
async fn attack_4_after_the_checkout_the_token_is_nowhere() {
    let place = Place::new();
    let repository = base(&place);
    let head = repository.head();
    let server = serve(repository.bare().to_path_buf()).await;
    place.set_secret("forge-token", TOKEN);
    let address = format!("{}/app.git", server.origin());
    let config = json!({"credential": {"user": "bot", "secret": "forge-token"}});
    for revision in [None, Some(head.clone())] {
        let stamps = vec![SourceStamp { revision, ..stamp(&address) }];
        let outcome = check_out(&place, config.clone(), stamps).await;
        assert_eq!(outcome, Outcome::Success, "{} {}", place.summary(), place.log("stdio"));
    }
    assert_eq!(place.property("got_revision"), Some(json!(head)));
    assert!(place.started().iter().flatten().all(|argument| !argument.contains(TOKEN)));
    assert!(!place.log("stdio").contains(TOKEN));
    for file in files_below(place.path()) {
        let bytes = std::fs::read(&file).unwrap_or_default();
        let holds = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(!holds(TOKEN) && !holds(&STANDARD.encode(format!("bot:{TOKEN}"))), "{}", file.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_or_missing_credential_fails_without_asking_and_without_telling() {
    let place = Place::new();
    let repository = base(&place);
    let server = serve(repository.bare().to_path_buf()).await;
    place.set_secret("forge-token", "wr0ng-token");
    let stamps = vec![stamp(&format!("{}/app.git", server.origin()))];
    for config in [json!({}), json!({"credential": {"user": "bot", "secret": "forge-token"}})] {
        assert_eq!(check_out(&place, config, stamps.clone()).await, Outcome::Failure);
        assert!(!place.summary().contains("wr0ng") && !place.log("stdio").contains("wr0ng"), "{}", place.summary());
    }
}

#[tokio::test]
async fn attack_7_a_stamp_cannot_pass_options_or_programs() {
    let place = Place::new();
    let repository = base(&place);
    let evil = [
        on(&repository, Some("--upload-pack=touch planted"), None),
        on(&repository, Some("main"), Some("--output=planted")),
        stamp("ext::sh -c touch% planted"),
        stamp("--upload-pack=touch planted"),
        stamp("ssh://-oProxyCommand=touch/planted"),
    ];
    for stamp in evil {
        place.set_facts(BuildFacts { stamps: vec![stamp.clone()], ..BuildFacts::default() });
        let mut step = place.start("git", json!({}), json!({"command": ["git"]})).await.expect("the step starts");
        let error = step.run().await.expect_err("it is refused");
        assert!(matches!(&*error.kind, PluginErrorKind::Fault(_)), "{stamp:?}: {error}");
    }
    assert!(place.started().is_empty(), "{:?}", place.started());
}

#[tokio::test]
async fn attack_7_a_branch_with_shell_text_is_a_branch() {
    let place = Place::new();
    let repository = base(&place);
    let branch = "$(touch${IFS}planted)`touch${IFS}planted`";
    repository.git(&["branch", branch]);
    repository.push();
    assert_eq!(check_out(&place, json!({}), vec![on(&repository, Some(branch), None)]).await, Outcome::Success);
    assert!(files_below(place.path()).iter().all(|file| !file.ends_with("planted")));
}

/// A submodule of a local repository may be anywhere; of a remote one it may not be a path of this machine.
#[tokio::test(flavor = "multi_thread")]
async fn a_remote_repository_cannot_reach_local_paths_by_submodules() {
    let place = Place::new();
    let private = Repository::new(&place, "private");
    private.commit("private", &[("secret.txt", "x")]);
    private.push();
    // Ours, so that nothing but the protocol stands in the way.
    chown(private.bare(), Some(nix::unistd::geteuid().as_raw()), None).expect("it is given back");
    let repository = base(&place);
    repository.git(&["submodule", "--quiet", "add", private.address(), "lib"]);
    repository.commit("with library", &[]);
    repository.push();
    let server = serve(repository.bare().to_path_buf()).await;
    place.set_secret("forge-token", TOKEN);
    let config = json!({"submodules": true, "credential": {"user": "bot", "secret": "forge-token"}});
    assert_eq!(check_out(&place, config, vec![stamp(&format!("{}/app.git", server.origin()))]).await, Outcome::Failure);
    assert!(!place.work().join("lib/secret.txt").exists());
    assert!(place.log("stdio").contains("transport 'file' not allowed"), "{}", place.log("stdio"));
}

//! `init` on repositories as they are.

use std::path::Path;

use crate::cli::arguments::InitArgs;
use crate::cli::init;
use crate::starter::Toolchain;

/// A git directory as far as `init` looks.
fn git_directory(path: &Path, branch: &str) {
    std::fs::create_dir_all(path.join("objects")).unwrap();
    std::fs::write(path.join("HEAD"), format!("ref: refs/heads/{branch}\n")).unwrap();
}

#[test]
fn a_work_tree_is_found_from_within_with_its_branch_and_toolchain() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap().join("my app");
    git_directory(&root.join(".git"), "topic/x");
    std::fs::create_dir_all(root.join("src")).unwrap();
    std::fs::write(root.join("Makefile"), "all:\n").unwrap();
    let project = init::project(root.join("src").to_str().unwrap(), None).unwrap();
    assert_eq!(project.repository, root.to_str().unwrap());
    assert_eq!(
        (project.name.as_str(), project.branch.as_str(), project.toolchain),
        ("my-app", "topic/x", Toolchain::Make)
    );
    assert_eq!(project.access, format!("read = [{:?}]", root.to_str().unwrap()));
}

#[test]
fn a_linked_work_tree_is_granted_the_repository_that_it_belongs_to() {
    let dir = tempfile::tempdir().unwrap();
    let top = dir.path().canonicalize().unwrap();
    git_directory(&top.join("main/.git"), "main");
    let linked = top.join("main/.git/worktrees/side");
    std::fs::create_dir_all(&linked).unwrap();
    std::fs::write(linked.join("HEAD"), "ref: refs/heads/side\n").unwrap();
    std::fs::write(linked.join("commondir"), "../..\n").unwrap();
    std::fs::create_dir_all(top.join("side")).unwrap();
    std::fs::write(top.join("side/.git"), format!("gitdir: {}\n", linked.display())).unwrap();
    let project = init::project(top.join("side").to_str().unwrap(), None).unwrap();
    assert_eq!(project.branch, "side");
    assert!(project.access.contains(&format!("{:?}", top.join("main/.git"))), "{}", project.access);
}

#[test]
fn a_bare_repository_and_addresses_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let bare = dir.path().canonicalize().unwrap().join("app.git");
    git_directory(&bare, "trunk");
    let project = init::project(bare.to_str().unwrap(), None).unwrap();
    assert_eq!((project.name.as_str(), project.branch.as_str()), ("app", "trunk"));

    for (address, name, access) in [
        ("https://git.example/team/app.git", "app", "net = [\"git.example:443\"]"),
        ("https://user@git.example:8443/app", "app", "net = [\"git.example:8443\"]"),
        ("ssh://git@git.example/app.git", "app", "net = [\"git.example:22\"]"),
        ("git@git.example:team/app.git", "app", "net = [\"git.example:22\"]"),
    ] {
        let project = init::project(address, None).unwrap();
        assert_eq!((project.name.as_str(), project.access.as_str()), (name, access), "{address}");
        assert_eq!((project.repository.as_str(), project.branch.as_str()), (address, "main"));
    }
}

#[test]
fn a_directory_without_a_repository_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let error = init::project(dir.path().to_str().unwrap(), None).unwrap_err().to_string();
    assert!(error.contains("is in no git repository") && error.contains("git init"), "{error}");
    let error = init::project("/there/is/nothing", None).unwrap_err().to_string();
    assert!(error.contains("can't be found"), "{error}");
}

#[test]
fn a_configuration_that_is_there_is_never_touched() {
    let dir = tempfile::tempdir().unwrap();
    git_directory(&dir.path().join(".git"), "main");
    let config = dir.path().join("stampmill.toml");
    let args =
        || InitArgs { repository: dir.path().to_str().unwrap().to_owned(), branch: None, config: config.clone() };
    init::run(&args()).unwrap();
    assert!(crate::config::load(&config).is_ok());
    std::fs::write(&config, "mine").unwrap();
    let error = init::run(&args()).unwrap_err().to_string();
    assert!(error.contains("is there already"), "{error}");
    assert_eq!(std::fs::read_to_string(&config).unwrap(), "mine");
}

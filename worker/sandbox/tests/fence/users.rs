//! Everything once more as somebody else.

use crate::run::{is_root, program};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// `nobody`: an ordinary user that every machine has.
const NOBODY: u32 = 65534;

#[test]
fn all_of_it_holds_for_an_ordinary_user_too() {
    if !is_root() {
        println!("skipped: the tests run as an ordinary user already; the half for root was not tried");
        return;
    }
    // Where nobody can reach them, whatever the target directory's permissions are.
    let place = tempfile::tempdir().expect("a directory");
    let open = || fs::Permissions::from_mode(0o755);
    fs::set_permissions(place.path(), open()).expect("mode");
    let copy = |from: &std::path::Path, name: &str| {
        let to = place.path().join(name);
        fs::copy(from, &to).expect("copied");
        fs::set_permissions(&to, open()).expect("mode");
        to
    };
    let tests = copy(&std::env::current_exe().expect("a path"), "tests");
    let helper = copy(&program(), "helper");
    let output = Command::new(tests)
        .args(["--test-threads", "2"])
        .env("SANDBOX_TEST_PROGRAM", helper)
        .current_dir(place.path())
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .expect("started");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains("running 0 tests"), "{said}");
}

//! Builds the guest programs as components, and fails when one of them is used by no test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const TARGET: &str = "wasm32-unknown-unknown";

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let root = here.join("../..");
    for input in ["build.rs", "programs", "tests", "../../wit/worlds.wit", "../../wit/deps", "../../.cargo/config.toml"]
    {
        println!("cargo::rerun-if-changed={input}");
    }
    let guests = names(&here.join("programs"));
    let tests: String =
        files(&here.join("tests")).iter().map(|path| fs::read_to_string(path).expect("a test is text")).collect();
    // A directory of its own: the outer build holds the lock of the usual one. One for all builds, so that clippy and test share it.
    let target = root.join("target/guests");
    stampmill_guest_build::ensure_target().unwrap_or_else(|error| panic!("{error}"));
    build(&root, &target);
    let mut constants = String::new();
    for name in &guests {
        let constant = name.to_uppercase();
        assert!(
            tests.contains(&format!("stampmill_guests::{constant}")),
            "the guest program {name} is named by no test: use it or remove it"
        );
        let path = target.join(TARGET).join("guest/examples").join(format!("{name}.wasm"));
        println!("cargo::rerun-if-changed={}", path.display());
        constants += &format!(
            "/// The component of `programs/{name}.rs`.\npub static {constant}: &[u8] = include_bytes!({path:?});\n"
        );
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("guests.rs");
    fs::write(out, constants).expect("the output directory is writable");
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("the directory is part of this package");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("the directory is readable").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files.sort();
    files
}

fn names(programs: &Path) -> Vec<String> {
    files(programs).iter().filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect()
}

fn build(root: &Path, target: &Path) {
    let cargo = env::var_os("CARGO").expect("cargo sets it");
    let mut command = Command::new(cargo);
    command
        .current_dir(root)
        .args([
            "build",
            "--quiet",
            "--package",
            "stampmill-guest-programs",
            "--examples",
            "--profile",
            "guest",
            "--target",
            TARGET,
        ])
        .arg("--target-dir")
        .arg(target);
    // What the outer cargo set for the outer build.
    for name in [
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTFLAGS",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_TARGET_DIR",
        "CARGO_BUILD_TARGET",
        "CARGO_MAKEFLAGS",
        "MAKEFLAGS",
    ] {
        command.env_remove(name);
    }
    let status = command.status().expect("cargo starts");
    assert!(status.success(), "the guest programs do not build");
}

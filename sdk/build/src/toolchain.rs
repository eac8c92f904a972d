//! The compiler's WebAssembly target: installed if it is missing.

use crate::{GuestBuildError, variable};
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// Adds the target with rustup unless the compiler in use has it.
///
/// `rust-toolchain.toml` names the target, but rustup fetches it only where automatic installation is on.
pub(crate) fn ensure_target(target: &str) -> Result<(), GuestBuildError> {
    ensure(variable("RUSTC")?.as_ref(), "rustup".as_ref(), target)
}

fn ensure(rustc: &OsStr, rustup: &OsStr, target: &str) -> Result<(), GuestBuildError> {
    if has_target(rustc, target)? {
        return Ok(());
    }
    println!("cargo::warning=adding the {target} target to this toolchain (rustup target add {target})");
    let added = Command::new(rustup).args(["target", "add", target]).output();
    let said = match added {
        Ok(output) if output.status.success() && has_target(rustc, target)? => return Ok(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => format!("rustup: {error}"),
    };
    Err(GuestBuildError(format!(
        "plugins are compiled to WebAssembly, and this Rust toolchain has no {target} target.\n\
         Adding it failed: {said}\n\
         With rustup, type: rustup target add {target}\n\
         Without it, install your system's package of Rust's standard library for WebAssembly."
    )))
}

fn has_target(rustc: &OsStr, target: &str) -> Result<bool, GuestBuildError> {
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", target])
        .output()
        .map_err(|error| GuestBuildError(format!("rustc: {error}")))?;
    let directory = String::from_utf8_lossy(&output.stdout);
    let holds_std = |entries: std::fs::ReadDir| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
    };
    Ok(output.status.success() && std::fs::read_dir(Path::new(directory.trim())).is_ok_and(holds_std))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    /// A compiler whose target directory is `lib` here, and a rustup that does this.
    fn toolchain(rustup: &str) -> (tempfile::TempDir, PathBuf, PathBuf) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let lib = directory.path().join("lib");
        let script = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\nlib={}\n{text}\n", lib.display())).expect("a file");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("permissions");
            path
        };
        let (rustc, rustup) = (script("rustc", "echo \"$lib\""), script("rustup", rustup));
        (directory, rustc, rustup)
    }

    /// One test: while one thread writes a program, another that starts one would keep it from being started.
    #[test]
    fn a_missing_target_is_added_once_and_where_that_fails_the_error_says_what_to_type() {
        let add = "test \"$*\" = 'target add wasm32-unknown-unknown' && mkdir \"$lib\" && touch \"$lib/libstd-1.rlib\"";
        let (_directory, rustc, rustup) = toolchain(add);
        ensure(rustc.as_ref(), rustup.as_ref(), "wasm32-unknown-unknown").expect("it is added");
        // A second `mkdir` would fail.
        ensure(rustc.as_ref(), rustup.as_ref(), "wasm32-unknown-unknown").expect("it is there");
        for rustup in ["echo 'no network' >&2; exit 1", "exit 0"] {
            let (_directory, rustc, rustup) = toolchain(rustup);
            let error = ensure(rustc.as_ref(), rustup.as_ref(), "wasm32-unknown-unknown")
                .expect_err("it is not there")
                .to_string();
            assert!(error.contains("type: rustup target add wasm32-unknown-unknown"), "{error}");
        }
        let (_directory, rustc, _) = toolchain("");
        let error = ensure(rustc.as_ref(), "/no/such/rustup".as_ref(), "wasm32-unknown-unknown")
            .expect_err("no rustup")
            .to_string();
        assert!(error.contains("Without it"), "{error}");
    }
}

//! The compiler's WebAssembly target: installed if it is missing.

use crate::{GuestBuildError, variable};
use std::path::Path;
use std::process::Command;

/// Adds the target with rustup unless the compiler in use has it.
///
/// `rust-toolchain.toml` names the target, but rustup fetches it only where automatic installation is on.
pub(crate) fn ensure_target(target: &str) -> Result<(), GuestBuildError> {
    if has_target(target)? {
        return Ok(());
    }
    println!("cargo::warning=adding the {target} target to this toolchain (rustup target add {target})");
    let added = Command::new("rustup").args(["target", "add", target]).output();
    let said = match added {
        Ok(output) if output.status.success() && has_target(target)? => return Ok(()),
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

fn has_target(target: &str) -> Result<bool, GuestBuildError> {
    let output = Command::new(variable("RUSTC")?)
        .args(["--print", "target-libdir", "--target", target])
        .output()
        .map_err(|error| GuestBuildError(format!("rustc: {error}")))?;
    let directory = String::from_utf8_lossy(&output.stdout);
    let holds_std = |entries: std::fs::ReadDir| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
    };
    Ok(output.status.success() && std::fs::read_dir(Path::new(directory.trim())).is_ok_and(holds_std))
}

//! The component of the plugin under test.

use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-unknown-unknown";

/// Why there is no component.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComponentError {
    /// Cargo could not be started, or its output could not be read.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The plugin does not compile.
    #[error("building the plugin in {directory} failed:\n{said}")]
    Build {
        /// The plugin's directory.
        directory: PathBuf,
        /// Cargo's words.
        said: String,
    },
    /// It compiles to something else.
    #[error("the package in {directory} makes no component: it needs `crate-type = [\"cdylib\"]` under `[lib]`")]
    NotACdylib {
        /// The plugin's directory.
        directory: PathBuf,
    },
}

/// Builds the plugin whose `Cargo.toml` is in this directory (`env!("CARGO_MANIFEST_DIR")` in a test of its own) and reads its component.
///
/// Cargo builds into its usual target directory and does nothing when nothing changed.
pub fn component(directory: impl AsRef<Path>) -> Result<Vec<u8>, ComponentError> {
    let directory = directory.as_ref();
    let io = |what: &str| {
        let what = what.to_owned();
        move |source| ComponentError::Io { what, source }
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(directory)
        .args(["build", "--quiet", "--release", "--lib", "--target", TARGET, "--message-format", "json"])
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .map_err(io("cargo"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(ComponentError::Build { directory: directory.to_owned(), said });
    }
    let made = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(made_component)
        .next_back()
        .ok_or_else(|| ComponentError::NotACdylib { directory: directory.to_owned() })?;
    std::fs::read(&made).map_err(io(&made))
}

/// The `.wasm` file in one of cargo's messages.
fn made_component(message: &str) -> Option<String> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let files = message.get("filenames")?.as_array()?;
    files.iter().filter_map(serde_json::Value::as_str).find(|name| name.ends_with(".wasm")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_component_is_found_in_cargos_messages() {
        let message = r#"{"reason":"compiler-artifact","filenames":["/t/libx.rlib","/t/x.wasm"]}"#;
        assert_eq!(made_component(message).as_deref(), Some("/t/x.wasm"));
        assert_eq!(made_component(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(made_component("not json"), None);
    }

    #[test]
    fn a_directory_without_a_package_is_an_error_with_cargos_words() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let error = component(directory.path()).expect_err("there is nothing to build").to_string();
        assert!(error.contains("Cargo.toml"), "{error}");
    }
}

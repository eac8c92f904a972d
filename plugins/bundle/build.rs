//! Compiles the first-party plugins; see `stampmill-guest-build`.

use stampmill_guest_build::{GuestBuildError, build, write_table};
use std::path::Path;
use std::process::ExitCode;

const PREFIX: &str = "stampmill-plugin-";

/// In the order in which data flows.
const PLUGINS: [&str; 13] = [
    "stampmill-plugin-git-poller",
    "stampmill-plugin-hook",
    "stampmill-plugin-github-hook",
    "stampmill-plugin-repository-map",
    "stampmill-plugin-path-filter",
    "stampmill-plugin-change-filter",
    "stampmill-plugin-merge-by-property",
    "stampmill-plugin-git",
    "stampmill-plugin-shell",
    "stampmill-plugin-set-property",
    "stampmill-plugin-trigger",
    "stampmill-plugin-webhook",
    "stampmill-plugin-signed-webhook",
];

fn main() -> ExitCode {
    match bundle() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn bundle() -> Result<(), GuestBuildError> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let guests = build(&workspace, &PLUGINS)?;
    write_table(&guests, PREFIX, "Bundled { name: {name}, bytes: {bytes} }", "plugins.rs")
}

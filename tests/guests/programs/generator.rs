//! A codebase generator: the last part of the repository's path.
#![cfg(target_arch = "wasm32")]

wit_bindgen::generate!({
    path: "../../../wit",
    world: "stampmill:plugin/codebase-generator",
    generate_all,
});

use exports::stampmill::codebase::generator;
use exports::stampmill::plugin::configurable;
use stampmill::types::types::{Fault, SeenChange};

struct Guest;

impl configurable::Guest for Guest {
    fn configure(_config: String) -> Result<(), Fault> {
        Ok(())
    }
}

impl generator::Guest for Guest {
    fn codebase_of(change: SeenChange) -> Result<Option<String>, Fault> {
        let last = change.repository.rsplit('/').next().unwrap_or_default();
        Ok(last.strip_suffix(".git").map(str::to_owned))
    }
}

export!(Guest);

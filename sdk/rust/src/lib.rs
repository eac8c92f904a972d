//! Write Stampmill plugins in Rust.
//!
//! This crate holds no host: it neither loads nor runs a component. It gives a plugin's author a trait per kind of plugin, typed
//! configuration, the host's capabilities as ordinary Rust, and the manifest. A plugin is three files:
//!
//! `Cargo.toml`: a library of `crate-type = ["cdylib"]` with `stampmill-sdk`, `serde` and `schemars` under `[dependencies]` **and** under
//! `[build-dependencies]`.
//!
//! `src/config.rs`: the type of its configuration. It is compiled twice, into the plugin and into the build script.
//!
//! ```
//! # use stampmill_sdk::schemars; // the plugin's own dependency otherwise
//! /// What the operator writes as `config = { … }`.
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! #[serde(rename_all = "kebab-case", deny_unknown_fields)]
//! pub struct Config {
//!     /// The suffix that makes a change important.
//!     pub suffix: String,
//! }
//! ```
//!
//! `build.rs`: writes the manifest, from which `register!` makes a custom section of the component.
//!
//! ```ignore
//! #[path = "src/config.rs"]
//! mod config;
//!
//! fn main() {
//!     stampmill_sdk::manifest::Manifest::new("by-suffix", stampmill_sdk::manifest::Kind::SchedulerFilter)
//!         .example::<config::Config>("C sources", r#"{"suffix": ".c"}"#)
//!         .write::<config::Config>();
//! }
//! ```
//!
//! `src/lib.rs`: the plugin.
//!
//! ```ignore
//! use stampmill_sdk::{Change, Fault, Judgement, Plugin, SchedulerFilter};
//!
//! mod config;
//!
//! pub struct BySuffix(config::Config);
//!
//! impl Plugin for BySuffix {
//!     type Config = config::Config;
//!     fn new(config: Self::Config) -> Result<Self, Fault> {
//!         Ok(BySuffix(config))
//!     }
//! }
//!
//! impl SchedulerFilter for BySuffix {
//!     fn judge(&self, change: &Change) -> Result<Judgement, Fault> {
//!         match change.seen.files.iter().find(|name| name.ends_with(&self.0.suffix)) {
//!             Some(name) => Ok(Judgement::important(format!("{name} ends with {}", self.0.suffix))),
//!             None => Ok(Judgement::unimportant(format!("no file ends with {}", self.0.suffix))),
//!         }
//!     }
//! }
//!
//! stampmill_sdk::register!(scheduler-filter: BySuffix);
//! ```
//!
//! `cargo build --target wasm32-unknown-unknown` with `wasm-component-ld` as the linker gives the finished package; `cargo test` runs the
//! plugin's logic natively. A component imports exactly the capabilities whose functions it calls; the manifest must ask for the same.

mod bindings;
mod fault;
mod kinds;
mod records;
mod register;

pub mod config;
pub mod event;
pub mod git;
#[cfg(not(target_arch = "wasm32"))]
pub mod manifest;
#[cfg(feature = "signature")]
pub mod signature;

// Capabilities, one module each.
pub mod command;
pub mod http;
pub mod log;
pub mod logs;
pub mod properties;
pub mod running_build;
pub mod secret;
pub mod state;
pub mod trigger;
pub mod workspace;

pub use fault::Fault;
pub use kinds::{ChangeHook, ChangePoller, CodebaseGenerator, Merge, Plugin, Reporter, SchedulerFilter, Step};
pub use records::{
    Build, BuildStep, Buildset, Change, HookReply, HookRequest, Judgement, Occasion, Outcome, Patch, Polled, Request,
    SeenChange, Setting, SourceStamp, Verdict, WantedSource, outcome_word,
};
pub use {schemars, serde, serde_json};

#[doc(hidden)]
pub mod private {
    //! What the code made by `register!` needs; nothing for authors.
    pub use crate::bindings::{
        change_hook, change_poller, codebase_generator, merge, plugin, reporter, scheduler_filter, step,
    };
    pub use crate::bindings::{
        export_change_hook, export_change_poller, export_codebase_generator, export_merge, export_plugin,
        export_reporter, export_scheduler_filter, export_step,
    };
    pub use crate::register::Registered;
}

//! Runs plugins. This crate does not decide when a plugin is asked or what follows from its answer, starts no program, and knows neither host
//! nor worker: what a capability needs from its surroundings is a trait that they implement.
//!
//! A component comes in as bytes. It is *inspected* (manifest, real imports and exports, and whether they agree), *compiled* or mapped from
//! the cache, and becomes a [`Plugin`]. A [`Use`] of it brings configuration, [`Grant`], limits and [`Surroundings`]; it is *checked* and
//! *started* as an [`Instance`], with memory of its own. Each call of the instance ends in an answer or in a [`PluginError`] that names the
//! plugin, the function and the limit or trap.
//!
//! ```text
//! bytes → inspect → compile | cache → Plugin → check → start → Instance → call → answer
//!          contract                    config   grant           host/* ⇄ surroundings
//! ```
//!
//! Two locks are on every capability: an interface that the manifest doesn't list is not linked at all, and each call is held against the
//! grant with its argument.

pub mod limits;

mod digest;
mod manifest;

mod contract;
mod inspect;

mod cache;
mod runtime;

pub mod egress;

mod config;
mod grant;
mod plugin;

mod records;
mod surroundings;
mod tree;

mod bindings;
mod convert;
mod error;
mod host;
mod instance;

pub use config::ConfigProblem;
pub use digest::{Digest, DigestError};
pub use error::{Clock, PluginError, PluginErrorKind, Refusal};
pub use grant::{Grant, canonical_origin};
pub use inspect::{Inspection, LoadError, inspect};
pub use instance::Instance;
pub use limits::GuestLimits;
pub use manifest::{Kind, MANIFEST_SECTION, Manifest, ManifestError, NAMES_KEYWORD, Permission, UnknownName};
pub use plugin::{Plugin, Use};
pub use records::{
    BuildFacts, BuildsetFacts, Change, Fault, HookReply, HookRequest, Judgement, Occasion, Outcome, Patch, Polled,
    Request, SeenChange, Setting, SourceStamp, StepFacts, Verdict, WantedSource,
};
pub use runtime::{Runtime, RuntimeError, RuntimeOptions};
pub use surroundings::{
    CommandSpec, End, Finished, LogLevel, LogWriter, Logs, PluginLog, Process, ProcessEvent, Processes, Properties,
    RunningBuild, Secrets, Sink, StateStore, StateUsage, StopWith, Surroundings, TriggerSpec, TriggerVersion,
    Triggered, Triggers,
};
pub use tree::{empty_tree, remove_tree};

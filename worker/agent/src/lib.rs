//! The worker: it dials its host, takes builds, runs their steps, and hands in what happened. It never listens, never decides which build comes
//! next, and grants nothing: it can only allow less than the host does.
//!
//! ```text
//!            ┌──────────────────────────── Agent ────────────────────────────┐
//!   host ◀──▶│ connection ◀── journal (on disk) ◀── build ── job::Runner      │
//!            │     │                       ▲           │                      │
//!            │     └── components            └─ logs ─── step ── runtime        │
//!            │                                            └─ command ── sandbox │
//!            └───────────────────────────────────────────────────────────────┘
//! ```
//!
//! A build does not know whether the host is there: it writes into its [`journal`], from which the connection sends whatever the host has not
//! acknowledged.
//!
//! Modules in reading order: [`config`] and [`allow`] are what the operator of the worker says, `info` what the machine gives; `agent` takes
//! builds from the `connection`, or `alone` one build without a host; a `build` drives its `step`s, whose `components`, `workdir`, `logs` (with `mask`) and [`command`]s are one
//! module each; [`convert`] is the border to the protocol's types; [`limits`] holds every limit.

pub mod allow;
pub mod command;
pub mod config;
pub mod convert;
pub mod journal;
pub mod limits;
mod state_lock;

mod agent;
mod alone;
mod build;
mod components;
mod connection;
mod info;
mod logs;
mod mask;
mod step;
mod workdir;

pub use agent::{Agent, AgentError};
pub use allow::Allow;
pub use alone::{Alone, AloneError, Told};
pub use config::{ConfigError, Requirement, WorkerConfig, WorkerLimits};
pub use state_lock::holder;

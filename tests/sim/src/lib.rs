//! The real engine in a simulated world, decided by a seed: workers, plugins, people, clock, disk and network that go wrong in every way that
//! they can. It tests the rules, not the machine: no process, file or socket is involved.
//!
//! ```text
//! seed → dice → configuration ─┐
//!  forge, people, workers ──inputs──→ simulation: Engine::handle → writes → disk → effects ──┐
//!        ▲                                │ each step          crash, refusal              │
//!        │                                ▼                                                │
//!        │                 facts, which the invariants judge                               │
//!        └─────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! In reading order: `dice` decides, `configuration` makes what is configured, `records` is what was written, `disk` what of it is durable,
//! `workers`, `forge` and `people` are the world, `simulation` is one run, `facts` what a watcher knows of it, `invariants` what must hold.

mod configuration;
mod dice;
mod disk;
mod facts;
mod forge;
mod invariants;
mod people;
mod records;
mod simulation;
mod workers;

pub use simulation::{Failure, Work, history, run};

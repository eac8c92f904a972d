//! Every first-party plugin, as the component that the bundle carries, through the real runtime.

mod around;
mod decisions;
mod git_poller;
mod git_step;
mod git_step_access;
mod hooks;
mod manifests;
mod reporters;
mod shell;
mod trigger;

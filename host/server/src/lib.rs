//! The program `stampmill`: host, worker and command line in one. The binary beside this library calls [`main`] and nothing else; the library
//! offers nothing more than that and a look at a configuration's text, so that tests reach it.
//!
//! In reading order: `config` is what the operator wrote; `driver` owns the engine and commits what it decides; `world` runs effects,
//! with `plugins` for components, `gateway` for workers and `secrets` for secrets; `host` shows all of it to the service, `listen` to
//! the network; `serve` puts it together; `cli` is what people type.

mod checking;
mod cli;
mod clock;
mod config;
mod convert;
mod driver;
mod figures;
mod gateway;
mod host;
mod limits;
mod listen;
mod plugins;
mod secrets;
mod serve;
mod shared;
mod starter;
mod world;

use std::process::ExitCode;

pub use config::{Remark, check_text};

/// Runs the program with the arguments of this process.
#[must_use]
pub fn main() -> ExitCode {
    // A sandbox is put up by this same program, before it has threads.
    stampmill_sandbox::enter_if_asked();
    cli::main()
}

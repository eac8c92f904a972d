//! The fence from inside: every promise of the crate, tried by a real command on a real kernel.
//!
//! Started as root, the whole program runs a second time as an ordinary user (`users`).

mod faithful;
mod isolation;
mod limits;
mod network;
mod processes;
mod run;
mod setup;
mod users;

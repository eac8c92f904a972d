//! The fence from inside: every promise of the crate, tried by a real command on a real kernel.
//!
//! The whole program runs a second time with sandboxes made ahead (`ahead`); started as root, each of the two also as an ordinary user (`users`).

mod ahead;
mod faithful;
mod isolation;
mod limits;
mod network;
mod processes;
mod run;
mod setup;
mod users;

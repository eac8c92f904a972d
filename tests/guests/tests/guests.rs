//! The runtime against real components.

mod capabilities;
mod exchanges;
mod fakes;
mod loading;
mod misbehaving;
mod programs;
mod workspaces;

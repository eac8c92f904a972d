//! Drive a plugin in a plain `cargo test`: the real runtime with its limits and grants, and a temporary directory instead of a server.
//!
//! There is no sandbox here: a program that the plugin starts runs as you, with an exact environment, in the temporary directory. That
//! plugins can do no harm is the runtime's and the sandbox's promise and is tested there; this is for what your plugin does.
//!
//! ```no_run
//! use serde_json::json;
//! use stampmill_testing::{Place, component};
//! use stampmill_testing::runtime::Outcome;
//!
//! # async fn test() -> Result<(), Box<dyn std::error::Error>> {
//! let place = Place::new();
//! let bytes = component(env!("CARGO_MANIFEST_DIR"))?;
//! let mut step = place.start(&bytes, json!({"command": ["make"]}), json!({"command": ["make"]})).await?;
//! assert_eq!(step.run().await?, Outcome::Failure);
//! assert_eq!(place.summary(), "make: exit 2");
//! assert!(place.log("stdio").contains("No targets specified"));
//! # Ok(())
//! # }
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | `component` | the plugin's own component, built by cargo |
//! | `place` | where a plugin runs: facts and secrets to give it, logs and properties to look at |
//! | `processes` | programs, started plainly |

mod component;
mod place;
mod processes;

pub use component::{ComponentError, component};
pub use place::{Place, StartError};
pub use stampmill_runtime as runtime;

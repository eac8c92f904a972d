//! What a build does. This crate starts nothing, waits for nothing, reads no clock and no file: whoever drives a build asks a [`Runner`] what
//! comes next, does it, and says how it went. The same answers give the same build.
//!
//! Modules in reading order: [`properties`] are combined by precedence; they and the other [`facts`] of a build are what an [`expression`] in
//! CEL can name; a [`template`] is a step's configuration with expressions in it, and [`shell`] keeps them out of program text; the
//! [`runner`] puts steps in order and combines their results. [`limits`] says how large and deep expressions may be.
//!
//! Expressions know these names:
//!
//! | name | what |
//! | --- | --- |
//! | `props.NAME` | a property, as it is when the step is about to start |
//! | `src.CODEBASE.branch`, `.revision`, `.repository`, `.project` | a source stamp; without codebases also `src.branch` and so on |
//! | `worker.name`, `.cores`, `.os`, `.arch` | the worker |
//! | `build.number`, `.builder`, `.reason`, `.project`, `.attempt`, `.owner` | the build |
//! | `outcome` | the build's outcome so far, such as `"success"` |

pub mod expression;
pub mod facts;
pub mod limits;
pub mod properties;
pub mod runner;
pub mod shell;
pub mod template;

pub use expression::{Expression, ExpressionError, check_expression};
pub use facts::{Facts, WorkerFacts};
pub use runner::{Next, Runner};
pub use template::{TemplateError, check_template, fill};

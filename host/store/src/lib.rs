//! Keeps what the engine writes, and the logs of builds. It decides nothing, knows no configuration, checks no permission and does no
//! network; it never sees a password or a secret in clear.
//!
//! ```text
//! DATA/lock               held by the one process that uses the directory
//! DATA/stampmill.redb     versioned rows and their indexes; one transaction for each batch of writes
//! DATA/stampmill.journal  the batches that the database has not got durably yet
//! DATA/logs/N/ID.log      one append-only file of compressed frames for each build
//! ```
//!
//! Modules in reading order: [`Store`] opens the directory, commits and loads; `commit` applies a batch, which `journal` made durable, `load` gathers the open work,
//! [`Reader`] answers questions page by page; `people` and `accounts` keep who makes changes and who may log in, `state` what plugins have; [`logs`] is for logs. `tables` and
//! `rows` are the format on disk, `convert` the one place between it and the model.

mod accounts;
mod commit;
mod convert;
mod database;
mod disk;
mod error;
mod journal;
pub mod limits;
mod load;
mod lock;
pub mod logs;
mod people;
mod reader;
mod rows;
#[cfg(test)]
mod samples;
mod state;
mod store;
mod tables;

pub use accounts::{Session, Token, TokenKind, User};
pub use disk::{Disk, RealDisk};
pub use error::StoreError;
pub use logs::{LogError, LogFiles};
pub use people::{PersonError, PersonPatch};
pub use reader::{BuildFilter, BuildsIn, BuildsetFilter, ChangeFilter, Page, Reader, RequestFilter};
pub use state::{StateError, StateQuota, StateUsage};
pub use store::{Collected, Store};

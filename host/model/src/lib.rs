//! The words and ids of Stampmill. This crate decides nothing: it does no I/O, reads no clock and holds no state.
//!
//! Modules in reading order, which is the data's order: a [`change`] arrives, names a [`source`], becomes a [`buildset`] of requests, each of
//! which a [`worker`] turns into a [`build`] by running a [`job`], with its [`lock`]s and [`trigger`]s; a [`person`] made it or is concerned.
//! [`ids`], [`time`], [`outcome`], [`property`], [`grant`] and [`halt`] are the words they share.

pub mod build;
pub mod buildset;
pub mod change;
pub mod grant;
pub mod halt;
pub mod ids;
pub mod job;
pub mod limits;
pub mod lock;
pub mod outcome;
pub mod person;
pub mod property;
pub mod source;
pub mod time;
pub mod trigger;
pub mod worker;

pub use build::{
    Build, BuildEvent, BuildState, LogName, Merged, Network, NetworkAttempt, NetworkEnd, NetworkProtocol, ProgramEnd,
    Step, StepState,
};
pub use buildset::{Buildset, BuildsetState, MergeKey, Parent, Request, RequestState};
pub use change::{Change, Decision, SeenChange, Verdict};
pub use grant::{Grant, PluginLimits};
pub use halt::Halt;
pub use ids::{
    BuildId, BuilderName, BuildsetId, ChangeId, ChangeSourceName, LockName, NoticeId, PersonId, ReporterName,
    RequestId, SchedulerName, WorkerName,
};
pub use job::{BuildOrder, Digest, Job, PluginRef, StepPlan};
pub use lock::{HeldLock, LockAccess, LockScope, LockState, LockUse};
pub use outcome::Outcome;
pub use person::{Attribute, AttributeError, AttributeKey, Author, Person, PersonRef, author_key};
pub use property::{Properties, Property, PropertySource};
pub use source::{Patch, SourceStamp, StampChoice};
pub use time::{Milliseconds, Now, Steady, Wall};
pub use trigger::{Trigger, TriggerState, TriggerWish};
pub use worker::{Mechanism, Tier, WorkerInfo};

//! The one door for people and programs: who may ask and see what. It speaks no HTTP and draws no pages (the API and the user interface do),
//! decides nothing about builds (the engine does) and starts nothing (the server does, behind the trait [`Host`]).
//!
//! Modules in reading order: [`host`] is what the door leads to, [`view`] and [`event`] what can be seen there; [`permission`] is the table of
//! who may do what; [`access`], [`identity`], [`password`] and [`secret`] find out who asks; [`Service`] joins it, with [`accounts`] for users
//! and tokens, [`people`] for who makes changes, [`asks`] for what is asked to be done,
//! `operating` for what operators switch, [`queries`] for what is asked to be seen, and [`Watching`] for who goes on looking.

pub mod access;
pub mod accounts;
pub mod asks;
mod diff;
mod door;
pub mod error;
pub mod event;
mod explained;
pub mod host;
pub mod identity;
pub mod limits;
mod operating;
pub mod password;
pub mod people;
pub mod permission;
pub mod queries;
pub mod secret;
mod throttle;
pub mod view;
mod watching;

pub use access::{Access, CrossSite, Peer};
pub use accounts::{Accounts, TokenHolder, TokenView, UserView};
pub use asks::{ForceAsk, Made, SubmitAsk, TryAsk};
pub use door::{SESSION_COOKIE, Service};
pub use error::{ErrorKind, ServiceError};
pub use event::Event;
pub use host::{Ask, Figures, HookAnswer, HookCall, Host, ReloadError, Unavailable};
pub use identity::Identity;
pub use people::PersonView;
pub use permission::{Action, Permission, Role};
pub use queries::{BuildPage, BuilderState, BuildsetPage, Home, Reading, Waiting};
pub use view::{
    BuilderView, Catalogue, ChangeSourceKind, ChangeSourceView, PluginUse, PluginView, SchedulerNow, SchedulerView,
    StepOfJob, WorkerState, WorkerView,
};
pub use watching::Watching;

pub use stampmill_engine::config::{CodebaseDefault, OccasionKind};
pub use stampmill_engine::form::{self, Fault, Form};
pub use stampmill_engine::input::{SourceChoice, StampChoice};
pub use stampmill_engine::output::{Notice, NoticeState, Subject};
pub use stampmill_engine::{ChangeWait, Explanation};
pub use stampmill_store::logs::{CompressedLog, Lines, LogError, LogInfo, RawLog};
pub use stampmill_store::{
    BuildFilter, BuildsIn, BuildsetFilter, ChangeFilter, Page, PersonPatch, RequestFilter, Store,
};

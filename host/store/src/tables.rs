//! The tables of the database. Rows are in [`crate::rows`]; the rest are indexes that hold keys and small numbers only.

use redb::{TableDefinition, WriteTransaction};
use stampmill_model::{Outcome, RequestState};

use crate::StoreError;

/// The format of the tables as a whole. A row has a version of its own.
pub(crate) const FORMAT: u64 = 2;
/// The format before there was a journal.
pub(crate) const FORMAT_WITHOUT_JOURNAL: u64 = 1;

type Rows = TableDefinition<'static, u64, &'static [u8]>;
pub(crate) type NamedRows = TableDefinition<'static, &'static str, &'static [u8]>;
type Ids = TableDefinition<'static, u64, ()>;

/// `format` → [`FORMAT`]; [`LAST_RECORD`]; [`LAST_PERSON`].
pub(crate) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// The last record of the journal that the database has → its number.
pub(crate) const LAST_RECORD: &str = "last-record";
/// The highest id of a person that there ever was.
pub(crate) const LAST_PERSON: &str = "last-person";
/// `counters` → the last steady time and the highest ids.
pub(crate) const COUNTERS: NamedRows = TableDefinition::new("counters");

pub(crate) const CHANGES: Rows = TableDefinition::new("changes");
/// Changes that some scheduler has not decided on.
pub(crate) const CHANGES_OPEN: Ids = TableDefinition::new("changes-open");
/// Kind of key (one of `CHANGE_BY_…`), value, change.
pub(crate) const CHANGES_BY: TableDefinition<(u8, &str, u64), ()> = TableDefinition::new("changes-by");
pub(crate) const CHANGE_BY_SOURCE: u8 = 1;
pub(crate) const CHANGE_BY_BRANCH: u8 = 2;
pub(crate) const CHANGE_BY_CODEBASE: u8 = 3;
/// The value is what [`stampmill_model::author_key`] makes of the author.
pub(crate) const CHANGE_BY_AUTHOR: u8 = 4;

pub(crate) const BUILDSETS: Rows = TableDefinition::new("buildsets");
pub(crate) const BUILDSETS_OPEN: Ids = TableDefinition::new("buildsets-open");

pub(crate) const REQUESTS: Rows = TableDefinition::new("requests");
/// Requests that are not complete → builder and state.
pub(crate) const REQUESTS_OPEN: TableDefinition<u64, (&str, u8)> = TableDefinition::new("requests-open");
pub(crate) const REQUESTS_BY_BUILDER: TableDefinition<(&str, u64), ()> = TableDefinition::new("requests-by-builder");

pub(crate) const BUILDS: Rows = TableDefinition::new("builds");
/// Builds that are not finished → the last message of the worker that is in the row.
pub(crate) const BUILDS_OPEN: TableDefinition<u64, u64> = TableDefinition::new("builds-open");
/// Builder, build → state.
pub(crate) const BUILDS_BY_BUILDER: TableDefinition<(&str, u64), u8> = TableDefinition::new("builds-by-builder");
/// Worker, build → state.
pub(crate) const BUILDS_BY_WORKER: TableDefinition<(&str, u64), u8> = TableDefinition::new("builds-by-worker");
/// Buildset, build → state.
pub(crate) const BUILDS_BY_BUILDSET: TableDefinition<(u64, u64), u8> = TableDefinition::new("builds-by-buildset");
/// State, build.
pub(crate) const BUILDS_BY_STATE: TableDefinition<(u8, u64), ()> = TableDefinition::new("builds-by-state");
/// Builder, number → build.
pub(crate) const BUILD_NUMBERS: TableDefinition<(&str, u64), u64> = TableDefinition::new("build-numbers");
/// Builder → its last build number and its last finished build.
pub(crate) const BUILDERS: TableDefinition<&str, (u64, Option<u64>)> = TableDefinition::new("builders");
/// SHA-256 of a patch → the patch: a row names it, so that writing a row anew does not repeat it.
pub(crate) const PATCHES: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("patches");

pub(crate) const CURSORS: TableDefinition<&str, &str> = TableDefinition::new("cursors");
pub(crate) const SCHEDULERS: NamedRows = TableDefinition::new("schedulers");
/// Made by the first write: a database of an earlier release has none.
pub(crate) const WORKERS: NamedRows = TableDefinition::new("workers");
/// Source, delivery.
pub(crate) const DELIVERIES: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("deliveries");
/// Time, source, delivery.
pub(crate) const DELIVERIES_BY_TIME: TableDefinition<(u64, &str, &str), ()> =
    TableDefinition::new("deliveries-by-time");
/// Notices that are neither delivered nor dead.
pub(crate) const NOTICES: Rows = TableDefinition::new("notices");
pub(crate) const NOTICES_DEAD: Rows = TableDefinition::new("notices-dead");

/// Made by the first write, as [`PEOPLE_BY`] is: a database of an earlier release has neither.
pub(crate) const PEOPLE: Rows = TableDefinition::new("people");
/// Value and space of an attribute's key → the person.
pub(crate) const PEOPLE_BY: TableDefinition<(&str, &str), u64> = TableDefinition::new("people-by");

pub(crate) const USERS: NamedRows = TableDefinition::new("users");
pub(crate) const TOKENS: NamedRows = TableDefinition::new("tokens");
/// SHA-256 of a token's secret → the token's id.
pub(crate) const TOKENS_BY_SECRET: TableDefinition<&[u8; 32], &str> = TableDefinition::new("tokens-by-secret");
/// SHA-256 of a session's id → the session.
pub(crate) const SESSIONS: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("sessions");
/// Use of a plugin, key.
pub(crate) const STATE: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("state");
/// Use of a plugin → entries and bytes of its state.
pub(crate) const STATE_USAGE: TableDefinition<&str, (u64, u64)> = TableDefinition::new("state-usage");

/// Makes every table, so that readers find them.
pub(crate) fn make_all(transaction: &WriteTransaction) -> Result<(), StoreError> {
    macro_rules! make {
        ($($table:ident),+ $(,)?) => {
            $( transaction.open_table($table)?; )+
        };
    }
    make!(
        META,
        COUNTERS,
        CHANGES,
        CHANGES_OPEN,
        CHANGES_BY,
        BUILDSETS,
        BUILDSETS_OPEN,
        REQUESTS,
        REQUESTS_OPEN,
        REQUESTS_BY_BUILDER,
        BUILDS,
        BUILDS_OPEN,
        BUILDS_BY_BUILDER,
        BUILDS_BY_WORKER,
        BUILDS_BY_BUILDSET,
        BUILDS_BY_STATE,
        BUILD_NUMBERS,
        BUILDERS,
        PATCHES,
        CURSORS,
        SCHEDULERS,
        WORKERS,
        DELIVERIES,
        DELIVERIES_BY_TIME,
        NOTICES,
        NOTICES_DEAD,
        PEOPLE,
        PEOPLE_BY,
        USERS,
        TOKENS,
        TOKENS_BY_SECRET,
        SESSIONS,
        STATE,
        STATE_USAGE,
    );
    Ok(())
}

/// The state of a build that is not finished, in the indexes.
pub(crate) const BUILD_OPEN: u8 = 0;

/// The state of a finished build in the indexes. The numbers are part of the format.
pub(crate) const fn outcome_code(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Success => 1,
        Outcome::Warnings => 2,
        Outcome::Failure => 3,
        Outcome::Skipped => 4,
        Outcome::Exception => 5,
        Outcome::Retry => 6,
        Outcome::Cancelled => 7,
    }
}

/// The state of an open request in the index, `None` for a complete one. The numbers are part of the format.
pub(crate) const fn request_code(state: &RequestState) -> Option<u8> {
    match state {
        RequestState::AwaitingApproval => Some(1),
        RequestState::Pending => Some(REQUEST_PENDING),
        RequestState::Building(_) => Some(3),
        RequestState::Complete { .. } => None,
    }
}

/// A request that is in the queue.
pub(crate) const REQUEST_PENDING: u8 = 2;

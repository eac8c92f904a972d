//! Stories of the engine: inputs in, outputs compared. Where a story shows a row of the checklist its name begins with the row.

mod absolute;
mod assigning;
mod building;
mod buildsets;
mod dependent;
mod explaining;
mod forcing;
mod intake;
mod locking;
mod merge_keys;
mod merging;
mod nightly;
mod pausing;
mod reloading;
mod reporting;
mod restarting;
mod retrying;
mod scheduling;
mod setup;
mod sharing;
mod step_locks;
mod superseding;
mod switching;
mod triggering;
mod trying;
mod world;

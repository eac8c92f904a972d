//! The rows of what waits or is counted: schedulers, workers, deliveries, notices, counters.

use serde::{Deserialize, Serialize};

use super::{HaltRow, blank};

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct CountersRow {
    /// The last steady time.
    pub(crate) steady: u64,
    /// The highest ids that were ever in use.
    pub(crate) change: u64,
    pub(crate) buildset: u64,
    pub(crate) request: u64,
    pub(crate) build: u64,
    pub(crate) notice: u64,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct SchedulerRow {
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) batches: Vec<BatchRow>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) next_firing: Option<u64>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) done_until: Option<u64>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) disabled: Option<HaltRow>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) last_seen: Vec<LastSeenRow>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) pings: Vec<PingRow>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) left_out: Option<LeftOutRow>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct PingRow {
    pub(crate) wave: u64,
    pub(crate) from: String,
    /// Of one that is built; without it, it waits.
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) buildset: Option<u64>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct LeftOutRow {
    pub(crate) wave: u64,
    pub(crate) project: String,
    pub(crate) why: String,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct LastSeenRow {
    pub(crate) codebase: String,
    pub(crate) change: u64,
    pub(crate) repository: String,
    pub(crate) project: String,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) branch: Option<String>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) revision: Option<String>,
    pub(crate) trusted: bool,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct BatchRow {
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) branch: Option<String>,
    pub(crate) changes: Vec<u64>,
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) fires_at: Option<u64>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct WorkerRow {
    #[serde(default, skip_serializing_if = "blank")]
    pub(crate) paused: Option<HaltRow>,
}

/// Source and id are the key.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct DeliveryRow {
    pub(crate) changes: Vec<u64>,
    pub(crate) at: u64,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct NoticeRow {
    pub(crate) id: u64,
    pub(crate) reporter: String,
    pub(crate) occasion: OccasionRow,
    pub(crate) subject: SubjectRow,
    pub(crate) attempt: u32,
    pub(crate) state: NoticeStateRow,
}

#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OccasionRow {
    BuildStarted,
    BuildFinished,
    FirstFailure,
    BuildsetFinished,
}

#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SubjectRow {
    Build(u64),
    Buildset(u64),
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum NoticeStateRow {
    Sending,
    Waiting { until: u64, error: String },
    Dead { error: String, at: u64 },
}

//! What a scheduler knows of waves.

use stampmill_engine::output::{LeftOut, Ping, PingState};
use stampmill_model::BuildsetId;

use crate::rows::{LeftOutRow, PingRow};

pub(super) fn to_rows(pings: &[Ping]) -> Vec<PingRow> {
    let row = |ping: &Ping| {
        let buildset = match &ping.state {
            PingState::Waiting => None,
            PingState::Building(set) => Some(set.0),
        };
        PingRow { wave: ping.wave.0, from: ping.from.clone(), buildset }
    };
    pings.iter().map(row).collect()
}

pub(super) fn from_row(row: PingRow) -> Ping {
    let state = match row.buildset {
        Some(set) => PingState::Building(BuildsetId(set)),
        None => PingState::Waiting,
    };
    Ping { wave: BuildsetId(row.wave), from: row.from, state }
}

pub(super) fn left_out_to_row(left: &LeftOut) -> LeftOutRow {
    LeftOutRow { wave: left.wave.0, project: left.project.clone(), why: left.why.clone() }
}

pub(super) fn left_out_from_row(row: LeftOutRow) -> LeftOut {
    LeftOut { wave: BuildsetId(row.wave), project: row.project, why: row.why }
}

//! What steps trigger.

use stampmill_model as model;
use stampmill_protocol as wire;
use stampmill_runtime as runtime;

use super::{outcome_from_wire, outcome_to_wire};

pub(super) fn wish_to_wire(wish: model::TriggerWish) -> wire::TriggerWish {
    let version = |(codebase, choice): (String, model::StampChoice)| {
        (codebase, wire::TriggerVersion { branch: choice.branch, revision: choice.revision })
    };
    wire::TriggerWish {
        number: wish.number,
        scheduler: wish.scheduler.as_str().to_owned(),
        latest: wish.latest,
        versions: wish.versions.into_iter().map(version).collect(),
        properties: wish.properties,
        detached: wish.detached,
    }
}

pub(super) fn wish_from_wire(wish: wire::TriggerWish) -> model::TriggerWish {
    let version = |(codebase, version): (String, wire::TriggerVersion)| {
        (codebase, model::StampChoice { branch: version.branch, revision: version.revision })
    };
    model::TriggerWish {
        number: wish.number,
        scheduler: wish.scheduler.into(),
        latest: wish.latest,
        versions: wish.versions.into_iter().map(version).collect(),
        properties: wish.properties,
        detached: wish.detached,
    }
}

/// What a plugin asks for, as the wish of this number.
pub(crate) fn wish_of_plugin(number: u32, spec: runtime::TriggerSpec) -> model::TriggerWish {
    let version = |(codebase, version): (String, runtime::TriggerVersion)| {
        (codebase, model::StampChoice { branch: version.branch, revision: version.revision })
    };
    model::TriggerWish {
        number,
        scheduler: spec.scheduler.into(),
        latest: spec.latest,
        versions: spec.versions.into_iter().map(version).collect(),
        properties: spec.properties,
        detached: spec.detached,
    }
}

/// How far a triggered buildset is, for the wire.
#[must_use]
pub fn trigger_state_to_wire(state: model::TriggerState) -> wire::TriggerState {
    use model::TriggerState as From;
    use wire::TriggerState as To;
    match state {
        From::Refused { reason } => To::Refused { reason },
        From::Open { buildset } => To::Open { buildset: buildset.0 },
        From::Finished { buildset, outcome } => {
            To::Finished { buildset: buildset.0, outcome: outcome_to_wire(outcome) }
        }
    }
}

/// How far a triggered buildset is, from the wire.
#[must_use]
pub fn trigger_state_from_wire(state: wire::TriggerState) -> model::TriggerState {
    use model::TriggerState as To;
    use wire::TriggerState as From;
    match state {
        From::Refused { reason } => To::Refused { reason },
        From::Open { buildset } => To::Open { buildset: model::BuildsetId(buildset) },
        From::Finished { buildset, outcome } => {
            To::Finished { buildset: model::BuildsetId(buildset), outcome: outcome_from_wire(outcome) }
        }
    }
}

//! Network attempts: from the runtime's words to the model's, and between the model's and those of the protocol.

use stampmill_model as model;
use stampmill_protocol as wire;
use stampmill_runtime::egress;

/// One attempt, as the model has it.
pub(crate) fn attempt_from_runtime(attempt: egress::Attempt) -> model::NetworkAttempt {
    model::NetworkAttempt {
        protocol: match attempt.protocol {
            egress::Protocol::Connect => model::NetworkProtocol::Connect,
            egress::Protocol::Socks5 => model::NetworkProtocol::Socks5,
            egress::Protocol::Http => model::NetworkProtocol::Http,
            egress::Protocol::Plugin => model::NetworkProtocol::Plugin,
        },
        target: attempt.target,
        address: attempt.address,
        end: match attempt.end {
            egress::AttemptEnd::Connected => model::NetworkEnd::Connected,
            egress::AttemptEnd::Refused => model::NetworkEnd::Refused,
            egress::AttemptEnd::Failed => model::NetworkEnd::Failed,
        },
        why: attempt.why,
        count: 1,
    }
}

pub(super) fn attempt_to_wire(attempt: model::NetworkAttempt) -> wire::NetworkAttempt {
    wire::NetworkAttempt {
        protocol: match attempt.protocol {
            model::NetworkProtocol::Connect => wire::NetworkProtocol::Connect,
            model::NetworkProtocol::Socks5 => wire::NetworkProtocol::Socks5,
            model::NetworkProtocol::Http => wire::NetworkProtocol::Http,
            model::NetworkProtocol::Plugin => wire::NetworkProtocol::Plugin,
        },
        target: attempt.target,
        address: attempt.address,
        end: match attempt.end {
            model::NetworkEnd::Connected => wire::NetworkEnd::Connected,
            model::NetworkEnd::Refused => wire::NetworkEnd::Refused,
            model::NetworkEnd::Failed => wire::NetworkEnd::Failed,
        },
        why: attempt.why,
        count: attempt.count,
    }
}

pub(super) fn attempt_from_wire(attempt: wire::NetworkAttempt) -> model::NetworkAttempt {
    model::NetworkAttempt {
        protocol: match attempt.protocol {
            wire::NetworkProtocol::Connect => model::NetworkProtocol::Connect,
            wire::NetworkProtocol::Socks5 => model::NetworkProtocol::Socks5,
            wire::NetworkProtocol::Http => model::NetworkProtocol::Http,
            wire::NetworkProtocol::Plugin => model::NetworkProtocol::Plugin,
        },
        target: attempt.target,
        address: attempt.address,
        end: match attempt.end {
            wire::NetworkEnd::Connected => model::NetworkEnd::Connected,
            wire::NetworkEnd::Refused => model::NetworkEnd::Refused,
            wire::NetworkEnd::Failed => model::NetworkEnd::Failed,
        },
        why: attempt.why,
        count: attempt.count,
    }
}

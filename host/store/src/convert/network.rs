//! Network attempts of a step.

use stampmill_model::{Network, NetworkAttempt, NetworkEnd, NetworkProtocol};

use crate::rows::{AttemptRow, EndRow, NetworkRow, ProtocolRow};

pub(super) fn network_to_row(network: &Network) -> NetworkRow {
    let attempt = |attempt: &NetworkAttempt| AttemptRow {
        protocol: match attempt.protocol {
            NetworkProtocol::Connect => ProtocolRow::Connect,
            NetworkProtocol::Socks5 => ProtocolRow::Socks5,
            NetworkProtocol::Http => ProtocolRow::Http,
            NetworkProtocol::Plugin => ProtocolRow::Plugin,
        },
        target: attempt.target.clone(),
        address: attempt.address,
        end: match attempt.end {
            NetworkEnd::Connected => EndRow::Connected,
            NetworkEnd::Refused => EndRow::Refused,
            NetworkEnd::Failed => EndRow::Failed,
        },
        why: attempt.why.clone(),
        count: attempt.count,
    };
    NetworkRow { attempts: network.attempts.iter().map(attempt).collect(), unlisted: network.unlisted }
}

pub(super) fn network_from_row(row: NetworkRow) -> Network {
    let attempt = |row: AttemptRow| NetworkAttempt {
        protocol: match row.protocol {
            ProtocolRow::Connect => NetworkProtocol::Connect,
            ProtocolRow::Socks5 => NetworkProtocol::Socks5,
            ProtocolRow::Http => NetworkProtocol::Http,
            ProtocolRow::Plugin => NetworkProtocol::Plugin,
        },
        target: row.target,
        address: row.address,
        end: match row.end {
            EndRow::Connected => NetworkEnd::Connected,
            EndRow::Refused => NetworkEnd::Refused,
            EndRow::Failed => NetworkEnd::Failed,
        },
        why: row.why,
        count: row.count,
    };
    Network { attempts: row.attempts.into_iter().map(attempt).collect(), unlisted: row.unlisted }
}

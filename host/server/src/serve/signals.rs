//! Signals and the terminal.

use std::io::{self, IsTerminal as _};

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancelled at the first SIGINT or SIGTERM from now on; later ones change nothing. A signal whose handler can't be set keeps its usual
/// effect. Called before anything is started: a signal that comes in between would leave a worker process without its host.
pub(crate) fn asked_to_end() -> CancellationToken {
    cancelled_by([signal(SignalKind::interrupt()), signal(SignalKind::terminate())])
}

/// Cancelled by any of the signals whose handler could be set: such a signal no longer ends the process by itself.
fn cancelled_by<const N: usize>(handlers: [io::Result<Signal>; N]) -> CancellationToken {
    let asked = CancellationToken::new();
    for mut handler in handlers.into_iter().flatten() {
        let ending = asked.clone();
        tokio::spawn(async move {
            handler.recv().await;
            ending.cancel();
        });
    }
    asked
}

/// SIGHUP, which asks for a reload.
pub(crate) fn hangups() -> anyhow::Result<Signal> {
    signal(SignalKind::hangup()).context("the handler of SIGHUP can't be set")
}

/// Whether errors may be coloured.
pub(crate) fn colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_signal_is_heard_although_the_handler_of_another_could_not_be_set() {
        let refused = || Err(io::Error::other("no handler"));
        let handler = signal(SignalKind::user_defined2());
        let asked = cancelled_by([refused(), handler, refused()]);
        assert!(!asked.is_cancelled());
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGUSR2).unwrap();
        asked.cancelled().await;
    }
}

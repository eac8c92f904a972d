//! The logs of a step, which people read on the build's page. Permission: `logs`.
//!
//! Output of a command needs none of this: let the host pipe it, see [`crate::command::Sink::Log`].

use crate::Fault;
use crate::bindings::capabilities::stampmill::host::logs as wit;

/// An open log; dropping it closes it.
#[derive(Debug)]
pub struct LogWriter(wit::LogWriter);

/// Opens the step's log of this name, to write at its end.
pub fn open(name: &str) -> Result<LogWriter, Fault> {
    Ok(LogWriter(wit::open(name)?))
}

/// Shows a link beside the step's logs.
pub fn link(name: &str, url: &str) -> Result<(), Fault> {
    Ok(wit::link(name, url)?)
}

impl LogWriter {
    /// Writes bytes.
    pub fn write(&self, bytes: impl AsRef<[u8]>) -> Result<(), Fault> {
        Ok(self.0.write(bytes.as_ref())?)
    }
}

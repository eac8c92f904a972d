//! Logs of a step.

use reqwest::Url;
use wasmtime::component::Resource;

use crate::bindings::stampmill::host::logs::{Host, HostLogWriter};
use crate::bindings::types;
use crate::host::{HostSide, answer, not_offered, too_large};
use crate::limits;
use crate::records::Fault;
use crate::surroundings::LogWriter;

/// One open log.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Writer(Box<dyn LogWriter>);

impl Host for HostSide {
    async fn open(&mut self, name: String) -> wasmtime::Result<Result<Resource<Writer>, types::Fault>> {
        match self.open_log(&name).await {
            Ok(writer) => Ok(Ok(self.table.push(Writer(writer))?)),
            Err(fault) => Ok(Err(fault.into())),
        }
    }

    async fn link(&mut self, name: String, url: String) -> wasmtime::Result<Result<(), types::Fault>> {
        Ok(answer(self.show_link(&name, &url).await))
    }
}

impl HostLogWriter for HostSide {
    async fn write(&mut self, writer: Resource<Writer>, bytes: Vec<u8>) -> wasmtime::Result<Result<(), types::Fault>> {
        if bytes.len() > limits::LOG_WRITE_BYTES_MAX {
            let fault =
                too_large("bytes in one write to a log", bytes.len() as u64, limits::LOG_WRITE_BYTES_MAX as u64);
            return Ok(Err(fault.into()));
        }
        let patience = self.patience();
        let writer = self.table.get_mut(&writer)?;
        Ok(answer(patience.wait("log-writer.write", writer.0.write(bytes)).await))
    }

    async fn drop(&mut self, writer: Resource<Writer>) -> wasmtime::Result<()> {
        self.table.delete(writer)?;
        Ok(())
    }
}

impl HostSide {
    async fn open_log(&mut self, name: &str) -> Result<Box<dyn LogWriter>, Fault> {
        check_log_name(name)?;
        let logs = self.surroundings.logs.clone().ok_or_else(|| not_offered("logs"))?;
        self.patience().wait("logs.open", logs.open(name)).await
    }

    async fn show_link(&mut self, name: &str, url: &str) -> Result<(), Fault> {
        check_log_name(name)?;
        // It becomes a link on a page of ours: a `javascript:` one would be code.
        match Url::parse(url) {
            Ok(parsed) if matches!(parsed.scheme(), "http" | "https") && url.len() <= limits::TEXT_BYTES_MAX => {}
            _ => {
                return Err(Fault::Refused(format!(
                    "link `{name}` goes to {:?}: an http or https URL is expected",
                    super::log::cut(url, 200)
                )));
            }
        }
        let logs = self.surroundings.logs.clone().ok_or_else(|| not_offered("logs"))?;
        self.patience().wait("logs.link", logs.link(name, url)).await
    }
}

/// A log's name becomes part of addresses and of file names.
pub(crate) fn check_log_name(name: &str) -> Result<(), Fault> {
    let plain = |character: char| !character.is_control() && !matches!(character, '/' | '\\');
    if name.is_empty() || name.len() > limits::NAME_BYTES_MAX || name.starts_with('.') || !name.chars().all(plain) {
        let shown = super::log::cut(name, 80);
        let limit = limits::NAME_BYTES_MAX;
        return Err(Fault::Refused(format!(
            "the name of a log is 1 to {limit} bytes without slashes and control characters, not beginning with a dot, and not {shown:?}"
        )));
    }
    Ok(())
}

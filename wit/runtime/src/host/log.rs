//! The plugin's own log: bounded, and remembered for the case that the guest dies.

use std::sync::Arc;

use crate::bindings::stampmill::host::log::{Host, Level};
use crate::host::HostSide;
use crate::limits;
use crate::surroundings::{LogLevel, PluginLog};

/// Who is speaking.
pub(crate) struct Names {
    pub(crate) plugin: String,
    pub(crate) usage: String,
}

/// Counts one call's messages.
pub(crate) struct Meter {
    names: Names,
    log: Option<Arc<dyn PluginLog>>,
    messages: u64,
    bytes: u64,
    dropped: u64,
    last_words: Option<String>,
}

impl Meter {
    pub(crate) fn new(names: Names, log: Option<Arc<dyn PluginLog>>) -> Meter {
        Meter { names, log, messages: 0, bytes: 0, dropped: 0, last_words: None }
    }

    pub(crate) fn begin(&mut self) {
        self.messages = 0;
        self.bytes = 0;
        self.last_words = None;
    }

    /// The last error that the guest logged in this call.
    pub(crate) fn last_words(&mut self) -> Option<String> {
        self.last_words.take()
    }

    /// Says how many messages were dropped, if any were.
    pub(crate) fn end(&mut self) {
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            let text = format!(
                "{dropped} messages of this plugin were dropped: at most {} or {} bytes a call are kept",
                limits::LOG_MESSAGES_MAX,
                limits::LOG_BYTES_MAX
            );
            self.emit(LogLevel::Warn, &text);
        }
    }

    fn take(&mut self, level: LogLevel, message: &str) {
        let message = cut(message, limits::LOG_MESSAGE_BYTES_MAX);
        if level == LogLevel::Error {
            self.last_words = Some(cut(message, limits::TEXT_BYTES_MAX).to_owned());
        }
        let bytes = self.bytes.saturating_add(message.len() as u64);
        if self.messages >= limits::LOG_MESSAGES_MAX || bytes > limits::LOG_BYTES_MAX {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        self.messages += 1;
        self.bytes = bytes;
        self.emit(level, message);
    }

    fn emit(&self, level: LogLevel, message: &str) {
        let Names { plugin, usage } = &self.names;
        match (&self.log, level) {
            (Some(log), level) => log.log(level, message),
            (None, LogLevel::Debug) => tracing::debug!(%plugin, %usage, "{message}"),
            (None, LogLevel::Info) => tracing::info!(%plugin, %usage, "{message}"),
            (None, LogLevel::Warn) => tracing::warn!(%plugin, %usage, "{message}"),
            (None, LogLevel::Error) => tracing::error!(%plugin, %usage, "{message}"),
        }
    }
}

/// A guest whose call is dropped half-way still says what it dropped.
impl Drop for Meter {
    fn drop(&mut self) {
        self.end();
    }
}

/// The text up to so many bytes, ending at a character.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl Host for HostSide {
    async fn log(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            Level::Debug => LogLevel::Debug,
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
        };
        self.log.take(level, &message);
        Ok(())
    }
}

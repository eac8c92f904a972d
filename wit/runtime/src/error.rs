//! How a call into a plugin fails: always with the plugin's name, the function and the reason.

use std::fmt;
use std::time::Duration;

use wasmtime::component::ResourceTableError;
use wasmtime::{Trap, WasmBacktrace};

use crate::config::ConfigProblem;
use crate::limits;
use crate::manifest::{Kind, Permission};
use crate::records::Fault;

/// A call into a plugin that gave no answer.
#[derive(Debug, thiserror::Error)]
#[error("plugin `{plugin}`, used as `{usage}`, failed in `{call}`: {kind}")]
pub struct PluginError {
    /// The plugin's id.
    pub plugin: String,
    /// The name of this use of it.
    pub usage: String,
    /// The function that was called.
    pub call: &'static str,
    /// What happened.
    pub kind: Box<PluginErrorKind>,
}

impl PluginError {
    /// What the plugin itself answered, if it did.
    pub fn fault(&self) -> Option<&Fault> {
        match self.kind.as_ref() {
            PluginErrorKind::Fault(fault) => Some(fault),
            _ => None,
        }
    }
}

/// What happened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PluginErrorKind {
    /// It was not started: the configuration or a grant is not right.
    #[error("{0}")]
    Refused(Refusal),
    /// The plugin answered that it can't.
    #[error("{0}")]
    Fault(Fault),
    /// The guest did what WebAssembly forbids, or ended itself: a panic, an overflow of its stack.
    #[error("{message}{}{}", words(last_words), trace(backtrace))]
    Trap {
        /// The trap.
        message: String,
        /// What the guest logged last as an error: a panic's message.
        last_words: Option<String>,
        /// Names of functions, innermost first.
        backtrace: Vec<String>,
    },
    /// It took too long.
    #[error("{what} took longer than its limit of {limit:?}")]
    Deadline {
        /// Which clock ran out.
        what: Clock,
        /// The limit.
        limit: Duration,
    },
    /// It wanted too much memory.
    #[error("it asked for {asked} bytes of memory, and its limit is {limit}")]
    Memory {
        /// The limit in bytes.
        limit: u64,
        /// What it would have had.
        asked: u64,
    },
    /// It gave or held too much of something.
    #[error("too much: {what}, the limit is {limit}")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// Its answer makes no sense.
    #[error("its answer makes no sense: {0}")]
    Malformed(String),
    /// A function that such plugins don't have; the caller's mistake.
    #[error("it is a {kind}, which has no such function")]
    WrongCall {
        /// What the plugin is.
        kind: Kind,
    },
    /// An earlier call ended this instance; start another.
    #[error("the instance ended in an earlier call; start a new one")]
    Dead,
    /// Our own mistake.
    #[error("the host could not call it: {0}")]
    Internal(String),
}

fn words(last_words: &Option<String>) -> String {
    last_words.as_ref().map(|text| format!("; it said: {text}")).unwrap_or_default()
}

fn trace(frames: &[String]) -> String {
    if frames.is_empty() { String::new() } else { format!("; in {}", frames.join(" < ")) }
}

/// A clock that can run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Wall time of the call.
    Call,
    /// The guest's own computing.
    Compute,
    /// One call from the guest to the host.
    HostCall(&'static str),
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Clock::Call => f.write_str("the call"),
            Clock::Compute => f.write_str("its computing"),
            Clock::HostCall(name) => write!(f, "its call of `{name}`"),
        }
    }
}

/// Why a use of a plugin is not possible as it is configured.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The plugin asks for a permission and the operator grants nothing of it.
    #[error(
        "plugin `{plugin}`, used as `{usage}`, asks for `{permission}` and is not granted any: add `{mend}` to its use, or don't use it"
    )]
    NotGranted {
        /// The plugin.
        plugin: String,
        /// The name of its use.
        usage: String,
        /// What it asks for.
        permission: Permission,
        /// A line of configuration that grants it.
        mend: &'static str,
    },
    /// A value in the grant that can't be meant.
    #[error("the grant of `{usage}` has `{value}` under `{key}`: {why}")]
    BadGrant {
        /// The name of the use.
        usage: String,
        /// The key in the grant.
        key: &'static str,
        /// The value.
        value: String,
        /// What is wrong with it.
        why: String,
    },
    /// The configuration is not what the plugin's schema describes.
    #[error("the configuration of `{usage}` is not what plugin `{plugin}` expects: {}", join(problems))]
    Config {
        /// The plugin.
        plugin: String,
        /// The name of its use.
        usage: String,
        /// What is wrong, at most ten.
        problems: Vec<ConfigProblem>,
    },
    /// The plugin asks for something that this place doesn't have.
    #[error("plugin `{plugin}`, used as `{usage}`, needs `{permission}`, which is not offered here")]
    NotOffered {
        /// The plugin.
        plugin: String,
        /// The name of its use.
        usage: String,
        /// What it needs.
        permission: &'static str,
    },
}

fn join(problems: &[ConfigProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Why the host ended a call; travels through wasmtime as the error that it traps with.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Stop {
    #[error("{what} took longer than {limit:?}")]
    Deadline { what: Clock, limit: Duration },
    #[error("memory would be {asked} bytes, the limit is {limit}")]
    Memory { limit: u64, asked: u64 },
    #[error("too much: {what}, the limit is {limit}")]
    TooMuch { what: &'static str, limit: u64 },
}

/// Makes sense of an error that came out of wasmtime.
pub(crate) fn classify(error: &wasmtime::Error, last_words: Option<String>) -> PluginErrorKind {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return match stop.clone() {
            Stop::Deadline { what, limit } => PluginErrorKind::Deadline { what, limit },
            Stop::Memory { limit, asked } => PluginErrorKind::Memory { limit, asked },
            Stop::TooMuch { what, limit } => PluginErrorKind::TooMuch { what, limit },
        };
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref() {
        return PluginErrorKind::TooMuch { what: "handles held at once", limit: limits::HANDLES_MAX as u64 };
    }
    let message = match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => error.root_cause().to_string(),
    };
    // The error's type is private to wasmtime; a test holds this text.
    if message.contains("fuel allocated for hostcalls has been exhausted") {
        return PluginErrorKind::TooMuch { what: "bytes in one call", limit: limits::CROSSING_BYTES_MAX as u64 };
    }
    PluginErrorKind::Trap { message, last_words, backtrace: frames(error) }
}

fn frames(error: &wasmtime::Error) -> Vec<String> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    let name = |frame: &wasmtime::FrameInfo| match frame.func_name() {
        Some(name) => name.to_owned(),
        None => format!("function {}", frame.func_index()),
    };
    backtrace.frames().iter().take(limits::BACKTRACE_FRAMES_MAX).map(name).collect()
}

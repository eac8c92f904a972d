//! What the operator writes for this step.

use schemars::JsonSchema;
use serde::Deserialize;
use stampmill_sdk::config::{Duration, SecretName};
use std::collections::BTreeMap;

/// Runs one command: `command`, or `script` by a shell.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The program and its arguments. No shell is involved.
    #[schemars(length(min = 1))]
    pub command: Option<Vec<Word>>,
    /// Text for `shell`; it ends at the first line that fails. Values of a build belong into `environment`, never into this text.
    pub script: Option<String>,
    /// The program that reads `script`, with its arguments.
    #[serde(default = "default_shell")]
    #[schemars(length(min = 1))]
    pub shell: Vec<String>,
    /// Variables for the command, beside what the sandbox sets; nothing is inherited.
    #[serde(default)]
    pub environment: BTreeMap<String, Word>,
    /// Variables with a secret as value: the variable's name, and the secret's.
    #[serde(default)]
    pub secret_environment: BTreeMap<String, SecretName>,
    /// Variables with the path of a private file: the variable's name, and the secret that is in the file, `/run/secrets/NAME`.
    #[serde(default)]
    pub secret_files: BTreeMap<String, SecretName>,
    /// Where to start, relative to the work directory.
    pub directory: Option<String>,
    /// Stopped after so long.
    pub wall_timeout: Option<Duration>,
    /// Stopped after so long without output.
    #[serde(default = "default_silence")]
    pub silence_timeout: Duration,
    /// Exit codes other than 0 that mean warnings.
    #[serde(default)]
    pub warnings_on: Vec<i32>,
    /// The result of an exit code, where it is neither success for 0 nor failure for the rest.
    #[serde(default)]
    pub decode: BTreeMap<String, Decoded>,
    /// The signal that asks the command to stop; SIGKILL follows after `grace`.
    #[serde(default)]
    pub interrupt_signal: Signal,
    /// How long a command that was asked to stop may go on.
    #[serde(default = "default_grace")]
    pub grace: Duration,
    /// The log that takes the output.
    #[serde(default = "default_log")]
    pub log: String,
    /// Tells the command that its output is a terminal.
    #[serde(default)]
    pub terminal: bool,
}

/// A text for the command; a value of the build that is a number or a truth is written as JSON writes it.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Word {
    /// As it stands.
    Text(String),
    /// Such as `${{ worker.cores }}`.
    Whole(i64),
    /// Such as `${{ props.ratio }}`.
    Fraction(f64),
    /// Such as `${{ props.is_nightly }}`.
    Truth(bool),
}

/// A result that an exit code can stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Decoded {
    /// All is well.
    Success,
    /// Well, with something to look at.
    Warnings,
    /// The build is wrong.
    Failure,
    /// Nothing was to be done.
    Skipped,
    /// The command itself went wrong.
    Exception,
    /// The build is to be tried again.
    Retry,
}

/// A signal that a command can be stopped with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Signal {
    /// 1
    #[serde(rename = "HUP")]
    Hangup,
    /// 2
    #[serde(rename = "INT")]
    Interrupt,
    /// 3
    #[serde(rename = "QUIT")]
    Quit,
    /// 9
    #[serde(rename = "KILL")]
    Kill,
    /// 15
    #[default]
    #[serde(rename = "TERM")]
    Terminate,
}

fn default_shell() -> Vec<String> {
    vec!["/bin/sh".to_owned(), "-e".to_owned()]
}

/// Buildbot's own, and long enough for a linker.
fn default_silence() -> Duration {
    Duration::seconds(1200)
}

fn default_grace() -> Duration {
    Duration::seconds(10)
}

fn default_log() -> String {
    "stdio".to_owned()
}

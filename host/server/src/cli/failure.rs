//! Why a command did not do what it was asked, and the exit code of that.

use std::process::ExitCode;

use stampmill_model::Outcome;
use stampmill_service::{ErrorKind, ServiceError};
use stampmill_store::StoreError;

use crate::config::ConfigError;
use crate::serve::BadConfig;

/// The build failed.
pub(crate) const BUILD_FAILED: u8 = 1;
/// Whoever asks has to change something.
pub(crate) const REFUSED: u8 = 2;
/// The world has to change.
pub(crate) const UNAVAILABLE: u8 = 3;
/// The build or Stampmill itself is broken, or somebody ended the build.
pub(crate) const BROKEN: u8 = 4;
/// Ctrl-C, as shells have it.
pub(crate) const INTERRUPTED: u8 = 130;

/// Why a command failed, by whose fault it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// What was asked can't be done as asked.
    #[error("{0}")]
    Refused(String),
    /// What is needed is not there; trying again may help.
    #[error("{0}")]
    Unavailable(String),
    /// A bug of ours, here or in the host.
    #[error("{0}")]
    Broken(String),
    /// Nobody reads what is printed, as in `stampmill builds | head -1`.
    #[error("the reader of the output has gone")]
    NobodyReads,
}

impl Failure {
    pub(crate) fn refused(text: impl Into<String>) -> anyhow::Error {
        Self::Refused(text.into()).into()
    }

    pub(crate) fn unavailable(text: impl Into<String>) -> anyhow::Error {
        Self::Unavailable(text.into()).into()
    }

    fn code(&self) -> u8 {
        match self {
            Self::Refused(_) => REFUSED,
            Self::Unavailable(_) => UNAVAILABLE,
            Self::Broken(_) => BROKEN,
            Self::NobodyReads => 0,
        }
    }
}

/// Says what went wrong on standard error, and with which code to end.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<Failure>() {
        Some(Failure::NobodyReads) => return ExitCode::SUCCESS,
        Some(failure) => eprintln!("error: {failure}"),
        None => match (error.downcast_ref::<ConfigError>(), error.downcast_ref::<BadConfig>()) {
            (Some(config), _) => eprint!("{}", config.render(super::output::colour())),
            // It is rendered already.
            (None, Some(config)) => eprintln!("{config}"),
            (None, None) => eprintln!("error: {}", whole_text(error)),
        },
    }
    exit_code(error).into()
}

/// An error and its causes, each once: many an error has its cause in its own text already.
fn whole_text(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.contains(&cause) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause);
    }
    text
}

fn exit_code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return failure.code();
        }
        if cause.is::<BadConfig>() || cause.is::<ConfigError>() || cause.is::<stampmill_agent::ConfigError>() {
            return REFUSED;
        }
        if let Some(service) = cause.downcast_ref::<ServiceError>() {
            return service_code(service);
        }
        if cause.is::<StoreError>() || cause.is::<std::io::Error>() {
            return UNAVAILABLE;
        }
    }
    UNAVAILABLE
}

fn service_code(error: &ServiceError) -> u8 {
    match error.kind() {
        ErrorKind::Unavailable | ErrorKind::TooMany => UNAVAILABLE,
        ErrorKind::Broken => BROKEN,
        ErrorKind::Invalid
        | ErrorKind::LoginNeeded
        | ErrorKind::Forbidden
        | ErrorKind::Unknown
        | ErrorKind::Conflict => REFUSED,
    }
}

/// The exit code of a build's outcome.
pub(crate) fn outcome_code(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Success | Outcome::Warnings | Outcome::Skipped => 0,
        Outcome::Failure => BUILD_FAILED,
        Outcome::Exception | Outcome::Retry | Outcome::Cancelled => BROKEN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_says_whose_fault_it_is_also_behind_a_context() {
        let refused = Failure::refused("no").context("while asking");
        assert_eq!(exit_code(&refused), REFUSED);
        assert_eq!(exit_code(&Failure::unavailable("away")), UNAVAILABLE);
        let unknown = anyhow::Error::from(ServiceError::Unknown("no user `x`".to_owned()));
        assert_eq!(exit_code(&unknown), REFUSED);
        let disk = anyhow::Error::from(std::io::Error::other("disk")).context("reading");
        assert_eq!(exit_code(&disk), UNAVAILABLE);
    }

    #[test]
    fn a_cause_that_is_in_the_text_already_is_not_said_twice() {
        let disk = || std::io::Error::other("disk full");
        let told = anyhow::Error::from(disk()).context("the file can't be written: disk full");
        assert_eq!(whole_text(&told), "the file can't be written: disk full");
        assert_eq!(whole_text(&anyhow::Error::from(disk()).context("writing")), "writing: disk full");
    }

    #[test]
    fn each_outcome_has_its_exit_code() {
        let codes: Vec<u8> = Outcome::BY_SEVERITY.into_iter().map(outcome_code).collect();
        assert_eq!(codes, [0, 0, 0, 1, 4, 4, 4]);
    }
}

//! Retrying: for which causes the builds of a builder are tried again, and how often.

use stampmill_model::{Build, BuilderName, Outcome, ProgramEnd, RequestId, StepState};

use crate::Engine;
use crate::build::{Ending, Tried};
use crate::config::{Retry, RetryCause};

impl RetryCause {
    /// Whether a program that ended so is this cause.
    fn is(self, end: ProgramEnd) -> bool {
        match (self, end) {
            (Self::ExitCode(wanted), ProgramEnd::Exited(code)) => wanted == code,
            (Self::Signal(wanted), ProgramEnd::Signalled(signal)) => wanted.is_none_or(|wanted| wanted == signal),
            (Self::WorkerLost | Self::ExitCode(_) | Self::Signal(_), _) => false,
        }
    }
}

/// Whether a step asked for another try: then no worker was lost.
pub(crate) fn is_asked_for(build: &Build) -> bool {
    build.steps.iter().any(|step| matches!(step.state, StepState::Finished { outcome: Outcome::Retry, .. }))
}

impl Engine {
    /// What a builder says of tries; one that is no longer configured says nothing.
    fn retry_of(&self, builder: &BuilderName) -> Retry {
        self.builder(builder).map_or_else(Retry::default, |builder| builder.retry.clone())
    }

    /// How many builds of a request may be lost, or fail for a cause that is tried again.
    fn most_tries(&self, retry: &Retry) -> u32 {
        retry.attempts.unwrap_or(self.config.limits.attempts)
    }

    /// A build has failed. It is tried again for those of its requests that have tries left, if its builder wants that for this cause.
    pub(crate) fn or_retry(&self, build: &Build, ending: Ending, program: Option<ProgramEnd>) -> Ending {
        let retry = self.retry_of(&build.builder);
        let cause = program.filter(|end| retry.on.iter().any(|cause| cause.is(*end)));
        let (Outcome::Failure | Outcome::Exception, Some(cause)) = (ending.outcome, cause) else { return ending };
        let most = self.most_tries(&retry);
        let used = build.requests().filter_map(|id| self.requests.get(&id)).map(|request| request.losses + 1);
        let used = used.min().unwrap_or(most);
        let cause = in_words(cause);
        if used < most {
            let says = format!("tried again for {cause}, {used} of {most} tries are used up");
            let tried = Tried::Failed(ending.outcome);
            Ending { outcome: Outcome::Retry, summary: joined(&ending.summary, &says), tried, ..ending }
        } else {
            let says = format!("given up: {cause}, and all {most} tries are used up");
            Ending { summary: joined(&ending.summary, &says), ..ending }
        }
    }

    /// With what a request ends whose build is to be tried again, and why; `None` when it has a try left.
    pub(crate) fn given_up(&mut self, id: RequestId, tried: Tried) -> Option<(Outcome, String)> {
        let request = self.requests.get(&id)?;
        let (losses, builder) = (request.losses, &request.builder);
        let retry = self.retry_of(builder);
        let most = self.most_tries(&retry);
        let is_used_up = losses >= most;
        match tried {
            Tried::No => None,
            Tried::Stopped | Tried::Lost if !retry.on.contains(&RetryCause::WorkerLost) => {
                let says = format!(
                    "its build was lost with its worker, and `retry` of builder `{builder}` does not list `worker-lost`"
                );
                Some((Outcome::Exception, says))
            }
            Tried::Stopped => None,
            Tried::Lost | Tried::Asked => {
                is_used_up.then(|| (Outcome::Exception, format!("{most} builds of it were lost")))
            }
            Tried::Failed(outcome) => is_used_up.then(|| (outcome, format!("{most} builds of it were lost or failed"))),
        }
    }
}

fn in_words(end: ProgramEnd) -> String {
    match end {
        ProgramEnd::Exited(code) => format!("exit code {code}"),
        ProgramEnd::Signalled(signal) => format!("signal {signal}"),
    }
}

fn joined(summary: &str, says: &str) -> String {
    if summary.is_empty() { says.to_owned() } else { format!("{summary}; {says}") }
}

//! A build that has failed is tried again exactly where its builder lists the cause and a request of it has a try left.

use stampmill_engine::Input;
use stampmill_engine::config::RetryCause;
use stampmill_model::{Build, BuildEvent, BuildId, BuildState, Outcome, ProgramEnd};

use super::{Finding, Invariant, expect};
use crate::facts::{Facts, Step};
use crate::records::Written;

pub(super) struct Retrying;

impl Invariant for Retrying {
    fn handled(&mut self, facts: &Facts, step: &Step<'_>) -> Finding {
        let Some(Input::BuildTold { build, event, .. }) = step.input else { return Ok(()) };
        let BuildEvent::Finished { outcome: Outcome::Failure | Outcome::Exception, program, .. } = event else {
            return Ok(());
        };
        // What was due before may have ended it: its worker was given up.
        if step.was_due || was_cancelled(step, *build) {
            return Ok(());
        }
        let mut ended = step.ended().filter(|ended| ended.id == *build);
        ended.try_for_each(|ended| is_right(facts, ended, *program))
    }
}

fn was_cancelled(step: &Step<'_>, id: BuildId) -> bool {
    step.written.iter().any(|written| {
        matches!(written, Written::Build { before: Some(before), .. }
            if before.id == id && matches!(before.state, BuildState::Cancelling { .. }))
    })
}

fn is_right(facts: &Facts, build: &Build, program: Option<ProgramEnd>) -> Finding {
    let BuildState::Finished { outcome, .. } = &build.state else { return Ok(()) };
    let retry = facts.builder(&build.builder).map(|builder| &builder.retry);
    let lists = |cause: &RetryCause| match (cause, program) {
        (RetryCause::ExitCode(code), Some(ProgramEnd::Exited(it))) => *code == it,
        (RetryCause::Signal(signal), Some(ProgramEnd::Signalled(it))) => signal.is_none_or(|signal| signal == it),
        _ => false,
    };
    let is_listed = retry.is_some_and(|retry| retry.on.iter().any(lists));
    let most = retry.and_then(|retry| retry.attempts).unwrap_or(facts.config.limits.attempts);
    let mut losses = build.requests().map(|request| facts.said.requests[&request].losses);
    let holds = if *outcome == Outcome::Retry {
        is_listed && losses.any(|losses| losses < most)
    } else {
        !is_listed || losses.all(|losses| losses + 1 >= most)
    };
    expect(holds, || {
        format!("build {} has ended as {outcome} with {program:?}, and its builder says {retry:?} of {most}", build.id)
    })
}

//! Whoever asks gets one answer, and nobody else gets any.

use stampmill_engine::{Effect, Input, Output, ReplyTo};

use super::{Finding, Invariant, expect};
use crate::facts::{Facts, Step};

pub(super) struct Answers;

impl Invariant for Answers {
    fn handled(&mut self, _: &Facts, step: &Step<'_>) -> Finding {
        let answered = step.outputs.iter().filter_map(|output| match output {
            Output::Effect(Effect::Answer { reply, .. }) => Some(*reply),
            _ => None,
        });
        let asked = step.input.and_then(reply_of);
        expect(answered.clone().eq(asked), || format!("asked {asked:?}, answered {:?}", answered.collect::<Vec<_>>()))
    }
}

fn reply_of(input: &Input) -> Option<ReplyTo> {
    match input {
        Input::PollNow { reply, .. }
        | Input::Received { reply, .. }
        | Input::ChangeSent { reply, .. }
        | Input::Forced { reply, .. }
        | Input::Tried { reply, .. }
        | Input::Submitted { reply, .. }
        | Input::RebuildAsked { reply, .. }
        | Input::BuildCancelAsked { reply, .. }
        | Input::RequestCancelAsked { reply, .. }
        | Input::ApprovalGiven { reply, .. }
        | Input::SchedulerDisabled { reply, .. }
        | Input::SchedulerEnabled { reply, .. }
        | Input::WorkerPaused { reply, .. }
        | Input::WorkerResumed { reply, .. } => Some(*reply),
        Input::Configured(_)
        | Input::Tick
        | Input::Polled { .. }
        | Input::CodebaseFound { .. }
        | Input::Judged { .. }
        | Input::MergeKeyFound { .. }
        | Input::WorkerConnected { .. }
        | Input::WorkerLeaves { .. }
        | Input::WorkerLeft { .. }
        | Input::BuildTold { .. }
        | Input::Reported { .. } => None,
    }
}

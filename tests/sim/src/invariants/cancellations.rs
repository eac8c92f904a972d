//! A build that is being cancelled is cancelled on its worker: at once, and again when the worker comes back with it.

use stampmill_engine::{Effect, Input, Output};
use stampmill_model::BuildState;

use super::{Finding, Invariant, expect};
use crate::facts::{Facts, Step};
use crate::records::{Written, is_open};

pub(super) struct Cancellations;

impl Invariant for Cancellations {
    fn handled(&mut self, facts: &Facts, step: &Step<'_>) -> Finding {
        for written in step.written {
            if let Written::Build { before: Some(before), after } = written
                && is_cancelling(&after.state)
                && !is_cancelling(&before.state)
            {
                expect(is_said(step, after.id), || format!("build {} is cancelled, and nobody is told", after.id))?;
            }
        }
        let Some(Input::WorkerConnected { worker, builds, .. }) = step.input else { return Ok(()) };
        let open = builds.iter().filter_map(|id| facts.said.builds.get(id)).filter(|it| is_open(it));
        for build in open.filter(|it| it.worker == *worker && is_cancelling(&it.state)) {
            expect(is_said(step, build.id), || {
                format!("{worker} came back with build {}, and is not told to end it", build.id)
            })?;
        }
        Ok(())
    }
}

fn is_cancelling(state: &BuildState) -> bool {
    matches!(state, BuildState::Cancelling { .. })
}

fn is_said(step: &Step<'_>, id: stampmill_model::BuildId) -> bool {
    step.outputs.iter().any(|it| matches!(it, Output::Effect(Effect::CancelBuild { build, .. }) if *build == id))
}

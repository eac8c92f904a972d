//! What an event of a worker changes in a build.

use stampmill_model::{
    Build, BuildEvent, BuildState, LogName, Network, Outcome, Property, PropertySource, Step, StepState, Wall,
};

use crate::limits::{ATTEMPTS_OF_STEP_MOST, LOGS_OF_STEP_MOST, PROPERTIES_OF_BUILD_MOST};

/// Something that a well-behaved worker does not tell; the build stays as it is.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Oddity {
    #[error("there is no step {0}")]
    NoStep(u32),
    #[error("step {0} has ended already")]
    StepEnded(u32),
    #[error("step {0} has opened more than {LOGS_OF_STEP_MOST} logs")]
    TooManyLogs(u32),
    #[error("step {0} lists more than {ATTEMPTS_OF_STEP_MOST} network attempts")]
    TooManyAttempts(u32),
    #[error("more than {PROPERTIES_OF_BUILD_MOST} properties were set")]
    TooManyProperties,
}

/// Takes an event in. The end of a build, its refusal, the locks of a step, and what it triggers change more than the build and are not taken here.
pub(super) fn apply(build: &mut Build, event: BuildEvent) -> Result<(), Oddity> {
    if build.state == BuildState::Dispatched {
        build.state = BuildState::Running;
    }
    match event {
        BuildEvent::Accepted
        | BuildEvent::Declined { .. }
        | BuildEvent::Finished { .. }
        | BuildEvent::LocksWanted { .. }
        | BuildEvent::Triggered { .. } => Ok(()),
        BuildEvent::StepStarted { step, at } => start_step(step_of(build, step)?, at),
        BuildEvent::StepSummary { step, summary } => {
            step_of(build, step)?.summary = summary;
            Ok(())
        }
        BuildEvent::LogOpened { step, log } => open_log(step_of(build, step)?, log),
        BuildEvent::PropertySet { name, value, step } => {
            let source = PropertySource::Step(step_of(build, step)?.name.clone());
            if build.properties.len() >= PROPERTIES_OF_BUILD_MOST && !build.properties.contains_key(&name) {
                return Err(Oddity::TooManyProperties);
            }
            build.properties.insert(name, Property { value, source });
            Ok(())
        }
        BuildEvent::NetworkTried { step, network } => note_network(step_of(build, step)?, network),
        BuildEvent::StepFinished { step, outcome, summary, at } => {
            let step = step_of(build, step)?;
            end_step(step, outcome, at)?;
            step.summary = summary;
            Ok(())
        }
    }
}

/// Ends the steps that have not: in a build that ran to its end, a step that waits was passed over.
pub(super) fn close_steps(build: &mut Build, outcome: Outcome, at: Wall) {
    let of_waiting = match outcome {
        Outcome::Retry | Outcome::Cancelled => outcome,
        Outcome::Success | Outcome::Warnings | Outcome::Failure | Outcome::Skipped | Outcome::Exception => {
            Outcome::Skipped
        }
    };
    for step in &mut build.steps {
        step.state = match step.state {
            StepState::Waiting => StepState::Finished { started_at: at, at, outcome: of_waiting },
            StepState::Running { started_at } => StepState::Finished { started_at, at, outcome },
            StepState::Finished { started_at, at, outcome } => StepState::Finished { started_at, at, outcome },
        };
    }
}

fn step_of(build: &mut Build, number: u32) -> Result<&mut Step, Oddity> {
    let index = usize::try_from(number).ok();
    index.and_then(|index| build.steps.get_mut(index)).ok_or(Oddity::NoStep(number))
}

fn start_step(step: &mut Step, at: Wall) -> Result<(), Oddity> {
    match step.state {
        StepState::Waiting => {
            step.state = StepState::Running { started_at: at };
            Ok(())
        }
        StepState::Running { .. } => Ok(()),
        StepState::Finished { .. } => Err(Oddity::StepEnded(step.number)),
    }
}

fn end_step(step: &mut Step, outcome: Outcome, at: Wall) -> Result<(), Oddity> {
    let started_at = match step.state {
        StepState::Waiting => at,
        StepState::Running { started_at } => started_at,
        StepState::Finished { .. } => return Err(Oddity::StepEnded(step.number)),
    };
    step.state = StepState::Finished { started_at, at, outcome };
    Ok(())
}

fn open_log(step: &mut Step, log: LogName) -> Result<(), Oddity> {
    if step.logs.contains(&log) {
        return Ok(());
    }
    if step.logs.len() >= LOGS_OF_STEP_MOST {
        return Err(Oddity::TooManyLogs(step.number));
    }
    step.logs.push(log);
    Ok(())
}

fn note_network(step: &mut Step, network: Network) -> Result<(), Oddity> {
    if network.attempts.len() > ATTEMPTS_OF_STEP_MOST {
        return Err(Oddity::TooManyAttempts(step.number));
    }
    match step.state {
        StepState::Waiting | StepState::Running { .. } => {
            step.network = network;
            Ok(())
        }
        StepState::Finished { .. } => Err(Oddity::StepEnded(step.number)),
    }
}

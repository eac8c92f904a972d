//! The order of steps and the result of a build, as a state machine.

use std::sync::Arc;

use serde_json::Value;
use stampmill_model::{BuildOrder, Outcome, Properties, Property, PropertySource, StepPlan};

use crate::expression::Expression;
use crate::{Facts, WorkerFacts, properties, template};

/// What whoever drives the build does next.
#[derive(Clone, PartialEq, Debug)]
pub enum Next {
    /// Run this step, then say [`Runner::finished`].
    Run {
        /// Number of the step.
        step: u32,
        /// Its configuration, filled in.
        config: Value,
    },
    /// This step is not run; it is done with this outcome.
    PassOver {
        /// Number of the step.
        step: u32,
        /// Skipped; or exception, when its condition or configuration cannot be evaluated.
        outcome: Outcome,
        /// Why, in words for people.
        reason: String,
    },
    /// The build has ended.
    Done {
        /// How.
        outcome: Outcome,
        /// One line for people; empty when all is well.
        summary: String,
    },
}

/// Drives one build.
#[derive(Debug)]
pub struct Runner {
    order: Arc<BuildOrder>,
    worker: WorkerFacts,
    properties: Properties,
    /// The outcome so far.
    outcome: Outcome,
    /// The first step that made it as bad as it is, if a step did.
    decisive: Option<u32>,
    position: Position,
    course: Course,
    /// Steps that were not good, for the summary.
    blots: Vec<(u32, Outcome, String)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Position {
    Before(u32),
    At(u32),
}

/// Which of the steps ahead are run.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Course {
    /// All.
    On,
    /// Those that always run; why.
    Halted(String),
    /// None; why.
    Stopped(String),
}

impl Runner {
    /// Begins a build.
    #[must_use]
    pub fn start(order: Arc<BuildOrder>, worker: WorkerFacts) -> Self {
        let own = properties::of_build(&order.build);
        let properties = properties::combine([order.build.properties.clone(), own]);
        Self {
            order,
            worker,
            properties,
            outcome: Outcome::Success,
            decisive: None,
            position: Position::Before(0),
            course: Course::On,
            blots: Vec::new(),
        }
    }

    /// What comes next.
    ///
    /// # Panics
    /// When the step that runs is not finished.
    pub fn next_step(&mut self) -> Next {
        let Position::Before(step) = self.position else {
            panic!("next_step() while a step runs");
        };
        let order = Arc::clone(&self.order);
        let Some(plan) = order.job.steps.get(step as usize) else {
            return Next::Done { outcome: self.outcome, summary: self.summary() };
        };
        if let Some(reason) = self.barred(plan) {
            return self.pass_over(step, Outcome::Skipped, reason);
        }
        let facts = Facts::new(&order.build, &self.properties, &self.worker, self.outcome);
        match condition(plan, &facts) {
            Ok(None) => {}
            Ok(Some(reason)) => return self.pass_over(step, Outcome::Skipped, reason),
            Err(reason) => return self.pass_over(step, Outcome::Exception, reason),
        }
        match template::fill(&plan.config, &facts) {
            Ok(config) => {
                self.position = Position::At(step);
                Next::Run { step, config }
            }
            Err(error) => self.pass_over(step, Outcome::Exception, error.to_string()),
        }
    }

    /// The step that runs has ended.
    ///
    /// # Panics
    /// When another step runs, or none.
    pub fn finished(&mut self, step: u32, outcome: Outcome, summary: &str) {
        assert_eq!(self.position, Position::At(step), "finished() of a step that does not run");
        self.record(step, outcome, summary);
    }

    /// A step sets a property; answers the property with its source.
    ///
    /// # Panics
    /// When there is no step of that number.
    pub fn set_property(&mut self, step: u32, name: &str, value: Value) -> &Property {
        let source = PropertySource::Step(self.order.job.steps[step as usize].name.clone());
        properties::set(&mut self.properties, name, Property { value, source });
        &self.properties[name]
    }

    /// Ends the build because a person or a rule says so. The step that runs, if one does, must still be ended and [`Self::finished`]. Steps
    /// that always run are still run; when it is cancelled once more, no step is.
    pub fn cancel(&mut self, reason: &str) {
        self.course = match (&self.course, self.outcome) {
            (Course::On | Course::Halted(_), Outcome::Cancelled) | (Course::Stopped(_), _) => {
                Course::Stopped(why_cancelled(reason))
            }
            (Course::On | Course::Halted(_), _) => Course::Halted(why_cancelled(reason)),
        };
        self.worsen(Outcome::Cancelled, None);
    }

    /// Ends the build through no fault of its own: it is to be tried again elsewhere. No further step is run.
    pub fn abandon(&mut self, reason: &str) {
        self.course = Course::Stopped(reason.to_owned());
        self.worsen(Outcome::Retry, None);
    }

    /// The properties as they are now.
    #[must_use]
    pub fn properties(&self) -> &Properties {
        &self.properties
    }

    /// The outcome so far.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The first step that made the outcome as bad as it is; none where all is well, or where somebody ended the build.
    #[must_use]
    pub fn decisive(&self) -> Option<u32> {
        self.decisive
    }

    /// The build as it was ordered.
    #[must_use]
    pub fn order(&self) -> &Arc<BuildOrder> {
        &self.order
    }

    fn barred(&self, plan: &StepPlan) -> Option<String> {
        match &self.course {
            Course::On => None,
            Course::Halted(_) if plan.always_run => None,
            Course::Halted(why) | Course::Stopped(why) => Some(format!("not run: {why}")),
        }
    }

    fn pass_over(&mut self, step: u32, outcome: Outcome, reason: String) -> Next {
        self.record(step, outcome, &reason);
        Next::PassOver { step, outcome, reason }
    }

    fn record(&mut self, step: u32, outcome: Outcome, summary: &str) {
        self.position = Position::Before(step + 1);
        let plan = &self.order.job.steps[step as usize];
        let counted = match outcome {
            Outcome::Failure => counted(plan.flunk_on_failure, plan.warn_on_failure),
            Outcome::Warnings => counted(plan.flunk_on_warnings, plan.warn_on_warnings),
            Outcome::Skipped => Outcome::Success,
            // The step was ended because the build is to be tried again; nobody cancelled the build.
            Outcome::Cancelled if self.is_abandoned() => Outcome::Success,
            other => other,
        };
        let halts = match outcome {
            Outcome::Success | Outcome::Warnings | Outcome::Skipped => false,
            Outcome::Failure => plan.halt_on_failure,
            Outcome::Exception | Outcome::Retry | Outcome::Cancelled => true,
        };
        if halts && self.course == Course::On {
            self.course = Course::Halted(format!("step `{}` ended with {outcome}", plan.name));
        }
        if counted != Outcome::Success {
            self.blots.push((step, outcome, summary.to_owned()));
        }
        self.worsen(counted, Some(step));
    }

    fn worsen(&mut self, outcome: Outcome, step: Option<u32>) {
        if outcome.severity() > self.outcome.severity() {
            (self.outcome, self.decisive) = (outcome, step);
        }
    }

    fn is_abandoned(&self) -> bool {
        matches!(self.course, Course::Stopped(_)) && self.outcome == Outcome::Retry
    }

    fn summary(&self) -> String {
        match (&self.course, self.outcome) {
            (Course::Halted(why) | Course::Stopped(why), Outcome::Cancelled | Outcome::Retry) => why.clone(),
            (Course::On | Course::Halted(_) | Course::Stopped(_), _) => {
                let told: Vec<String> = self.blots.iter().map(|blot| self.blot(blot)).collect();
                told.join("; ")
            }
        }
    }

    fn blot(&self, (step, outcome, summary): &(u32, Outcome, String)) -> String {
        let name = &self.order.job.steps[*step as usize].name;
        if summary.is_empty() { format!("{name}: {outcome}") } else { format!("{name}: {outcome}, {summary}") }
    }
}

/// What a failure or warnings of a step are for the build.
const fn counted(flunks: bool, warns: bool) -> Outcome {
    match (flunks, warns) {
        (true, _) => Outcome::Failure,
        (false, true) => Outcome::Warnings,
        (false, false) => Outcome::Success,
    }
}

/// `Ok(None)` to run, `Ok(Some(why))` to skip.
fn condition(plan: &StepPlan, facts: &Facts) -> Result<Option<String>, String> {
    let Some(text) = &plan.when else {
        return Ok(None);
    };
    let holds = Expression::compile(text)
        .and_then(|expression| expression.holds(facts))
        .map_err(|error| format!("when: {error}"))?;
    Ok((!holds).then(|| format!("`when` is false: {text}")))
}

fn why_cancelled(reason: &str) -> String {
    if reason.is_empty() { "the build was cancelled".to_owned() } else { format!("the build was cancelled: {reason}") }
}

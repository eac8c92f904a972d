//! Which steps of a build are run and how it ends, against Buildbot's `Build` and `computeResultAndTermination`.

use std::sync::Arc;

use serde_json::{Value, json};
use stampmill_differential::{Dice, Oracle};
use stampmill_job::{Next, Runner, WorkerFacts};
use stampmill_model::{
    Build, BuildId, BuildOrder, BuildState, BuildsetId, Digest, Grant, Job, Milliseconds, Outcome, PluginLimits,
    PluginRef, Properties, RequestId, StepPlan, Wall,
};

const CASES: u64 = 3_000;

/// A step and what comes of it.
struct Planned {
    plan: StepPlan,
    is_wanted: bool,
    outcome: Outcome,
}

struct Case {
    steps: Vec<Planned>,
    /// During which step a person ends the build.
    cancel_at: Option<usize>,
    /// During which step the worker is lost.
    lost_at: Option<usize>,
}

fn step(dice: &mut Dice, number: usize) -> Planned {
    use Outcome::{Exception, Failure, Retry, Skipped, Success, Warnings};
    let is_wanted = !dice.one_in(6);
    let plan = StepPlan {
        name: number.to_string(),
        plugin: PluginRef { name: "shell".to_owned(), digest: Digest("0".repeat(64).into()) },
        config: json!({}),
        grant: Grant::default(),
        limits: PluginLimits::default(),
        locks: Vec::new(),
        when: (!is_wanted).then(|| "false".to_owned()),
        halt_on_failure: dice.one_in(2),
        flunk_on_failure: dice.one_in(2),
        warn_on_failure: dice.one_in(2),
        flunk_on_warnings: dice.one_in(3),
        warn_on_warnings: dice.one_in(2),
        always_run: dice.one_in(4),
        time_limit: Milliseconds::from_seconds(60),
    };
    let outcome =
        dice.pick(&[Success, Success, Success, Warnings, Warnings, Failure, Failure, Skipped, Exception, Retry]);
    Planned { plan, is_wanted, outcome }
}

fn case(dice: &mut Dice) -> Case {
    let steps: Vec<_> =
        (0..dice.between(0, 7)).map(|number| step(dice, usize::try_from(number).expect("few"))).collect();
    let numbers: Vec<usize> = (0..steps.len()).collect();
    let one = |dice: &mut Dice| (!numbers.is_empty() && dice.one_in(8)).then(|| dice.pick(&numbers));
    let cancel_at = one(dice);
    // Where a build is cancelled and its worker lost, ours was cancelled and Buildbot's is retried: nobody wants it again.
    let lost_at = one(dice).filter(|_| cancel_at.is_none());
    Case { steps, cancel_at, lost_at }
}

impl Case {
    fn question(&self) -> Value {
        let step = |planned: &Planned| {
            let plan = &planned.plan;
            json!({
                "haltOnFailure": plan.halt_on_failure, "flunkOnFailure": plan.flunk_on_failure,
                "warnOnFailure": plan.warn_on_failure, "flunkOnWarnings": plan.flunk_on_warnings,
                "warnOnWarnings": plan.warn_on_warnings, "alwaysRun": plan.always_run,
                "when": planned.is_wanted, "result": planned.outcome.as_str(),
            })
        };
        let steps: Vec<_> = self.steps.iter().map(step).collect();
        json!({ "steps": steps, "cancelAt": self.cancel_at, "lostAt": self.lost_at })
    }

    fn answer(&self) -> Value {
        let steps = self.steps.iter().map(|planned| planned.plan.clone()).collect();
        let mut runner = Runner::start(Arc::new(order(steps)), worker());
        let mut ran = Vec::new();
        loop {
            match runner.next_step() {
                Next::Run { step, .. } => {
                    let number = usize::try_from(step).expect("few");
                    ran.push(step);
                    let mut outcome = self.steps[number].outcome;
                    if self.cancel_at == Some(number) {
                        runner.cancel("ann");
                        outcome = Outcome::Cancelled;
                    }
                    if self.lost_at == Some(number) {
                        runner.abandon("worker lost");
                        outcome = Outcome::Cancelled;
                    }
                    runner.finished(step, outcome, "");
                }
                Next::PassOver { .. } => {}
                Next::Done { outcome, .. } => return json!({ "ran": ran, "result": outcome.as_str() }),
            }
        }
    }
}

fn worker() -> WorkerFacts {
    WorkerFacts { name: "w1".into(), cores: 2, os: "linux".to_owned(), arch: "x86_64".to_owned() }
}

fn order(steps: Vec<StepPlan>) -> BuildOrder {
    let build = Build {
        id: BuildId(1),
        number: 1,
        builder: "linux".into(),
        project: String::new(),
        request: RequestId(1),
        buildset: BuildsetId(1),
        merged: Vec::new(),
        locks: Vec::new(),
        triggers: Vec::new(),
        attempt: 1,
        worker: "w1".into(),
        reason: String::new(),
        owner: None,
        stamps: Vec::new(),
        blamelist: Vec::new(),
        properties: Properties::new(),
        steps: Vec::new(),
        started_at: Wall(0),
        state: BuildState::Dispatched,
    };
    BuildOrder { build, changes: Vec::new(), job: Arc::new(Job { name: "job".to_owned(), steps }) }
}

#[test]
fn a8_builds_run_the_same_steps_and_end_as_in_buildbot() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut dice = Dice::new(1);
    let cases: Vec<_> = (0..CASES).map(|_| case(&mut dice)).collect();
    let questions: Vec<_> = cases.iter().map(Case::question).collect();
    for (case, theirs) in cases.iter().zip(oracle.ask("build", &questions)) {
        assert_eq!(case.answer(), theirs, "{:#}", case.question());
    }
}

//! Builds: order, conditions, results, properties, cancellation.

#[path = "build/orders.rs"]
mod build;

use std::sync::Arc;

use build::{order, property, step, worker};
use serde_json::json;
use stampmill_job::{Next, Runner, properties};
use stampmill_model::{Outcome, Properties, PropertySource, StepPlan};

use Outcome::{Cancelled, Exception, Failure, Retry, Skipped, Success, Warnings};

/// Runs a job whose steps end as `answers` says, and tells what happened: `name:outcome` for each step, then the build's.
fn told(steps: Vec<StepPlan>, answers: &[Outcome]) -> String {
    let names: Vec<String> = steps.iter().map(|step| step.name.clone()).collect();
    let mut runner = Runner::start(Arc::new(order(steps)), worker());
    let mut answers = answers.iter().copied();
    let mut story = Vec::new();
    loop {
        match runner.next_step() {
            Next::Run { step, .. } => {
                let outcome = answers.next().expect("a step more than expected");
                runner.finished(step, outcome, "");
                story.push(format!("{}:{outcome}", names[step as usize]));
            }
            Next::PassOver { step, outcome, .. } => story.push(format!("({}:{outcome})", names[step as usize])),
            Next::Done { outcome, .. } => {
                assert_eq!(answers.next(), None, "a step less than expected");
                story.push(format!("= {outcome}"));
                return story.join(" ");
            }
        }
    }
}

fn plain() -> Vec<StepPlan> {
    vec![step("a"), step("b"), step("c")]
}

#[test]
fn results_are_the_worst_and_a_failure_halts() {
    for (answers, story) in [
        (vec![Success, Success, Success], "a:success b:success c:success = success"),
        (vec![Success, Warnings, Success], "a:success b:warnings c:success = warnings"),
        (vec![Success, Failure], "a:success b:failure (c:skipped) = failure"),
        (vec![Exception], "a:exception (b:skipped) (c:skipped) = exception"),
        (vec![Warnings, Retry], "a:warnings b:retry (c:skipped) = retry"),
        (vec![Cancelled], "a:cancelled (b:skipped) (c:skipped) = cancelled"),
        (vec![Skipped, Skipped, Skipped], "a:skipped b:skipped c:skipped = success"),
    ] {
        assert_eq!(told(plain(), &answers), story);
    }
    assert_eq!(told(vec![], &[]), "= success");
}

#[test]
fn the_first_step_that_made_the_outcome_as_bad_as_it_is_is_decisive() {
    let decisive = |steps: Vec<StepPlan>, answers: &[Outcome]| {
        let mut runner = Runner::start(Arc::new(order(steps)), worker());
        let mut answers = answers.iter().copied();
        while let Some((step, outcome)) = match runner.next_step() {
            Next::Run { step, .. } => Some((Some(step), answers.next().expect("a step more than expected"))),
            Next::PassOver { outcome, .. } => Some((None, outcome)),
            Next::Done { .. } => None,
        } {
            if let Some(step) = step {
                runner.finished(step, outcome, "");
            }
        }
        runner.decisive()
    };
    let lenient = || {
        let steps = plain().into_iter().map(|step| StepPlan { halt_on_failure: false, ..step });
        steps.collect::<Vec<_>>()
    };
    assert_eq!(decisive(plain(), &[Success, Success, Success]), None);
    assert_eq!(decisive(plain(), &[Success, Failure]), Some(1));
    assert_eq!(decisive(lenient(), &[Failure, Failure, Success]), Some(0));
    assert_eq!(decisive(lenient(), &[Warnings, Failure, Warnings]), Some(1));
    let mut steps = lenient();
    steps[0].flunk_on_failure = false;
    assert_eq!(decisive(steps, &[Failure, Success, Failure]), Some(2), "the first counts as a warning only");
    let mut runner = Runner::start(Arc::new(order(lenient())), worker());
    runner.next_step();
    runner.finished(0, Failure, "");
    runner.cancel("ann");
    assert_eq!(runner.decisive(), None, "who cancelled it decided");
}

#[test]
fn a_failure_that_does_not_halt_lets_the_rest_run() {
    let mut steps = plain();
    steps[0].halt_on_failure = false;
    assert_eq!(told(steps, &[Failure, Success, Warnings]), "a:failure b:success c:warnings = failure");
}

#[test]
fn a_failure_that_does_not_flunk_is_a_warning_for_the_build() {
    let mut steps = plain();
    steps[0].flunk_on_failure = false;
    assert_eq!(told(steps.clone(), &[Failure]), "a:failure (b:skipped) (c:skipped) = warnings");
    steps[0].halt_on_failure = false;
    assert_eq!(told(steps.clone(), &[Failure, Success, Success]), "a:failure b:success c:success = warnings");
    assert_eq!(told(steps, &[Exception]), "a:exception (b:skipped) (c:skipped) = exception");
}

#[test]
fn a_failure_or_warnings_count_for_the_build_as_the_step_says() {
    let mut steps = plain();
    (steps[0].halt_on_failure, steps[0].flunk_on_failure, steps[0].warn_on_failure) = (false, false, false);
    assert_eq!(told(steps.clone(), &[Failure, Success, Success]), "a:failure b:success c:success = success");
    steps[1].warn_on_warnings = false;
    assert_eq!(told(steps.clone(), &[Success, Warnings, Success]), "a:success b:warnings c:success = success");
    steps[2].flunk_on_warnings = true;
    assert_eq!(told(steps, &[Success, Success, Warnings]), "a:success b:success c:warnings = failure");
}

#[test]
fn a_step_that_always_runs_runs_after_a_failure_and_its_result_counts() {
    let mut steps = plain();
    steps[2].always_run = true;
    assert_eq!(told(steps.clone(), &[Failure, Success]), "a:failure (b:skipped) c:success = failure");
    assert_eq!(told(steps, &[Failure, Exception]), "a:failure (b:skipped) c:exception = exception");
}

#[test]
fn a_condition_decides_and_a_broken_one_is_an_exception() {
    let mut steps = plain();
    steps[0].when = Some("props.is_nightly == true".to_owned());
    steps[1].when = Some("props.other == true".to_owned());
    assert_eq!(told(steps.clone(), &[Success, Success]), "a:success (b:skipped) c:success = success");
    steps[1].when = Some("props.text > 3".to_owned());
    assert_eq!(told(steps.clone(), &[Success]), "a:success (b:exception) (c:skipped) = exception");
    steps[1].when = None;
    steps[2].when = Some("outcome == \"failure\"".to_owned());
    steps[2].always_run = true;
    assert_eq!(told(steps.clone(), &[Success, Failure, Success]), "a:success b:failure c:success = failure");
    assert_eq!(told(steps, &[Success, Success]), "a:success b:success (c:skipped) = success");
}

#[test]
fn configuration_is_filled_in_with_what_earlier_steps_set() {
    let mut steps = plain();
    steps.truncate(2);
    steps[1].config = json!({"argument": "${{ props.got_revision }}", "text": "-j${{ worker.cores }}"});
    let mut runner = Runner::start(Arc::new(order(steps.clone())), worker());
    assert!(matches!(runner.next_step(), Next::Run { step: 0, .. }));
    let set = runner.set_property(0, "got_revision", json!("0123"));
    assert_eq!(set.source, PropertySource::Step("a".to_owned()));
    runner.finished(0, Success, "");
    let config = json!({"argument": "0123", "text": "-j8"});
    assert_eq!(runner.next_step(), Next::Run { step: 1, config });

    assert_eq!(told(steps, &[Success]), "a:success (b:exception) = exception");
}

#[test]
fn the_summary_names_what_was_not_good() {
    let mut runner = Runner::start(Arc::new(order(plain())), worker());
    runner.next_step();
    runner.finished(0, Warnings, "3 warnings");
    runner.next_step();
    runner.finished(1, Failure, "");
    let Next::PassOver { reason, .. } = runner.next_step() else { panic!("c is passed over") };
    assert_eq!(reason, "not run: step `b` ended with failure");
    let summary = "a: warnings, 3 warnings; b: failure".to_owned();
    assert_eq!(runner.next_step(), Next::Done { outcome: Failure, summary });
}

#[test]
fn a_cancelled_build_runs_only_what_always_runs_and_cancelled_twice_nothing() {
    let mut steps = plain();
    steps.push(step("d"));
    steps[2].always_run = true;
    steps[3].always_run = true;
    let mut runner = Runner::start(Arc::new(order(steps)), worker());
    runner.next_step();
    runner.cancel("ada");
    runner.finished(0, Cancelled, "");
    let Next::PassOver { step: 1, outcome: Skipped, reason } = runner.next_step() else { panic!("b is passed over") };
    assert_eq!(reason, "not run: the build was cancelled: ada");
    assert!(matches!(runner.next_step(), Next::Run { step: 2, .. }));
    runner.cancel("ada again");
    runner.finished(2, Cancelled, "");
    assert!(matches!(runner.next_step(), Next::PassOver { step: 3, .. }));
    let summary = "the build was cancelled: ada again".to_owned();
    assert_eq!(runner.next_step(), Next::Done { outcome: Cancelled, summary });
}

#[test]
fn an_abandoned_build_is_to_be_retried_and_runs_nothing_more() {
    let mut steps = plain();
    steps[2].always_run = true;
    let mut runner = Runner::start(Arc::new(order(steps)), worker());
    runner.next_step();
    runner.abandon("worker w1 was stopped");
    runner.finished(0, Cancelled, "");
    assert!(matches!(runner.next_step(), Next::PassOver { step: 1, .. }));
    assert!(matches!(runner.next_step(), Next::PassOver { step: 2, .. }));
    let summary = "worker w1 was stopped".to_owned();
    assert_eq!(runner.next_step(), Next::Done { outcome: Retry, summary });
}

#[test]
fn properties_go_by_precedence_and_among_equals_the_later_wins() {
    use PropertySource::{Builder, Change, Force, Global, Scheduler, Worker};
    let rising = [
        Global,
        Worker,
        Builder,
        Change,
        Scheduler,
        Force,
        PropertySource::Trigger,
        PropertySource::Job,
        PropertySource::Build,
        PropertySource::Step("s".to_owned()),
    ];
    for (low, high) in rising.iter().zip(&rising[1..]) {
        let one = Properties::from([("x".to_owned(), property(json!("low"), low.clone()))]);
        let two = Properties::from([("x".to_owned(), property(json!("high"), high.clone()))]);
        assert_eq!(properties::combine([one.clone(), two.clone()])["x"].value, "high", "{low} {high}");
        assert_eq!(properties::combine([two, one])["x"].value, "high", "{low} {high}");
    }
    let mut all = Properties::new();
    assert!(properties::set(&mut all, "x", property(json!(1), PropertySource::Step("a".to_owned()))));
    assert!(properties::set(&mut all, "x", property(json!(2), PropertySource::Step("A".to_owned()))));
    assert!(!properties::set(&mut all, "x", property(json!(3), Force)));
    assert_eq!(all["x"].value, 2);
}

#[test]
fn a_build_knows_itself() {
    let mut order = order(vec![]);
    order.build.properties.insert("workername".to_owned(), property(json!("forged"), PropertySource::Force));
    let runner = Runner::start(Arc::new(order.clone()), worker());
    assert_eq!(runner.properties()["workername"].value, "w1");
    assert_eq!(runner.properties()["buildername"].value, "linux");
    assert!(!runner.properties().contains_key("revision"), "two codebases have no one revision");
    order.build.stamps.truncate(1);
    let runner = Runner::start(Arc::new(order), worker());
    assert_eq!(runner.properties()["revision"].value, "0123abc");
    assert_eq!(runner.properties()["revision"].source, PropertySource::Build);
}

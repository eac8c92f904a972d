//! The step `trigger`: starts buildsets of triggerable schedulers, and waits for them if it is to.

mod config;

use std::collections::BTreeMap;

use config::Config;
use stampmill_sdk::serde_json::Value;
use stampmill_sdk::trigger::{Request, Triggered};
use stampmill_sdk::{Fault, Outcome, Plugin, Step, outcome_word, register, running_build};

/// The step.
#[derive(Debug)]
pub struct Trigger(Config);

impl Plugin for Trigger {
    type Config = Config;

    fn new(config: Config) -> Result<Trigger, Fault> {
        check(&config)?;
        Ok(Trigger(config))
    }
}

fn check(config: &Config) -> Result<(), Fault> {
    if config.schedulers.is_empty() {
        return Err(Fault::refused("`schedulers` is empty: name a triggerable scheduler"));
    }
    if let Some(name) = config.unimportant.iter().find(|name| !config.schedulers.contains(name)) {
        return Err(Fault::refused(format!("`unimportant` names `{name}`, which is not in `schedulers`")));
    }
    if let Some(name) = config.copy.iter().find(|name| config.set.contains_key(*name)) {
        return Err(Fault::refused(format!("property `{name}` is in `set` and in `copy`: keep one of them")));
    }
    if config.unimportant.is_empty() || config.wait {
        return Ok(());
    }
    Err(Fault::refused("`unimportant` means nothing without `wait = true`: nobody waits for an end"))
}

impl Step for Trigger {
    fn run(&self) -> Result<Outcome, Fault> {
        let properties = self.properties()?;
        let mut started = Vec::with_capacity(self.0.schedulers.len());
        for scheduler in &self.0.schedulers {
            started.push((scheduler.as_str(), self.request(scheduler, &properties).start()?));
        }
        let names: Vec<_> = started.iter().map(|(name, set)| shown(name, set)).collect();
        running_build::summary(&names.join(", "));
        if !self.0.wait {
            return Ok(Outcome::Success);
        }
        self.wait(started)
    }
}

impl Trigger {
    fn properties(&self) -> Result<BTreeMap<&str, Value>, Fault> {
        let mut properties: BTreeMap<_, _> =
            self.0.set.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        let build = running_build::current();
        for name in &self.0.copy {
            if let Some(value) = build.property(name) {
                properties.insert(name, stampmill_sdk::serde_json::from_str(&value)?);
            }
        }
        Ok(properties)
    }

    fn request(&self, scheduler: &str, properties: &BTreeMap<&str, Value>) -> Request {
        let mut request = Request::new(scheduler);
        if self.0.latest {
            request = request.latest();
        }
        if !self.0.wait {
            request = request.detach();
        }
        for (codebase, version) in &self.0.versions {
            request = request.version(codebase, version.branch.as_deref(), version.revision.as_deref());
        }
        properties.iter().fold(request, |request, (name, value)| request.property(name, value))
    }

    fn wait(&self, started: Vec<(&str, Triggered)>) -> Result<Outcome, Fault> {
        let mut ended = Vec::with_capacity(started.len());
        let mut worst = Outcome::Success;
        let all = started.len() as u64;
        for ((name, set), done) in started.into_iter().zip(0_u64..) {
            running_build::progress(done, Some(all));
            let outcome = set.wait()?;
            ended.push(format!("{}: {}", shown(name, &set), outcome_word(outcome)));
            if !self.0.unimportant.contains(name) {
                worst = worse(worst, outcome);
            }
        }
        running_build::summary(&ended.join(", "));
        Ok(worst)
    }
}

fn shown(scheduler: &str, set: &Triggered) -> String {
    format!("{scheduler} (buildset {})", set.buildset())
}

/// As the host combines outcomes.
fn worse(one: Outcome, other: Outcome) -> Outcome {
    let rank = |outcome| match outcome {
        Outcome::Skipped => 0,
        Outcome::Success => 1,
        Outcome::Warnings => 2,
        Outcome::Failure => 3,
        Outcome::Exception => 4,
        Outcome::Retry => 5,
        Outcome::Cancelled => 6,
    };
    if rank(other) > rank(one) { other } else { one }
}

register!(step: Trigger);

#[cfg(test)]
mod tests {
    use super::*;
    use stampmill_sdk::serde_json::{from_value, json};

    fn refusal(config: Value) -> String {
        Trigger::new(from_value(config).unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn what_means_nothing_is_refused_by_its_name() {
        for (config, says) in [
            (json!({"schedulers": []}), "`schedulers` is empty"),
            (json!({"schedulers": ["a"], "wait": true, "unimportant": ["b"]}), "names `b`"),
            (json!({"schedulers": ["a"], "unimportant": ["a"]}), "without `wait = true`"),
            (json!({"schedulers": ["a"], "set": {"x": 1}, "copy": ["x"]}), "property `x` is in `set` and in `copy`"),
        ] {
            assert!(refusal(config.clone()).contains(says), "{config}");
        }
        assert!(from_value::<Config>(json!({"schedulers": ["a"], "when": 1})).is_err());
    }

    #[test]
    fn the_worst_end_counts_and_a_set_that_was_skipped_is_no_worse_than_one_that_passed() {
        let worst = |outcomes: &[Outcome]| outcomes.iter().copied().fold(Outcome::Success, worse);
        assert_eq!(worst(&[Outcome::Success, Outcome::Warnings, Outcome::Skipped]), Outcome::Warnings);
        assert_eq!(worst(&[Outcome::Failure, Outcome::Cancelled, Outcome::Exception]), Outcome::Cancelled);
        assert_eq!(worst(&[Outcome::Skipped]), Outcome::Success);
    }
}

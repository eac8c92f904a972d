//! Triggerable: a step of a build wants a buildset. What comes of it is kept with the build, and its worker is told, again after each cut.

use std::sync::Arc;

use stampmill_model::{
    Build, BuildId, Buildset, BuildsetId, Outcome, Parent, Property, PropertySource, SchedulerName, Trigger,
    TriggerState, TriggerWish,
};

use super::stamps;
use crate::Engine;
use crate::buildset::NewBuildset;
use crate::config::{Scheduler, SchedulerKind};
use crate::input::Answer;
use crate::limits::TRIGGERS_OF_BUILD_MOST;
use crate::locks::LockKey;
use crate::outbox::Key;
use crate::output::Effect;
use crate::properties::{layered, sourced};

impl Engine {
    /// A step of a build wants a buildset.
    pub(crate) fn trigger(&mut self, id: BuildId, step: u32, wish: TriggerWish) {
        let Some(build) = self.builds.get(&id).map(|open| Arc::clone(&open.build)) else { return };
        let is_next = usize::try_from(wish.number).is_ok_and(|number| number == build.triggers.len());
        if !is_next || build.triggers.len() >= TRIGGERS_OF_BUILD_MOST {
            let (number, worker) = (wish.number, &build.worker);
            self.outbox.warn(format!("worker `{worker}`, build {id}: its trigger {number} is out of turn"));
            return;
        }
        let (number, scheduler, detached) = (wish.number, wish.scheduler.clone(), wish.detached);
        let state = match self.triggered_set(&build, step, wish) {
            Ok(buildset) => TriggerState::Open { buildset },
            Err(reason) => TriggerState::Refused { reason },
        };
        let Some(open) = self.builds.get_mut(&id) else { return };
        let trigger = Trigger { step, scheduler, detached, state: state.clone() };
        Arc::make_mut(&mut open.build).triggers.push(trigger);
        self.outbox.effect(Effect::TellTrigger { worker: build.worker.clone(), build: id, number, state });
        self.note_waiting(id);
    }

    /// A build may have begun or ended to wait for what it has triggered. While it waits, its slot is free, and so is
    /// its place among the builds of its builder and its project.
    fn note_waiting(&mut self, id: BuildId) {
        let Some(build) = self.builds.get(&id).map(|open| Arc::clone(&open.build)) else { return };
        let has_changed = match is_waiting(&build) {
            true => self.waiting.insert(id),
            false => self.waiting.remove(&id),
        };
        if !has_changed {
            return;
        }
        match self.waiting.contains(&id) {
            true => self.runs_one_less(&build),
            false => {
                *self.running.entry(build.builder.clone()).or_default() += 1;
                self.projects.resume(&build.project, self.now.steady);
                if self.projects.is_full(self.projects.number(&build.project)) {
                    self.wake_lines();
                }
            }
        }
        self.refresh_room(&build.worker);
        self.wake_worker(&build.worker);
        self.regroup_builder(&build.builder);
    }

    /// Makes the buildset that a step wants, or says why there is none.
    fn triggered_set(&mut self, build: &Build, step: u32, wish: TriggerWish) -> Result<BuildsetId, String> {
        let config = Arc::clone(&self.config);
        let name = &wish.scheduler;
        let position = self.lookup.scheduler(name).ok_or_else(|| format!("there is no scheduler `{name}`"))?;
        let scheduler = &config.schedulers[position];
        if scheduler.kind != SchedulerKind::Triggerable {
            return Err(format!("scheduler `{name}` is not of kind `triggerable`"));
        }
        self.check_granted(build, step, scheduler)?;
        if let Some(says) = self.disabled_in_words(name) {
            return Err(format!("scheduler `{name}` is {says}"));
        }
        let parent = self.buildsets.get(&build.buildset);
        let depth = parent.map_or(0, |open| open.set.depth) + 1;
        let most = config.limits.trigger_depth;
        if depth > most {
            return Err(format!(
                "scheduler `{name}` would be triggered by build {} of builder `{}` at depth {depth}, one build from the other, and `limits.trigger-depth` is {most}: do they trigger each other?",
                build.number, build.builder
            ));
        }
        let known = |codebase: &&String| scheduler.codebases.iter().any(|mine| mine.codebase == **codebase);
        if let Some(codebase) = wish.versions.keys().find(|codebase| !known(codebase)) {
            return Err(format!("scheduler `{name}` has no codebase `{codebase}`"));
        }
        if !wish.detached {
            check_locks(build, name)?;
        }
        let wishes = self.wishes(scheduler, &scheduler.builders, None);
        if wishes.is_empty() {
            return Err(format!("no configured worker fits the builders of scheduler `{name}`"));
        }
        let stamps = stamps::of_trigger(&scheduler.codebases, build, &wish);
        let of_scheduler = sourced(&scheduler.properties, &PropertySource::Scheduler);
        let of_trigger = wish.properties.into_iter();
        let of_trigger = of_trigger.map(|(name, value)| (name, Property { value, source: PropertySource::Trigger }));
        let new = NewBuildset {
            reason: if scheduler.reason.is_empty() {
                format!("triggered by build {} of builder `{}`", build.number, build.builder)
            } else {
                scheduler.reason.clone()
            },
            scheduler: Some(name.clone()),
            owner: build.owner.clone(),
            authors: build.blamelist.clone(),
            approve: scheduler.approve_untrusted && stamps.iter().any(|stamp| !stamp.trusted),
            stamps,
            properties: layered(of_scheduler, of_trigger.collect()),
            wishes,
            priority: scheduler.priority,
            parent: Some(Parent::Triggered(build.id)),
            depth,
            ..NewBuildset::default()
        };
        match self.submit(new) {
            Answer::Buildset { id, .. } => Ok(id),
            _ => Err("no buildset was made".to_owned()),
        }
    }

    /// The worker holds each call against the step's grant. It is asked once more here: whoever runs builds must not widen their rights.
    fn check_granted(&self, build: &Build, step: u32, scheduler: &Scheduler) -> Result<(), String> {
        let (name, builder) = (scheduler.name.as_str(), &build.builder);
        let plans = self.builder(builder).map(|builder| &builder.job.steps);
        let shown = usize::try_from(step).ok().and_then(|step| build.steps.get(step)).map(|step| step.name.as_str());
        let step = shown.unwrap_or_default();
        let plan = plans.and_then(|plans| plans.iter().find(|plan| plan.name == step));
        if plan.is_some_and(|plan| plan.grant.trigger.iter().any(|granted| granted == name)) {
            return Ok(());
        }
        Err(format!("step `{step}` of builder `{builder}` is not granted `trigger = [{name:?}]`"))
    }

    /// A buildset is complete; the build that triggered it hears of it.
    pub(crate) fn trigger_is_complete(&mut self, set: &Buildset, outcome: Outcome) {
        let Some(Parent::Triggered(id)) = set.parent else { return };
        let Some(open) = self.builds.get_mut(&id) else { return };
        let build = Arc::make_mut(&mut open.build);
        let triggers = (0_u32..).zip(&mut build.triggers);
        let Some((number, trigger)) = triggers.into_iter().find(|(_, trigger)| trigger.buildset() == Some(set.id))
        else {
            return;
        };
        trigger.state = TriggerState::Finished { buildset: set.id, outcome };
        let (worker, state) = (build.worker.clone(), trigger.state.clone());
        self.outbox.mark(Key::Build(id));
        self.outbox.effect(Effect::TellTrigger { worker, build: id, number, state });
        self.note_waiting(id);
    }

    /// A worker is back with a build: it may not know what became of the build's triggers.
    pub(crate) fn tell_triggers(&mut self, id: BuildId) {
        let Some(build) = self.builds.get(&id).map(|open| Arc::clone(&open.build)) else { return };
        for (number, trigger) in (0_u32..).zip(&build.triggers) {
            let (worker, state) = (build.worker.clone(), trigger.state.clone());
            self.outbox.effect(Effect::TellTrigger { worker, build: id, number, state });
        }
    }

    /// Ends the requests of a set that are not complete.
    pub(crate) fn cancel_set(&mut self, id: BuildsetId, reason: &str) {
        let requests = self.buildsets.get(&id).map(|open| open.set.requests.clone()).unwrap_or_default();
        for request in requests {
            self.cancel_request(request, reason.to_owned());
        }
    }
}

/// Who has a lock must wait for no set: what that waits for, a lock or a worker, may be with those who wait for this one.
fn check_locks(build: &Build, scheduler: &SchedulerName) -> Result<(), String> {
    let Some((held, _)) = LockKey::of(build).next() else { return Ok(()) };
    Err(format!(
        "{held} is held until scheduler `{scheduler}` is through, and builds could wait for each other for ever: trigger it with `wait = false`, or from a step while the build has no lock"
    ))
}

/// The sets that end with a build, of those that it has triggered.
pub(crate) fn awaited_sets(build: &Build) -> Vec<BuildsetId> {
    let awaited = build.triggers.iter().filter_map(|trigger| match trigger.state {
        TriggerState::Open { buildset } if !trigger.detached => Some(buildset),
        TriggerState::Open { .. } | TriggerState::Refused { .. } | TriggerState::Finished { .. } => None,
    });
    awaited.collect()
}

/// Whether a build waits for what it has triggered.
pub(crate) fn is_waiting(build: &Build) -> bool {
    let is_awaited = |it: &Trigger| !it.detached && matches!(it.state, TriggerState::Open { .. });
    build.triggers.iter().any(is_awaited)
}

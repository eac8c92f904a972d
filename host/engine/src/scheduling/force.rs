//! Force: a person asks; and its kin, the submission by a program and the rebuild.

use std::collections::BTreeSet;
use std::sync::Arc;

use stampmill_model::{BuilderName, ChangeId, Parent, Properties, PropertySource, WorkerName};

use super::stamps;
use crate::Engine;
use crate::buildset::{NewBuildset, Wish};
use crate::config::Scheduler;
use crate::form::{Fault, Form};
use crate::input::{Answer, Force, Rebuild, Refusal, Submission};
use crate::lookup::allows;
use crate::properties::{layered, sourced};

impl Engine {
    /// A person forces a build.
    pub(crate) fn forced(&mut self, force: Force) -> Result<Answer, Refusal> {
        let config = Arc::clone(&self.config);
        let (scheduler, form) = self.force_scheduler(&config.schedulers, &force)?;
        if let Some(codebase) = unknown_codebase(scheduler, &force) {
            let mine: Vec<_> = scheduler.codebases.iter().map(|mine| format!("`{}`", mine.codebase)).collect();
            let (name, mine) = (&scheduler.name, mine.join(", "));
            return Err(Refusal::Unknown(format!("scheduler `{name}` has no codebase `{codebase}`; it has {mine}")));
        }
        let builders = force.builder.as_ref().map_or(scheduler.builders.as_slice(), std::slice::from_ref);
        if let Some(worker) = &force.worker {
            self.check_worker(worker, builders)?;
        }
        let wishes = self.wishes(scheduler, builders, force.worker.as_ref());
        if wishes.is_empty() {
            let name = &scheduler.name;
            return Err(Refusal::NotAllowed(format!("no configured worker fits the builders of scheduler `{name}`")));
        }
        let properties = answers(form, &force).map_err(Refusal::Form)?;
        let reason = if force.reason.is_empty() { super::reason(scheduler) } else { force.reason };
        let of_scheduler = sourced(&scheduler.properties, &PropertySource::Scheduler);
        let new = NewBuildset {
            reason,
            scheduler: Some(scheduler.name.clone()),
            owner: Some(force.owner).filter(|owner| !owner.is_empty()),
            stamps: stamps::of_choices(&scheduler.codebases, &force.stamps),
            properties: layered(of_scheduler, properties),
            wishes,
            priority: force.priority.unwrap_or(scheduler.priority),
            ..NewBuildset::default()
        };
        Ok(self.submit(new))
    }

    fn force_scheduler<'a>(
        &self,
        schedulers: &'a [Scheduler],
        force: &Force,
    ) -> Result<(&'a Scheduler, &'a Form), Refusal> {
        if let Some(builder) = &force.builder {
            self.check_builder(builder)?;
        }
        let lists = |scheduler: &Scheduler| force.builder.as_ref().is_none_or(|name| scheduler.builders.contains(name));
        if let Some(name) = &force.scheduler {
            let position = self.lookup.scheduler(name);
            let found = position.map(|position| &schedulers[position]);
            let found = found.ok_or_else(|| Refusal::Unknown(format!("there is no scheduler `{name}`")))?;
            let Some(form) = found.form() else {
                return Err(Refusal::NotAllowed(format!("scheduler `{name}` is not of kind `force`")));
            };
            if !lists(found) {
                let builder = force.builder.as_ref().map_or("", BuilderName::as_str);
                return Err(Refusal::NotAllowed(format!(
                    "scheduler `{name}` does not list builder `{builder}`; add it to the scheduler's `builders`"
                )));
            }
            self.check_enabled(found)?;
            return Ok((found, form));
        }
        let Some(builder) = &force.builder else {
            return Err(Refusal::NotAllowed("a force needs a builder or a scheduler of kind `force`".to_owned()));
        };
        let listing = self.lookup.forcing(builder).iter().map(|position| &schedulers[*position]);
        let mut listing = listing.filter_map(|scheduler| Some((scheduler, scheduler.form()?))).peekable();
        let first = listing.peek().copied().ok_or_else(|| {
            Refusal::NotAllowed(format!(
                "no scheduler of kind `force` lists builder `{builder}`; add one, or add the builder to its `builders`"
            ))
        })?;
        let found = listing.find(|(scheduler, _)| !self.is_disabled(&scheduler.name)).unwrap_or(first);
        self.check_enabled(found.0)?;
        Ok(found)
    }

    fn check_builder(&self, builder: &BuilderName) -> Result<(), Refusal> {
        let known = self.lookup.builder(builder).map(|_| ());
        known.ok_or_else(|| Refusal::Unknown(format!("there is no builder `{builder}`")))
    }

    fn check_worker(&self, name: &WorkerName, builders: &[BuilderName]) -> Result<(), Refusal> {
        let position = self.lookup.worker(name);
        let worker = position.map(|position| &self.config.workers[position]);
        let worker = worker.ok_or_else(|| Refusal::Unknown(format!("there is no worker `{name}`")))?;
        let configured = builders.iter().filter_map(|builder| self.builder(builder));
        for builder in configured {
            if !allows(&builder.workers, worker) {
                let builder = &builder.name;
                return Err(Refusal::NotAllowed(format!("builder `{builder}` is not for worker `{name}`")));
            }
        }
        Ok(())
    }

    /// A program submits source stamps for some builders.
    pub(crate) fn submitted(&mut self, submission: Submission) -> Result<Answer, Refusal> {
        if let Some(before) = submission.external_id.as_ref().and_then(|key| self.external_ids.get(key)) {
            return Ok(self.answer_of(*before));
        }
        if submission.builders.is_empty() || submission.stamps.is_empty() {
            return Err(Refusal::NotAllowed("a submission needs at least one builder and one source stamp".to_owned()));
        }
        for builder in &submission.builders {
            self.check_builder(builder)?;
        }
        // One that comes later under this id would be taken for it.
        let mut named = submission.stamps.iter().flat_map(|stamp| &stamp.changes);
        if let Some(unknown) = named.find(|id| **id == ChangeId(0) || **id > self.last.change) {
            return Err(Refusal::Unknown(format!("there is no change {unknown}")));
        }
        let mut codebases = BTreeSet::new();
        if let Some(twice) = submission.stamps.iter().find(|stamp| !codebases.insert(stamp.codebase.as_str())) {
            let codebase = &twice.codebase;
            return Err(Refusal::NotAllowed(format!("codebase `{codebase}` has two source stamps; send one")));
        }
        let named = submission.stamps.iter().flat_map(|stamp| &stamp.changes).filter_map(|id| self.changes.get(id));
        let authors = named.map(|open| open.change.seen.author.clone()).collect();
        let wishes = submission.builders.into_iter().map(|builder| Wish { builder, only_worker: None });
        let new = NewBuildset {
            reason: submission.reason,
            owner: Some(submission.owner).filter(|owner| !owner.is_empty()),
            authors,
            stamps: submission.stamps,
            properties: sourced(&submission.properties, &PropertySource::Force),
            wishes: wishes.collect(),
            priority: submission.priority,
            external_id: submission.external_id,
            ..NewBuildset::default()
        };
        Ok(self.submit(new))
    }

    /// A person wants a build again: same sources, same properties. Who may ask for it has seen the sources, so nobody is asked to approve them.
    pub(crate) fn rebuilt(&mut self, rebuild: Rebuild) -> Result<Answer, Refusal> {
        self.check_builder(&rebuild.builder)?;
        let new = NewBuildset {
            reason: format!("rebuild of build {}", rebuild.build),
            owner: Some(rebuild.owner).filter(|owner| !owner.is_empty()),
            authors: rebuild.blamelist,
            stamps: rebuild.stamps,
            properties: rebuild.properties,
            wishes: vec![Wish { builder: rebuild.builder, only_worker: None }],
            parent: Some(Parent::Rebuild(rebuild.build)),
            ..NewBuildset::default()
        };
        Ok(self.submit(new))
    }
}

/// The properties of a force, or everything that is wrong with its answers.
fn answers(form: &Form, force: &Force) -> Result<Properties, Vec<Fault>> {
    let mut faults = Vec::new();
    if form.reason_required && force.reason.trim().is_empty() {
        let message = "the reason is missing; say why, for the others".to_owned();
        faults.push(Fault { field: "reason".to_owned(), message });
    }
    faults.extend(form.check_sources(&force.stamps));
    match form.properties(&force.properties, &force.owner) {
        Ok(properties) if faults.is_empty() => Ok(properties),
        Ok(_) => Err(faults),
        Err(more) => Err(faults.into_iter().chain(more).collect()),
    }
}

fn unknown_codebase<'a>(scheduler: &Scheduler, force: &'a Force) -> Option<&'a str> {
    let known = |name: &str| scheduler.codebases.iter().any(|mine| mine.codebase == name);
    force.stamps.keys().map(String::as_str).find(|name| !known(name))
}

//! Try: a person has a patch built before it is committed.

use std::collections::BTreeMap;
use std::sync::Arc;

use stampmill_model::{Patch, PropertySource};

use super::{reason, stamps};
use crate::Engine;
use crate::buildset::NewBuildset;
use crate::config::{Scheduler, SchedulerKind};
use crate::input::{Answer, Refusal, SourceChoice, Try};
use crate::properties::{layered, sourced};

impl Engine {
    /// A person tries a patch. The patched sources are trusted only if the operator says so of the scheduler.
    pub(crate) fn tried(&mut self, tried: Try) -> Result<Answer, Refusal> {
        let config = Arc::clone(&self.config);
        let (scheduler, trusted) = try_scheduler(&config.schedulers, &tried)?;
        self.check_enabled(scheduler)?;
        let codebase = patched_codebase(scheduler, tried.codebase)?;
        let builders = if tried.builders.is_empty() { &scheduler.builders } else { &tried.builders };
        let wishes = self.wishes(scheduler, builders, None);
        if wishes.is_empty() {
            let name = &scheduler.name;
            return Err(Refusal::NotAllowed(format!("no configured worker fits the builders of scheduler `{name}`")));
        }
        let choice = SourceChoice { branch: tried.branch, revision: tried.revision, ..SourceChoice::default() };
        let mut stamps = stamps::of_choices(&scheduler.codebases, &BTreeMap::from([(codebase.clone(), choice)]));
        for stamp in stamps.iter_mut().filter(|stamp| stamp.codebase == codebase) {
            stamp.patch = Some(Patch { author: tried.owner.clone(), ..tried.patch.clone() });
            stamp.trusted = trusted;
        }
        let of_scheduler = sourced(&scheduler.properties, &PropertySource::Scheduler);
        let new = NewBuildset {
            reason: if tried.reason.is_empty() { reason(scheduler) } else { tried.reason },
            scheduler: Some(scheduler.name.clone()),
            owner: Some(tried.owner).filter(|owner| !owner.is_empty()),
            stamps,
            properties: layered(of_scheduler, sourced(&tried.properties, &PropertySource::Force)),
            wishes,
            priority: scheduler.priority,
            approve: scheduler.approve_untrusted && !trusted,
            ..NewBuildset::default()
        };
        Ok(self.submit(new))
    }
}

/// The try scheduler that is named, or the first that lists all named builders; and whether it trusts patches.
fn try_scheduler<'a>(schedulers: &'a [Scheduler], tried: &Try) -> Result<(&'a Scheduler, bool), Refusal> {
    let tries = schedulers.iter().filter_map(|scheduler| match scheduler.kind {
        SchedulerKind::Try { trusted } => Some((scheduler, trusted)),
        _ => None,
    });
    let unlisted = |scheduler: &Scheduler| tried.builders.iter().find(|name| !scheduler.builders.contains(name));
    let mut known = tries.filter(|(scheduler, _)| tried.scheduler.as_ref().is_none_or(|name| scheduler.name == *name));
    let Some(first) = known.next() else {
        return Err(match &tried.scheduler {
            Some(name) => Refusal::Unknown(format!("there is no scheduler `{name}` of kind `try`")),
            None => Refusal::NotAllowed("no scheduler of kind `try` is configured; add one".to_owned()),
        });
    };
    if let Some(found) = [first].into_iter().chain(known).find(|(scheduler, _)| unlisted(scheduler).is_none()) {
        return Ok(found);
    }
    let (builder, name) = (unlisted(first.0).map_or("", |name| name.as_str()), &first.0.name);
    Err(Refusal::NotAllowed(format!(
        "scheduler `{name}` does not list builder `{builder}`; add it to the scheduler's `builders`"
    )))
}

fn patched_codebase(scheduler: &Scheduler, named: Option<String>) -> Result<String, Refusal> {
    let name = &scheduler.name;
    let mine = scheduler.codebases.iter().map(|mine| format!("`{}`", mine.codebase)).collect::<Vec<_>>().join(", ");
    match (named, scheduler.codebases.as_slice()) {
        (Some(codebase), known) if known.iter().any(|mine| mine.codebase == codebase) => Ok(codebase),
        (Some(codebase), _) => {
            Err(Refusal::Unknown(format!("scheduler `{name}` has no codebase `{codebase}`; it has {mine}")))
        }
        (None, [only]) => Ok(only.codebase.clone()),
        (None, _) => {
            Err(Refusal::NotAllowed(format!("name the codebase that is patched; scheduler `{name}` has {mine}")))
        }
    }
}

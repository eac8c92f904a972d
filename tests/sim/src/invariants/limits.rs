//! No builder, no project and no worker gets more builds than it may, and none a build that is not for it.

use super::{Finding, Invariant, expect};
use crate::facts::{Facts, Step};

pub(super) struct Limits;

impl Invariant for Limits {
    fn handled(&mut self, facts: &Facts, step: &Step<'_>) -> Finding {
        for build in step.started() {
            let (id, name, worker) = (build.id, &build.builder, &build.worker);
            let builder =
                facts.builder(name).ok_or_else(|| format!("build {id} is of {name}, which is not configured"))?;
            let running = facts.said.running_of(name);
            let most = builder.max_builds.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
            expect(most.is_none_or(|most| running <= most), || {
                format!("build {id} is the {running}th of {name}, which may have {most:?}")
            })?;
            let project = facts.config.projects.iter().find(|project| project.name == build.project);
            let most =
                project.and_then(|project| project.max_builds).map(|most| usize::try_from(most).unwrap_or(usize::MAX));
            let running = facts.said.running_of_project(&build.project);
            expect(most.is_none_or(|most| running <= most), || {
                format!("build {id} is the {running}th of project `{}`, which may have {most:?}", build.project)
            })?;
            let (running, slots) = (facts.said.running_on(worker), facts.slots(worker));
            expect(running <= slots, || format!("build {id} is the {running}th on {worker}, which may have {slots}"))?;
            let request = &facts.said.requests[&build.request];
            expect(facts.fits(request, builder, worker), || {
                format!("build {id} of {name} is on {worker}, which is not for it: {request:?}")
            })?;
        }
        Ok(())
    }
}

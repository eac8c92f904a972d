//! Builds and buildsets to look at: the guest holds handles, the facts stay here.

use std::sync::Arc;

use wasmtime::component::Resource;

use crate::bindings::stampmill::host::facts::{Host, HostBuild, HostBuildset, HostStep};
use crate::bindings::types;
use crate::error::Stop;
use crate::host::{Held, HostSide};
use crate::records::{BuildFacts, BuildsetFacts, Outcome};

/// A build.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Build(Arc<Kept>);

/// A step of a build.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Step(Arc<Kept>, usize);

/// A set of builds.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Buildset {
    id: u64,
    reason: String,
    outcome: Option<Outcome>,
    builds: Vec<Arc<Kept>>,
}

/// A build's facts, counted as long as any handle leads to them.
struct Kept {
    facts: BuildFacts,
    _held: Held,
}

impl HostSide {
    fn keep(&self, facts: BuildFacts) -> Result<Arc<Kept>, Stop> {
        let held = self.hold(weigh(&facts))?;
        Ok(Arc::new(Kept { facts, _held: held }))
    }

    pub(crate) fn push_build(&mut self, facts: BuildFacts) -> wasmtime::Result<Resource<Build>> {
        let kept = self.keep(facts)?;
        Ok(self.table.push(Build(kept))?)
    }

    pub(crate) fn push_buildset(&mut self, facts: BuildsetFacts) -> wasmtime::Result<Resource<Buildset>> {
        let BuildsetFacts { id, reason, outcome, builds } = facts;
        let builds = builds.into_iter().map(|build| self.keep(build)).collect::<Result<_, _>>()?;
        Ok(self.table.push(Buildset { id, reason, outcome, builds })?)
    }

    fn build(&self, build: &Resource<Build>) -> wasmtime::Result<&BuildFacts> {
        Ok(&self.table.get(build)?.0.facts)
    }

    fn step(&self, step: &Resource<Step>) -> wasmtime::Result<&crate::records::StepFacts> {
        let Step(build, index) = self.table.get(step)?;
        Ok(&build.facts.steps[*index])
    }
}

/// About how much memory the facts take.
fn weigh(facts: &BuildFacts) -> usize {
    let changes = facts.changes.iter().map(|change| crate::convert::weigh_change(&change.seen));
    let tails = facts.steps.iter().flat_map(|step| step.log_tails.values().map(Vec::len));
    let patches = facts.stamps.iter().filter_map(|stamp| stamp.patch.as_ref()).map(|patch| patch.body.len());
    1024 + changes.chain(tails).chain(patches).sum::<usize>()
}

impl Host for HostSide {}

impl HostBuild for HostSide {
    async fn id(&mut self, build: Resource<Build>) -> wasmtime::Result<u64> {
        Ok(self.build(&build)?.id)
    }

    async fn number(&mut self, build: Resource<Build>) -> wasmtime::Result<u32> {
        Ok(self.build(&build)?.number)
    }

    async fn attempt(&mut self, build: Resource<Build>) -> wasmtime::Result<u32> {
        Ok(self.build(&build)?.attempt)
    }

    async fn builder(&mut self, build: Resource<Build>) -> wasmtime::Result<String> {
        Ok(self.build(&build)?.builder.clone())
    }

    async fn project(&mut self, build: Resource<Build>) -> wasmtime::Result<String> {
        Ok(self.build(&build)?.project.clone())
    }

    async fn worker(&mut self, build: Resource<Build>) -> wasmtime::Result<String> {
        Ok(self.build(&build)?.worker.clone())
    }

    async fn reason(&mut self, build: Resource<Build>) -> wasmtime::Result<String> {
        Ok(self.build(&build)?.reason.clone())
    }

    async fn stamps(&mut self, build: Resource<Build>) -> wasmtime::Result<Vec<types::SourceStamp>> {
        Ok(self.build(&build)?.stamps.iter().map(Into::into).collect())
    }

    async fn changes(&mut self, build: Resource<Build>) -> wasmtime::Result<Vec<types::Change>> {
        Ok(self.build(&build)?.changes.iter().map(Into::into).collect())
    }

    async fn blamelist(&mut self, build: Resource<Build>) -> wasmtime::Result<Vec<String>> {
        Ok(self.build(&build)?.blamelist.clone())
    }

    async fn interested(&mut self, build: Resource<Build>) -> wasmtime::Result<Vec<String>> {
        Ok(self.build(&build)?.interested.clone())
    }

    async fn trusted(&mut self, build: Resource<Build>) -> wasmtime::Result<bool> {
        Ok(self.build(&build)?.trusted)
    }

    async fn property(&mut self, build: Resource<Build>, name: String) -> wasmtime::Result<Option<String>> {
        Ok(self.build(&build)?.properties.get(&name).map(|value| value.to_string()))
    }

    async fn outcome(&mut self, build: Resource<Build>) -> wasmtime::Result<Option<types::Outcome>> {
        Ok(self.build(&build)?.outcome.map(Into::into))
    }

    async fn previous_outcome(&mut self, build: Resource<Build>) -> wasmtime::Result<Option<types::Outcome>> {
        Ok(self.build(&build)?.previous_outcome.map(Into::into))
    }

    async fn summary(&mut self, build: Resource<Build>) -> wasmtime::Result<String> {
        Ok(self.build(&build)?.summary.clone())
    }

    async fn url(&mut self, build: Resource<Build>) -> wasmtime::Result<String> {
        Ok(self.build(&build)?.url.clone())
    }

    async fn started_at(&mut self, build: Resource<Build>) -> wasmtime::Result<u64> {
        Ok(self.build(&build)?.started_at)
    }

    async fn finished_at(&mut self, build: Resource<Build>) -> wasmtime::Result<Option<u64>> {
        Ok(self.build(&build)?.finished_at)
    }

    async fn steps(&mut self, build: Resource<Build>) -> wasmtime::Result<Vec<Resource<Step>>> {
        let kept = self.table.get(&build)?.0.clone();
        let mut steps = Vec::with_capacity(kept.facts.steps.len());
        for index in 0..kept.facts.steps.len() {
            steps.push(self.table.push(Step(kept.clone(), index))?);
        }
        Ok(steps)
    }

    async fn drop(&mut self, build: Resource<Build>) -> wasmtime::Result<()> {
        self.table.delete(build)?;
        Ok(())
    }
}

impl HostStep for HostSide {
    async fn name(&mut self, step: Resource<Step>) -> wasmtime::Result<String> {
        Ok(self.step(&step)?.name.clone())
    }

    async fn outcome(&mut self, step: Resource<Step>) -> wasmtime::Result<Option<types::Outcome>> {
        Ok(self.step(&step)?.outcome.map(Into::into))
    }

    async fn summary(&mut self, step: Resource<Step>) -> wasmtime::Result<String> {
        Ok(self.step(&step)?.summary.clone())
    }

    async fn log_tail(&mut self, step: Resource<Step>, log: String, lines: u32) -> wasmtime::Result<Vec<u8>> {
        let tail = self.step(&step)?.log_tails.get(&log);
        Ok(tail.map(|tail| last_lines(tail, lines).to_vec()).unwrap_or_default())
    }

    async fn drop(&mut self, step: Resource<Step>) -> wasmtime::Result<()> {
        self.table.delete(step)?;
        Ok(())
    }
}

impl HostBuildset for HostSide {
    async fn id(&mut self, set: Resource<Buildset>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&set)?.id)
    }

    async fn reason(&mut self, set: Resource<Buildset>) -> wasmtime::Result<String> {
        Ok(self.table.get(&set)?.reason.clone())
    }

    async fn outcome(&mut self, set: Resource<Buildset>) -> wasmtime::Result<Option<types::Outcome>> {
        Ok(self.table.get(&set)?.outcome.map(Into::into))
    }

    async fn builds(&mut self, set: Resource<Buildset>) -> wasmtime::Result<Vec<Resource<Build>>> {
        let builds = self.table.get(&set)?.builds.clone();
        builds.into_iter().map(|build| Ok(self.table.push(Build(build))?)).collect()
    }

    async fn drop(&mut self, set: Resource<Buildset>) -> wasmtime::Result<()> {
        self.table.delete(set)?;
        Ok(())
    }
}

/// The last lines of a text; a line feed at its end ends the last line and begins none.
fn last_lines(text: &[u8], lines: u32) -> &[u8] {
    if lines == 0 {
        return &[];
    }
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    let feeds = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').map(|(index, _)| index);
    let start = feeds.skip(lines as usize - 1).map(|index| index + 1).next().unwrap_or(0);
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::last_lines;

    #[test]
    fn a_tail_is_whole_lines() {
        assert_eq!(last_lines(b"a\nb\nc\n", 2), b"b\nc\n");
        assert_eq!(last_lines(b"a\nb\nc", 1), b"c");
        assert_eq!(last_lines(b"a\nb\n", 9), b"a\nb\n");
        assert_eq!(last_lines(b"a\n", 0), b"");
        assert_eq!(last_lines(b"", 3), b"");
        assert_eq!(last_lines(b"\n\n", 1), b"\n");
    }
}

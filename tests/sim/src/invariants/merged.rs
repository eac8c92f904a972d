//! Requests share a build when nobody could tell the difference (decision 9): those that do are alike, whoever is alike joins, the build is of the
//! newest change of each codebase, and all that are still in it when it ends share its end.

use std::collections::{BTreeMap, BTreeSet};

use stampmill_engine::config::Merge;
use stampmill_model::{
    Build, BuildState, Buildset, MergeKey, Outcome, Parent, PropertySource, Request, RequestState, SourceStamp,
};

use super::{Finding, Invariant, expect};
use crate::facts::{Facts, Step};
use crate::records::Written;

/// More than this never share a build.
const SHARING_MOST: usize = 200;

pub(super) struct Merged;

impl Invariant for Merged {
    fn handled(&mut self, facts: &Facts, step: &Step<'_>) -> Finding {
        for build in step.started() {
            begins(facts, build)?;
            everybody_joins(facts, build)?;
        }
        for written in step.written {
            if let Written::Build { before: Some(before), after } = written {
                let stay: BTreeSet<_> = after.requests().collect();
                for left in before.requests().filter(|request| !stay.contains(request)) {
                    let state = &facts.said.requests[&left].state;
                    let is_cancelled =
                        matches!(state, RequestState::Complete { outcome: Outcome::Cancelled, build: None, .. });
                    expect(is_cancelled, || format!("request {left} has left build {} and is {state:?}", after.id))?;
                }
            }
        }
        step.ended().try_for_each(|build| ends(facts, build))
    }
}

fn begins(facts: &Facts, build: &Build) -> Finding {
    if build.merged.is_empty() {
        return Ok(());
    }
    let id = build.id;
    let (first, first_set) = of(facts, build.request);
    let may = may_merge(facts, build);
    let requests: BTreeSet<_> = build.requests().collect();
    let is_within = requests.len() == build.merged.len() + 1 && requests.len() <= SHARING_MOST;
    expect(may && is_within, || format!("build {id} of {} answers {requests:?}", build.builder))?;
    for request in &requests {
        let (other, set) = of(facts, *request);
        expect(is_alike((first, first_set), (other, set)), || {
            format!("build {id} answers what is not alike: {first:?} of {first_set:?} and {other:?} of {set:?}")
        })?;
        let is_barred = *request != build.request && facts.is_barred(*request, &build.worker);
        expect(!is_barred, || format!("build {id} is on {}, which has declined request {request}", build.worker))?;
    }
    let sets: Vec<_> = build.buildsets().map(|set| &facts.said.buildsets[&set]).collect();
    for stamp in &build.stamps {
        let wanted = sets.iter().flat_map(|set| &set.stamps).filter(|it| it.codebase == stamp.codebase);
        let changes: BTreeSet<_> = wanted.clone().flat_map(|wanted| &wanted.changes).copied().collect();
        expect(stamp.changes.iter().copied().eq(changes.iter().copied()), || {
            format!("build {id} of {stamp:?} is for changes {changes:?}")
        })?;
        let Some(newest) = changes.last() else { continue };
        let is_newest = |wanted: &&SourceStamp| wanted.changes.contains(newest) && is_same_version(wanted, stamp);
        expect(wanted.clone().any(|wanted| is_newest(&wanted)), || {
            format!("build {id} of {stamp:?} is not of the newest of its changes")
        })?;
    }
    Ok(())
}

/// Whether the builder lets the first request of a build share it.
fn may_merge(facts: &Facts, build: &Build) -> bool {
    let key = &facts.said.requests[&build.request].merge_key;
    facts.builder(&build.builder).is_some_and(|builder| match builder.merge {
        Merge::Never => false,
        Merge::Alike => true,
        Merge::ByPlugin => matches!(key, MergeKey::Given(_)),
    })
}

/// Nobody is left behind who could share the build.
fn everybody_joins(facts: &Facts, build: &Build) -> Finding {
    let may = may_merge(facts, build);
    if !may || build.merged.len() + 1 == SHARING_MOST {
        return Ok(());
    }
    let first = of(facts, build.request);
    let left = facts.said.pending().filter(|it| it.builder == build.builder && !facts.is_barred(it.id, &build.worker));
    let left = left.map(|it| it.id).find(|id| is_alike(first, of(facts, *id)));
    expect(left.is_none(), || format!("build {} starts without request {left:?}, which could share it", build.id))
}

fn ends(facts: &Facts, build: &Build) -> Finding {
    let BuildState::Finished { outcome: end, .. } = build.state else { return Ok(()) };
    build.requests().try_for_each(|id| {
        let state = &facts.said.requests[&id].state;
        let holds = match state {
            // It went back, and was cancelled before anything else.
            RequestState::Complete { build: None, .. } => end == Outcome::Retry,
            RequestState::Complete { outcome, build: by, .. } => {
                // One that has no try left ends as the build would have.
                let is_given_up = end == Outcome::Retry && matches!(outcome, Outcome::Failure | Outcome::Exception);
                *by == Some(build.id) && (is_given_up || *outcome == end)
            }
            RequestState::Pending => end == Outcome::Retry,
            RequestState::Building(next) => end == Outcome::Retry && *next != build.id,
            RequestState::AwaitingApproval => false,
        };
        expect(holds, || format!("build {} has ended as {end}, and its request {id} is {state:?}", build.id))
    })
}

fn of(facts: &Facts, request: stampmill_model::RequestId) -> (&Request, &Buildset) {
    let request = &facts.said.requests[&request];
    (request, &facts.said.buildsets[&request.buildset])
}

/// Whether two requests may share a build.
fn is_alike((one, one_set): (&Request, &Buildset), (other, other_set): (&Request, &Buildset)) -> bool {
    if one.id == other.id {
        return true;
    }
    (&one.builder, &one.only_worker) == (&other.builder, &other.only_worker)
        && one_set.scheduler == other_set.scheduler
        && one.merge_key == other.merge_key
        && matches!(one.merge_key, MergeKey::Unasked | MergeKey::Given(_))
        && may_share(one_set)
        && may_share(other_set)
        && sources(one_set) == sources(other_set)
        && own_properties(one_set) == own_properties(other_set)
}

/// What changes have caused may be shared; what somebody has asked for only where that is the latest.
fn may_share(set: &Buildset) -> bool {
    let has_changes = set.stamps.iter().any(|stamp| !stamp.changes.is_empty());
    let is_of_scheduler = set.scheduler.is_some() && set.owner.is_none();
    let names_revision = set.stamps.iter().any(|stamp| stamp.revision.is_some());
    let is_patched = set.stamps.iter().any(|stamp| stamp.patch.is_some());
    let is_rebuild = matches!(set.parent, Some(Parent::Rebuild(_)));
    !is_patched && !is_rebuild && if has_changes { is_of_scheduler } else { !names_revision }
}

type Source<'a> = (&'a str, &'a str, Option<&'a str>, bool, Option<Option<&'a str>>);

/// What must be the same of each codebase; the revision only where no change says it.
fn sources(set: &Buildset) -> BTreeMap<&str, Source<'_>> {
    set.stamps.iter().map(source_of).collect()
}

fn source_of(stamp: &SourceStamp) -> (&str, Source<'_>) {
    let SourceStamp { codebase, repository, project, branch, revision, trusted, changes, .. } = stamp;
    let revision = changes.is_empty().then_some(revision.as_deref());
    (codebase, (repository, project, branch.as_deref(), *trusted, revision))
}

fn own_properties(set: &Buildset) -> Vec<(&String, String)> {
    let own = set.properties.iter().filter(|(_, property)| property.source != PropertySource::Change);
    own.map(|(name, property)| (name, format!("{property:?}"))).collect()
}

/// Whether two stamps are the same sources.
pub(super) fn is_same_version(one: &SourceStamp, other: &SourceStamp) -> bool {
    let version = |stamp: &SourceStamp| (stamp.codebase.clone(), stamp.branch.clone(), stamp.revision.clone());
    version(one) == version(other)
}

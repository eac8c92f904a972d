//! Merging: requests that want the same are answered by one build. The rule is in `docs/decisions/0009-which-requests-share-a-build.md`.

use std::collections::BTreeSet;
use std::sync::Arc;

use stampmill_model::{
    Build, BuildId, Buildset, ChangeId, MergeKey, Merged, Parent, PropertySource, Request, RequestId, SchedulerName,
    SourceStamp, WorkerName,
};

use crate::Engine;
use crate::buildset::{End, changes_of};
use crate::config::{Builder, Merge};
use crate::limits::{BATCH_CHANGES_MOST, MERGED_MOST, REASONS_MOST};
use crate::outbox::Key;
use crate::properties::layered;

/// What requests have in common that may share a build, beside their builder and the worker that they are only for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Kin {
    scheduler: Option<SchedulerName>,
    /// In the order of the codebases' names.
    sources: Vec<Source>,
    /// Name, source and JSON text of each property that no change has set.
    properties: Vec<(String, PropertySource, String)>,
    /// What the merge plugin of the builder has given each of them.
    key: Option<String>,
}

/// What the stamps of one codebase have in common.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Source {
    codebase: String,
    repository: String,
    project: String,
    branch: Option<String>,
    trusted: bool,
    version: Version,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Version {
    /// The newest change says.
    OfChanges,
    /// This, or the latest.
    Given(Option<String>),
}

impl Kin {
    /// What the requests of a set have in common with others; `None` when they are built by themselves.
    ///
    /// Requests that changes have caused may share a build. Those that a person, a program or a clock has caused may where they ask for the
    /// latest: who names a revision, or changes, wants a build of just that.
    pub(crate) fn of(set: &Buildset) -> Option<Self> {
        let is_patched = set.stamps.iter().any(|stamp| stamp.patch.is_some());
        let is_of_changes = set.stamps.iter().any(|stamp| !stamp.changes.is_empty());
        let is_asked_for = set.owner.is_some() || set.scheduler.is_none();
        let is_of_revision = set.stamps.iter().any(|stamp| stamp.revision.is_some());
        let is_special = if is_of_changes { is_asked_for } else { is_of_revision };
        if matches!(set.parent, Some(Parent::Rebuild(_))) || is_patched || is_special {
            return None;
        }
        let mut sources: Vec<_> = set.stamps.iter().map(Source::of).collect();
        sources.sort_unstable();
        let properties = set.properties.iter().filter(|(_, property)| property.source != PropertySource::Change);
        let properties =
            properties.map(|(name, property)| (name.clone(), property.source.clone(), property.value.to_string()));
        Some(Self { scheduler: set.scheduler.clone(), sources, properties: properties.collect(), key: None })
    }
}

impl Source {
    fn of(stamp: &SourceStamp) -> Self {
        Self {
            codebase: stamp.codebase.clone(),
            repository: stamp.repository.clone(),
            project: stamp.project.clone(),
            branch: stamp.branch.clone(),
            trusted: stamp.trusted,
            version: if stamp.changes.is_empty() { Version::Given(stamp.revision.clone()) } else { Version::OfChanges },
        }
    }
}

/// What a build that answers all of these sets is made of: the newest of them, with the changes, the reasons and the people of all.
pub(crate) fn joined(mut sets: Vec<Arc<Buildset>>) -> Option<Arc<Buildset>> {
    sets.sort_by_key(|set| set.id);
    sets.dedup_by_key(|set| set.id);
    let (newest, older) = sets.split_last()?;
    if older.is_empty() {
        return Some(Arc::clone(newest));
    }
    let mut joined = (**newest).clone();
    joined.stamps = newest.stamps.iter().map(|stamp| joined_stamp(stamp, older)).collect();
    joined.reason = joined_reason(sets.iter().map(|set| set.reason.as_str()));
    let mut seen = BTreeSet::new();
    let people = sets.iter().flat_map(|set| &set.blamelist).filter(|person| seen.insert(person.as_str()));
    joined.blamelist = people.cloned().collect();
    joined.properties = sets.iter().map(|set| set.properties.clone()).reduce(layered)?;
    Some(Arc::new(joined))
}

/// The version of the newest change, which need not be in the newest set: another may have waited longer for a quiet tree.
fn joined_stamp(newest: &SourceStamp, older: &[Arc<Buildset>]) -> SourceStamp {
    let others = older.iter().flat_map(|set| &set.stamps).filter(|stamp| stamp.codebase == newest.codebase);
    let all: Vec<_> = others.chain([newest]).collect();
    let mut joined = all.iter().max_by_key(|stamp| stamp.changes.iter().max()).map_or(newest, |stamp| *stamp).clone();
    let changes: BTreeSet<ChangeId> = all.iter().flat_map(|stamp| &stamp.changes).copied().collect();
    joined.changes = changes.into_iter().collect();
    joined
}

fn is_same_version(one: &SourceStamp, other: &SourceStamp) -> bool {
    one.codebase == other.codebase && one.branch == other.branch && one.revision == other.revision
}

/// Each reason once, in order of appearance.
fn joined_reason<'a>(reasons: impl Iterator<Item = &'a str>) -> String {
    let mut seen = BTreeSet::new();
    let reasons: Vec<_> = reasons.filter(|reason| !reason.is_empty() && seen.insert(*reason)).collect();
    let mut joined = reasons.iter().take(REASONS_MOST).copied().collect::<Vec<_>>().join(", ");
    if reasons.len() > REASONS_MOST {
        joined.push_str(&format!(" and {} more", reasons.len() - REASONS_MOST));
    }
    joined
}

impl Engine {
    /// What a request has in common with those that it could share a build with, if there can be any.
    pub(crate) fn kin_of(&self, request: &Request) -> Option<Arc<Kin>> {
        let kin = self.buildsets.get(&request.buildset)?.kin.as_ref()?;
        match &request.merge_key {
            MergeKey::Unasked => Some(Arc::clone(kin)),
            MergeKey::Given(key) => Some(Arc::new(Kin { key: Some(key.clone()), ..(**kin).clone() })),
            MergeKey::Awaited | MergeKey::Alone | MergeKey::Failed(_) => None,
        }
    }

    /// The requests that share the build of the first of them on this worker, in the order of their turn.
    pub(crate) fn sharing(&self, first: RequestId, builder: &Builder, worker: &WorkerName) -> Vec<RequestId> {
        let mut sharing = vec![first];
        let Some(request) = self.requests.get(&first) else { return sharing };
        let may_share = match builder.merge {
            Merge::Never => false,
            Merge::Alike => true,
            // One that waited already when the plugin was configured was never shown to it.
            Merge::ByPlugin => request.merge_key.given().is_some(),
        };
        if !may_share {
            return sharing;
        }
        let changes_of = |id: &RequestId| {
            let set = self.requests.get(id).and_then(|request| self.buildsets.get(&request.buildset));
            set.map(|open| changes_of(&open.set.stamps)).unwrap_or_default()
        };
        let mut changes = changes_of(&first);
        for turn in self.queue.kin(request) {
            if turn.request == first || self.bar_of(turn.request, worker).is_some() {
                continue;
            }
            changes.extend(changes_of(&turn.request));
            if changes.len() > BATCH_CHANGES_MOST || sharing.len() == MERGED_MOST {
                break;
            }
            sharing.push(turn.request);
        }
        sharing
    }

    /// A build has answered its requests. Those of older sources were not built as they are.
    pub(crate) fn mark_superseded(&mut self, build: &Build) {
        for id in build.buildsets() {
            let Some(open) = self.buildsets.get_mut(&id) else { continue };
            let is_built = |wanted: &SourceStamp| build.stamps.iter().any(|built| is_same_version(built, wanted));
            if !open.set.superseded && !open.set.stamps.iter().all(is_built) {
                Arc::make_mut(&mut open.set).superseded = true;
                self.outbox.mark(Key::Buildset(id));
            }
        }
    }

    /// One of several requests leaves their build; whether it did. The build goes on for the others, with the sources that it has.
    pub(crate) fn leave_build(&mut self, id: BuildId, request: RequestId, reason: &str) -> bool {
        let Some(open) = self.builds.get_mut(&id).filter(|open| !open.build.merged.is_empty()) else { return false };
        let build = Arc::make_mut(&mut open.build);
        if build.request == request {
            let Merged { request, buildset } = build.merged.remove(0);
            (build.request, build.buildset) = (request, buildset);
            build.attempt = self.requests.get(&request).map_or(build.attempt, |request| request.attempts);
        } else {
            build.merged.retain(|merged| merged.request != request);
        }
        self.outbox.mark(Key::Build(id));
        self.complete_request(request, End::Cancelled(reason.to_owned()));
        true
    }
}

//! Source stamps: which version of each codebase a scheduler wants.

use std::collections::BTreeMap;
use std::sync::Arc;

use stampmill_model::{Build, Change, SourceStamp, TriggerWish};

use crate::config::CodebaseDefault;
use crate::input::{SourceChoice, StampChoice};

/// One stamp for each codebase: where changes touch it, the newest of them says which version.
pub(super) fn of_changes(
    codebases: &[CodebaseDefault],
    changes: &[Arc<Change>],
    untouched: impl Fn(&CodebaseDefault) -> SourceStamp,
) -> Vec<SourceStamp> {
    let stamps = codebases.iter().map(|default| {
        let touching = changes.iter().filter(|change| change.codebase.as_ref() == Some(&default.codebase));
        let touching: Vec<_> = touching.collect();
        let Some(newest) = touching.iter().max_by_key(|change| change.id) else { return untouched(default) };
        let seen = &newest.seen;
        let repository = if seen.repository.is_empty() { &default.repository } else { &seen.repository };
        SourceStamp {
            codebase: default.codebase.clone(),
            repository: repository.clone(),
            project: seen.project.clone(),
            branch: seen.branch.clone(),
            revision: seen.revision.clone(),
            patch: None,
            trusted: touching.iter().all(|change| change.trusted),
            changes: touching.iter().map(|change| change.id).collect(),
        }
    });
    stamps.collect()
}

/// The stamp of a codebase that nothing touches. The operator wrote it, so it is trusted.
pub(super) fn of_default(default: &CodebaseDefault) -> SourceStamp {
    SourceStamp {
        codebase: default.codebase.clone(),
        repository: default.repository.clone(),
        project: String::new(),
        branch: default.branch.clone(),
        revision: default.revision.clone(),
        patch: None,
        trusted: true,
        changes: Vec::new(),
    }
}

/// The stamps of a person's choices. Another repository than the default's leaves the default revision behind, as another branch does.
pub(super) fn of_choices(codebases: &[CodebaseDefault], choices: &BTreeMap<String, SourceChoice>) -> Vec<SourceStamp> {
    let stamps = codebases.iter().map(|default| {
        let mut stamp = of_default(default);
        let Some(choice) = choices.get(&default.codebase) else { return stamp };
        if let Some(repository) = choice.repository.as_ref().filter(|chosen| **chosen != stamp.repository) {
            stamp.repository.clone_from(repository);
            stamp.revision = None;
            // The operator trusts the repository of the configuration; whoever forces may name any.
            stamp.trusted = false;
        }
        if let Some(project) = &choice.project {
            stamp.project.clone_from(project);
        }
        let version = StampChoice { branch: choice.branch.clone(), revision: choice.revision.clone() };
        chosen(stamp, Some(&version))
    });
    stamps.collect()
}

/// The stamps for what a build triggers: of the build's own sources, or of the scheduler's defaults where it has none or the latest are
/// wanted. They are as trusted as the build: what is not may have had its say in the choice.
pub(super) fn of_trigger(codebases: &[CodebaseDefault], build: &Build, wish: &TriggerWish) -> Vec<SourceStamp> {
    let is_trusted = build.stamps.iter().all(|stamp| stamp.trusted);
    let stamps = codebases.iter().map(|default| {
        let own = build.stamps.iter().find(|stamp| stamp.codebase == default.codebase && !wish.latest);
        let own = own.map(|stamp| {
            let revision = stamp.revision.clone().or_else(|| got_revision(build, &stamp.codebase));
            SourceStamp { revision, ..stamp.clone() }
        });
        let stamp = chosen(own.unwrap_or_else(|| of_default(default)), wish.versions.get(&default.codebase));
        SourceStamp { trusted: stamp.trusted && is_trusted, ..stamp }
    });
    stamps.collect()
}

/// What a build has checked out of a codebase, if its steps say so: one text, or one for each codebase.
fn got_revision(build: &Build, codebase: &str) -> Option<String> {
    let got = &build.properties.get("got_revision")?.value;
    let got = if build.stamps.len() == 1 && got.is_string() { got } else { got.get(codebase)? };
    got.as_str().map(str::to_owned)
}

/// A stamp with another version. Another branch leaves the revision behind, which belongs to the other; and another version has neither the
/// changes nor the patch.
fn chosen(mut stamp: SourceStamp, choice: Option<&StampChoice>) -> SourceStamp {
    let Some(choice) = choice else { return stamp };
    let other_branch = choice.branch.is_some() && choice.branch != stamp.branch;
    if other_branch {
        stamp.branch.clone_from(&choice.branch);
        stamp.revision = None;
    }
    let other_revision = choice.revision.is_some() && stamp.revision.is_some() && choice.revision != stamp.revision;
    if choice.revision.is_some() {
        stamp.revision.clone_from(&choice.revision);
    }
    if other_branch || other_revision {
        stamp.changes.clear();
        stamp.patch = None;
    }
    stamp
}

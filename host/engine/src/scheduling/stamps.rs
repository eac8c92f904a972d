//! Source stamps: which version of each codebase a scheduler wants.

use std::collections::BTreeMap;
use std::sync::Arc;

use stampmill_model::{Change, SourceStamp};

use crate::config::CodebaseDefault;
use crate::input::StampChoice;

/// One stamp for each codebase: where changes touch it, the newest of them says which version; else the default holds.
pub(super) fn of_changes(codebases: &[CodebaseDefault], changes: &[Arc<Change>]) -> Vec<SourceStamp> {
    let stamps = codebases.iter().map(|default| {
        let touching = changes.iter().filter(|change| change.codebase.as_ref() == Some(&default.codebase));
        let touching: Vec<_> = touching.collect();
        let Some(newest) = touching.iter().max_by_key(|change| change.id) else { return of_default(default) };
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

/// The stamps of a person's choices. Another branch than the default's leaves the default revision behind: it belongs to the default's branch.
pub(super) fn of_choices(codebases: &[CodebaseDefault], choices: &BTreeMap<String, StampChoice>) -> Vec<SourceStamp> {
    let stamps = codebases.iter().map(|default| {
        let mut stamp = of_default(default);
        let Some(choice) = choices.get(&default.codebase) else { return stamp };
        if choice.branch.is_some() && choice.branch != stamp.branch {
            stamp.branch.clone_from(&choice.branch);
            stamp.revision = None;
        }
        if choice.revision.is_some() {
            stamp.revision.clone_from(&choice.revision);
        }
        stamp
    });
    stamps.collect()
}

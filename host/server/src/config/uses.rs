//! One use of a plugin, checked without starting it: its kind, its configuration, its grant, its limits.

mod granting;
mod limiting;

use std::collections::{BTreeMap, BTreeSet};

use stampmill_runtime::Kind;

use super::finding::{Problem, Sink};
use super::shelf::Shelf;
use super::{PluginUse, raw, schema};
pub(super) use limiting::Most;

/// What a plugin is needed for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The kinds that fit.
    pub(super) kinds: &'static [Kind],
    /// For messages, such as "a step".
    pub(super) word: &'static str,
}

pub(super) const CHANGE_SOURCE: Place =
    Place { kinds: &[Kind::ChangePoller, Kind::ChangeHook], word: "a change source" };
pub(super) const CODEBASES: Place = Place { kinds: &[Kind::CodebaseGenerator], word: "a codebase generator" };
pub(super) const FILTER: Place = Place { kinds: &[Kind::SchedulerFilter], word: "a scheduler filter" };
pub(super) const MERGE: Place = Place { kinds: &[Kind::Merge], word: "a merge plugin" };
pub(super) const STEP: Place = Place { kinds: &[Kind::Step], word: "a step" };
pub(super) const REPORTER: Place = Place { kinds: &[Kind::Reporter], word: "a reporter" };

/// Checks uses of plugins one after another.
pub(super) struct Checker<'a> {
    pub(super) shelf: Shelf<'a>,
    pub(super) secrets: BTreeSet<String>,
    /// By name.
    pub(super) schedulers: BTreeMap<String, raw::SchedulerKind>,
    /// What no use may exceed.
    pub(super) most: Most,
    pub(super) sink: &'a Sink,
}

impl Checker<'_> {
    /// `None` when the plugin is not there, is held, or is of the wrong kind; other errors are reported beside.
    pub(super) fn check(&self, mut usage: raw::Use, place: Place) -> Option<PluginUse> {
        let plugin = self.shelf.find(&usage.plugin, &usage.what)?;
        let manifest = &plugin.inspection.manifest;
        if !place.kinds.contains(&manifest.kind) {
            self.wrong_kind(&usage, manifest.kind, place);
            return None;
        }
        let is_step = manifest.kind == Kind::Step;
        if is_step {
            self.template(&usage);
        }
        schema::check(&manifest.config_schema, &usage, is_step, self.sink);
        let grant = self.grant(&usage, &plugin);
        let limits = self.limits(&usage, manifest.kind);
        let config = std::mem::take(&mut usage.config.value);
        Some(PluginUse { what: usage.what, plugin, config, grant, limits, span: usage.plugin.span })
    }

    fn wrong_kind(&self, usage: &raw::Use, kind: Kind, place: Place) {
        let name = &usage.plugin.value;
        let message = format!("plugin `{name}` of {} is a {kind}, and {} is expected here", usage.what, place.word);
        let fitting = self.shelf.bundled_of(place.kinds);
        let mend = if fitting.is_empty() { String::new() } else { format!("plugins that fit are {fitting}") };
        let problem = Problem::error(usage.plugin.span.clone(), message).label(format!("this is a {kind}"));
        self.sink.report(if mend.is_empty() { problem } else { problem.mend(mend) });
    }

    fn template(&self, usage: &raw::Use) {
        if let Err(error) = stampmill_job::check_template(&usage.config.value) {
            let place = usage.config.place(&error.pointer);
            self.sink.report(Problem::error(place, format!("the configuration of {}: {}", usage.what, error.kind)));
        }
    }
}

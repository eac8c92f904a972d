//! One use of a plugin, checked without starting it: its kind, its configuration, its grant.

use std::collections::BTreeSet;

use serde_json::Value;
use stampmill_model::Grant;
use stampmill_runtime::{Kind, Permission};

use super::finding::{Problem, Sink, Span};
use super::nearest::did_you_mean;
use super::reader::At;
use super::shelf::Shelf;
use super::value::ConfigValue;
use super::{PluginFile, PluginUse, raw, schema};

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
pub(super) const STEP: Place = Place { kinds: &[Kind::Step], word: "a step" };
pub(super) const REPORTER: Place = Place { kinds: &[Kind::Reporter], word: "a reporter" };

/// Checks uses of plugins one after another.
pub(super) struct Checker<'a> {
    pub(super) shelf: Shelf<'a>,
    pub(super) secrets: BTreeSet<String>,
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
        schema::check(&manifest.config_schema, &usage.config, &usage.what, &usage.plugin.value, is_step, self.sink);
        let grant = self.grant(&usage, &plugin);
        let config = std::mem::take(&mut usage.config.value);
        Some(PluginUse { what: usage.what, plugin, config, grant, span: usage.plugin.span })
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

    fn grant(&self, usage: &raw::Use, plugin: &PluginFile) -> Grant {
        let permissions = &plugin.inspection.manifest.permissions;
        for permission in permissions {
            self.missing(usage, *permission);
        }
        let mut grant = Grant::default();
        for (key, place, items) in &usage.grant.keys {
            self.useless(usage, permissions, key, place);
            for item in items {
                self.item(usage, key, item);
            }
            let values = items.iter().map(|item| item.value.clone()).collect();
            match *key {
                "command" => grant.command = values,
                "net" => grant.net = values,
                "read" => grant.read = values,
                "write" => grant.write = values,
                "http" => grant.http = values,
                _ => grant.secret = values,
            }
        }
        grant
    }

    /// A permission that the manifest asks for and the operator says nothing about.
    fn missing(&self, usage: &raw::Use, permission: Permission) {
        let Some(key) = key_of(permission) else { return };
        let name = &usage.plugin.value;
        let given = usage.grant.keys.iter().find(|(given, _, items)| *given == key && !items.is_empty());
        if given.is_some() {
            return;
        }
        let message =
            format!("plugin `{name}` of {} asks for `{permission}`, and nothing of it is granted", usage.what);
        let line = format!("{key} = {}", suggestion(permission, name, &usage.config));
        let (place, mend) = match &usage.grant.span {
            Some(span) => (span.clone(), format!("add `{line}` to the grant")),
            None => (usage.plugin.span.clone(), format!("add `grant = {{ {line} }}`")),
        };
        self.sink.report(Problem::error(place, message).label(format!("asks for `{permission}`")).mend(mend));
    }

    /// A grant that the plugin can't use, because it doesn't ask.
    fn useless(&self, usage: &raw::Use, permissions: &[Permission], key: &str, place: &Span) {
        let serves: &[Permission] = match key {
            "http" => &[Permission::Http],
            "secret" => &[Permission::Secret, Permission::Command, Permission::Http],
            _ => &[Permission::Command],
        };
        if serves.iter().any(|permission| permissions.contains(permission)) {
            return;
        }
        let name = &usage.plugin.value;
        let message = format!("plugin `{name}` of {} is granted `{key}` and does not ask for it", usage.what);
        self.sink.report(Problem::warning(place.clone(), message).label("without effect").mend("remove it"));
    }

    fn item(&self, usage: &raw::Use, key: &str, item: &At<String>) {
        let text = item.value.as_str();
        let expected = match key {
            "secret" => return self.secret(usage, item),
            "read" | "write" if !text.starts_with('/') => "an absolute path is expected",
            "read" | "write" if text.split('/').any(|part| part == "..") => "a path without `..` is expected",
            "net" if !is_host_and_port(text) => "a host and a port such as `git.example:443` are expected",
            "http" if !is_origin(text) => "an origin such as `https://host` or `https://host:8443` is expected",
            "command" if text.is_empty() || text.contains('\0') => "the name or path of a program, or `*`, is expected",
            _ => return,
        };
        let message = format!("the grant of {} has `{text}` under `{key}`: {expected}", usage.what);
        self.sink.report(Problem::error(item.span.clone(), message).label(expected));
    }

    fn secret(&self, usage: &raw::Use, item: &At<String>) {
        if self.secrets.contains(&item.value) {
            return;
        }
        let message = format!("{} is granted the secret `{}`, which is not defined", usage.what, item.value);
        let near = did_you_mean(&item.value, "secrets", self.secrets.iter().map(String::as_str));
        let define = format!("define it with `[secret.{}]` and `file = \"…\"` or `env = \"…\"`", item.value);
        let mend = if near.ends_with('?') { near } else { define };
        self.sink.report(Problem::error(item.span.clone(), message).label("not defined").mend(mend));
    }
}

/// The key of a grant that a permission needs; the others are a plugin's own space and need none.
fn key_of(permission: Permission) -> Option<&'static str> {
    match permission {
        Permission::Command => Some("command"),
        Permission::Http => Some("http"),
        Permission::Secret => Some("secret"),
        Permission::State | Permission::Workspace | Permission::Properties | Permission::Logs => None,
    }
}

/// What a missing grant most likely should say, from the plugin's name and configuration.
fn suggestion(permission: Permission, plugin: &str, config: &ConfigValue) -> String {
    let text = |key: &str| config.value.get(key).and_then(Value::as_str);
    match permission {
        Permission::Command if plugin.starts_with("git") => "[\"git\"]".to_owned(),
        Permission::Command => {
            let first = config.value.get("command").and_then(|command| command.get(0)).and_then(Value::as_str);
            first
                .filter(|program| !program.contains("${{"))
                .map_or_else(|| "[\"*\"]".to_owned(), |program| format!("[{program:?}]"))
        }
        Permission::Http => {
            let origin = text("url").and_then(|url| {
                let (scheme, rest) = url.split_once("://")?;
                Some(format!("{scheme}://{}", rest.split(['/', '?', '#']).next()?))
            });
            format!("[{:?}]", origin.as_deref().unwrap_or("https://host"))
        }
        _ => format!("[{:?}]", text("secret").unwrap_or("NAME")),
    }
}

fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let host_ok = !host.is_empty() && !host.contains(['/', ' ', '@']);
    host_ok && (port == "*" || port.parse::<u16>().is_ok_and(|port| port != 0))
}

fn is_origin(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else { return false };
    let host = rest.strip_suffix('/').unwrap_or(rest);
    !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ', '\\'])
}

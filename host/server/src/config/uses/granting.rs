//! What a use of a plugin is granted, held against what it asks for and what is defined.

use serde_json::Value;
use stampmill_model::Grant;
use stampmill_runtime::egress::is_place;
use stampmill_runtime::{Permission, canonical_origin};

use super::Checker;
use crate::config::finding::{Problem, Span};
use crate::config::nearest::did_you_mean;
use crate::config::reader::At;
use crate::config::value::ConfigValue;
use crate::config::{PluginFile, raw};

impl Checker<'_> {
    pub(super) fn grant(&self, usage: &raw::Use, plugin: &PluginFile) -> Grant {
        let manifest = &plugin.inspection.manifest;
        let permissions = &manifest.permissions;
        for permission in permissions {
            // Where the schema says which keys name secrets, each name is held against the grant instead: there may be none.
            if *permission != Permission::Secret || !manifest.says_where_secrets_are_named() {
                self.missing(usage, *permission);
            }
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
                "trigger" => grant.trigger = values,
                _ => grant.secret = values,
            }
        }
        if let Some(place) = &usage.grant.credential {
            self.useless(usage, permissions, "credential", place);
        }
        for (name, origins) in &usage.grant.credentials {
            self.credential(usage, name, origins);
            let origins = origins.value.iter().map(|origin| origin.value.clone()).collect();
            grant.credential.insert(name.value.clone(), origins);
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
            "http" | "credential" => &[Permission::Http],
            "secret" => &[Permission::Secret, Permission::Command, Permission::Http],
            "trigger" => &[Permission::Trigger],
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
            "trigger" => return self.triggerable(usage, item),
            "read" | "write" if !text.starts_with('/') => "an absolute path is expected",
            "read" | "write" if text.split('/').any(|part| part == "..") => "a path without `..` is expected",
            "net" if !is_place(text) => "a host and a port such as `git.example:443` are expected",
            "http" if canonical_origin(text).is_none() => {
                "an origin such as `https://host` or `https://host:8443` is expected"
            }
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

    fn triggerable(&self, usage: &raw::Use, item: &At<String>) {
        let kind = self.schedulers.get(&item.value).copied();
        if kind == Some(raw::SchedulerKind::Triggerable) {
            return;
        }
        let all = self.schedulers.iter().filter(|(_, kind)| **kind == raw::SchedulerKind::Triggerable);
        let message = format!("{} is granted to trigger scheduler `{}`, which is", usage.what, item.value);
        let problem = match kind {
            None => {
                let near = did_you_mean(&item.value, "triggerable schedulers", all.map(|(name, _)| name.as_str()));
                Problem::error(item.span.clone(), format!("{message} not there")).label("no such scheduler").mend(near)
            }
            Some(_) => Problem::error(item.span.clone(), format!("{message} of another kind"))
                .label("not triggerable")
                .mend("give that scheduler `kind = \"triggerable\"`"),
        };
        self.sink.report(problem);
    }

    /// A secret that is shown to some origins and not to the plugin.
    fn credential(&self, usage: &raw::Use, name: &At<String>, origins: &At<Vec<At<String>>>) {
        self.secret(usage, name);
        if origins.value.is_empty() {
            let message = format!("the grant of {} shows the secret `{}` to no origin", usage.what, name.value);
            let mend = format!("write `{} = [\"https://host\"]`, or remove it", name.value);
            self.sink.report(Problem::error(origins.span.clone(), message).label("no origin").mend(mend));
        }
        let items = |key: &str| {
            let found = usage.grant.keys.iter().find(|(given, _, _)| *given == key);
            found.map(|(_, _, items)| items.as_slice()).unwrap_or_default()
        };
        if items("secret").iter().any(|item| item.value == name.value) {
            let message = format!("{} is granted `{}` both as `credential` and as `secret`", usage.what, name.value);
            let problem = Problem::warning(name.span.clone(), message).label("the plugin can see it");
            self.sink.report(problem.mend("keep it under `credential` alone, so that the plugin never sees it"));
        }
        let asked: Vec<String> = items("http").iter().filter_map(|item| canonical_origin(&item.value)).collect();
        for origin in &origins.value {
            let expected = "an origin such as `https://host` or `https://host:8443` is expected";
            let Some(canonical) = canonical_origin(&origin.value) else {
                let message =
                    format!("the grant of {} has `{}` under `credential`: {expected}", usage.what, origin.value);
                self.sink.report(Problem::error(origin.span.clone(), message).label(expected));
                continue;
            };
            if !asked.contains(&canonical) {
                let message = format!(
                    "{} may show the secret `{}` to `{}`, and may not ask there",
                    usage.what, name.value, origin.value
                );
                let problem = Problem::error(origin.span.clone(), message).label("not granted under `http`");
                self.sink.report(problem.mend(format!("add `{:?}` to `http` of the grant", origin.value)));
            }
        }
    }
}

/// The key of a grant that a permission needs; the others are a plugin's own space and need none.
fn key_of(permission: Permission) -> Option<&'static str> {
    match permission {
        Permission::Command => Some("command"),
        Permission::Http => Some("http"),
        Permission::Secret => Some("secret"),
        Permission::Trigger => Some("trigger"),
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
        Permission::Trigger => {
            let named = config.value.get("schedulers").filter(|named| named.is_array());
            named.map_or_else(|| "[\"SCHEDULER\"]".to_owned(), Value::to_string)
        }
        _ => format!("[{:?}]", text("secret").unwrap_or("NAME")),
    }
}

//! Change sources and schedulers.

use std::collections::BTreeMap;

use serde_json::Value;
use stampmill_engine::calendar::{Calendar, CalendarError};
use stampmill_engine::config as engine;
use stampmill_engine::form::Form;
use stampmill_model::{Milliseconds, PropertySource};
use stampmill_runtime::Kind;

use super::{known, with_source};
use crate::config::finding::{Problem, Sink};
use crate::config::reader::{At, parse_duration_at};
use crate::config::uses::{self, Checker};
use crate::config::{PluginUse, limits, raw};

pub(super) fn change_sources(
    sources: Vec<raw::ChangeSource>,
    checker: &Checker<'_>,
) -> (Vec<engine::ChangeSource>, Vec<PluginUse>) {
    let mut resolved = (Vec::new(), Vec::new());
    for source in sources {
        let raw::ChangeSource { name, mut usage, every, trusted, project } = source;
        let Some(plugin) = checker.shelf.find(&usage.plugin, &usage.what) else { continue };
        let manifest = &plugin.inspection.manifest;
        let every = match manifest.kind {
            Kind::ChangePoller => {
                let own_key = manifest.config_schema.pointer("/properties/every").is_some();
                poll_interval(&mut usage, every, own_key, checker.sink)
            }
            _ => {
                if let Some(every) = every {
                    let message = format!(
                        "`every` of {} means nothing: plugin `{}` is called and not polled",
                        usage.what, plugin.name
                    );
                    checker.sink.report(Problem::error(every.span, message).label("without effect").mend("remove it"));
                }
                limits::POLL_EVERY
            }
        };
        let Some(usage) = checker.check(usage, uses::CHANGE_SOURCE) else { continue };
        let kind = match usage.plugin.inspection.manifest.kind {
            Kind::ChangePoller => engine::ChangeSourceKind::Poller { every },
            _ => engine::ChangeSourceKind::Hook,
        };
        resolved.0.push(engine::ChangeSource { name: name.value.into(), kind, trusted, project });
        resolved.1.push(usage);
    }
    resolved
}

/// `every` may stand beside the plugin's configuration or in it; in it, it is taken out unless the plugin knows the key too.
fn poll_interval(usage: &mut raw::Use, beside: Option<At<Milliseconds>>, own_key: bool, sink: &Sink) -> Milliseconds {
    let Some(inside) = usage.config.value.get("every").cloned() else {
        return beside.map_or(limits::POLL_EVERY, |at| at.value);
    };
    let place = usage.config.place("/every");
    if !own_key {
        usage.config.remove("every");
    }
    let Value::String(inside) = inside else {
        // A plugin that knows the key says itself what is wrong with it.
        if !own_key {
            let message = format!("`config.every` of {} is no length of time", usage.what);
            sink.report(Problem::error(place, message).mend("write numbers with units in quotes: `every = \"30s\"`"));
        }
        return limits::POLL_EVERY;
    };
    if let Some(beside) = beside {
        let problem = Problem::error(beside.span, format!("{} has `every` twice", usage.what)).label("the second");
        sink.report(problem.also(place, "the first").mend("keep one of them"));
        return beside.value;
    }
    let text = At { value: inside.as_str(), span: place };
    parse_duration_at("every", &usage.what, &text, limits::POLL_EVERY_LEAST, sink).unwrap_or(limits::POLL_EVERY)
}

pub(super) fn schedulers(
    schedulers: Vec<raw::Scheduler>,
    builders: &[String],
    owners: &BTreeMap<String, String>,
    checker: &Checker<'_>,
) -> (Vec<engine::Scheduler>, Vec<Vec<PluginUse>>) {
    let mut resolved = (Vec::new(), Vec::new());
    check_upstreams(&schedulers, checker.sink);
    for scheduler in schedulers {
        let owner = owners.get(&scheduler.name.value);
        let Some(kind) = kind(&scheduler, owner, checker.sink) else { continue };
        let what = format!("scheduler `{}`", scheduler.name.value);
        let mut named: Vec<&str> = Vec::new();
        for builder in &scheduler.builders {
            if !known(builder, &what, "builder", builders, checker.sink) {
                continue;
            }
            if named.contains(&builder.value.as_str()) {
                let problem =
                    Problem::error(builder.span.clone(), format!("{what} names builder `{}` twice", builder.value));
                checker.sink.report(problem.label("the second").mend("remove one of them"));
                continue;
            }
            named.push(&builder.value);
        }
        let filters: Vec<PluginUse> =
            scheduler.filters.iter().filter_map(|usage| checker.check(usage.clone(), uses::FILTER)).collect();
        resolved.0.push(engine::Scheduler {
            kind,
            codebases: codebases(scheduler.codebases),
            absolute_stamps: scheduler.absolute_source_stamps,
            filters: filters.len(),
            builders: named.into_iter().map(Into::into).collect(),
            name: scheduler.name.value.into(),
            on_every_worker: scheduler.on_every_worker,
            priority: scheduler.priority,
            properties: with_source(scheduler.properties, &PropertySource::Scheduler),
            approve_untrusted: scheduler.approve_untrusted,
            cancel_superseded: scheduler.cancel_superseded,
            cancel_on_failure: scheduler.cancel_on_failure,
            pings: owner.filter(|_| scheduler.pings.is_some()).cloned(),
            reason: scheduler.reason,
        });
        resolved.1.push(filters);
    }
    resolved
}

/// What is missing, or no calendar, was reported; there is no kind then.
fn kind(scheduler: &raw::Scheduler, owner: Option<&String>, sink: &Sink) -> Option<engine::SchedulerKind> {
    let stable_for = scheduler.stable_for.as_ref().map(|at| at.value);
    let branch = || scheduler.branch.as_ref().map(|at| at.value.clone());
    Some(match scheduler.kind.value {
        raw::SchedulerKind::SingleBranch => engine::SchedulerKind::SingleBranch { branch: branch(), stable_for },
        raw::SchedulerKind::AnyBranch => engine::SchedulerKind::AnyBranch {
            branches: scheduler
                .branches
                .as_ref()
                .map(|at| at.value.iter().map(|branch| branch.value.clone()).collect()),
            stable_for,
        },
        raw::SchedulerKind::Periodic => engine::SchedulerKind::Periodic { every: scheduler.every.as_ref()?.value },
        raw::SchedulerKind::Nightly => {
            let zone = scheduler.time_zone.as_ref();
            let force_at = scheduler.force_at.as_ref().map(|at| calendar(at, zone, sink));
            engine::SchedulerKind::Nightly {
                at: calendar(scheduler.at.as_ref()?, zone, sink)?,
                only_if_changed: scheduler
                    .only_if_changed
                    .then(|| engine::OnlyIfChanged { branch: branch(), force_at: force_at.flatten() }),
            }
        }
        raw::SchedulerKind::Dependent => {
            engine::SchedulerKind::Dependent { upstream: scheduler.upstream.as_ref()?.value.as_str().into() }
        }
        raw::SchedulerKind::Pinged => engine::SchedulerKind::Pinged { project: owner?.clone() },
        raw::SchedulerKind::Try => engine::SchedulerKind::Try { trusted: scheduler.trusted },
        raw::SchedulerKind::Triggerable => engine::SchedulerKind::Triggerable,
        raw::SchedulerKind::Force => {
            let asked = |codebase: &raw::Codebase| Some((codebase.name.value.clone(), codebase.ask.clone()?.value));
            engine::SchedulerKind::Force(Form {
                entries: scheduler.entries.clone(),
                reason_required: scheduler.reason_required,
                sources: scheduler.codebases.iter().filter_map(asked).collect(),
            })
        }
    })
}

fn calendar(at: &At<String>, zone: Option<&At<String>>, sink: &Sink) -> Option<Calendar> {
    let calendar = Calendar::new(&at.value, zone.map_or("UTC", |zone| &zone.value));
    let error = match calendar {
        Ok(calendar) => return Some(calendar),
        Err(error) => error,
    };
    let (place, mend) = match (&error, zone) {
        (CalendarError::Zone(_), Some(zone)) => {
            (&zone.span, "take a name as in `Europe/Berlin`, `America/New_York` or `UTC`")
        }
        (CalendarError::Never(_), _) => (&at.span, "name a day that exists"),
        _ => (
            &at.span,
            "write minute, hour, day of the month, month and day of the week: `0 3 * * 1-5` is three o'clock on weekdays",
        ),
    };
    sink.report(Problem::error(place.clone(), error.to_string()).mend(mend));
    None
}

/// An upstream must be a scheduler, and nobody may wait for itself.
fn check_upstreams(schedulers: &[raw::Scheduler], sink: &Sink) {
    let names: Vec<String> = schedulers.iter().map(|scheduler| scheduler.name.value.clone()).collect();
    let upstreams = schedulers.iter().filter_map(|it| Some((it.name.value.as_str(), it.upstream.as_ref()?)));
    let upstreams: BTreeMap<&str, &At<String>> = upstreams.collect();
    for (name, upstream) in &upstreams {
        let what = format!("scheduler `{name}`");
        if !known(upstream, &what, "scheduler", &names, sink) {
            continue;
        }
        let mut chain = vec![*name];
        while let Some(next) = upstreams.get(chain[chain.len() - 1]).map(|at| at.value.as_str()) {
            chain.push(next);
            if next == *name {
                let chain: Vec<_> = chain.iter().map(|name| format!("`{name}`")).collect();
                let problem = Problem::error(
                    upstream.span.clone(),
                    format!("{what} waits for itself: {}", chain.join(" waits for ")),
                );
                sink.report(problem.mend("let one of them start on changes, at times or by force"));
            }
            if chain[..chain.len() - 1].contains(&next) {
                break;
            }
        }
    }
}

/// A configuration without codebases has one with an empty name.
fn codebases(codebases: Vec<raw::Codebase>) -> Vec<engine::CodebaseDefault> {
    if codebases.is_empty() {
        return vec![engine::CodebaseDefault::default()];
    }
    let default = |codebase: raw::Codebase| engine::CodebaseDefault {
        codebase: codebase.name.value,
        repository: codebase.repository,
        branch: codebase.branch,
        revision: codebase.revision,
    };
    codebases.into_iter().map(default).collect()
}

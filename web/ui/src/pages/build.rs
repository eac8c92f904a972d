//! One build: its result, steps with their logs, sources, changes, network attempts and properties, live.

mod network;

use std::collections::BTreeMap;

use maud::{Markup, html};
use stampmill_model::{
    Build, BuildId, BuildState, LockState, LogName, Outcome, PersonId, Step, StepState, Trigger, TriggerState, Wall,
};
use stampmill_service::accounts::wall_now;
use stampmill_service::{Action, BuildPage, Lines, Reading, ServiceError};

use super::tables::{author_link, author_links, author_name};
use super::{At, Shown, go};
use crate::form::{Form, Visitor};
use crate::layout::Page;
use crate::limits::{PROPERTIES_OPEN, TAIL_LINES};
use crate::words;

/// The end of a log that is shown below its step.
struct Tail {
    step: u32,
    log: LogName,
    lines: Lines,
    running: bool,
}

/// Whom the build interests.
struct People {
    known: BTreeMap<String, PersonId>,
    interested: Vec<String>,
}

pub(crate) async fn show(visitor: Visitor, At(id): At<u64>) -> Shown {
    let read = visitor.ui.service.read(&visitor.who, move |reading| {
        let page = reading.build_page(BuildId(id))?;
        let tails = tails(reading, &page.build)?;
        let people =
            People { known: reading.known_of(&page.build)?, interested: reading.catalogue().interested(&page.build) };
        Ok((page, tails, people))
    });
    let (page, tails, people) = visitor.or_page(read.await)?;
    let now = wall_now();
    let build = &page.build;
    let finished = matches!(build.state, BuildState::Finished { .. });
    let body = html! {
        div #head data-live { (head(&visitor, &page, &people, now)) }
        section #steps data-live {
            h2 { "Steps" }
            ol.steps { @for step in &build.steps { (step_row(build, step, tails.iter().find(|tail| tail.step == step.number), now)) } }
        }
        section #sources { (sources(&page)) }
        section #network data-live { (network::network(build)) }
        section #properties data-live { (properties(build)) }
    };
    let title = format!("{} #{} {}", build.builder, build.number, words::build_word(&build.state));
    let events = (!finished).then(|| format!("/api/v1/events?build={id}"));
    visitor.page(Page { title: &title, active: "/builders", events, body })
}

/// The ends of the logs that people want to see at once: of steps that run and of those that went wrong.
fn tails(reading: &Reading, build: &Build) -> Result<Vec<Tail>, ServiceError> {
    let mut tails = Vec::new();
    for step in &build.steps {
        let (wanted, running) = match step.state {
            StepState::Waiting => (false, false),
            StepState::Running { .. } => (true, true),
            StepState::Finished { outcome, .. } => (matches!(outcome, Outcome::Failure | Outcome::Exception), false),
        };
        if let (true, Some(log)) = (wanted, step.logs.first()) {
            let lines = reading.log_tail(build.id, step.number, log, TAIL_LINES)?;
            tails.push(Tail { step: step.number, log: log.clone(), lines, running });
        }
    }
    Ok(tails)
}

fn head(visitor: &Visitor, page: &BuildPage, people: &People, now: Wall) -> Markup {
    let build = &page.build;
    let (before, after) = page.neighbours;
    html! {
        p.crumbs {
            a href=(words::builder_address(build.builder.as_str())) { (build.builder) }
            span.grow {}
            @if let Some(id) = before { a href=(words::build_address(id)) rel="prev" { "← #" (build.number - 1) } }
            @if let Some(id) = after { " " a href=(words::build_address(id)) rel="next" { "#" (build.number + 1) " →" } }
        }
        div.row {
            h1 { (build.builder) " #" (build.number) }
            span.big aria-live="polite" { (words::badge(words::build_word(&build.state))) }
            span.grow {}
            (buttons(visitor, build))
        }
        @match &build.state {
            BuildState::Finished { summary, .. } if !summary.is_empty() => p.summary { (summary) },
            BuildState::Cancelling { reason } => p.summary { (reason) },
            BuildState::Dispatched => p.summary { "Given to the worker, which has not answered yet." },
            BuildState::Running | BuildState::Finished { .. } => {}
        }
        dl.facts {
            div { dt { "Reason" } dd { (words::sentence(&words::shortened(&build.reason, 400))) } }
            @if let Some(owner) = &build.owner { div { dt { "Asked for by" } dd { (author_link(owner, &people.known)) } } }
            div { dt { "Worker" } dd { a href="/workers" { (build.worker) } } }
            div { dt { "Started" } dd { (words::ago(build.started_at, now)) } }
            div { dt { @if matches!(build.state, BuildState::Finished { .. }) { "Took" } @else { "Running for" } } dd { (words::build_length(build, now)) } }
            div { dt { "Buildset" } dd { a href={ "/buildsets/" (build.buildset) } { "#" (build.buildset) } } }
            @if !build.merged.is_empty() { div #merged { dt { "Merged with" } dd { @for (position, merged) in build.merged.iter().enumerate() { @if position > 0 { ", " } a href={ "/buildsets/" (merged.buildset) } { "request #" (merged.request) } } } } }
            @if !build.locks.is_empty() { div #locks { dt { "Locks" } dd { @for (position, held) in build.locks.iter().enumerate() { @if position > 0 { ", " } (held.name) " (" (held.access.as_str()) ")" } } } }
            @if !build.triggers.is_empty() { div #triggers { dt { "Triggered" } dd { @for trigger in &build.triggers { (trigger_part(trigger)) } } } }
            @if build.attempt > 1 { div { dt { "Attempt" } dd { (build.attempt) } } }
            @if !build.blamelist.is_empty() {
                div #blamelist { dt { "Blamelist" } dd { (author_links(build.blamelist.iter(), &people.known)) } }
            }
            @if people.interested.iter().any(|text| !build.blamelist.contains(text)) {
                div #interested { dt { "Also interested" } dd { (author_links(people.interested.iter().filter(|text| !build.blamelist.contains(text)), &people.known)) } }
            }
        }
    }
}

fn trigger_part(trigger: &Trigger) -> Markup {
    html! {
        div {
            (trigger.scheduler) ": "
            @if let Some(set) = trigger.buildset() { a href=(words::buildset_address(set)) { "buildset " (set) } " " }
            @match &trigger.state {
                TriggerState::Refused { reason } => span.error { (reason) },
                TriggerState::Open { .. } if trigger.detached => span.quiet { "goes on by itself" },
                TriggerState::Open { .. } => (words::badge("open")),
                TriggerState::Finished { outcome, .. } => (words::outcome(*outcome)),
            }
        }
    }
}

fn buttons(visitor: &Visitor, build: &Build) -> Markup {
    let who = &visitor.who;
    let (can_cancel, can_rebuild) = match build.state {
        BuildState::Dispatched | BuildState::Running => (true, false),
        BuildState::Cancelling { .. } => (false, false),
        BuildState::Finished { .. } => (false, true),
    };
    html! {
        @if can_cancel && who.may(Action::Cancel) {
            form.inline method="post" action={ (words::build_address(build.id)) "/cancel" } {
                (words::csrf(who))
                button #cancel type="submit" { "Cancel" }
            }
        }
        @if can_rebuild && who.may(Action::Rebuild) {
            form.inline method="post" action={ (words::build_address(build.id)) "/rebuild" } {
                (words::csrf(who))
                button #rebuild type="submit" { "Rebuild" }
            }
        }
    }
}

fn step_row(build: &Build, step: &Step, tail: Option<&Tail>, now: Wall) -> Markup {
    html! {
        li.step id={ "step-" (step.number) } {
            div.row {
                (words::badge(words::step_word(&step.state)))
                strong { (step.name) }
                @match step.lock_state {
                    LockState::Waiting => span.summary { "waits for " (locks_of(step)) },
                    LockState::Held => span.chip title="what it has while it runs" { (locks_of(step)) },
                    LockState::Idle => {}
                }
                @if !step.summary.is_empty() && step.summary != step.name { span.summary { (words::shortened(&step.summary, 200)) } }
                span.grow {}
                @for log in &step.logs { a.log href=(words::log_address(build.id, step.number, log)) { (log) } " " }
                @match step.state {
                    StepState::Waiting => {}
                    StepState::Running { started_at } => (words::since(started_at, now)),
                    StepState::Finished { started_at, at, .. } => (words::between(started_at, at)),
                }
            }
            @if let Some(tail) = tail { (tail_of(build, tail)) }
        }
    }
}

fn locks_of(step: &Step) -> String {
    let names: Vec<_> = step.locks.iter().map(|lock| lock.name.as_str()).collect();
    format!("{} {}", if names.len() == 1 { "lock" } else { "locks" }, names.join(", "))
}

fn tail_of(build: &Build, tail: &Tail) -> Markup {
    let text = String::from_utf8_lossy(&tail.lines.bytes);
    let address = words::log_address(build.id, tail.step, &tail.log);
    let whole = tail.lines.bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
    let follow = tail.running.then(|| format!("/api/v1{address}/follow?from={}", tail.lines.first_line + whole + 1));
    html! {
        @if tail.lines.first_line > 0 {
            p.more { a href={ (address) "#L" (tail.lines.first_line) } { (words::count(tail.lines.first_line, "line", "lines")) " before" } }
        }
        pre.tail id={ "tail-" (tail.step) @if !tail.running { "-ended" } } data-follow=[follow] data-keep[tail.running] tabindex="0" aria-label={ "end of log " (tail.log) } {
            // A line that has no end yet comes again by the stream when it is whole.
            @for line in text.split_inclusive('\n').filter(|line| !tail.running || line.ends_with('\n')) { (words::plain(line.trim_end_matches('\n'))) "\n" }
        }
    }
}

fn sources(page: &BuildPage) -> Markup {
    let build = &page.build;
    html! {
        h2 { "Sources" }
        div.scroll {
            table {
                thead { tr { th { "Codebase" } th { "Branch" } th { "Revision" } th.wide { "Repository" } th { "Trusted" } } }
                tbody {
                    @for stamp in &build.stamps {
                        tr {
                            td { (stamp.codebase) }
                            td { @match &stamp.branch { Some(branch) => (branch), None => span.quiet { "default" } } }
                            td { @match &stamp.revision { Some(revision) => (words::revision(revision)), None => span.quiet { "latest" } } @if stamp.patch.is_some() { " " span.chip { "patched" } } }
                            td.wide { (words::outside_link(&stamp.repository, &stamp.repository)) }
                            td { @if stamp.trusted { "yes" } @else { "no" } }
                        }
                    }
                }
            }
        }
        @if !page.changes.is_empty() {
            h2 { "Changes" }
            div.scroll {
                table {
                    tbody {
                        @for change in &page.changes {
                            tr {
                                td { a href={ "/changes/" (change.id) } { @match &change.seen.revision { Some(revision) => (words::revision(revision)), None => { "#" (change.id) } } } }
                                td { (author_name(&change.seen.author)) }
                                td.wide { (words::first_line(&change.seen.comments)) }
                                td.quiet { (words::count(change.seen.files.len() as u64, "file", "files")) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn properties(build: &Build) -> Markup {
    html! {
        details open[build.properties.len() <= PROPERTIES_OPEN] {
            summary { h2 { "Properties (" (build.properties.len()) ")" } }
            div.scroll {
                table.properties {
                    thead { tr { th { "Name" } th.wide { "Value" } th { "Source" } } }
                    tbody {
                        @for (name, property) in &build.properties {
                            tr {
                                td { code { (name) } }
                                td.wide { code { (words::shortened(&shown(&property.value), 500)) } }
                                td.quiet { (property.source) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn shown(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

pub(crate) async fn cancel(visitor: Visitor, At(id): At<u64>, form: Form) -> Shown {
    let reason = form.text("reason").to_owned();
    visitor.or_page(visitor.ui.service.cancel_build(&visitor.who, BuildId(id), reason).await)?;
    go(&words::build_address(BuildId(id)))
}

pub(crate) async fn rebuild(visitor: Visitor, At(id): At<u64>, _: Form) -> Shown {
    let made = visitor.or_page(visitor.ui.service.rebuild(&visitor.who, BuildId(id)).await)?;
    go(&format!("/buildsets/{}", made.buildset))
}

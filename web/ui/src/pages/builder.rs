//! One builder: its builds, what waits for it, and the form that forces a build.

use maud::{Markup, html};
use serde_json::Value;
use stampmill_model::{Build, BuildId, BuilderName};
use stampmill_service::accounts::wall_now;
use stampmill_service::{
    Action, BuildFilter, BuilderView, CodebaseDefault, ForceAsk, Page as Rows, SchedulerView, ServiceError, Waiting,
};

use super::halts::halted;
use super::{Asked, At, Before, Shown, go, tables};
use crate::form::{Form, Visitor};
use crate::layout::Page;
use crate::limits::ROWS;
use crate::words;

/// What the page shows. A builder that is no longer configured has no view, but may have builds.
struct Found {
    view: Option<BuilderView>,
    rows: Rows<Build, BuildId>,
    waiting: Vec<Waiting>,
}

pub(crate) async fn show(visitor: Visitor, At(name): At<String>, Asked(query): Asked<Before>) -> Shown {
    let found = visitor.or_page(find(&visitor, &name, query.before).await)?;
    let sentences = visitor.or_page(visitor.ui.service.explain_waiting(&visitor.who, &found.waiting).await)?;
    let schedulers = visitor.or_page(visitor.ui.service.schedulers(&visitor.who).await)?;
    let lists = |view: &SchedulerView| view.builders.iter().any(|builder| builder.as_str() == name);
    let mut force = schedulers.iter().filter(|(view, _)| view.is_force() && lists(view));
    let force = force.clone().find(|(_, state)| state.disabled.is_none()).or_else(|| force.next());
    let now = wall_now();
    let body = html! {
        h1 { (name) @if let Some(view) = &found.view { @if !view.project.is_empty() { " " span.chip { (view.project) } } } }
        @match &found.view {
            Some(view) => (about(view)),
            None => p.note { "This builder is no longer in the configuration; its builds are kept." },
        }
        @if let Some((scheduler, state)) = force {
            @match &state.disabled {
                None => (force_form(&visitor, &name, scheduler)),
                Some(halt) => (halted(&format!("Nobody can force a build: scheduler {} is disabled", scheduler.name), halt, now)),
            }
        }
        section #queue data-live {
            @if !found.waiting.is_empty() {
                h2 { "Waiting" }
                (tables::waiting(&found.waiting, &sentences, &visitor.who, now))
            }
        }
        section #builds data-live {
            h2 { "Builds" }
            (tables::builds(&found.rows.items, now))
            (pages(&name, query.before, found.rows.next))
        }
    };
    let events = format!("/api/v1/events?builder={}", words::encoded(&name));
    visitor.page(Page { title: &name, active: "/builders", events: Some(events), body })
}

async fn find(visitor: &Visitor, name: &str, before: Option<u64>) -> Result<Found, ServiceError> {
    let name = BuilderName::from(name);
    visitor
        .ui
        .service
        .read(&visitor.who, move |reading| {
            let filter = BuildFilter { builder: Some(name.clone()), ..BuildFilter::default() };
            Ok(Found {
                rows: reading.builds(&filter, before.map(BuildId), ROWS)?,
                waiting: reading.waiting(Some(&name))?,
                view: reading.catalogue().builder(name.as_str()).cloned(),
            })
        })
        .await
}

fn pages(name: &str, before: Option<u64>, next: Option<BuildId>) -> Markup {
    let address = words::builder_address(name);
    html! {
        p.pages {
            @if before.is_some() { a href=(address) { "Newest" } }
            @if let Some(next) = next { a href={ (address) "?before=" (next) } { "Older" } }
        }
    }
}

fn about(view: &BuilderView) -> Markup {
    html! {
        @if !view.description.is_empty() { p { (view.description) } }
        p.quiet {
            "Job " strong { (view.job) } ": "
            @for (position, step) in view.steps.iter().enumerate() {
                @if position > 0 { " → " }
                span title={ "plugin " (step.plugin) } { (step.name) }
            }
            " · runs on "
            @if view.worker_names.is_empty() && view.worker_tags.is_empty() { "any worker" }
            @for (position, worker) in view.worker_names.iter().enumerate() {
                @if position > 0 { ", " } (worker)
            }
            @if !view.worker_tags.is_empty() {
                @if view.worker_names.is_empty() { "workers" } " tagged "
                @for (position, tag) in view.worker_tags.iter().enumerate() {
                    @if position > 0 { " " } span.chip { (tag) }
                }
            }
        }
    }
}

fn force_form(visitor: &Visitor, name: &str, scheduler: &SchedulerView) -> Markup {
    html! {
        @if visitor.who.may(Action::Force) {
            details.force {
                summary { "Force a build" }
                form.fields method="post" action={ (words::builder_address(name)) "/force" } {
                    (words::csrf(&visitor.who))
                    input type="hidden" name="scheduler" value=(scheduler.name);
                    label { "Reason" input name="reason" maxlength="1000" placeholder="why, for the others"; }
                    @for codebase in &scheduler.codebases { (codebase_fields(codebase)) }
                    label { "Properties, one a line" textarea name="properties" rows="3" placeholder="name=value" {} }
                    button.main type="submit" { "Force" }
                }
            }
        } @else if visitor.who.role().is_none() {
            p { a href={ "/login?next=" (words::encoded(&words::builder_address(name))) } { "Log in to force a build" } }
        }
    }
}

fn codebase_fields(default: &CodebaseDefault) -> Markup {
    let name = &default.codebase;
    html! {
        fieldset {
            legend { @if name.is_empty() { "Sources" } @else { (name) } }
            @if !default.repository.is_empty() { p.quiet { (default.repository) } }
            label { "Branch" input name={ "branch." (name) } placeholder=(default.branch.as_deref().unwrap_or("the default branch")); }
            label { "Revision" input name={ "revision." (name) } placeholder=(default.revision.as_deref().unwrap_or("the latest")); }
        }
    }
}

pub(crate) async fn force(visitor: Visitor, At(name): At<String>, form: Form) -> Shown {
    let ask = visitor.or_page(ask_of(name, &form))?;
    let made = visitor.or_page(visitor.ui.service.force(&visitor.who, ask).await)?;
    go(&format!("/buildsets/{}", made.buildset))
}

fn ask_of(builder: String, form: &Form) -> Result<ForceAsk, ServiceError> {
    let mut ask = ForceAsk {
        builder: Some(builder),
        scheduler: form.optional("scheduler"),
        reason: form.text("reason").to_owned(),
        ..ForceAsk::default()
    };
    let filled = |(codebase, text): (&str, &str)| (!text.is_empty()).then(|| (codebase.to_owned(), text.to_owned()));
    for (codebase, branch) in form.starting_with("branch.").filter_map(filled) {
        ask.stamps.entry(codebase).or_default().branch = Some(branch);
    }
    for (codebase, revision) in form.starting_with("revision.").filter_map(filled) {
        ask.stamps.entry(codebase).or_default().revision = Some(revision);
    }
    for line in form.text("properties").lines().map(str::trim).filter(|line| !line.is_empty()) {
        let Some((name, value)) = line.split_once('=') else {
            let shown = words::shortened(line, 60);
            return Err(ServiceError::Invalid(format!("property line {shown:?} has no `=`; write name=value")));
        };
        ask.properties.insert(name.trim().to_owned(), Value::String(value.trim().to_owned()));
    }
    Ok(ask)
}

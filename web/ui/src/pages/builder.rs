//! One builder: its builds, what waits for it, and the forms that force a build.

use maud::{Markup, html};
use stampmill_model::{Build, BuildId, BuilderName};
use stampmill_service::accounts::wall_now;
use stampmill_service::{BuildFilter, BuilderView, Page as Rows, ServiceError, Waiting};

use super::{Asked, At, Before, Shown, force, tables};
use crate::form::Visitor;
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
    let now = wall_now();
    let body = html! {
        h1 { (name) @if let Some(view) = &found.view { @if !view.project.is_empty() { " " span.chip { (view.project) } } } }
        @match &found.view {
            Some(view) => (about(view)),
            None => p.note { "This builder is no longer in the configuration; its builds are kept." },
        }
        (force::forms(&visitor, &name, &schedulers, now))
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

//! A buildset: its requests, why they wait, and their builds.

use maud::{Markup, html};
use stampmill_model::{Build, Buildset, BuildsetId, BuildsetState, Parent, Request, RequestId, RequestState, Wall};
use stampmill_service::Explanation;
use stampmill_service::accounts::wall_now;

use super::{At, Shown, go, tables};
use crate::form::{Form, Visitor};
use crate::layout::Page;
use crate::words;

pub(crate) async fn show(visitor: Visitor, At(id): At<u64>) -> Shown {
    let service = &visitor.ui.service;
    let page =
        visitor.or_page(service.read(&visitor.who, move |reading| reading.buildset_page(BuildsetId(id))).await)?;
    let mut rows = Vec::with_capacity(page.requests.len());
    for (request, builds) in page.requests {
        let waits = matches!(request.state, RequestState::Pending | RequestState::AwaitingApproval);
        let why = if waits && rows.len() < stampmill_service::limits::EXPLAINED_MAX {
            Some(visitor.or_page(service.explain_request(&visitor.who, request.id).await)?)
        } else {
            None
        };
        rows.push((request, builds, why));
    }
    let now = wall_now();
    let set = &page.buildset;
    let body = html! {
        div #head data-live {
            div.row { h1 { "Buildset #" (set.id) } span.big aria-live="polite" { (state(set)) } }
            dl.facts {
                div { dt { "Reason" } dd { (words::sentence(&words::shortened(&set.reason, 400))) } }
                @if let Some(scheduler) = &set.scheduler { div { dt { "Scheduler" } dd { (scheduler) } } }
                @if let Some(owner) = &set.owner { div { dt { "Asked for by" } dd { (owner) } } }
                @match set.parent {
                    Some(Parent::Rebuild(build)) => { div { dt { "Repeats" } dd { a href=(words::build_address(build)) { "build " (build) } } } }
                    Some(Parent::Dependent(other)) => { div { dt { "After" } dd { a href=(words::buildset_address(other)) { "buildset " (other) } ", which passed" } } }
                    Some(Parent::Pinged(other)) => { div { dt { "Pinged by" } dd { a href=(words::buildset_address(other)) { "buildset " (other) } ", in which a project that it depends on has passed" } } }
                    Some(Parent::Triggered(build)) => { div { dt { "Triggered by" } dd { a href=(words::build_address(build)) { "build " (build) } } } }
                    None => {}
                }
                @if set.superseded { div { dt { "Answered by" } dd { "a build of newer sources; what waits for this scheduler follows those" } } }
                div { dt { "Made" } dd { (words::ago(set.submitted_at, now)) } }
                div { dt { "Sources" } dd { @for stamp in &set.stamps { (words::stamp_line(stamp)) " " } } }
            }
        }
        section #requests data-live {
            h2 { "Requests" }
            @for (request, builds, why) in &rows { (request_part(&visitor, request, builds, why.as_ref(), now)) }
        }
    };
    let finished = matches!(set.state, BuildsetState::Finished { .. });
    let events = (!finished).then(|| "/api/v1/events".to_owned());
    visitor.page(Page { title: &format!("Buildset #{id}"), active: "", events, body })
}

fn state(set: &Buildset) -> Markup {
    match set.state {
        BuildsetState::Open { will_fail: false } => words::badge("open"),
        BuildsetState::Open { will_fail: true } => html! { (words::badge("open")) " " span.error { "will fail" } },
        BuildsetState::Finished { outcome, .. } => words::outcome(outcome),
    }
}

fn request_part(
    visitor: &Visitor,
    request: &Request,
    builds: &[Build],
    why: Option<&Explanation>,
    now: Wall,
) -> Markup {
    let (word, awaits_approval, waits, ended_by) = match &request.state {
        RequestState::AwaitingApproval => ("awaits approval", true, true, ""),
        RequestState::Pending => ("waiting", false, true, ""),
        RequestState::Building(_) => ("running", false, false, ""),
        RequestState::Complete { outcome, reason, .. } => (outcome.as_str(), false, false, reason.as_str()),
    };
    // What explains a request says it too.
    let merging = request.merge_key.in_words().filter(|_| why.is_none());
    html! {
        article.card id={ "request-" (request.id) } {
            div.row {
                (words::badge(word))
                strong { a href=(words::builder_address(request.builder.as_str())) { (request.builder) } }
                @for build in builds { (words::build_link(build)) " " (words::build_length(build, now)) (company(build, request.id)) " " }
                span.grow {}
                @if waits { (tables::request_buttons(request.id.0, awaits_approval, &visitor.who)) }
            }
            @if !ended_by.is_empty() { p { (words::sentence(&words::shortened(ended_by, 400))) } }
            @if let Some(said) = &merging { p { (words::sentence(&words::shortened(said, 400))) } }
            @if let Some(why) = why {
                p { (words::sentence(&why.summary)) @if let Some(position) = why.position { " (place " (position) " in the queue)" } }
                @if !why.workers.is_empty() {
                    ul { @for (worker, reason) in &why.workers { li { strong { (worker) } ": " (words::sentence(reason)) } } }
                }
            }
        }
    }
}

/// With whom a request shares a build.
fn company(build: &Build, request: RequestId) -> Markup {
    html! {
        @if build.request != request { " merged with request #" (build.request) }
        @else if let [one] = build.merged.as_slice() { " merged with request #" (one.request) }
        @else if !build.merged.is_empty() { " merged with " (build.merged.len()) " other requests" }
    }
}

pub(crate) async fn cancel_request(visitor: Visitor, At(id): At<u64>, form: Form) -> Shown {
    let reason = form.text("reason").to_owned();
    visitor.or_page(visitor.ui.service.cancel_request(&visitor.who, RequestId(id), reason).await)?;
    to_set_of(&visitor, id).await
}

pub(crate) async fn approve(visitor: Visitor, At(id): At<u64>, form: Form) -> Shown {
    let approved = form.text("approved") == "yes";
    visitor.or_page(visitor.ui.service.approve(&visitor.who, RequestId(id), approved).await)?;
    to_set_of(&visitor, id).await
}

async fn to_set_of(visitor: &Visitor, request: u64) -> Shown {
    let read = visitor.ui.service.read(&visitor.who, move |reading| reading.request(RequestId(request))).await;
    go(&format!("/buildsets/{}", visitor.or_page(read)?.buildset))
}

//! One change, and why it was built or not.

use std::collections::BTreeMap;

use maud::{Markup, html};
use stampmill_model::{Change, ChangeId, PersonId, Wall};
use stampmill_service::ChangeWait;
use stampmill_service::accounts::wall_now;

use super::{At, Shown};
use crate::form::Visitor;
use crate::layout::Page;
use crate::limits::FILES_SHOWN;
use crate::words;

pub(crate) async fn show(visitor: Visitor, At(id): At<u64>) -> Shown {
    let read = visitor.ui.service.read(&visitor.who, move |reading| {
        let change = reading.change(ChangeId(id))?;
        let known = reading.known_authors([&change.seen.author].into_iter().chain(&change.seen.committer))?;
        Ok((change, known))
    });
    let (change, known) = visitor.or_page(read.await)?;
    let waits = visitor.or_page(visitor.ui.service.explain_change(&visitor.who, change.id).await)?;
    let seen = &change.seen;
    let now = wall_now();
    let body = html! {
        h1 { "Change #" (change.id) }
        (facts(&change, &known, now))
        @if !seen.comments.is_empty() { pre.comment { (words::shortened(&seen.comments, 10_000)) } }
        section #decisions data-live { (decisions(&change)) (waiting(&waits, now)) }
        @if !seen.files.is_empty() {
            h2 { "Files (" (seen.files.len()) ")" }
            ul.files { @for file in seen.files.iter().take(FILES_SHOWN) { li { code { (file) } } } }
            @if seen.files.len() > FILES_SHOWN { p.quiet { "and " (seen.files.len() - FILES_SHOWN) " more; " a href={ "/api/v1/changes/" (change.id) } { "all of them" } } }
        }
    };
    visitor.page(Page {
        title: &format!("Change #{id}"),
        active: "/changes",
        events: Some("/api/v1/events".into()),
        body,
    })
}

fn facts(change: &Change, known: &BTreeMap<String, PersonId>, now: Wall) -> Markup {
    let seen = &change.seen;
    html! {
        dl.facts {
            div { dt { "Author" } dd { (person(&seen.author, known)) } }
            @if let Some(committer) = &seen.committer { div { dt { "Committer" } dd { (person(committer, known)) } } }
            @if let Some(revision) = &seen.revision { div { dt { "Revision" } dd { (words::revision(revision)) } } }
            div { dt { "Branch" } dd { (seen.branch.as_deref().unwrap_or("default")) } }
            div { dt { "Repository" } dd { (words::outside_link(&seen.repository, &seen.repository)) } }
            @if !seen.project.is_empty() { div { dt { "Project" } dd { (seen.project) } } }
            @if let Some(category) = &seen.category { div { dt { "Category" } dd { (category) } } }
            @if let Some(codebase) = change.codebase.as_ref().filter(|codebase| !codebase.is_empty()) { div { dt { "Codebase" } dd { (codebase) } } }
            div { dt { "Arrived" } dd { (words::ago(change.arrived_at, now)) @if let Some(source) = &change.source { " from " (source) } @else { ", sent by hand" } } }
            @if let Some(at) = seen.committed_at { div { dt { "Committed" } dd { (words::ago(at, now)) } } }
            div { dt { "Trusted" } dd { @if change.trusted { "yes" } @else { "no" } } }
            @if let Some(link) = &seen.link { div { dt { "Link" } dd { (words::outside_link(link, link)) } } }
        }
    }
}

/// An author in full, as a link where it is known who that is.
fn person(author: &str, known: &BTreeMap<String, PersonId>) -> Markup {
    let shown = words::shortened(author, 200);
    html! { @match known.get(author) { Some(id) => a href=(words::person_address(*id)) { (shown) }, None => (shown) } }
}

fn decisions(change: &Change) -> Markup {
    html! {
        h2 { "Why it was built, or not" }
        @if let Some(trouble) = &change.trouble { p.error { "The codebase generator failed on it, so it is not built: " (trouble) } }
        @if change.decisions.is_empty() && change.trouble.is_none() {
            p.quiet { @if change.decided { "No scheduler looks at changes." } @else { "It is being decided." } }
        }
        @if !change.decisions.is_empty() {
            div.scroll { table {
                thead { tr { th { "Scheduler" } th { "Verdict" } th.wide { "Because" } } }
                tbody { @for decision in &change.decisions {
                    tr {
                        td { (decision.scheduler) }
                        td { span class={ "verdict " (decision.verdict.as_str()) } { (decision.verdict.as_str()) } }
                        td.wide { (words::sentence(&decision.reason)) }
                    }
                } }
            } }
        }
        @if !change.buildsets.is_empty() {
            p { "Built in " @for (position, set) in change.buildsets.iter().enumerate() { @if position > 0 { ", " } a href={ "/buildsets/" (set) } { "buildset #" (set) } } "." }
        }
    }
}

fn waiting(waits: &[ChangeWait], now: Wall) -> Markup {
    html! {
        @for wait in waits {
            p.wait { "Scheduler " strong { (wait.scheduler) } ": " (wait.reason) @if let Some(until) = wait.until { ", in " (words::length(until.0.saturating_sub(now.0))) } "." }
        }
    }
}

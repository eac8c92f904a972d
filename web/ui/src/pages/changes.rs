//! Changes, and the sources that they come from.

use maud::{Markup, html};
use stampmill_model::ChangeId;
use stampmill_service::accounts::wall_now;
use stampmill_service::{Action, ChangeFilter, ChangeSourceKind, ChangeSourceView};

use super::{Asked, At, Before, Shown, go, tables};
use crate::form::{Form, Visitor};
use crate::layout::Page;
use crate::limits::ROWS;
use crate::words;

pub(crate) async fn show(visitor: Visitor, Asked(query): Asked<Before>) -> Shown {
    let service = &visitor.ui.service;
    let before = query.before.map(ChangeId);
    let read = service.read(&visitor.who, move |reading| reading.changes(&ChangeFilter::default(), before, ROWS)).await;
    let rows = visitor.or_page(read)?;
    let sources = visitor.or_page(service.change_sources(&visitor.who).await)?;
    let now = wall_now();
    let body = html! {
        h1 { "Changes" }
        section #sources data-live { (source_list(&visitor, &sources)) }
        section #changes data-live {
            @if rows.items.is_empty() && before.is_none() {
                p.quiet { "No change has arrived yet." }
            } @else { (tables::changes(&rows.items, now)) }
            p.pages {
                @if before.is_some() { a href="/changes" { "Newest" } }
                @if let Some(next) = rows.next { a href={ "/changes?before=" (next) } { "Older" } }
            }
        }
    };
    visitor.page(Page { title: "Changes", active: "/changes", events: Some("/api/v1/events".into()), body })
}

fn source_list(visitor: &Visitor, sources: &[ChangeSourceView]) -> Markup {
    html! {
        @if sources.is_empty() {
            p.note { "No change source is configured. Add a " code { "[[change-source]]" } ", or send changes with " code { "stampmill change" } "." }
        }
        @for source in sources {
            article.card {
                div.row {
                    strong { (source.name) }
                    span.chip { (source.plugin) }
                    @if !source.trusted { span.chip { "untrusted" } }
                    span.quiet { (when(source)) }
                    span.grow {}
                    @if matches!(source.kind, ChangeSourceKind::Poller { .. }) && visitor.who.may(Action::PollNow) {
                        form.inline method="post" action={ "/change-sources/" (words::encoded(source.name.as_str())) "/poll" } {
                            (words::csrf(&visitor.who))
                            button type="submit" { "Poll now" }
                        }
                    }
                }
                @if let Some(trouble) = &source.trouble { p.error { (words::shortened(trouble, 500)) } }
            }
        }
    }
}

fn when(source: &ChangeSourceView) -> String {
    match source.kind {
        ChangeSourceKind::Poller { every, next_poll_in: Some(next) } => {
            let next = if next.0 < 1_000 { "now".to_owned() } else { format!("in {}", interval(next.0 / 1000 * 1000)) };
            format!("polled every {}, next {next}", interval(every.0))
        }
        ChangeSourceKind::Poller { every, next_poll_in: None } => {
            format!("polled every {}, being polled now", interval(every.0))
        }
        ChangeSourceKind::Hook => format!("called at /hooks/{}", source.name),
    }
}

/// A length of time in whole seconds, as people set it.
fn interval(ms: u64) -> String {
    words::length(ms).replace(".0 s", " s")
}

pub(crate) async fn poll_now(visitor: Visitor, At(name): At<String>, _: Form) -> Shown {
    visitor.or_page(visitor.ui.service.poll_now(&visitor.who, &name).await)?;
    go("/changes")
}

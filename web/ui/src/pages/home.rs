//! The first page: builders, newest builds, and what waits.

use maud::html;
use stampmill_service::accounts::wall_now;

use super::{Shown, tables};
use crate::form::Visitor;
use crate::layout::Page;

pub(crate) async fn show(visitor: Visitor) -> Shown {
    let service = &visitor.ui.service;
    let home = visitor.or_page(service.read(&visitor.who, |reading| reading.home()).await)?;
    let sentences = visitor.or_page(service.explain_waiting(&visitor.who, &home.waiting).await)?;
    let workers = visitor.or_page(service.workers(&visitor.who).await)?;
    let connected = workers.iter().filter(|worker| worker.state.as_str() == "connected").count();
    let now = wall_now();
    let body = html! {
        h1.hidden { "Home" }
        section #builders data-live {
            div.row {
                h2 { "Builders" }
                span.quiet { a href="/workers" { (connected) " of " (workers.len()) " workers connected" } }
            }
            @if workers.is_empty() {
                p.note { "No worker is configured, so nothing can be built. Add a " code { "[[worker]]" } " to the configuration." }
            } @else if connected == 0 {
                p.note { "No worker is connected: builds wait until one comes." }
            }
            (tables::builders(&home.builders, now))
        }
        section #queue data-live {
            @if !home.waiting.is_empty() {
                h2 { "Waiting" }
                (tables::waiting(&home.waiting, &sentences, &visitor.who, now))
            }
        }
        section #recent data-live {
            h2 { "Newest builds" }
            (tables::builds(&home.recent, now))
        }
    };
    visitor.page(Page { title: "Home", active: "/", events: Some("/api/v1/events".into()), body })
}

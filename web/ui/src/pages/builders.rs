//! All builders.

use maud::html;
use stampmill_service::accounts::wall_now;

use super::{Shown, tables};
use crate::form::Visitor;
use crate::layout::Page;

pub(crate) async fn show(visitor: Visitor) -> Shown {
    let read = visitor.ui.service.read(&visitor.who, |reading| reading.builder_states()).await;
    let states = visitor.or_page(read)?;
    let now = wall_now();
    let body = html! {
        h1 { "Builders" }
        section #builders data-live { (tables::builders(&states, now)) }
    };
    visitor.page(Page { title: "Builders", active: "/builders", events: Some("/api/v1/events".into()), body })
}

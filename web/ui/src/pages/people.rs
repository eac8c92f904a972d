//! People: who makes changes and whom builds concern, and what each of them did last.

use maud::{Markup, html};
use stampmill_model::{Attribute, Person, PersonId};
use stampmill_service::PersonView;
use stampmill_service::accounts::wall_now;

use super::{Asked, At, Before, Shown, tables};
use crate::form::Visitor;
use crate::layout::Page;
use crate::limits::ROWS;
use crate::words;

pub(crate) async fn show(visitor: Visitor, Asked(query): Asked<Before>) -> Shown {
    let before = query.before.map(PersonId);
    let read = visitor.ui.service.read(&visitor.who, move |reading| reading.people(before, ROWS)).await;
    let rows = visitor.or_page(read)?;
    let body = html! {
        h1 { "People" }
        section #people data-live {
            @if rows.items.is_empty() && before.is_none() {
                p.quiet { "Nobody has made a change yet." }
            } @else { (list(&rows.items)) }
            p.pages {
                @if before.is_some() { a href="/people" { "Newest" } }
                @if let Some(next) = rows.next { a href={ "/people?before=" (next) } { "Older" } }
            }
        }
    };
    visitor.page(Page { title: "People", active: "/people", events: Some("/api/v1/events".into()), body })
}

fn list(people: &[PersonView]) -> Markup {
    let now = wall_now();
    html! {
        div.scroll {
            table {
                thead { tr { th { "Person" } th.wide { "Known by" } th { "Last change" } } }
                tbody {
                    @for PersonView { person, last_change } in people {
                        tr {
                            td { a href=(words::person_address(person.id)) { (words::shortened(&person.name, 60)) } }
                            td.wide { (attributes(person)) }
                            td {
                                @match last_change {
                                    Some(change) => a href={ "/changes/" (change.id) } { (words::ago(change.arrived_at, now)) },
                                    None => span.quiet { "none" },
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn attributes(person: &Person) -> Markup {
    html! {
        @for (position, held) in person.attributes.iter().enumerate() {
            @if position > 0 { br; }
            span.chip { (held.kind()) } " " (words::shortened(held.value(), 80))
        }
    }
}

pub(crate) async fn person(visitor: Visitor, At(id): At<u64>) -> Shown {
    let read = visitor.ui.service.read(&visitor.who, move |reading| {
        let who = id.to_string();
        Ok((reading.person(&who)?.person, reading.changes_of(&who, None, ROWS)?))
    });
    let (person, changes) = visitor.or_page(read.await)?;
    let now = wall_now();
    let body = html! {
        h1 { (words::shortened(&person.name, 200)) }
        dl.facts {
            div { dt { "Known since" } dd { (words::ago(person.since, now)) } }
            @for held in &person.attributes { (fact(held)) }
        }
        section #changes data-live {
            h2 { "Changes" }
            @if changes.items.is_empty() { p.quiet { "None." } } @else { (tables::changes(&changes.items, now)) }
            @if changes.next.is_some() { p.quiet { "and older ones; " a href={ "/api/v1/changes?person=" (person.id) } { "all of them" } } }
        }
    };
    visitor.page(Page { title: &person.name, active: "/people", events: Some("/api/v1/events".into()), body })
}

fn fact(held: &Attribute) -> Markup {
    html! { div { dt { (held.kind()) } dd { (words::shortened(held.value(), 200)) } } }
}

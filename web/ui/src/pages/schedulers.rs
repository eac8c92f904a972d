//! Schedulers: when each starts builds, what it waits with, and the button that disables it or enables it again.

use maud::{Markup, html};
use stampmill_model::Wall;
use stampmill_service::accounts::wall_now;
use stampmill_service::{Action, Identity, SchedulerNow, SchedulerView};

use super::halts::{Switch, halted};
use super::{At, Shown, go};
use crate::form::{Form, Visitor};
use crate::layout::Page;
use crate::words;

const SWITCH: Switch = Switch { halt: "Disable", go_on: "Enable", halted: "disabled" };

pub(crate) async fn show(visitor: Visitor) -> Shown {
    let schedulers = visitor.or_page(visitor.ui.service.schedulers(&visitor.who).await)?;
    let now = wall_now();
    let body = html! {
        h1 { "Schedulers" }
        section #schedulers data-live {
            @if schedulers.is_empty() { p.note { "No scheduler is configured. Add a " code { "[[scheduler]]" } "." } }
            @for (view, state) in &schedulers { (card(view, state, &visitor.who, now)) }
        }
    };
    visitor.page(Page { title: "Schedulers", active: "/schedulers", events: Some("/api/v1/events".into()), body })
}

fn card(view: &SchedulerView, state: &SchedulerNow, who: &Identity, now: Wall) -> Markup {
    html! {
        article.card id={ "scheduler-" (view.name) } {
            div.row {
                h2 { (view.name) }
                span.chip { (view.kind) }
                (words::badge(if state.disabled.is_some() { "disabled" } else { "enabled" }))
            }
            @if let Some(halt) = &state.disabled { (halted("Disabled", halt, now)) }
            p { (words::sentence(&view.when)) ", builds on "
                @for (position, builder) in view.builders.iter().enumerate() {
                    @if position > 0 { ", " } a href=(words::builder_address(builder.as_str())) { (builder) }
                }
            }
            p.quiet {
                @if state.waiting > 0 { (words::count(state.waiting as u64, "change waits", "changes wait")) ". " }
                @if !state.waits_for.is_empty() { "Waits for " (state.waits_for.join(", ")) ". " }
                @if let Some(why) = &state.left_out { (words::sentence(why)) ". " }
                @if let Some(at) = state.next_at { "Next at " (words::absolute(at)) "." }
            }
            (switch(view, state, who))
        }
    }
}

fn switch(view: &SchedulerView, state: &SchedulerNow, who: &Identity) -> Markup {
    let address = format!("/schedulers/{}", words::encoded(view.name.as_str()));
    html! {
        @if who.may(Action::SwitchSchedulers) { (SWITCH.button(view.name.as_str(), &address, state.disabled.is_some(), who)) }
    }
}

pub(crate) async fn disable(visitor: Visitor, At(name): At<String>, form: Form) -> Shown {
    let reason = form.text("reason").to_owned();
    visitor.or_page(visitor.ui.service.disable_scheduler(&visitor.who, &name, reason).await)?;
    go("/schedulers")
}

pub(crate) async fn enable(visitor: Visitor, At(name): At<String>, _: Form) -> Shown {
    visitor.or_page(visitor.ui.service.enable_scheduler(&visitor.who, &name).await)?;
    go("/schedulers")
}

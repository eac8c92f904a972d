//! Workers: what they are, how well they fence programs in, and what they do.

use maud::{Markup, html};
use stampmill_model::{Build, BuildId, Tier, Wall, WorkerInfo};
use stampmill_service::accounts::wall_now;
use stampmill_service::{Action, Identity, WorkerState, WorkerView};

use super::halts::{Switch, halted};
use super::{At, Shown, go};
use crate::form::{Form, Visitor};
use crate::layout::Page;
use crate::words;

const SWITCH: Switch = Switch { halt: "Pause", go_on: "Resume", halted: "paused" };

pub(crate) async fn show(visitor: Visitor) -> Shown {
    let service = &visitor.ui.service;
    let workers = visitor.or_page(service.workers(&visitor.who).await)?;
    let ids: Vec<BuildId> = workers.iter().flat_map(|worker| worker.running.iter().copied()).collect();
    let read = service.read(&visitor.who, move |reading| {
        ids.into_iter().map(|id| reading.build(id)).collect::<Result<Vec<Build>, _>>()
    });
    let builds = visitor.or_page(read.await)?;
    let now = wall_now();
    let body = html! {
        h1 { "Workers" }
        section #workers data-live {
            @if workers.is_empty() { p.note { "No worker is configured. Add a " code { "[[worker]]" } " and make its token with " code { "stampmill worker-token NAME" } "." } }
            @for worker in &workers { (card(worker, &builds, &visitor.who, now)) }
        }
    };
    visitor.page(Page { title: "Workers", active: "/workers", events: Some("/api/v1/events".into()), body })
}

fn card(worker: &WorkerView, builds: &[Build], who: &Identity, now: Wall) -> Markup {
    let word = match worker.state {
        WorkerState::NeverSeen => "never seen",
        WorkerState::Away { .. } => "away",
        WorkerState::Connected { .. } => "connected",
    };
    html! {
        article.card id={ "worker-" (worker.name) } {
            div.row {
                h2 { (worker.name) }
                (words::badge(word))
                @if worker.paused.is_some() { (words::badge("paused")) }
                @if let Some(info) = worker.state.info() { (tier(info.tier)) }
                @for tag in &worker.tags { span.chip { (tag) } " " }
                span.grow {}
                @match &worker.state {
                    WorkerState::NeverSeen => {}
                    WorkerState::Away { since, .. } => span.quiet { "left " (words::ago(*since, now)) },
                    WorkerState::Connected { since, .. } => span.quiet { "came " (words::ago(*since, now)) },
                }
            }
            @if let Some(halt) = &worker.paused { (halted("Paused", halt, now)) }
            @if worker.running.is_empty() { p.quiet { "No build." } }
            @for build in builds.iter().filter(|build| worker.running.contains(&build.id)) {
                p { (words::badge(words::build_word(&build.state))) " " (words::build_link(build)) " " (words::build_length(build, now)) }
            }
            (switch(worker, who))
            @if let Some(info) = worker.state.info() { (details(worker, info)) }
        }
    }
}

fn switch(worker: &WorkerView, who: &Identity) -> Markup {
    let address = format!("/workers/{}", words::encoded(worker.name.as_str()));
    html! {
        @if who.may(Action::PauseWorkers) { (SWITCH.button(worker.name.as_str(), &address, worker.paused.is_some(), who)) }
    }
}

pub(crate) async fn pause(visitor: Visitor, At(name): At<String>, form: Form) -> Shown {
    let reason = form.text("reason").to_owned();
    visitor.or_page(visitor.ui.service.pause_worker(&visitor.who, &name, reason).await)?;
    go("/workers")
}

pub(crate) async fn resume(visitor: Visitor, At(name): At<String>, _: Form) -> Shown {
    visitor.or_page(visitor.ui.service.resume_worker(&visitor.who, &name).await)?;
    go("/workers")
}

fn tier(tier: Tier) -> Markup {
    let meaning = match tier {
        Tier::Sandboxed => "every required mechanism of the sandbox is there",
        Tier::Degraded => "some mechanism of the sandbox is missing",
        Tier::WasmOnly => "no native program can be fenced in: components only",
    };
    html! { span class={ "badge tier " (tier.as_str()) } title=(meaning) { (tier.as_str()) } }
}

fn details(worker: &WorkerView, info: &WorkerInfo) -> Markup {
    let most = worker.max_builds.map_or(info.max_builds, |most| most.min(info.max_builds));
    html! {
        p.quiet {
            (info.os) " " (info.arch) ", " (words::count(info.cores.into(), "core", "cores")) ", "
            (words::count(most.into(), "build", "builds")) " at once, version " (info.version)
        }
        details open[info.tier != Tier::Sandboxed] {
            summary { "Sandbox and tools" }
            div.scroll { table {
                thead { tr { th { "Mechanism" } th { "Works" } th.wide { "Detail" } } }
                tbody { @for mechanism in &info.mechanisms {
                    tr {
                        td { (mechanism.name) }
                        td { @if mechanism.works { span.yes { "✓ yes" } } @else { span.error { "✗ no" } } }
                        td.wide { (mechanism.detail) }
                    }
                } }
            } }
            @if !info.tools.is_empty() {
                p { @for (tool, version) in &info.tools { span.chip { (tool) " " (version) } " " } }
            }
            @if !info.uname.is_empty() { p.quiet { @for field in &info.uname { (field) " " } } }
        }
    }
}
